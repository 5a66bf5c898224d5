#include "tests/exporter/protobuf_reader.h"

#include <cstring>

#include "exporter/exposition.h"

namespace sonde {
namespace {

// One field of a message.
struct Field {
  uint64_t number = 0;
  uint64_t integer = 0;    // of a varint
  double real = 0;         // of eight bytes
  std::string_view bytes;  // of the rest
};

class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  bool More() const { return good_ && !rest_.empty(); }
  bool good() const { return good_; }

  Field Next() {
    Field field;
    const uint64_t tag = Varint();
    field.number = tag >> 3;
    switch (tag & 7) {
      case 0:
        field.integer = Varint();
        break;
      case 1: {
        const std::string_view bytes = Take(8);
        if (good_) std::memcpy(&field.real, bytes.data(), 8);
        break;
      }
      case 2:
        field.bytes = Take(Varint());
        break;
      default:
        good_ = false;
    }
    return field;
  }

  uint64_t Varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::string_view byte = Take(1);
      if (!good_) return 0;
      value |= uint64_t{static_cast<uint8_t>(byte[0]) & 0x7fu} << shift;
      if (!(byte[0] & 0x80)) return value;
    }
    good_ = false;
    return 0;
  }

  std::string_view Take(uint64_t count) {
    if (count > rest_.size()) good_ = false;
    if (!good_) return {};
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  void Fail() { good_ = false; }

 private:
  std::string_view rest_;
  bool good_ = true;
};

int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Calls `use(field)` for every field; it returns whether it knows the field.
template <typename Use>
bool Each(std::string_view bytes, Use&& use) {
  Message message(bytes);
  while (message.More()) {
    const Field field = message.Next();
    if (!message.good() || !use(field)) return false;
  }
  return message.good();
}

bool ReadPair(std::string_view bytes, std::pair<std::string, std::string>* pair) {
  return Each(bytes, [&](const Field& field) {
    if (field.number == 1) pair->first = field.bytes;
    if (field.number == 2) pair->second = field.bytes;
    return field.number == 1 || field.number == 2;
  });
}

bool ReadSummary(std::string_view bytes, ProtobufMetric* metric) {
  return Each(bytes, [&](const Field& field) {
    if (field.number == 1) metric->count = field.integer;
    if (field.number == 2) metric->sum = field.real;
    if (field.number != 3) return field.number < 3;
    auto& quantile = metric->quantiles.emplace_back();
    return Each(field.bytes, [&](const Field& part) {
      (part.number == 1 ? quantile.first : quantile.second) = part.real;
      return part.number == 1 || part.number == 2;
    });
  });
}

bool ReadBucket(std::string_view bytes, std::pair<uint64_t, double>* bucket) {
  return Each(bytes, [&](const Field& field) {
    if (field.number == 1) bucket->first = field.integer;
    if (field.number == 2) bucket->second = field.real;
    return field.number == 1 || field.number == 2;
  });
}

bool ReadSpan(std::string_view bytes, ProtobufSpan* span) {
  return Each(bytes, [&](const Field& field) {
    if (field.number == 1) span->offset = UnZigZag(field.integer);
    if (field.number == 2) span->length = field.integer;
    return field.number == 1 || field.number == 2;
  });
}

bool ReadHistogram(std::string_view bytes, ProtobufMetric* metric) {
  return Each(bytes, [&](const Field& field) {
    switch (field.number) {
      case 1:
        metric->count = field.integer;
        return true;
      case 2:
        metric->sum = field.real;
        return true;
      case 3:
        return ReadBucket(field.bytes, &metric->buckets.emplace_back());
      case 5:
        metric->schema = UnZigZag(field.integer);
        return true;
      case 6:
        metric->zero_threshold = field.real;
        return true;
      case 7:
        metric->zero_count = field.integer;
        return true;
      case 12:
        return ReadSpan(field.bytes, &metric->spans.emplace_back());
      case 13: {  // packed
        Message packed(field.bytes);
        while (packed.More()) metric->deltas.push_back(UnZigZag(packed.Varint()));
        return packed.good();
      }
      default:
        return false;
    }
  });
}

