#include "exporter/engine_families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Page(std::span<const ShardStats> shards) {
  std::string out;
  Exposition writer(Format::kText, &out);
  WriteEngineFamilies(writer, shards);
  return out;
}

TEST(EngineFamilies, AddShardsUp) {
  const std::string page = Page(SampleShards());
  for (const char* line : {"sonde_runs_total{type=\"http\",outcome=\"success\"} 140\n",
                           "sonde_runs_total{type=\"tcp\",outcome=\"failed\"} 5\n",
                           "sonde_runs_inconclusive_total{reason=\"late\"} 2\n",
                           "sonde_runs_inconclusive_total{reason=\"ports\"} 0\n",
                           "sonde_runs_skipped_total{reason=\"overlap\"} 2\n",
                           "sonde_runs_skipped_total{reason=\"stall\"} 4\n",
                           "sonde_runs_blocked_total{reason=\"handshakes\"} 8\n",
                           "sonde_policy_refusals_total{kind=\"address\"} 6\n",
                           "sonde_runs_started_total 201\n",
                           "sonde_runs_finished_total 197\n",
                           "sonde_runs_in_flight 4\n",
                           "sonde_schedule_lateness_seconds_bucket{le=\"0.0001\"} 100\n",
                           "sonde_schedule_lateness_seconds_bucket{le=\"5\"} 198\n",
                           "sonde_schedule_lateness_seconds_bucket{le=\"+Inf\"} 200\n",
                           "sonde_schedule_lateness_seconds_sum 14.5\n",
                           "sonde_schedule_lateness_seconds_count 200\n",
                           "sonde_loop_utilization_ratio{shard=\"1\"} 0.625\n",
                           "sonde_shard_cpu_seconds_total{shard=\"1\"} 2.5\n",
                           "sonde_loop_turns_total 600\n",
                           "sonde_resolver_lookups_total{result=\"hit\"} 180\n",
                           "sonde_tls_handshakes_total{result=\"full\"} 10\n"}) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

TEST(EngineFamilies, ClosedListsAreThereFromTheStart) {
  const std::string page = Page({});
  EXPECT_THAT(page, HasSubstr("sonde_runs_skipped_total{reason=\"stall\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("sonde_runs_in_flight 0\n"));
  EXPECT_THAT(page, Not(HasSubstr("sonde_runs_total")));
  EXPECT_THAT(page, Not(HasSubstr("sonde_loop_utilization_ratio")));
}

TEST(EngineFamilies, LatenessBucketsAreInclusive) {
  EXPECT_EQ(LatenessBucket(0), 0u);
  EXPECT_EQ(LatenessBucket(0.0001), 0u);
  EXPECT_EQ(LatenessBucket(0.00010001), 1u);
  EXPECT_EQ(LatenessBucket(5), kLatenessBuckets - 2);
  EXPECT_EQ(LatenessBucket(6), kLatenessBuckets - 1);
}

}  // namespace
}  // namespace sonde
