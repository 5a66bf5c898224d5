#include "exporter/protobuf_families.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "exporter/exposition.h"
#include "exporter/protobuf_writer.h"
#include "tests/exporter/protobuf_reader.h"

namespace sonde {
namespace {

std::string Bytes(std::initializer_list<int> bytes) {
  std::string out;
  for (const int byte : bytes) out.push_back(static_cast<char>(byte));
  return out;
}

template <typename Write>
std::string Written(Write&& write) {
  std::string out;
  ProtobufWriter writer(&out);
  write(writer);
  return out;
}

TEST(ProtobufWriter, Varints) {
  const auto varint = [](uint64_t value) {
    return Written([value](ProtobufWriter& out) { out.Varint(value); });
  };
  EXPECT_EQ(varint(0), Bytes({0}));
  EXPECT_EQ(varint(127), Bytes({127}));
  EXPECT_EQ(varint(128), Bytes({0x80, 1}));
  EXPECT_EQ(varint(300), Bytes({0xac, 2}));
  EXPECT_EQ(varint(UINT64_MAX), Bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}));
  for (unsigned bits = 0; bits < 64; ++bits) {
    const uint64_t power = uint64_t{1} << bits;
    for (const uint64_t value : {power - 1, power, power + 1}) {
      EXPECT_EQ(ProtobufWriter::VarintBytes(value), varint(value).size()) << value;
    }
  }
}

TEST(ProtobufWriter, SignedNumbersAreZigZag) {
  EXPECT_EQ(ProtobufWriter::ZigZag(0), 0u);
  EXPECT_EQ(ProtobufWriter::ZigZag(-1), 1u);
  EXPECT_EQ(ProtobufWriter::ZigZag(1), 2u);
  EXPECT_EQ(ProtobufWriter::ZigZag(-63), 125u);
  EXPECT_EQ(ProtobufWriter::ZigZag(INT64_MAX), UINT64_MAX - 1);
  EXPECT_EQ(ProtobufWriter::ZigZag(INT64_MIN), UINT64_MAX);
}

TEST(ProtobufWriter, Fields) {
  EXPECT_EQ(Written([](ProtobufWriter& out) { out.Uint(1, 150); }), Bytes({8, 0x96, 1}));
  EXPECT_EQ(Written([](ProtobufWriter& out) { out.Sint(5, -3); }), Bytes({0x28, 5}));
  EXPECT_EQ(Written([](ProtobufWriter& out) { out.Bytes(2, "testing"); }),
            Bytes({0x12, 7}) + "testing");
  EXPECT_EQ(Written([](ProtobufWriter& out) { out.Double(1, 1.0); }),
            Bytes({9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}));
}

// Field by field, so that nothing hangs on our own reader alone.
TEST(ProtobufFamilies, AGaugeByteByByte) {
  std::string out;
  ProtobufFamilies families;
  families.Begin({"up", MetricType::kGauge, "Up"}, &out);
  families.Number({"", "a=\"b\"", ""}, 1, &out);
  EXPECT_EQ(out, "") << "kept until the message is full";
  families.Flush(&out);
  const std::string label = Bytes({0x0a, 6, 0x0a, 1}) + "a" + Bytes({0x12, 1}) + "b";
  const std::string gauge = Bytes({0x12, 9, 9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f});
  const std::string metric = Bytes({0x22, 19}) + label + gauge;
  const std::string family =
      Bytes({0x0a, 2}) + "up" + Bytes({0x12, 2}) + "Up" + Bytes({0x18, 1}) + metric;
  EXPECT_EQ(out, Bytes({static_cast<int>(family.size())}) + family);
}

struct TypeCase {
  MetricFamilyHead head;
  unsigned type, kind;
  std::string unit;
};

TEST(ProtobufFamilies, TypesNamesAndUnits) {
  const TypeCase cases[] = {{{"x_seconds_total", MetricType::kCounter, "h"}, 0, 3, "seconds"},
                            {{"health_check_results", MetricType::kCounter, "h"}, 0, 3, ""},
                            {{"x_bytes", MetricType::kGauge, "h"}, 1, 2, "bytes"},
                            {{"x_ratio", MetricType::kUnknown, "h"}, 3, 5, "ratio"},
                            {{"x_info", MetricType::kInfo, "a\nb\xff"}, 1, 2, ""}};
  std::string out;
  ProtobufFamilies families;
  for (const TypeCase& the : cases) {
    families.Begin(the.head, &out);
    families.Number({}, 7, &out);
  }
  families.Begin({"nothing", MetricType::kGauge, "of which there is no sample"}, &out);
  families.Flush(&out);
  const auto read = ReadProtobuf(out);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), std::size(cases));
  for (size_t i = 0; i < read->size(); ++i) {
    const ProtobufFamily& family = (*read)[i];
    EXPECT_EQ(family.name, cases[i].head.name);
    EXPECT_EQ(family.type, cases[i].type);
    EXPECT_EQ(family.unit, cases[i].unit);
    ASSERT_EQ(family.metrics.size(), 1u);
    EXPECT_EQ(family.metrics[0].kind, cases[i].kind);
    EXPECT_EQ(family.metrics[0].value, 7);
  }
  EXPECT_EQ((*read)[4].help, "a\nb\xEF\xBF\xBD");
}

