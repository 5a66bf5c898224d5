#include "exporter/protobuf_families.h"

#include <algorithm>
#include <utility>

#include "exporter/label_text.h"
#include "exporter/protobuf_writer.h"
#include "exporter/text_escape.h"

namespace sonde {
namespace {

// io/prometheus/client/metrics.proto of github.com/prometheus/client_model.
namespace family_field {
constexpr unsigned kName = 1, kHelp = 2, kType = 3, kMetric = 4, kUnit = 5;
}
namespace metric_field {
constexpr unsigned kLabel = 1, kGauge = 2, kCounter = 3, kSummary = 4, kUntyped = 5, kHistogram = 7;
}
namespace label_field {
constexpr unsigned kName = 1, kValue = 2;
}
namespace number_field {  // Gauge, Counter and Untyped
constexpr unsigned kValue = 1;
}
namespace summary_field {
constexpr unsigned kCount = 1, kSum = 2, kQuantile = 3;
}
namespace quantile_field {
constexpr unsigned kQuantile = 1, kValue = 2;
}
namespace histogram_field {
constexpr unsigned kCount = 1, kSum = 2, kBucket = 3, kSchema = 5, kZeroThreshold = 6,
                   kZeroCount = 7, kPositiveSpan = 12, kPositiveDelta = 13;
}
namespace bucket_field {
constexpr unsigned kCumulativeCount = 1, kUpperBound = 2;
}
namespace span_field {
constexpr unsigned kOffset = 1, kLength = 2;
}

struct TypeNumbers {
  unsigned type;   // enum MetricType
  unsigned field;  // of the Metric
};
// Indexed by MetricType: counter, gauge, histogram, summary, info, unknown.
constexpr TypeNumbers kTypes[] = {{0, metric_field::kCounter},   {1, metric_field::kGauge},
                                  {4, metric_field::kHistogram}, {2, metric_field::kSummary},
                                  {1, metric_field::kGauge},     {3, metric_field::kUntyped}};

constexpr size_t kNumberBytes = 1 + sizeof(double);

void AppendLabelPair(std::string* out, std::string_view name, std::string_view value) {
  const size_t bytes = 1 + ProtobufWriter::VarintBytes(name.size()) + name.size() + 1 +
                       ProtobufWriter::VarintBytes(value.size()) + value.size();
  ProtobufWriter pair(out);
  pair.Length(metric_field::kLabel, bytes);
  pair.Bytes(label_field::kName, name);
  pair.Bytes(label_field::kValue, value);
}

void AppendBuckets(ProtobufWriter& fields, const HistogramSample& sample) {
  uint64_t count = 0;
  for (size_t i = 0; i < sample.bounds.size() && i < sample.buckets.size(); ++i) {
    count += sample.buckets[i];
    fields.Length(histogram_field::kBucket, 1 + ProtobufWriter::VarintBytes(count) + kNumberBytes);
    fields.Uint(bucket_field::kCumulativeCount, count);
    fields.Double(bucket_field::kUpperBound, sample.bounds[i]);
  }
}

void AppendSpan(ProtobufWriter& fields, int64_t offset, uint64_t length) {
  const size_t bytes = 1 + ProtobufWriter::VarintBytes(ProtobufWriter::ZigZag(offset)) + 1 +
                       ProtobufWriter::VarintBytes(length);
  fields.Length(histogram_field::kPositiveSpan, bytes);
  fields.Sint(span_field::kOffset, offset);
  fields.Uint(span_field::kLength, length);
}

// Spans of buckets that count something and differences between neighbours. Up to two empty buckets
// are shorter as part of a span than as the gap between two.
void AppendNative(ProtobufWriter& fields, const NativeCounts& native) {
  constexpr size_t kFilled = 2;
  fields.Sint(histogram_field::kSchema, kNativeSchema);
  fields.Double(histogram_field::kZeroThreshold, kNativeZeroThreshold);
  fields.Uint(histogram_field::kZeroCount, native.zero);
  std::string packed;
  ProtobufWriter deltas(&packed);
  int64_t before = 0;
  int64_t next = 0;  // the index right behind the last span; the first offset is an index itself
  for (size_t i = 0; i < kNativeBuckets;) {
    if (native.buckets[i] == 0) {
      ++i;
      continue;
    }
    size_t end = i + 1;  // of the span
    for (size_t j = end; j < kNativeBuckets && j <= end + kFilled; ++j) {
      if (native.buckets[j] != 0) end = j + 1;
    }
    const int64_t index = kNativeFirst + static_cast<int64_t>(i);
    AppendSpan(fields, index - next, end - i);
    next = index + static_cast<int64_t>(end - i);
    for (; i < end; ++i) {
      const auto count = static_cast<int64_t>(native.buckets[i]);
      deltas.Varint(ProtobufWriter::ZigZag(count - before));
      before = count;
    }
  }
  if (!packed.empty()) fields.Bytes(histogram_field::kPositiveDelta, packed);
}

uint64_t CountOf(const HistogramSample& sample) {
  // A native histogram whose count is not the sum of its buckets is refused.
  if (sample.native != nullptr) return sample.native->count;
  uint64_t count = 0;
  for (const uint64_t bucket : sample.buckets) count += bucket;
  return count;
}

}  // namespace

void AppendLabelPairs(std::string* out, std::string_view labels) {
  for (LabelReader label(labels); label.Next();) {
    AppendLabelPair(out, label.name(), label.value());
  }
}

// Neighbouring samples are often of the same task or the same kind: comparing is quicker than
// taking labels apart again.
const std::string& ProtobufFamilies::Pairs::Of(std::string_view labels) {
  if (labels != text) {
    text.assign(labels);
    fields.clear();
    AppendLabelPairs(&fields, labels);
  }
  return fields;
}

void ProtobufFamilies::Begin(const MetricFamilyHead& family, std::string* out) {
  Flush(out);
  type_ = family.type;
  head_.clear();
  unit_.clear();
  value_.clear();
  AppendUtf8(&value_, family.help);
  ProtobufWriter head(&head_);
  head.Bytes(family_field::kName, family.name);
  head.Bytes(family_field::kHelp, value_);
  head.Uint(family_field::kType, kTypes[static_cast<size_t>(type_)].type);
  const std::string_view unit =
      type_ == MetricType::kInfo ? std::string_view() : UnitOf(WithoutTotal(family));
  if (!unit.empty()) ProtobufWriter(&unit_).Bytes(family_field::kUnit, unit);
}

void ProtobufFamilies::AddMetric(const Labels& labels, unsigned field, std::string_view value,
                                 std::string* out) {
  const std::string& constant = constant_.Of(labels.constant);
  const std::string& block = block_.Of(labels.block);
  more_.clear();
  if (!labels.more.empty()) AppendLabelPairs(&more_, labels.more);
  ProtobufWriter metric(&metrics_);
  metric.Length(family_field::kMetric, constant.size() + block.size() + more_.size() + 1 +
                                           ProtobufWriter::VarintBytes(value.size()) +
                                           value.size());
  metrics_.append(constant).append(block).append(more_);
  metric.Bytes(field, value);
  if (metrics_.size() >= kMessageBytes) Flush(out);
}

void ProtobufFamilies::Number(const Labels& labels, double value, std::string* out) {
  value_.clear();
  ProtobufWriter(&value_).Double(number_field::kValue, value);
  AddMetric(labels, kTypes[static_cast<size_t>(type_)].field, value_, out);
}

void ProtobufFamilies::Histogram(std::string_view labels, const HistogramSample& sample,
                                 std::string* out) {
  // Prometheus 2.42 takes all of a message for what its first histogram is.
  const bool native = sample.native != nullptr;
  if (std::exchange(native_, native) != native) Flush(out);
  value_.clear();
  ProtobufWriter fields(&value_);
  fields.Uint(histogram_field::kCount, CountOf(sample));
  fields.Double(histogram_field::kSum, sample.sum);
  AppendBuckets(fields, sample);  // the last one, +Inf, is the count
  if (sample.native != nullptr) AppendNative(fields, *sample.native);
  AddMetric({{}, labels, {}}, metric_field::kHistogram, value_, out);
}

void ProtobufFamilies::Summary(std::string_view labels, const SummarySample& sample,
                               std::string* out) {
  value_.clear();
  ProtobufWriter fields(&value_);
  fields.Uint(summary_field::kCount, sample.count);
  fields.Double(summary_field::kSum, sample.sum);
  for (const SummarySample::Quantile& quantile : sample.quantiles) {
    fields.Length(summary_field::kQuantile, 2 * kNumberBytes);
    fields.Double(quantile_field::kQuantile, quantile.quantile);
    fields.Double(quantile_field::kValue, quantile.value);
  }
  AddMetric({{}, labels, {}}, metric_field::kSummary, value_, out);
}

void ProtobufFamilies::Flush(std::string* out) {
  if (metrics_.empty()) return;
  ProtobufWriter(out).Varint(head_.size() + metrics_.size() + unit_.size());
  out->append(head_).append(metrics_).append(unit_);
  metrics_.clear();
}

}  // namespace sonde
