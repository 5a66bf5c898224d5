// Reads delimited io.prometheus.client.MetricFamily messages, for tests. Knows nothing of our
// writer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sonde {

struct ProtobufSpan {
  int64_t offset = 0;
  uint64_t length = 0;
  bool operator==(const ProtobufSpan&) const = default;
};

struct ProtobufMetric {
  std::vector<std::pair<std::string, std::string>> labels;
  unsigned kind = 0;  // field number of the value: 2 gauge, 3 counter, 4 summary, 5 untyped, 7
  double value = 0;   // of gauge, counter, untyped
  uint64_t count = 0;
  double sum = 0;
  std::vector<std::pair<double, double>> quantiles;  // quantile, value
  std::vector<std::pair<uint64_t, double>> buckets;  // cumulative count, bound
  std::optional<int64_t> schema;                     // of a native histogram
  double zero_threshold = 0;
  uint64_t zero_count = 0;
  std::vector<ProtobufSpan> spans;
  std::vector<int64_t> deltas;

  // (index, count) of the native buckets within the spans.
  std::vector<std::pair<int64_t, int64_t>> NativeBuckets() const;
};

struct ProtobufFamily {
  std::string name, help, unit;
  unsigned type = 0;  // 0 counter, 1 gauge, 2 summary, 3 untyped, 4 histogram
  std::vector<ProtobufMetric> metrics;
};

// nullopt when anything is not as it should be: a cut message, an unknown field, two values.
std::optional<std::vector<ProtobufFamily>> ReadProtobuf(std::string_view body);

// The same as text 0.0.4; a family of several messages has one head. "(broken)" for what cannot be
// read.
std::string ProtobufAsText(std::string_view body);

}  // namespace sonde
