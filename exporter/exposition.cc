#include "exporter/exposition.h"

#include <algorithm>
#include <limits>

#include "exporter/text_escape.h"

namespace sonde {
namespace {

struct Metadata {
  std::string_view name;
  std::string_view type;
  std::string_view unit;
};

constexpr std::string_view kTextTypes[] = {"counter", "gauge", "histogram",
                                           "summary", "gauge", "untyped"};
constexpr std::string_view kOpenTypes[] = {"counter", "gauge", "histogram",
                                           "summary", "info",  "unknown"};

// OpenMetrics 1.0: the family's name goes without the suffix its type gives to the samples.
Metadata OpenMetadata(const MetricFamilyHead& family) {
  constexpr std::string_view kInfo = "_info";
  std::string_view name = WithoutTotal(family);
  MetricType type = family.type;
  if (type == MetricType::kCounter && name == family.name) type = MetricType::kUnknown;
  if (type == MetricType::kInfo) {
    if (name.size() > kInfo.size() && name.ends_with(kInfo)) {
      name.remove_suffix(kInfo.size());
      return {name, kOpenTypes[static_cast<size_t>(type)], {}};
    }
    type = MetricType::kGauge;
  }
  return {name, kOpenTypes[static_cast<size_t>(type)], UnitOf(name)};
}

}  // namespace

std::string LineHead(std::string_view name, std::string_view constant_labels) {
  std::string head(name);
  head.push_back('{');
  if (!constant_labels.empty()) head.append(constant_labels).push_back(',');
  return head;
}

void AppendLabel(std::string* labels, std::string_view name, std::string_view value) {
  if (!labels->empty()) labels->push_back(',');
  labels->append(name).append("=\"");
  AppendLabelValue(labels, value);
  labels->push_back('"');
}

Exposition::Exposition(Format format, std::string* out) : format_(format), out_(out) {
  if (protobuf()) protobuf_ = std::make_unique<ProtobufFamilies>();
}

void Exposition::Begin(const MetricFamilyHead& family) {
  if (protobuf_) return protobuf_->Begin(family, out_);
  const auto line = [this](std::string_view keyword, std::string_view name) {
    out_->append("# ").append(keyword).append(" ").append(name).push_back(' ');
  };
  if (open_metrics()) {
    const Metadata meta = OpenMetadata(family);
    line("TYPE", meta.name);
    out_->append(meta.type).push_back('\n');
    if (!meta.unit.empty()) {
      line("UNIT", meta.name);
      out_->append(meta.unit).push_back('\n');
    }
    line("HELP", meta.name);
    AppendHelp(out_, family.help, true);
    out_->push_back('\n');
    return;
  }
  line("HELP", family.name);
  AppendHelp(out_, family.help, false);
  out_->push_back('\n');
  line("TYPE", family.name);
  out_->append(kTextTypes[static_cast<size_t>(family.type)]).push_back('\n');
}

// A head's own labels stand behind its brace.
void Exposition::AppendNumber(std::string_view head, std::string_view labels, std::string_view more,
                              double value) {
  const size_t brace = std::min(head.find('{'), head.size() - 1);
  protobuf_->Number({head.substr(brace + 1), labels, more}, value, out_);
}

template <typename Number>
void Exposition::AppendSample(std::string_view name, std::string_view labels, Number value) {
  if (protobuf_) return protobuf_->Number({{}, labels, {}}, static_cast<double>(value), out_);
  out_->append(name);
  if (!labels.empty()) {
    out_->push_back('{');
    out_->append(labels).push_back('}');
  }
  out_->push_back(' ');
  char number[kNumberBytes];
  out_->append(number, static_cast<size_t>(WriteNumber(number, value) - number)).push_back('\n');
}

void Exposition::Sample(std::string_view name, std::string_view labels, double value) {
  AppendSample(name, labels, value);
}

void Exposition::Sample(std::string_view name, std::string_view labels, uint64_t value) {
  AppendSample(name, labels, value);
}

void Exposition::Summary(std::string_view name, std::string_view labels,
                         const SummarySample& sample) {
  if (protobuf_) return protobuf_->Summary(labels, sample, out_);
  for (const SummarySample::Quantile& quantile : sample.quantiles) {
    std::string all(labels);
    AppendLabel(&all, "quantile", BoundText(quantile.quantile, open_metrics()));
    Sample(name, all, quantile.value);
  }
  Sample(std::string(name) + "_sum", labels, sample.sum);
  Sample(std::string(name) + "_count", labels, sample.count);
}

void Exposition::End() {
  if (open_metrics()) out_->append("# EOF\n");
  if (protobuf_) protobuf_->Flush(out_);
}

HistogramLines::HistogramLines(std::string_view name, std::span<const double> bounds, Format format)
    : name_(name), bounds_(bounds.begin(), bounds.end()) {
  const std::string bucket = name_ + "_bucket";
  const auto add = [&](double bound) {
    le_.push_back("le=\"" + BoundText(bound, format == Format::kOpenMetrics) + "\"");
    heads_.push_back(LineHead(bucket, le_.back()));
  };
  for (const double bound : bounds) add(bound);
  add(std::numeric_limits<double>::infinity());
  sum_head_ = LineHead(name_ + "_sum");
  count_head_ = LineHead(name_ + "_count");
}

void HistogramLines::Write(Exposition& out, std::string_view labels,
                           std::span<const uint64_t> buckets, double sum,
                           const NativeCounts* native) const {
  if (out.protobuf_) {
    return out.protobuf_->Histogram(labels, {bounds_, buckets, sum, native}, out.out_);
  }
  uint64_t count = 0;
  if (labels.empty()) {
    for (size_t i = 0; i < heads_.size(); ++i) {
      out.Sample(name_ + "_bucket", le_[i], count += buckets[i]);
    }
    out.Sample(name_ + "_sum", {}, sum);
    out.Sample(name_ + "_count", {}, count);
    return;
  }
  for (size_t i = 0; i < heads_.size(); ++i) out.Line(heads_[i], labels, count += buckets[i]);
  out.Line(sum_head_, labels, sum);
  out.Line(count_head_, labels, count);
}

}  // namespace sonde
