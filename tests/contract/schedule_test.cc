#include "engine/contract/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sonde {
namespace {

using ::testing::HasSubstr;

constexpr WallTime kJuly{1'782'864'000'000'000'000};  // 2026-07-01T00:00:00Z

TEST(IntervalTest, SlotsStandAtMultiplesPlusPhaseWhateverTheStart) {
  const Duration intervals[] = {Milliseconds(100), Milliseconds(333), Seconds(15), Hours(25),
                                Hours(24 * 366)};
  for (Duration interval : intervals) {
    const Schedule schedule = *Schedule::Every(interval);
    for (uint64_t id : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, uint64_t{0x1234'5678'9abc}}) {
      const int64_t phase = static_cast<int64_t>(PhaseHash(id) % uint64_t(interval.ns));
      WallTime at = kJuly;
      for (int i = 0; i < 20; ++i) {
        const WallTime next = *schedule.NextAfter(id, at);
        EXPECT_GT(next, at);
        EXPECT_LE(next - at, interval);
        EXPECT_EQ((next.ns - phase) % interval.ns, 0);
        // A restart at any moment before it finds the same slot.
        EXPECT_EQ(schedule.NextAfter(id, next - Duration{1}), next);
        at = next;
      }
    }
  }
}

TEST(IntervalTest, WorksBeforeTheEpochAndEndsWithTheClock) {
  const Schedule schedule = *Schedule::Every(Seconds(10));
  const WallTime early = WallTime{} - Minutes(1);
  const WallTime next = *schedule.NextAfter(3, early);
  EXPECT_GT(next, early);
  EXPECT_LE(next - early, Seconds(10));
  EXPECT_TRUE(schedule.NextAfter(3, WallTime{INT64_MIN}).has_value());
  EXPECT_FALSE(schedule.NextAfter(3, WallTime{INT64_MAX}).has_value());
}

TEST(IntervalTest, RejectsWhatIsTooShortOrTooLong) {
  EXPECT_TRUE(Schedule::Every(Schedule::kShortest).ok());
  EXPECT_TRUE(Schedule::Every(Schedule::kLongest).ok());
  EXPECT_THAT(std::string(Schedule::Every(Microseconds(9'999)).status().message()),
              HasSubstr("interval 9.999ms is not within 10ms and 8784h0m0s"));
  EXPECT_FALSE(Schedule::Every(Schedule::kLongest + Duration{1}).ok());
  EXPECT_FALSE(Schedule::Every(Duration{}).ok());
  EXPECT_FALSE(Schedule::Every(Seconds(-15)).ok());
}

TEST(IntervalTest, CountsByArithmetic) {
  const Schedule schedule = *Schedule::Every(Seconds(15));
  const WallTime from = kJuly;
  EXPECT_EQ(schedule.CountBetween(9, from, from, 100), 0u);
  EXPECT_EQ(schedule.CountBetween(9, from, from - Seconds(99), 100), 0u);
  EXPECT_EQ(schedule.CountBetween(9, from, from + Minutes(1), 100), 4u);
  EXPECT_EQ(schedule.CountBetween(9, from, from + Hours(24), 100), 100u);
  EXPECT_EQ(schedule.CountBetween(9, from, from + Hours(24 * 365), UINT64_MAX), 4u * 60 * 24 * 365);
  const WallTime slot = *schedule.NextAfter(9, from);
  EXPECT_EQ(schedule.CountBetween(9, slot - Duration{1}, slot, 100), 1u);
  EXPECT_EQ(schedule.CountBetween(9, slot, slot + Seconds(15) - Duration{1}, 100), 0u);
}

TEST(PhaseTest, IsPinnedAndSpreadsEvenly) {
  // Golden: a change would move every task of every installation.
  EXPECT_EQ(PhaseHash(0), 0xa82c3d37996646au);
  EXPECT_EQ(PhaseHash(1), 0x561c9b84977000c7u);
  std::vector<int> bins(15);
  for (uint64_t id = 0; id < 15'000; ++id) ++bins[PhaseHash(id) % 15'000'000'000 / 1'000'000'000];
  for (int bin : bins) EXPECT_NEAR(bin, 1000, 150);
}

TEST(ScheduleTest, PhaseIsHowFarSlotsAreMoved) {
  for (const uint64_t id : {uint64_t{1}, uint64_t{77}, ~uint64_t{0}}) {
    const Schedule every = *Schedule::Every(Seconds(7));
    EXPECT_EQ((every.NextAfter(id, kJuly)->ns - every.Phase(id).ns) % Seconds(7).ns, 0);
    const Schedule daily = *Schedule::Cron("@daily", "", Hours(2));
    EXPECT_EQ(*daily.NextAfter(id, kJuly - Duration{1}), kJuly + daily.Phase(id));
    EXPECT_EQ(Schedule::Cron("@daily", "", Duration{})->Phase(id), Duration{});
  }
  EXPECT_EQ(Schedule::Cron("@daily", "Europe/Berlin")->zone(), "Europe/Berlin");
  EXPECT_EQ(Schedule::Cron("@daily")->zone(), "");
  EXPECT_EQ(Schedule().zone(), "");
}

}  // namespace
}  // namespace sonde
