#include "exporter/self_metrics.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace sonde {
namespace {

using prometheus::ClientMetric;
using Family = prometheus::MetricFamily;

MetricType TypeOf(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return MetricType::kCounter;
    case prometheus::MetricType::Gauge:
      return MetricType::kGauge;
    case prometheus::MetricType::Histogram:
      return MetricType::kHistogram;
    case prometheus::MetricType::Summary:
      return MetricType::kSummary;
    default:
      return MetricType::kUnknown;
  }
}

// A metric and its rendered labels.
struct Labelled {
  std::string labels;
  const ClientMetric* metric;
};

// prometheus-cpp hands metrics out in the order of a hash table; ours is the same in every scrape.
std::vector<Labelled> Sorted(const Family& family) {
  std::vector<Labelled> sorted;
  for (const ClientMetric& metric : family.metric) {
    std::string labels;
    for (const ClientMetric::Label& label : metric.label) {
      AppendLabel(&labels, label.name, label.value);
    }
    sorted.push_back({std::move(labels), &metric});
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const Labelled& a, const Labelled& b) { return a.labels < b.labels; });
  return sorted;
}

void WriteHistogram(Exposition& out, const std::string& name, const std::string& labels,
                    const ClientMetric& metric) {
  std::vector<double> bounds;
  std::vector<uint64_t> buckets;  // not cumulative
  uint64_t before = 0;
  for (const ClientMetric::Bucket& bucket : metric.histogram.bucket) {
    if (bucket.upper_bound <= std::numeric_limits<double>::max()) {
      bounds.push_back(bucket.upper_bound);
      buckets.push_back(bucket.cumulative_count - before);
      before = bucket.cumulative_count;
    }
  }
  // Buckets and count of a concurrently observed histogram may disagree; the larger is later.
  buckets.push_back(std::max(metric.histogram.sample_count, before) - before);
  HistogramLines(name, bounds, out.format())
      .Write(out, labels, buckets, metric.histogram.sample_sum);
}

void WriteSummary(Exposition& out, const std::string& name, const std::string& labels,
                  const ClientMetric& metric) {
  std::vector<SummarySample::Quantile> quantiles;
  for (const ClientMetric::Quantile& quantile : metric.summary.quantile) {
    quantiles.push_back({quantile.quantile, quantile.value});
  }
  out.Summary(name, labels, {quantiles, metric.summary.sample_sum, metric.summary.sample_count});
}

void WriteMetric(Exposition& out, const Family& family, const Labelled& one) {
  const ClientMetric& metric = *one.metric;
  switch (family.type) {
    case prometheus::MetricType::Histogram:
      return WriteHistogram(out, family.name, one.labels, metric);
    case prometheus::MetricType::Summary:
      return WriteSummary(out, family.name, one.labels, metric);
    case prometheus::MetricType::Counter:
      return out.Sample(family.name, one.labels, metric.counter.value);
    case prometheus::MetricType::Gauge:
      return out.Sample(family.name, one.labels, metric.gauge.value);
    default:
      return out.Sample(family.name, one.labels, metric.untyped.value);
  }
}

}  // namespace

void WriteRegistryFamilies(Exposition& out, std::span<const Family> families) {
  for (const Family& family : families) {
    if (family.metric.empty()) continue;
    out.Begin({family.name, TypeOf(family.type), family.help});
    for (const Labelled& one : Sorted(family)) WriteMetric(out, family, one);
  }
}

namespace {

// The names alerts and dashboards made for blackbox_exporter ask for (blackbox_contract 10).
void WriteBlackboxReload(Exposition& out, bool successful, double when) {
  constexpr MetricFamilyHead kReload = {"blackbox_exporter_config_last_reload_successful",
                                        MetricType::kGauge,
                                        "The same as sonde_config_last_reload_successful"};
  constexpr MetricFamilyHead kWhen = {
      "blackbox_exporter_config_last_reload_success_timestamp_seconds", MetricType::kGauge,
      "The same as sonde_config_last_reload_success_timestamp_seconds"};
  out.Begin(kReload);
  out.Sample(kReload.name, {}, uint64_t{successful});
  out.Begin(kWhen);
  out.Sample(kWhen.name, {}, when);
}

constexpr std::string_view kMachine =
#if defined(__x86_64__)
    "amd64";
#elif defined(__aarch64__)
    "arm64";
#else
    "other";
#endif

}  // namespace

void SelfMetrics::WriteBlackboxBuild(Exposition& out) const {
  constexpr MetricFamilyHead kBuild = {"blackbox_exporter_build_info", MetricType::kInfo,
                                       "sonde's version, under blackbox_exporter's name"};
  std::string labels;
  AppendLabel(&labels, "branch", "");
  AppendLabel(&labels, "goarch", kMachine);
  AppendLabel(&labels, "goos", "linux");
  AppendLabel(&labels, "goversion", "");
  AppendLabel(&labels, "revision", build_.revision);
  AppendLabel(&labels, "tags", "");
  AppendLabel(&labels, "version", build_.version);
  out.Begin(kBuild);
  out.Sample(kBuild.name, labels, uint64_t{1});
}

SelfMetrics::SelfMetrics(BuildInfo build) : build_(std::move(build)) {}

void SelfMetrics::SetReload(bool successful, WallTime when) {
  reload_successful_ = successful;
  if (successful) reload_success_ = when;
}

void SelfMetrics::Write(Exposition& out) const {
  constexpr MetricFamilyHead kBuild = {"sonde_build_info", MetricType::kInfo,
                                       "What this process was built from"};
  std::string labels;
  AppendLabel(&labels, "version", build_.version);
  AppendLabel(&labels, "revision", build_.revision);
  AppendLabel(&labels, "compiler", build_.compiler);
  out.Begin(kBuild);
  out.Sample(kBuild.name, labels, uint64_t{1});
  WriteBlackboxBuild(out);
  if (reload_successful_) {
    constexpr MetricFamilyHead kReload = {"sonde_config_last_reload_successful", MetricType::kGauge,
                                          "1 when the last load of the configuration succeeded"};
    constexpr MetricFamilyHead kWhen = {"sonde_config_last_reload_success_timestamp_seconds",
                                        MetricType::kGauge,
                                        "When the configuration was last loaded with success"};
    out.Begin(kReload);
    out.Sample(kReload.name, {}, uint64_t{*reload_successful_});
    const double when = static_cast<double>(reload_success_.ns / 1'000'000) / 1000;
    out.Begin(kWhen);
    out.Sample(kWhen.name, {}, when);
    WriteBlackboxReload(out, *reload_successful_, when);
  }
  if (targets_successful_) {
    constexpr MetricFamilyHead kTargets = {"sonde_targets_last_reload_successful",
                                           MetricType::kGauge,
                                           "1 when the lists of targets were last read well"};
    out.Begin(kTargets);
    out.Sample(kTargets.name, {}, uint64_t{*targets_successful_});
  }
  if (web_successful_) {
    constexpr MetricFamilyHead kWeb = {"sonde_web_config_last_reload_successful",
                                       MetricType::kGauge,
                                       "1 when --web.config.file was last read well"};
    out.Begin(kWeb);
    out.Sample(kWeb.name, {}, uint64_t{*web_successful_});
  }
  const std::vector<Family> families = registry_.Collect();
  WriteRegistryFamilies(out, families);
}

}  // namespace sonde
