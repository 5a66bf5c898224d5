// The counter itself, and what must not allocate: wheel, schedules, tallies.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/contract/schedule.h"
#include "engine/contract/tally.h"
#include "engine/shard/timer_wheel.h"
#include "tests/support/allocation_counter.h"

namespace sonde {
namespace {

TEST(AllocationCounterTest, CountsThisThreadOnly) {
  if (!kCountsAllocations) GTEST_SKIP();
  const AllocationCount before = ThreadAllocations();
  auto block = std::make_unique<std::array<char, 100>>();
  const AllocationCount taken = ThreadAllocations() - before;
  EXPECT_EQ(taken.allocations, 1u);
  EXPECT_EQ(taken.bytes, 100u);
  const AllocationCount process = ProcessAllocations();
  std::thread other([] { std::vector<int> numbers(1000); });
  const AllocationCount started = ThreadAllocations();
  other.join();
  EXPECT_EQ((ThreadAllocations() - started).allocations, 0u);
  EXPECT_GE((ProcessAllocations() - process).bytes, 4000u);
}

TEST(AllocationCounterTest, CountsAlignedAndNothrowForms) {
  if (!kCountsAllocations) GTEST_SKIP();
  struct alignas(256) Wide {
    char bytes[256];
  };
  const AllocationCount before = ThreadAllocations();
  std::unique_ptr<Wide> wide(new Wide);
  std::unique_ptr<Wide[]> several(new (std::nothrow) Wide[3]);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(wide.get()) % 256, 0u);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 2u);
  EXPECT_GE((ThreadAllocations() - before).bytes, 1024u);
}

TEST(NoAllocationTest, SchedulesWheelAndTally) {
  const Schedule interval = *Schedule::Every(Seconds(15));
  const Schedule cron = *Schedule::Cron("*/15 * * * * *", "Europe/Berlin");
  TimerWheel wheel(Instant{1});
  TimerNode timer;
  Tally tally;
  tally.ProvideRecent();
  tally.ProvideNative();
  WallTime at{1'782'864'000'000'000'000};
  cron.NextAfter(1, at);
  const AllocationCount before = ThreadAllocations();
  for (int i = 0; i < 1000; ++i) {
    const WallTime next = *interval.NextAfter(1, at);
    wheel.Arm(timer, wheel.now() + (next - at));
    wheel.AdvanceTo(*wheel.NextWake());
    while (wheel.PopExpired() != nullptr) continue;
    at = *cron.NextAfter(1, next);
    ProbeResult result;
    result.outcome = i % 3 == 0 ? Outcome::kConnectRefused : Outcome::kOk;
    tally.Record(result, at);
    tally.ratio(Window::k1h, at);
    tally.last();
  }
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
  wheel.Cancel(timer);
}

}  // namespace
}  // namespace sonde