ProtobufMetric OneMetric(const std::string& body) {
  const auto read = ReadProtobuf(body);
  if (!read || read->size() != 1 || (*read)[0].metrics.size() != 1) {
    ADD_FAILURE() << "not one metric";
    return {};
  }
  return (*read)[0].metrics[0];
}

std::vector<std::pair<std::string, std::string>> Labels(const std::string& constant,
                                                        const std::string& block,
                                                        const std::string& more) {
  std::string out;
  ProtobufFamilies families;
  families.Begin({"x", MetricType::kGauge, ""}, &out);
  families.Number({constant, block, more}, 1, &out);
  families.Flush(&out);
  return OneMetric(out).labels;
}

TEST(ProtobufFamilies, LabelsAreOfThreePartsAndUnescaped) {
  using Expected = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(Labels("", "", ""), Expected{});
  EXPECT_EQ(Labels("phase=\"tls\",", "a=\"1\",b=\"\"", ",c=\"3\""),
            (Expected{{"phase", "tls"}, {"a", "1"}, {"b", ""}, {"c", "3"}}));
  EXPECT_EQ(Labels("", "a=\"x\\\\\",b=\"\\\"\\n,c=\\\"\",d=\"=,{}\"", ""),
            (Expected{{"a", "x\\"}, {"b", "\"\n,c=\""}, {"d", "=,{}"}}));
}

// What was cut is not read beyond its end; nothing of ours is ever cut.
TEST(ProtobufFamilies, CutLabelsEndWhereTheyEnd) {
  const std::string whole = "a=\"x\\\\\",b=\"\\\"y\\n\"";
  for (size_t length = 0; length <= whole.size(); ++length) {
    std::string out;
    AppendLabelPairs(&out, std::string_view(whole).substr(0, length));
    EXPECT_LE(out.size(), 24u);
  }
}

TEST(ProtobufFamilies, AnyLabelValueComesBack) {
  std::mt19937 random(17);
  for (int round = 0; round < 2000; ++round) {
    std::string value;
    for (size_t i = random() % 200; i > 0; --i) value.push_back("\"\\\n,=ab{} "[random() % 10]);
    std::string labels;
    AppendLabel(&labels, "first", "1");
    AppendLabel(&labels, "value", value);
    AppendLabel(&labels, "last", "2");
    const auto found = Labels("", labels, "");
    ASSERT_EQ(found.size(), 3u) << value;
    EXPECT_EQ(found[1].second, value);
    EXPECT_EQ(found[2].second, "2");
  }
}

TEST(ProtobufFamilies, NativeAndClassicHistogramsComeInMessagesOfTheirOwn) {
  std::string out;
  ProtobufFamilies families;
  families.Begin({"x", MetricType::kHistogram, ""}, &out);
  const NativeCounts native;
  const bool kinds[] = {false, true, true, false};
  for (const bool kind : kinds) {
    HistogramSample sample;
    if (kind) sample.native = &native;
    families.Histogram("", sample, &out);
  }
  families.Flush(&out);
  const auto read = ReadProtobuf(out);
  ASSERT_TRUE(read);
  std::vector<std::vector<bool>> found;
  for (const ProtobufFamily& family : *read) {
    found.emplace_back();
    for (const ProtobufMetric& metric : family.metrics) {
      found.back().push_back(metric.schema.has_value());
    }
  }
  EXPECT_EQ(found, (std::vector<std::vector<bool>>{{false}, {true, true}, {false}}));
}

TEST(ProtobufFamilies, ALargeFamilyComesInSeveralMessages) {
  std::string out;
  ProtobufFamilies families;
  families.Begin({"x", MetricType::kCounter, "help"}, &out);
  size_t largest = 0;
  for (int i = 0; i < 5000; ++i) {
    const size_t before = out.size();
    families.Number({"", "name=\"task-" + std::to_string(i) + "\"", ""}, i, &out);
    largest = std::max(largest, out.size() - before);
  }
  families.Flush(&out);
  EXPECT_LT(largest, ProtobufFamilies::kMessageBytes + 1024);
  const auto read = ReadProtobuf(out);
  ASSERT_TRUE(read);
  EXPECT_GT(read->size(), 5u);
  double next = 0;
  for (const ProtobufFamily& family : *read) {
    EXPECT_EQ(family.name, "x");
    EXPECT_EQ(family.help, "help");
    for (const ProtobufMetric& metric : family.metrics) {
      EXPECT_EQ(metric.value, next);
      EXPECT_EQ(metric.labels[0].second, "task-" + std::to_string(static_cast<int>(next)));
      next += 1;
    }
  }
  EXPECT_EQ(next, 5000);
}

constexpr std::array<double, 2> kBounds = {0.5, 1};
constexpr std::array<uint64_t, 3> kBuckets = {1, 2, 4};

