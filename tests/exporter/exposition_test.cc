#include "exporter/exposition.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace sonde {
namespace {

std::string Head(Format format, const MetricFamilyHead& family) {
  std::string out;
  Exposition(format, &out).Begin(family);
  return out;
}

TEST(Exposition, CountersNameTheirFamilyPerFormat) {
  const MetricFamilyHead counter = {"x_runs_total", MetricType::kCounter, "Runs"};
  EXPECT_EQ(Head(Format::kText, counter),
            "# HELP x_runs_total Runs\n# TYPE x_runs_total counter\n");
  EXPECT_EQ(Head(Format::kOpenMetrics, counter), "# TYPE x_runs counter\n# HELP x_runs Runs\n");
}

TEST(Exposition, ACounterWithoutTotalIsUnknownInOpenMetrics) {
  const MetricFamilyHead bare = {"health_check_results", MetricType::kCounter, "R"};
  EXPECT_EQ(Head(Format::kText, bare),
            "# HELP health_check_results R\n# TYPE health_check_results counter\n");
  EXPECT_EQ(Head(Format::kOpenMetrics, bare),
            "# TYPE health_check_results unknown\n# HELP health_check_results R\n");
  const MetricFamilyHead only_total = {"_total", MetricType::kCounter, "R"};
  EXPECT_EQ(Head(Format::kOpenMetrics, only_total), "# TYPE _total unknown\n# HELP _total R\n");
}

TEST(Exposition, UnitsComeFromTheName) {
  EXPECT_EQ(Head(Format::kOpenMetrics, {"cpu_seconds_total", MetricType::kCounter, "C"}),
            "# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\n# HELP cpu_seconds C\n");
  EXPECT_EQ(Head(Format::kOpenMetrics, {"ok_ratio", MetricType::kGauge, "C"}),
            "# TYPE ok_ratio gauge\n# UNIT ok_ratio ratio\n# HELP ok_ratio C\n");
  EXPECT_EQ(Head(Format::kText, {"ok_ratio", MetricType::kGauge, "C"}),
            "# HELP ok_ratio C\n# TYPE ok_ratio gauge\n");
}

TEST(Exposition, InfoAndUnknownDegradeInText) {
  const MetricFamilyHead info = {"build_info", MetricType::kInfo, "B"};
  EXPECT_EQ(Head(Format::kText, info), "# HELP build_info B\n# TYPE build_info gauge\n");
  EXPECT_EQ(Head(Format::kOpenMetrics, info), "# TYPE build info\n# HELP build B\n");
  EXPECT_EQ(Head(Format::kText, {"x", MetricType::kUnknown, "B"}),
            "# HELP x B\n# TYPE x untyped\n");
}

TEST(Exposition, HelpIsEscapedByFormat) {
  const MetricFamilyHead family = {"x", MetricType::kGauge, "a \"b\"\n\\"};
  EXPECT_EQ(Head(Format::kText, family), "# HELP x a \"b\"\\n\\\\\n# TYPE x gauge\n");
  EXPECT_EQ(Head(Format::kOpenMetrics, family), "# TYPE x gauge\n# HELP x a \\\"b\\\"\\n\\\\\n");
}

TEST(Exposition, LinesAndSamples) {
  std::string out;
  Exposition writer(Format::kText, &out);
  writer.Line(LineHead("a"), "name=\"x\"", 0.5);
  writer.Line(LineHead("a", "phase=\"tls\""), "name=\"x\"", uint64_t{3});
  writer.Line(LineHead("a"), "name=\"x\"", ",status=\"failed\"", uint64_t{4});
  writer.Sample("b", "", uint64_t{7});
  writer.Sample("b", "c=\"d\"", -1.5);
  writer.End();
  EXPECT_EQ(out,
            "a{name=\"x\"} 0.5\n"
            "a{phase=\"tls\",name=\"x\"} 3\n"
            "a{name=\"x\",status=\"failed\"} 4\n"
            "b 7\n"
            "b{c=\"d\"} -1.5\n");
}

TEST(Exposition, OnlyOpenMetricsHasAnEnd) {
  std::string out;
  Exposition(Format::kOpenMetrics, &out).End();
  EXPECT_EQ(out, "# EOF\n");
}

TEST(Exposition, LabelsAreJoinedAndEscaped) {
  std::string labels;
  AppendLabel(&labels, "a", "1");
  AppendLabel(&labels, "b", "x\"y");
  EXPECT_EQ(labels, "a=\"1\",b=\"x\\\"y\"");
}

TEST(HistogramLines, BucketsAreCumulativeAndCountIsTheirSum) {
  constexpr std::array<double, 2> kBounds = {0.5, 1};
  constexpr std::array<uint64_t, 3> kBuckets = {1, 2, 4};
  std::string text, open;
  Exposition text_writer(Format::kText, &text), open_writer(Format::kOpenMetrics, &open);
  HistogramLines("h", kBounds, Format::kText).Write(text_writer, "n=\"x\"", kBuckets, 3.25);
  HistogramLines("h", kBounds, Format::kOpenMetrics).Write(open_writer, "", kBuckets, 3.25);
  EXPECT_EQ(text,
            "h_bucket{le=\"0.5\",n=\"x\"} 1\nh_bucket{le=\"1\",n=\"x\"} 3\n"
            "h_bucket{le=\"+Inf\",n=\"x\"} 7\nh_sum{n=\"x\"} 3.25\nh_count{n=\"x\"} 7\n");
  EXPECT_EQ(open,
            "h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1.0\"} 3\nh_bucket{le=\"+Inf\"} 7\n"
            "h_sum 3.25\nh_count 7\n");
}

}  // namespace
}  // namespace sonde
