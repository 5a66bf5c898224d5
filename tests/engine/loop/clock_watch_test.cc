#include "engine/loop/clock_watch.h"

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

}  // namespace
}  // namespace sonde
