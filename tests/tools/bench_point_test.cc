// Which bound a rate breaks, and who is said to be the reason.
#include "tools/sonde/bench/bench_point.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// 100,000 slots, all of them run in time.
BenchPoint Good() {
  BenchPoint point;
  point.rate = 100'000;
  point.seconds = 1;
  point.due = point.recorded.runs = 100'000;
  point.recorded.lateness.AddTo(LatencyCounts::BucketOf(Milliseconds(1)), 100'000);
  return point;
}

TEST(BrokenBound, AGoodPointBreaksNone) { EXPECT_EQ(BrokenBound(Good(), {}), std::nullopt); }

TEST(BrokenBound, EachBoundIsReachedAndThenBroken) {
  const struct {
    Bound bound;
    void (*worsen)(BenchPoint&, uint64_t);
    uint64_t most;
  } kCases[] = {
      {Bound::kSkipped, [](BenchPoint& p, uint64_t n) { p.recorded.runs -= n; }, 100},
      {Bound::kSkipped, [](BenchPoint& p, uint64_t n) { p.blocked[0] = n; }, 100},
      {Bound::kFailed, [](BenchPoint& p, uint64_t n) { p.recorded.failed = n; }, 10},
      {Bound::kInconclusive, [](BenchPoint& p, uint64_t n) { p.recorded.inconclusive = n; }, 10},
      {Bound::kLateness,
       [](BenchPoint& p, uint64_t n) {
         p.recorded.lateness = {};
         p.recorded.lateness.AddTo(LatencyCounts::BucketOf(Milliseconds(1)), 100'000 - n);
         p.recorded.lateness.AddTo(LatencyCounts::BucketOf(Milliseconds(20)), n);
       },
       1000},
  };
  for (const auto& one : kCases) {
    BenchPoint at = Good(), beyond = Good();
    one.worsen(at, one.most);
    one.worsen(beyond, one.most + 1);
    EXPECT_EQ(BrokenBound(at, {}), std::nullopt) << BoundName(one.bound);
    EXPECT_EQ(BrokenBound(beyond, {}), one.bound) << BoundName(one.bound);
  }
}

TEST(BrokenBound, BoundsAreTheCallers) {
  BenchPoint point = Good();
  point.recorded.failed = 5'000;
  EXPECT_EQ(BrokenBound(point, {}), Bound::kFailed);
  EXPECT_EQ(BrokenBound(point, {.failed = 0.05}), std::nullopt);
  EXPECT_EQ(BrokenBound(Good(), {.lateness_p99 = Microseconds(500)}), Bound::kLateness);
}

// A queue the prober could not work off also blocks and delays: the share that got no run says
// more, and failures say most.
TEST(BrokenBound, TheMostTellingOneIsNamed) {
  BenchPoint point = Good();
  point.recorded.runs = 50'000;
  point.recorded.lateness = {};
  point.recorded.lateness.AddTo(LatencyCounts::BucketOf(Seconds(1)), 50'000);
  EXPECT_EQ(BrokenBound(point, {}), Bound::kSkipped);
  point.recorded.failed = 1'000;
  EXPECT_EQ(BrokenBound(point, {}), Bound::kFailed);
}

TEST(LimiterOf, TheFarmIsToldFromTheProber) {
  BenchPoint point = Good();
  point.shard_busy = 0.97;
  point.farm_busy = 0.95;
  EXPECT_EQ(LimiterOf(point), Limiter::kProber);
  point.shard_busy = 0.6;
  EXPECT_EQ(LimiterOf(point), Limiter::kFarm);
  point.farm_busy = 0.3;
  EXPECT_EQ(LimiterOf(point), Limiter::kUnknown);
  point.datagrams_dropped = 3;
  EXPECT_EQ(LimiterOf(point), Limiter::kReceiveQueue);
  point.blocked[static_cast<size_t>(BlockReason::kDescriptors)] = 9;
  EXPECT_EQ(LimiterOf(point), Limiter::kLimit);
  point.shard_waited = 0.2;
  EXPECT_EQ(LimiterOf(point), Limiter::kMachine);
}

TEST(WhyBroken, SaysWhatWasSeenWhatIsAllowedAndWhoWasTheReason) {
  BenchPoint point = Good();
  point.recorded.runs = 90'000;
  point.shard_busy = 0.6;
  point.farm_busy = 0.96;
  const std::string farm = WhyBroken(point, {}, Bound::kSkipped);
  EXPECT_THAT(farm, HasSubstr("10.00 % of the slots"));
  EXPECT_THAT(farm, HasSubstr("at most 0.1 %"));
  EXPECT_THAT(farm, HasSubstr("the farm used up its core (96 %"));
  point.shard_busy = 0.99;
  const std::string prober = WhyBroken(point, {}, Bound::kSkipped);
  EXPECT_THAT(prober, HasSubstr("the prober used up its core (99 %)"));
  EXPECT_THAT(prober, Not(HasSubstr("farm used up")));
}

TEST(WhyBroken, NamesTheReasonOfMostFailures) {
  BenchPoint point = Good();
  point.recorded.failed = 3'000;
  point.recorded.outcomes[static_cast<size_t>(Outcome::kOk)] = 97'000;
  point.recorded.outcomes[static_cast<size_t>(Outcome::kConnectTimeout)] = 2'000;
  point.recorded.outcomes[static_cast<size_t>(Outcome::kConnectRefused)] = 1'000;
  EXPECT_THAT(WhyBroken(point, {}, Bound::kFailed), HasSubstr("mostly connect/timeout"));
}

// What was nobody's fault does not explain what failed, and the other way round; nor does a
// processor at rest.
TEST(WhyBroken, NamesOutcomesOfTheVerdictItIsAbout) {
  BenchPoint point = Good();
  point.recorded.failed = 3'000;
  point.recorded.inconclusive = 20'000;
  point.recorded.outcomes[static_cast<size_t>(Outcome::kOk)] = 77'000;
  point.recorded.outcomes[static_cast<size_t>(Outcome::kProberLate)] = 20'000;
  point.recorded.outcomes[static_cast<size_t>(Outcome::kConnectRefused)] = 3'000;
  EXPECT_EQ(WhyBroken(point, {}, Bound::kFailed),
            "3.000 % of the runs failed, at most 0.01 %, mostly connect/refused");
  EXPECT_THAT(WhyBroken(point, {}, Bound::kInconclusive), HasSubstr("mostly prober/late"));
  point.recorded.outcomes = {};
  EXPECT_THAT(WhyBroken(point, {}, Bound::kFailed), Not(HasSubstr("mostly")));
}

TEST(WhyBroken, NamesTheLimitRunsWaitedFor) {
  BenchPoint point = Good();
  point.blocked[static_cast<size_t>(BlockReason::kPorts)] = 2'000;
  point.blocked[static_cast<size_t>(BlockReason::kInFlight)] = 7;
  EXPECT_THAT(WhyBroken(point, {}, Bound::kSkipped), HasSubstr("waited for a limit: ports"));
}

}  // namespace
}  // namespace sonde
