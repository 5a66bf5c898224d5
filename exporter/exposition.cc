#include "exporter/exposition.h"

#include <array>
#include <limits>

#include "exporter/text_escape.h"

namespace sonde {
namespace {

bool EndsWith(std::string_view text, std::string_view suffix) {
  return text.size() > suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

struct Metadata {
  std::string_view name;
  std::string_view type;
  std::string_view unit;
};

constexpr std::string_view kTextTypes[] = {"counter", "gauge", "histogram",
                                           "summary", "gauge", "untyped"};
constexpr std::string_view kOpenTypes[] = {"counter", "gauge", "histogram",
                                           "summary", "info",  "unknown"};

std::string_view UnitOf(std::string_view name) {
  constexpr std::array<std::string_view, 3> kUnits = {"_seconds", "_bytes", "_ratio"};
  for (const std::string_view unit : kUnits) {
    if (EndsWith(name, unit)) return unit.substr(1);
  }
  return {};
}

// OpenMetrics 1.0: the family's name goes without the suffix its type gives to the samples.
Metadata OpenMetadata(const MetricFamilyHead& family) {
  constexpr std::string_view kTotal = "_total", kInfo = "_info";
  std::string_view name = family.name;
  MetricType type = family.type;
  if (type == MetricType::kCounter) {
    if (EndsWith(name, kTotal)) {
      name.remove_suffix(kTotal.size());
    } else {
      type = MetricType::kUnknown;
    }
  } else if (type == MetricType::kInfo) {
    if (!EndsWith(name, kInfo)) {
      type = MetricType::kGauge;
    } else {
      name.remove_suffix(kInfo.size());
      return {name, kOpenTypes[static_cast<size_t>(type)], {}};
    }
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

void Exposition::Begin(const MetricFamilyHead& family) {
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

template <typename Number>
void Exposition::AppendSample(std::string_view name, std::string_view labels, Number value) {
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

void Exposition::End() {
  if (open_metrics()) out_->append("# EOF\n");
}

HistogramLines::HistogramLines(std::string_view name, std::span<const double> bounds, Format format)
    : name_(name) {
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
                           std::span<const uint64_t> buckets, double sum) const {
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
