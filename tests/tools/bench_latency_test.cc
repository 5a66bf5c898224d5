// Times in buckets, and what is recorded of runs by when they were due.
#include <gtest/gtest.h>

#include "tools/sonde/bench/latency_counts.h"
#include "tools/sonde/bench/run_recorder.h"

namespace sonde {
namespace {

TEST(LatencyCounts, ABucketHoldsWhatLiesUpToItsBound) {
  for (int64_t ns = 0; ns < int64_t{1} << 39; ns += 1 + ns / 7) {
    const Duration time{ns};
    const size_t bucket = LatencyCounts::BucketOf(time);
    ASSERT_LT(bucket, LatencyCounts::kBuckets);
    const Duration bound = LatencyCounts::BoundOf(bucket);
    EXPECT_GE(bound, time);
    EXPECT_LE(static_cast<double>(bound.ns), static_cast<double>(ns) * (1 + 1.0 / 32) + 1);
    EXPECT_EQ(LatencyCounts::BucketOf(bound), bucket);
    EXPECT_EQ(LatencyCounts::BucketOf(bound + Duration{1}), bucket + 1);
  }
}

TEST(LatencyCounts, WhatLiesOutsideGoesToTheEnds) {
  EXPECT_EQ(LatencyCounts::BucketOf(Milliseconds(-5)), 0u);
  EXPECT_EQ(LatencyCounts::BucketOf(Hours(24 * 365)), LatencyCounts::kBuckets - 1);
}

TEST(LatencyCounts, Quantiles) {
  LatencyCounts counts;
  EXPECT_EQ(counts.Quantile(0.5), std::nullopt);
  for (int i = 1; i <= 50; ++i) counts.Add({i});  // exact below 64 ns
  EXPECT_EQ(counts.Quantile(0.5), Duration{25});
  EXPECT_EQ(counts.Quantile(0.99), Duration{50});
  EXPECT_EQ(counts.Quantile(0), Duration{1});
  EXPECT_EQ(counts.Quantile(1), Duration{50});
}

// Coordinated omission: what never ran took longer than anything that did.
TEST(LatencyCounts, SlotsWithoutARunCountAsNeverAnswered) {
  LatencyCounts counts;
  for (int i = 1; i <= 50; ++i) counts.Add({i});
  EXPECT_EQ(counts.Quantile(0.5, 10), Duration{30});
  EXPECT_EQ(counts.Quantile(0.9, 10), std::nullopt);
  EXPECT_EQ(counts.Quantile(0.83, 10), Duration{50});
}

class Recorder : public ::testing::Test {
 protected:
  static constexpr WallTime kFrom{1'790'000'000'000'000'000};

  void Run(Duration due, Duration late, Duration took, Outcome outcome = Outcome::kOk,
           bool recorded = true) {
    ProbeResult result;
    result.due = kFrom + due;
    result.started = result.due + late;
    result.duration = took;
    result.outcome = outcome;
    result.latency_recorded = recorded && outcome == Outcome::kOk;
    recorder_.OnRun({task_, result, nullptr, nullptr});
  }

  Task task_;
  RunRecorder recorder_;
};

TEST_F(Recorder, CountsTheRunsDueInItsStretchAlone) {
  Run({}, {}, {}, Outcome::kOk);  // not opened yet
  recorder_.Open(kFrom, kFrom + Seconds(1));
  Run({-1}, {}, {});
  Run({}, {}, {});
  Run(Milliseconds(999), Seconds(5), Seconds(2));  // late, but due in it
  Run(Seconds(1), {}, {});
  EXPECT_EQ(recorder_.runs(), 2u);
  EXPECT_EQ(recorder_.Recorded().lateness.Quantile(0.5), Duration{0});
  EXPECT_GE(recorder_.Recorded().lateness.Quantile(1), Seconds(5));
}

TEST_F(Recorder, LatencyFromTheStartAndFromTheDueTime) {
  recorder_.Open(kFrom, kFrom + Seconds(1));
  Run({}, Duration{20}, Duration{10});
  Run({}, Duration{0}, Duration{40});
  const RecordedRuns runs = recorder_.Recorded();
  EXPECT_EQ(runs.latency.Quantile(0.5), Duration{10});
  EXPECT_EQ(runs.latency.Quantile(1), Duration{40});
  EXPECT_EQ(runs.corrected.Quantile(0.5), Duration{30});
  EXPECT_EQ(runs.corrected.Quantile(1), Duration{40});
  EXPECT_DOUBLE_EQ(runs.duration_sum_seconds, 50e-9);
}

TEST_F(Recorder, OnlyPassesHaveALatency) {
  recorder_.Open(kFrom, kFrom + Seconds(1));
  Run({}, {}, Seconds(1), Outcome::kConnectTimeout);
  Run({}, {}, Seconds(1), Outcome::kProberLate);
  Run({}, {}, Seconds(1), Outcome::kOk, false);
  const RecordedRuns runs = recorder_.Recorded();
  EXPECT_EQ(runs.runs, 3u);
  EXPECT_EQ(runs.failed, 1u);
  EXPECT_EQ(runs.inconclusive, 1u);
  EXPECT_EQ(runs.outcomes[static_cast<size_t>(Outcome::kConnectTimeout)], 1u);
  EXPECT_EQ(runs.latency.total(), 0u);
  EXPECT_EQ(runs.corrected.total(), 0u);
  EXPECT_EQ(runs.lateness.total(), 3u);
}

TEST_F(Recorder, ANewStretchBeginsAtNothing) {
  recorder_.Open(kFrom, kFrom + Seconds(1));
  Run({}, Seconds(1), Seconds(1), Outcome::kConnectTimeout);
  recorder_.Open(kFrom + Seconds(2), kFrom + Seconds(3));
  EXPECT_EQ(recorder_.runs(), 0u);
  Run(Seconds(2), Duration{3}, Duration{5});
  const RecordedRuns runs = recorder_.Recorded();
  EXPECT_EQ(runs.runs, 1u);
  EXPECT_EQ(runs.failed, 0u);
  EXPECT_EQ(runs.lateness.Quantile(1), Duration{3});
}

}  // namespace
}  // namespace sonde
