#include "engine/contract/result_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace sonde {
namespace {

using ::testing::IsEmpty;

constexpr WallTime kNow{1'782'864'000'000'000'000};

Duration Again(Duration duration) {
  return UnpackRun(PackRun({kNow, Outcome::kOk, duration})).duration;
}

std::vector<RecentRun> Runs(const ResultRing& ring) {
  std::vector<RecentRun> runs;
  ring.Read(&runs);
  return runs;
}

RecentRun Numbered(int number) {
  return {kNow + Seconds(number), static_cast<Outcome>(number % 7), Milliseconds(number)};
}

TEST(ResultRingTest, SizeIsPinned) { EXPECT_EQ(sizeof(ResultRing), 60u * 8 + 8); }

TEST(ResultRingTest, AWordKeepsSecondOutcomeAndDuration) {
  for (const OutcomeInfo& info : Outcomes()) {
    const RecentRun run =
        UnpackRun(PackRun({kNow + Milliseconds(999), info.outcome, Microseconds(250)}));
    EXPECT_EQ(run, (RecentRun{kNow, info.outcome, Microseconds(250)}));
    EXPECT_NE(PackRun(run), 0u);
  }
}

TEST(ResultRingTest, TimesOutsideTheWordAreTheNearestWithin) {
  const auto second = [](WallTime at) { return UnpackRun(PackRun({at, {}, {}})).finished; };
  EXPECT_EQ(second(WallTime{}), WallTime{} + Seconds(1)) << "0 is no word";
  EXPECT_EQ(second(WallTime{} - Hours(5)), WallTime{} + Seconds(1));
  EXPECT_EQ(second(WallTime{} + Seconds(UINT32_MAX)), WallTime{} + Seconds(UINT32_MAX));
  EXPECT_EQ(second(WallTime{INT64_MAX}), WallTime{} + Seconds(UINT32_MAX));
}

TEST(ResultRingTest, DurationsAreExactWhereTheyAreShort) {
  for (int64_t ns = 0; ns < 1 << 18; ns += 7) EXPECT_EQ(Again({ns}).ns, ns);
  EXPECT_EQ(Again({(1 << 18) - 1}).ns, (1 << 18) - 1);
  EXPECT_EQ(Again({1 << 18}).ns, 1 << 18);
  EXPECT_EQ(Again({(1 << 18) + 1}).ns, 1 << 18);
  EXPECT_EQ(Again({-1}).ns, 0);
}

TEST(ResultRingTest, LongDurationsLoseLessThanAThousandthOfAPercent) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 100'000; ++i) {
    const auto ns = static_cast<int64_t>(random() >> (1 + random() % 45));
    const int64_t again = Again({ns}).ns;
    ASSERT_LE(again, ns);
    ASSERT_LE(static_cast<double>(ns - again), static_cast<double>(ns) * 1e-5) << ns;
  }
  for (const Duration whole : {Hours(24), Duration{INT64_MAX}}) {
    EXPECT_NEAR(static_cast<double>(Again(whole).ns), static_cast<double>(whole.ns),
                static_cast<double>(whole.ns) * 1e-5);
  }
}

TEST(ResultRingTest, TheLastSixtyOldestFirst) {
  ResultRing ring;
  EXPECT_THAT(Runs(ring), IsEmpty());
  std::vector<RecentRun> expected;
  for (int i = 1; i <= 200; ++i) {
    ring.Add(Numbered(i));
    expected.push_back({Numbered(i).finished, Numbered(i).outcome, Again(Numbered(i).duration)});
    if (expected.size() > ResultRing::kRuns) expected.erase(expected.begin());
    ASSERT_EQ(Runs(ring), expected) << i;
  }
}

TEST(ResultRingTest, ReadingAppends) {
  ResultRing ring;
  ring.Add(Numbered(1));
  std::vector<RecentRun> runs(2);
  ring.Read(&runs);
  EXPECT_EQ(runs.size(), 3u);
}

}  // namespace
}  // namespace sonde
