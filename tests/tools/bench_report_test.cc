// `sonde bench`'s table and its JSON.
#include "tools/sonde/bench/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/sonde/bench/text_table.h"

namespace sonde {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

BenchPoint Point(double rate, uint64_t due, uint64_t runs) {
  BenchPoint point;
  point.rate = rate;
  point.seconds = 1;
  point.due = due;
  point.recorded.runs = runs;
  for (uint64_t i = 0; i < runs; ++i) {
    point.recorded.lateness.Add(Microseconds(100));
    point.recorded.latency.Add(Microseconds(200));
    point.recorded.corrected.Add(Microseconds(300));
  }
  point.finished = runs;
  point.processor_seconds = 20e-6 * static_cast<double>(runs);
  point.shard_busy = 0.5;
  point.farm_busy = 0.95;
  return point;
}

BenchReport Report() {
  BenchReport report;
  report.version = "sonde 0.1.0";
  report.processor = "A processor";
  report.shards = 1;
  report.seconds = 1;
  report.interval_seconds = 0.25;
  TypeResult& result = report.results.emplace_back();
  result.name = "http";
  result.title = "HTTP, new connection";
  result.held = {Point(1000, 1000, 1000), Point(1100, 1100, 1100), Point(950, 950, 950)};
  result.complete = true;
  result.broke = Point(1200, 1200, 1100);
  result.bound = Bound::kSkipped;
  result.ended = "at 1200/s: too many";
  result.idle_bytes = 2100;
  return report;
}

TEST(BenchReport, JsonHasWhatProgramsNeed) {
  const std::string text = BenchJson(Report());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const json whole = json::parse(text);
  EXPECT_EQ(whole["shards"], 1);
  EXPECT_EQ(whole["bounds"]["lateness_p99_seconds"], 0.01);
  ASSERT_EQ(whole["types"].size(), 1u);
  const json& type = whole["types"][0];
  EXPECT_EQ(type["type"], "http");
  EXPECT_EQ(type["problem"], nullptr);
  EXPECT_EQ(type["rate"], 1000.0);  // the median of the searches
  EXPECT_EQ(type["rate_range"], json({950.0, 1100.0}));
  EXPECT_EQ(type["range_confidence"], 0.75);
  EXPECT_NEAR(type["microseconds_per_probe"].get<double>(), 20, 1e-9);
  EXPECT_NEAR(type["probes_per_processor_second"].get<double>(), 50'000, 1e-6);
  EXPECT_NEAR(type["lateness_seconds"]["p99"].get<double>(), 100e-6, 4e-6);
  EXPECT_NEAR(type["latency_from_start_seconds"]["p50"].get<double>(), 200e-6, 7e-6);
  EXPECT_NEAR(type["latency_from_due_seconds"]["p99.9"].get<double>(), 300e-6, 10e-6);
  EXPECT_EQ(type["targets"]["5s"], 5000.0);
  EXPECT_EQ(type["targets"]["15s"], 15'000.0);
  EXPECT_EQ(type["targets"]["60s"], 60'000.0);
  EXPECT_EQ(type["bytes_per_idle_task"], 2100.0);
  EXPECT_EQ(type["bytes_per_probe_in_flight"], nullptr);
  EXPECT_EQ(type["ended_by"], "skipped");
  EXPECT_EQ(type["limiter"], "farm");
  EXPECT_EQ(type["held"].size(), 3u);
  EXPECT_EQ(type["broke"]["skipped"], 100);
}

// A slot that got no run was never answered: corrected quantiles must not hide it.
TEST(BenchReport, SkippedSlotsStandInTheCorrectedQuantiles) {
  BenchReport report = Report();
  report.results[0].held = {Point(1000, 1000, 995)};
  const json type = json::parse(BenchJson(report))["types"][0];
  EXPECT_EQ(type["latency_from_due_seconds"]["p99.9"], nullptr);
  EXPECT_NE(type["latency_from_due_seconds"]["p99"], nullptr);
  EXPECT_NE(type["latency_from_start_seconds"]["p99.9"], nullptr);
  EXPECT_THAT(BenchText(report), HasSubstr("never"));
}

TEST(BenchReport, TheTableSaysTheSame) {
  const std::string text = BenchText(Report());
  for (const char* part : {"HTTP, new connection", "1,000", "950-1,100", "50,000", "5,000",
                           "15,000", "60,000", "2,100", "at 1200/s: too many", "75 %"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("Interrupted")));
}

TEST(BenchReport, ATypeWithoutARateSaysWhy) {
  BenchReport report = Report();
  TypeResult& result = report.results[0];
  result.held.clear();
  result.complete = false;
  result.problem = result.ended = "at 100/s: all failed";
  report.interrupted = true;
  const std::string text = BenchText(report);
  EXPECT_THAT(text, HasSubstr("HTTP, new connection: no rate: at 100/s: all failed"));
  EXPECT_THAT(text, HasSubstr("Interrupted"));
  const json type = json::parse(BenchJson(report))["types"][0];
  EXPECT_EQ(type["problem"], "at 100/s: all failed");
  EXPECT_FALSE(type.contains("rate"));
}

TEST(TextTable, NumbersForPeople) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1'000), "1,000");
  EXPECT_EQ(WithThousands(12'345'678), "12,345,678");
  EXPECT_EQ(WithThousands(-1'000), "-1,000");
  EXPECT_EQ(Significant(0.01234), "0.0123");
  EXPECT_EQ(Significant(1234.5), "1,234");
  EXPECT_EQ(OrDash(std::nullopt), "-");
}

TEST(TextTable, Medians) {
  EXPECT_EQ(MedianOf({}), 0);
  EXPECT_EQ(MedianOf({3, 1, 2}), 2);
  EXPECT_EQ(MedianOf({4, 1, 2, 3}), 2.5);
}

TEST(TextTable, ColumnsAreAsWideAsTheyNeed) {
  EXPECT_EQ(TableText({{"", "rate"}, {"http", "1"}, {"a"}}), "      rate\nhttp     1\na\n");
}

}  // namespace
}  // namespace sonde