bool ReadMetric(std::string_view bytes, ProtobufMetric* metric) {
  return Each(bytes, [&](const Field& field) {
    if (field.number == 1) return ReadPair(field.bytes, &metric->labels.emplace_back());
    if (metric->kind != 0) return false;
    metric->kind = static_cast<unsigned>(field.number);
    switch (field.number) {
      case 2:
      case 3:
      case 5:
        return Each(field.bytes, [&](const Field& part) {
          metric->value = part.real;
          return part.number == 1;
        });
      case 4:
        return ReadSummary(field.bytes, metric);
      case 7:
        return ReadHistogram(field.bytes, metric);
      default:
        return false;
    }
  });
}

bool ReadFamily(std::string_view bytes, ProtobufFamily* family) {
  return Each(bytes, [&](const Field& field) {
    switch (field.number) {
      case 1:
        family->name = field.bytes;
        return true;
      case 2:
        family->help = field.bytes;
        return true;
      case 3:
        family->type = static_cast<unsigned>(field.integer);
        return true;
      case 4:
        return ReadMetric(field.bytes, &family->metrics.emplace_back());
      case 5:
        family->unit = field.bytes;
        return true;
      default:
        return false;
    }
  });
}

MetricType TypeOf(unsigned type) {
  constexpr MetricType kTypes[] = {MetricType::kCounter, MetricType::kGauge, MetricType::kSummary,
                                   MetricType::kUnknown, MetricType::kHistogram};
  return type < 5 ? kTypes[type] : MetricType::kInfo;
}

void WriteText(Exposition& out, const ProtobufFamily& family, const ProtobufMetric& metric) {
  std::string labels;
  for (const auto& [name, value] : metric.labels) AppendLabel(&labels, name, value);
  if (metric.kind == 7) {
    std::vector<double> bounds;
    std::vector<uint64_t> counts;
    uint64_t before = 0;
    for (const auto& [count, bound] : metric.buckets) {
      bounds.push_back(bound);
      counts.push_back(count - before);
      before = count;
    }
    counts.push_back(metric.count - before);
    return HistogramLines(family.name, bounds, Format::kText)
        .Write(out, labels, counts, metric.sum);
  }
  if (metric.kind == 4) {
    std::vector<SummarySample::Quantile> quantiles;
    for (const auto& [quantile, value] : metric.quantiles) quantiles.push_back({quantile, value});
    return out.Summary(family.name, labels, {quantiles, metric.sum, metric.count});
  }
  out.Sample(family.name, labels, metric.value);
}

}  // namespace

std::vector<std::pair<int64_t, int64_t>> ProtobufMetric::NativeBuckets() const {
  std::vector<std::pair<int64_t, int64_t>> found;
  int64_t index = 0, held = 0;
  size_t next = 0;
  for (const ProtobufSpan& span : spans) {
    index += span.offset;
    for (uint64_t i = 0; i < span.length && next < deltas.size(); ++i, ++index) {
      held += deltas[next++];
      found.push_back({index, held});
    }
  }
  if (next != deltas.size()) found.clear();  // spans must say as many as there are
  return found;
}

std::optional<std::vector<ProtobufFamily>> ReadProtobuf(std::string_view body) {
  std::vector<ProtobufFamily> families;
  Message stream(body);
  while (stream.More()) {
    const std::string_view bytes = stream.Take(stream.Varint());
    if (!stream.good() || !ReadFamily(bytes, &families.emplace_back())) return std::nullopt;
  }
  return families;
}

std::string ProtobufAsText(std::string_view body) {
  const auto families = ReadProtobuf(body);
  if (!families) return "(broken)";
  std::string text, last;
  Exposition out(Format::kText, &text);
  for (const ProtobufFamily& family : *families) {
    if (family.name != last) out.Begin({family.name, TypeOf(family.type), family.help});
    last = family.name;
    for (const ProtobufMetric& metric : family.metrics) WriteText(out, family, metric);
  }
  return text;
}

}  // namespace sonde
