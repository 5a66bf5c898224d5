#include "engine/loop/clock_watch.h"

#include <poll.h>

#include "engine/loop/wake_timer.h"
#include "tests/engine/loop/loop_harness.h"

namespace sonde {
namespace {

TEST(ClockWatchTest, DifferenceOfTheClocks) {
  const Duration difference = WallMinusMonotonic();
  const Duration again{WallNow().ns - MonotonicNow().ns};
  EXPECT_LT(again - difference, Milliseconds(50));
  EXPECT_GT(again - difference, Milliseconds(-50));
}

TEST(ClockWatchTest, SaysNothingWhileNobodySetsTheClock) {
  auto poller = *Poller::Make();
  int steps = 0;
  auto watch = ClockWatch::Make(*poller, [&](Duration) { ++steps; });
  ASSERT_TRUE(watch.ok());
  EXPECT_EQ(poller->DispatchOnce(), 0);
  EXPECT_EQ(steps, 0);
}

TEST(WakeTimerTest, WakesInTimeAndAgain) {
  auto poller = *Poller::Make();
  auto timer = *WakeTimer::Make(*poller);
  for (int round = 0; round < 3; ++round) {
    const Instant at = MonotonicNow() + Milliseconds(2);
    timer->WakeBy(at + Hours(1));  // an earlier wish moves it
    timer->WakeBy(at);
    pollfd waits{poller->fd(), POLLIN, 0};
    ASSERT_EQ(poll(&waits, 1, 20'000), 1);
    EXPECT_GE(MonotonicNow(), at);
    EXPECT_EQ(poller->DispatchOnce(), 1);
    EXPECT_EQ(poll(&waits, 1, 0), 0);
  }
}

TEST(WakeTimerTest, TimesGoneByWakeAtOnce) {
  auto poller = *Poller::Make();
  auto timer = *WakeTimer::Make(*poller);
  timer->WakeBy(Instant{});
  pollfd waits{poller->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&waits, 1, 20'000), 1);
}

}  // namespace
}  // namespace sonde