ProtobufMetric Histogram(std::span<const uint64_t> buckets, const NativeCounts* native) {
  std::string out;
  Exposition writer(Format::kProtobuf, &out);
  writer.Begin({"h", MetricType::kHistogram, ""});
  HistogramLines("h", kBounds, Format::kProtobuf).Write(writer, "n=\"x\"", buckets, 3.25, native);
  writer.End();
  return OneMetric(out);
}

TEST(ProtobufFamilies, AClassicHistogram) {
  const ProtobufMetric metric = Histogram(kBuckets, nullptr);
  EXPECT_EQ(metric.kind, 7u);
  EXPECT_EQ(metric.count, 7u);
  EXPECT_EQ(metric.sum, 3.25);
  EXPECT_EQ(metric.buckets, (std::vector<std::pair<uint64_t, double>>{{1, 0.5}, {3, 1}}));
  EXPECT_EQ(metric.schema, std::nullopt);
  EXPECT_EQ(metric.zero_threshold, 0) << "or it would be read as a native one";
}

NativeCounts Native(std::initializer_list<std::pair<int, uint64_t>> buckets, uint64_t zero) {
  NativeCounts native;
  native.zero = native.count = zero;
  for (const auto& [index, count] : buckets) {
    native.buckets[static_cast<size_t>(index - kNativeFirst)] = count;
    native.count += count;
  }
  return native;
}

TEST(ProtobufFamilies, NativeBucketsBesideClassicOnes) {
  const NativeCounts native = Native({{-4, 1}, {-3, 0}, {0, 6}}, 2);
  const ProtobufMetric metric = Histogram(kBuckets, &native);
  EXPECT_EQ(metric.schema, kNativeSchema);
  EXPECT_EQ(metric.zero_threshold, 0x1p-16);
  EXPECT_EQ(metric.zero_count, 2u);
  EXPECT_EQ(metric.count, 9u) << "the sum of the native buckets, whatever the classic ones say";
  EXPECT_EQ(metric.buckets.size(), 2u);
  EXPECT_EQ(metric.spans, (std::vector<ProtobufSpan>{{-4, 1}, {3, 1}}));
  EXPECT_EQ(metric.deltas, (std::vector<int64_t>{1, 5}));
}

TEST(ProtobufFamilies, NativeBucketsAlone) {
  const NativeCounts native = Native({{kNativeFirst, 3}, {kNativeLast, 1}}, 0);
  const ProtobufMetric metric = Histogram({}, &native);
  EXPECT_TRUE(metric.buckets.empty());
  EXPECT_EQ(metric.count, 4u);
  EXPECT_EQ(metric.spans, (std::vector<ProtobufSpan>{{-63, 1}, {95, 1}}));
}

TEST(ProtobufFamilies, AnEmptyNativeHistogramIsOneStill) {
  const NativeCounts none;
  const ProtobufMetric metric = Histogram({}, &none);
  EXPECT_EQ(metric.schema, kNativeSchema);
  EXPECT_GT(metric.zero_threshold, 0);
  EXPECT_EQ(metric.count, 0u);
  EXPECT_TRUE(metric.spans.empty());
}

TEST(ProtobufFamilies, AnyNativeBucketsComeBack) {
  std::mt19937 random(23);
  for (int round = 0; round < 1000; ++round) {
    NativeCounts native;
    const uint64_t sparse = 1 + random() % 12;
    std::vector<std::pair<int64_t, int64_t>> expected;
    for (size_t i = 0; i < kNativeBuckets; ++i) {
      if (random() % sparse != 0) continue;
      native.buckets[i] = random() >> random() % 32;
      native.count += native.buckets[i];
      if (native.buckets[i] > 0) {
        expected.push_back(
            {kNativeFirst + static_cast<int64_t>(i), static_cast<int64_t>(native.buckets[i])});
      }
    }
    const ProtobufMetric metric = Histogram({}, &native);
    EXPECT_EQ(metric.count, native.count);
    auto found = metric.NativeBuckets();
    std::erase_if(found, [](const auto& bucket) { return bucket.second == 0; });
    ASSERT_EQ(found, expected);
    for (size_t i = 1; i < metric.spans.size(); ++i) EXPECT_GT(metric.spans[i].offset, 2);
  }
}

TEST(ProtobufFamilies, ASummary) {
  constexpr SummarySample::Quantile kQuantiles[] = {{0.5, 0.25}, {0.99, 4}};
  std::string out;
  Exposition writer(Format::kProtobuf, &out);
  writer.Begin({"s", MetricType::kSummary, ""});
  writer.Summary("s", "a=\"b\"", {kQuantiles, 1.5, 3});
  writer.End();
  const ProtobufMetric metric = OneMetric(out);
  EXPECT_EQ(metric.kind, 4u);
  EXPECT_EQ(metric.count, 3u);
  EXPECT_EQ(metric.sum, 1.5);
  EXPECT_EQ(metric.quantiles, (std::vector<std::pair<double, double>>{{0.5, 0.25}, {0.99, 4}}));
}

}  // namespace
}  // namespace sonde
