// Families as protocol buffers: a stream of io.prometheus.client.MetricFamily messages, each after
// its length as a varint (`encoding=delimited`). Written by hand: the format is forty field numbers
// that never change. Not thread-safe; one per answer.
//
// A family of many samples comes in several messages of the same name, as Prometheus' own
// federation does it, so that neither side ever holds a whole one; a message has native histograms
// or none. At most kMessageBytes and one sample are kept here.
#pragma once

#include <string>
#include <string_view>

#include "exporter/metric_family.h"

namespace sonde {

class ProtobufFamilies {
 public:
  static constexpr size_t kMessageBytes = 16 * 1024;

  // Ends the family before. Nothing is written of a family without samples.
  void Begin(const MetricFamilyHead& family, std::string* out);

  // Samples of the family begun. Labels are three parts of one list in the text formats' writing
  // (`name="value",...`, escaped); a comma at either end of a part does not matter.
  struct Labels {
    std::string_view constant, block, more;
  };
  void Number(const Labels& labels, double value, std::string* out);
  void Histogram(std::string_view labels, const HistogramSample& sample, std::string* out);
  void Summary(std::string_view labels, const SummarySample& sample, std::string* out);

  // Writes what is kept. After the last family.
  void Flush(std::string* out);

 private:
  void AddMetric(const Labels& labels, unsigned field, std::string_view value, std::string* out);
  // A part of the labels as LabelPair fields; renewed when the text is another one.
  struct Pairs {
    std::string text, fields;
    const std::string& Of(std::string_view labels);
  };

  MetricType type_ = MetricType::kUnknown;
  std::string head_;     // fields of the family begun: name, help, type
  std::string unit_;     // the same: unit, which stands behind the metrics
  std::string metrics_;  // fields of the message that is being filled
  bool native_ = false;  // its histograms are native ones
  Pairs constant_, block_;
  std::string more_, value_;  // scratch
};

// Appends `name="value",...` as LabelPair fields of a Metric, each value unescaped.
void AppendLabelPairs(std::string* out, std::string_view labels);

}  // namespace sonde
