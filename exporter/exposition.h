// Writes metrics in text 0.0.4, OpenMetrics 1.0 and delimited protocol buffers. Appends to a
// string; keeps no samples (of protocol buffers a message that is not full yet). Not thread-safe;
// one per answer.
//
//   Exposition out(Format::kOpenMetrics, &chunk);
//   out.Begin({"probe_success", MetricType::kGauge, "1 when ..."});
//   out.Line(LineHead("probe_success"), labels, 1.0);
//   out.End();
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "exporter/metric_family.h"
#include "exporter/number_text.h"
#include "exporter/protobuf_families.h"

namespace sonde {

enum class Format : uint8_t { kText, kOpenMetrics, kProtobuf };

// What stands before a task's shared label block: `name{` or `name{phase="tls",`. Made once per
// series kind, not per line.
std::string LineHead(std::string_view name, std::string_view constant_labels = {});

// Appends `name="value"` with the value escaped, after a comma unless `labels` is empty.
void AppendLabel(std::string* labels, std::string_view name, std::string_view value);

class Exposition {
 public:
  Exposition(Format format, std::string* out);

  Format format() const { return format_; }
  bool open_metrics() const { return format_ == Format::kOpenMetrics; }
  bool protobuf() const { return format_ == Format::kProtobuf; }
  // Where lines go from now on; a streaming source changes it with every chunk.
  void set_out(std::string* out) { out_ = out; }

  // HELP, TYPE and (but in text, for names ending in _seconds, _bytes or _ratio) UNIT.
  void Begin(const MetricFamilyHead& family);

  // The fast path: head + labels + "} " + number. `labels` must not be empty and ends without a
  // comma; a head with constant labels brings its own.
  void Line(std::string_view head, std::string_view labels, double value) {
    if (protobuf_) return AppendNumber(head, labels, {}, value);
    AppendLine(head, labels, value);
  }
  void Line(std::string_view head, std::string_view labels, uint64_t value) {
    if (protobuf_) return AppendNumber(head, labels, {}, static_cast<double>(value));
    AppendLine(head, labels, value);
  }
  // The same with labels behind the block; `more` begins with a comma.
  void Line(std::string_view head, std::string_view labels, std::string_view more, uint64_t value) {
    if (protobuf_) return AppendNumber(head, labels, more, static_cast<double>(value));
    out_->append(head);
    AppendLine(labels, more, value);
  }

  // Any label set, also none: name{labels} value.
  void Sample(std::string_view name, std::string_view labels, double value);
  void Sample(std::string_view name, std::string_view labels, uint64_t value);

  // One summary of the family `name`: its quantiles, _sum and _count. `labels` may be empty.
  void Summary(std::string_view name, std::string_view labels, const SummarySample& sample);

  // The last line: `# EOF` in OpenMetrics, nothing in text. Protocol buffers: what is kept.
  void End();

 private:
  friend class HistogramLines;

  void AppendNumber(std::string_view head, std::string_view labels, std::string_view more,
                    double value);
  template <typename Number>
  void AppendLine(std::string_view head, std::string_view labels, Number value) {
    // Written in place: room for the longest number first, then what it took.
    const size_t was = out_->size();
    out_->resize(was + head.size() + labels.size() + kNumberBytes + 3);
    char* at = out_->data() + was;
    std::memcpy(at, head.data(), head.size());
    at += head.size();
    std::memcpy(at, labels.data(), labels.size());
    at += labels.size();
    *at++ = '}';
    *at++ = ' ';
    at = WriteNumber(at, value);
    *at++ = '\n';
    out_->resize(static_cast<size_t>(at - out_->data()));
  }
  template <typename Number>
  void AppendSample(std::string_view name, std::string_view labels, Number value);

  Format format_;
  std::string* out_;
  std::unique_ptr<ProtobufFamilies> protobuf_;  // null in the text formats
};

// One histogram: cumulative buckets, _sum and _count as lines, or a message. Bounds are rendered
// once.
class HistogramLines {
 public:
  // `bounds` ascending, without +Inf.
  HistogramLines(std::string_view name, std::span<const double> bounds, Format format);

  // `buckets` are not cumulative and one more than the bounds; _count is their sum, so that the
  // +Inf bucket always equals it. `labels` may be empty. `native`: the same runs, which protocol
  // buffers alone can tell; `buckets` may be empty then.
  void Write(Exposition& out, std::string_view labels, std::span<const uint64_t> buckets,
             double sum, const NativeCounts* native = nullptr) const;

 private:
  std::string name_;
  std::vector<double> bounds_;
  std::vector<std::string> le_;     // `le="0.005"`
  std::vector<std::string> heads_;  // `name_bucket{le="0.005",`
  std::string sum_head_, count_head_;
};

}  // namespace sonde
