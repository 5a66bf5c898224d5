#include "exporter/self_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>

#include <limits>
#include <string>
#include <vector>

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Page(const SelfMetrics& self) {
  std::string out;
  Exposition writer(Format::kText, &out);
  self.Write(writer);
  return out;
}

std::string Page(const prometheus::MetricFamily& family, Format format) {
  std::string out;
  Exposition writer(format, &out);
  WriteRegistryFamilies(writer, std::vector{family});
  return out;
}

TEST(SelfMetrics, BuildInfo) {
  const SelfMetrics self({"1.2.3", "a\"b", "gcc"});
  EXPECT_THAT(Page(self), HasSubstr("sonde_build_info{version=\"1.2.3\",revision=\"a\\\"b\","
                                    "compiler=\"gcc\"} 1\n"));
}

TEST(SelfMetrics, ReloadsAreSaidOnceOneHappened) {
  SelfMetrics self({});
  EXPECT_THAT(Page(self), Not(HasSubstr("sonde_config")));
  self.SetReload(true, {1'700'000'000'250'000'000});
  EXPECT_THAT(Page(self), HasSubstr("sonde_config_last_reload_successful 1\n"));
  self.SetReload(false, {1'700'000'009'000'000'000});
  EXPECT_THAT(Page(self), HasSubstr("sonde_config_last_reload_successful 0\n"));
  EXPECT_THAT(Page(self), HasSubstr("success_timestamp_seconds 1700000000.25\n"));
}

TEST(SelfMetrics, BlackboxExportersNamesAreThere) {
  SelfMetrics self({"1.2.3", "abc", "gcc"});
  EXPECT_THAT(Page(self), HasSubstr("\nblackbox_exporter_build_info{branch=\"\",goarch="));
  EXPECT_THAT(Page(self), HasSubstr(",revision=\"abc\",tags=\"\",version=\"1.2.3\"} 1\n"));
  EXPECT_THAT(Page(self), Not(HasSubstr("blackbox_exporter_config")));
  self.SetReload(false, {});
  EXPECT_THAT(Page(self), HasSubstr("blackbox_exporter_config_last_reload_successful 0\n"));
  EXPECT_THAT(Page(self),
              HasSubstr("blackbox_exporter_config_last_reload_success_timestamp_seconds 0\n"));
}

TEST(SelfMetrics, TargetsAreSaidOnceTheyWereRead) {
  SelfMetrics self({});
  EXPECT_THAT(Page(self), Not(HasSubstr("sonde_targets")));
  self.SetTargets(false);
  EXPECT_THAT(Page(self), HasSubstr("sonde_targets_last_reload_successful 0\n"));
}

TEST(SelfMetrics, TheWebConfigurationIsSaidWhereThereIsOne) {
  SelfMetrics self({});
  EXPECT_THAT(Page(self), Not(HasSubstr("sonde_web_config")));
  self.SetWebConfig(true);
  EXPECT_THAT(Page(self), HasSubstr("sonde_web_config_last_reload_successful 1\n"));
  self.SetWebConfig(false);
  EXPECT_THAT(Page(self), HasSubstr("sonde_web_config_last_reload_successful 0\n"));
}

TEST(SelfMetrics, TheRegistryIsReadAtEveryScrape) {
  SelfMetrics self({});
  auto& counter = prometheus::BuildCounter()
                      .Name("http_requests_total")
                      .Help("h")
                      .Register(self.registry())
                      .Add({{"path", "/a\"b"}});
  counter.Increment(2);
  EXPECT_THAT(Page(self), HasSubstr("http_requests_total{path=\"/a\\\"b\"} 2\n"));
  counter.Increment();
  EXPECT_THAT(Page(self), HasSubstr("http_requests_total{path=\"/a\\\"b\"} 3\n"));
}

TEST(RegistryFamilies, EveryTypeAndTheValuesPrometheusCppGetsWrong) {
  prometheus::MetricFamily family;
  family.name = "g";
  family.help = "a\nb";
  family.type = prometheus::MetricType::Gauge;
  family.metric.resize(1);
  family.metric[0].gauge.value = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(Page(family, Format::kText), "# HELP g a\\nb\n# TYPE g gauge\ng NaN\n");

  family.type = prometheus::MetricType::Summary;
  family.metric[0].summary.sample_count = 3;
  family.metric[0].summary.sample_sum = 1.5;
  family.metric[0].summary.quantile = {{0.5, 0.25}, {1, 0.75}};
  EXPECT_EQ(Page(family, Format::kOpenMetrics),
            "# TYPE g summary\n# HELP g a\\nb\ng{quantile=\"0.5\"} 0.25\n"
            "g{quantile=\"1.0\"} 0.75\ng_sum 1.5\ng_count 3\n");

  family.type = prometheus::MetricType::Histogram;
  family.metric[0].histogram.sample_count = 4;
  family.metric[0].histogram.sample_sum = 2;
  family.metric[0].histogram.bucket = {
      {1, 0.5}, {3, 1}, {4, std::numeric_limits<double>::infinity()}};
  EXPECT_EQ(Page(family, Format::kText),
            "# HELP g a\\nb\n# TYPE g histogram\ng_bucket{le=\"0.5\"} 1\ng_bucket{le=\"1\"} 3\n"
            "g_bucket{le=\"+Inf\"} 4\ng_sum 2\ng_count 4\n");

  family.type = prometheus::MetricType::Untyped;
  EXPECT_EQ(Page(family, Format::kOpenMetrics), "# TYPE g unknown\n# HELP g a\\nb\ng 0\n");
}

TEST(RegistryFamilies, MetricsComeInOneOrder) {
  prometheus::MetricFamily family;
  family.name = "g";
  family.type = prometheus::MetricType::Gauge;
  family.metric.resize(3);
  family.metric[0].label = {{"reason", "c"}};
  family.metric[1].label = {{"reason", "a"}};
  family.metric[2].label = {{"reason", "b"}};
  EXPECT_THAT(Page(family, Format::kText),
              HasSubstr("g{reason=\"a\"} 0\ng{reason=\"b\"} 0\ng{reason=\"c\"} 0\n"));
}

TEST(RegistryFamilies, FamiliesWithoutMetricsAreLeftOut) {
  prometheus::MetricFamily family;
  family.name = "g";
  EXPECT_EQ(Page(family, Format::kText), "");
}

}  // namespace
}  // namespace sonde
