// What every exposition format says about a family of metrics, and the samples that are more than a
// number. Values and views: whoever writes them keeps none.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/contract/native_histogram.h"

namespace sonde {

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram, kSummary, kInfo, kUnknown };

// `name` is the full name of the samples (histograms and summaries: without suffix). What each
// format makes of it:
//                        text 0.0.4        OpenMetrics 1.0                    protocol buffers
//   counter x_total      x_total counter   x counter                          x_total COUNTER
//   counter x            x counter         x unknown (a counter ends in       x COUNTER
//                                          _total there)
//   info x_info          x_info gauge      x info                             x_info GAUGE
//   unknown x            x untyped         x unknown                          x UNTYPED
struct MetricFamilyHead {
  std::string_view name;
  MetricType type = MetricType::kGauge;
  std::string_view help;
};

// The unit a family's name ends with: "seconds", "bytes", "ratio"; "" for none. `name` is without
// `_total`.
std::string_view UnitOf(std::string_view name);
// The family's name as OpenMetrics has it: a counter's without `_total`.
std::string_view WithoutTotal(const MetricFamilyHead& family);

struct HistogramSample {
  std::span<const double> bounds;     // ascending, without +Inf
  std::span<const uint64_t> buckets;  // not cumulative, one more than the bounds; empty: none
  double sum = 0;
  const NativeCounts* native = nullptr;  // the same runs in native buckets; null: none
};

struct SummarySample {
  struct Quantile {
    double quantile;
    double value;
  };
  std::span<const Quantile> quantiles;
  double sum = 0;
  uint64_t count = 0;
};

}  // namespace sonde
