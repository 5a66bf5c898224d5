// Exposition: lines, and whole pages. Only ratios within one run mean anything on a shared machine:
// compare each figure with Lines/memcpy. ns_per_line is in nanoseconds, whatever unit is printed.
//   Lines/*            1,000,000 lines of a gauge with 4 labels
//   Page/50000         /metrics of 50,000 tasks (http-like facts, all families)
//   Page/protobuf*     the same in protocol buffers, without and with native histograms; for a line
//                      counts what text says in one
//   Core/1000000       /metrics of 1,000,000 tasks, families: [core]
//   .../2000           the same pages, of 2,000 tasks: what the gate counts
// Counted is what a page takes, or all the lines together; prometheus-cpp's is its own business.
#include <benchmark/benchmark.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/counted.h"
#include "exporter/exposition.h"
#include "exporter/metrics_page.h"
#include "exporter/process_metrics.h"
#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

constexpr size_t kLines = 1'000'000;
constexpr size_t kChunk = 64 * 1024;

std::string Labels(size_t i) {
  std::string labels;
  AppendLabel(&labels, "name", "shop-health-" + std::to_string(i));
  AppendLabel(&labels, "type", "http");
  AppendLabel(&labels, "target", "https://shop-" + std::to_string(i) + ".example/health");
  AppendLabel(&labels, "application", "shop");
  return labels;
}

double Value(size_t i) { return static_cast<double>(1'000'000 + i * 7919 % 900'000'000) / 1e9; }

const std::vector<std::string>& AllLabels() {
  static const std::vector<std::string> labels = [] {
    std::vector<std::string> all;
    for (size_t i = 0; i < kLines; ++i) all.push_back(Labels(i));
    return all;
  }();
  return labels;
}

// Writes all lines in chunks that are reused, as a streamed answer does.
template <typename Take>
size_t WriteLines(Take&& take, Format format = Format::kText) {
  const std::string head = LineHead("probe_duration_seconds");
  const std::vector<std::string>& labels = AllLabels();
  std::string chunk;
  chunk.reserve(kChunk + 1024);
  Exposition out(format, &chunk);
  out.Begin({"probe_duration_seconds", MetricType::kGauge, "Wall time of the whole probe"});
  size_t bytes = 0;
  for (size_t i = 0; i < kLines; ++i) {
    out.Line(head, labels[i], Value(i));
    if (chunk.size() >= kChunk) {
      bytes += chunk.size();
      take(chunk);
      chunk.clear();
    }
  }
  out.End();
  take(chunk);
  return bytes + chunk.size();
}

void Report(benchmark::State& state, size_t bytes, size_t lines) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
  state.counters["ns_per_line"] =
      benchmark::Counter(static_cast<double>(lines) * static_cast<double>(state.iterations()) / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void LinesOurs(benchmark::State& state) {
  AllLabels();
  size_t bytes = 0;
  Counted counted(state);
  for (auto _ : state) {
    bytes = WriteLines([](const std::string& chunk) { benchmark::DoNotOptimize(chunk.data()); });
  }
  counted.Report();
  Report(state, bytes, kLines);
}
BENCHMARK(LinesOurs)->Name("Lines/ours")->Unit(benchmark::kMillisecond);

void LinesProtobuf(benchmark::State& state) {
  AllLabels();
  size_t bytes = 0;
  Counted counted(state);
  for (auto _ : state) {
    bytes = WriteLines([](const std::string& chunk) { benchmark::DoNotOptimize(chunk.data()); },
                       Format::kProtobuf);
  }
  counted.Report();
  Report(state, bytes, kLines);
}
BENCHMARK(LinesProtobuf)->Name("Lines/protobuf")->Unit(benchmark::kMillisecond);

void LinesMemcpy(benchmark::State& state) {
  std::string text;
  WriteLines([&text](const std::string& chunk) { text += chunk; });
  std::string copy(text.size(), '\0');
  for (auto _ : state) {
    std::memcpy(copy.data(), text.data(), text.size());
    benchmark::DoNotOptimize(copy.data());
    benchmark::ClobberMemory();
  }
  Report(state, text.size(), kLines);
}
BENCHMARK(LinesMemcpy)->Name("Lines/memcpy")->Unit(benchmark::kMillisecond);

void LinesPrometheusCpp(benchmark::State& state) {
  std::vector<prometheus::MetricFamily> families(1);
  families[0].name = "probe_duration_seconds";
  families[0].type = prometheus::MetricType::Gauge;
  for (size_t i = 0; i < kLines; ++i) {
    prometheus::ClientMetric metric;
    const std::string n = std::to_string(i);
    metric.label = {{"name", "shop-health-" + n},
                    {"type", "http"},
                    {"target", "https://shop-" + n + ".example/health"},
                    {"application", "shop"}};
    metric.gauge.value = Value(i);
    families[0].metric.push_back(std::move(metric));
  }
  size_t bytes = 0;
  for (auto _ : state) {
    const std::string text = prometheus::TextSerializer().Serialize(families);
    bytes = text.size();
    benchmark::DoNotOptimize(text.data());
  }
  Report(state, bytes, kLines);
}
BENCHMARK(LinesPrometheusCpp)->Name("Lines/prometheus-cpp")->Unit(benchmark::kMillisecond);

// `count` tasks that each ran once, with the facts of an HTTP probe.
Catalog& Fleet(size_t count) {
  static std::map<size_t, Catalog> fleets;
  const auto [place, created] = fleets.try_emplace(count);
  if (!created) return place->second;
  TaskDelta delta;
  for (size_t i = 0; i < count; ++i) {
    TaskSpec spec;
    spec.name = "shop-health-" + std::to_string(i);
    spec.target = "https://shop-" + std::to_string(i) + ".example/health";
    spec.metrics.families = FamilySet::All();
    delta.upserts.push_back(MakeUpsert(spec));
    ProbeResult result =
        MakeResult(Outcome::kOk, Microseconds(static_cast<int64_t>(800 + i % 9000)));
    for (const Fact fact : {Fact::kDnsLookupTime, Fact::kHttpResolve, Fact::kHttpConnect,
                            Fact::kHttpTls, Fact::kHttpProcessing, Fact::kHttpTransfer}) {
      result.facts.Set(fact, Value(i));
    }
    for (const Fact fact : {Fact::kIpProtocol, Fact::kIpAddrHash, Fact::kHttpContentLength,
                            Fact::kHttpBodyLength, Fact::kHttpRedirects, Fact::kHttpSsl,
                            Fact::kHttpStatusCode, Fact::kHttpVersion, Fact::kFailedRegex}) {
      result.facts.Set(fact, static_cast<double>(i % 1000));
    }
    Record(*delta.upserts.back().record, result);
  }
  place->second.Apply(delta);
  return place->second;
}

void Page(benchmark::State& state, FamilySet families,
          size_t sample_bytes = MetricsPage::kSampleBytes, Format format = Format::kText) {
  const SampleSnapshot tasks = Fleet(static_cast<size_t>(state.range(0))).Snapshot();
  const std::string once = RenderPage(tasks, Format::kText, families);
  const auto lines = static_cast<size_t>(std::count(once.begin(), once.end(), '\n'));
  size_t bytes = 0, calls = 0;
  const uint64_t before = ReadProcess().resident_bytes;
  uint64_t most = before;
  Counted counted(state);
  for (auto _ : state) {
    MetricsPage page(tasks, families, format, kSampleNow, nullptr, sample_bytes);
    bytes = calls = 0;
    std::string chunk;
    uint64_t resident = 0;
    for (BodyStep step = BodyStep::kMore; step == BodyStep::kMore; ++calls) {
      chunk.clear();
      step = page.Next(chunk);
      bytes += chunk.size();
      benchmark::DoNotOptimize(chunk.data());
      if (calls % 4096 == 4095) {
        resident = std::max(resident, counted.Without(ReadProcess).resident_bytes);
      }
    }
    most = std::max(most, resident);
  }
  counted.Report();
  Report(state, bytes, lines);
  state.counters["MB"] = static_cast<double>(bytes) / 1e6;
  state.counters["scrape_MB"] = static_cast<double>(most - before) / 1e6;
  state.counters["us_per_call"] =
      benchmark::Counter(static_cast<double>(calls) * static_cast<double>(state.iterations()) / 1e6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

FamilySet Core() {
  FamilySet set;
  set.Add(FamilyGroup::kCore);
  return set;
}
void PageAll(benchmark::State& state) { Page(state, FamilySet::All()); }
void PageProtobuf(benchmark::State& state) {
  Page(state, FamilySet::Default(), MetricsPage::kSampleBytes, Format::kProtobuf);
}
void PageNative(benchmark::State& state) {
  Page(state, FamilySet::All(), MetricsPage::kSampleBytes, Format::kProtobuf);
}
void PageCore(benchmark::State& state) { Page(state, Core()); }
void PageCoreSmall(benchmark::State& state) { Page(state, Core(), 0); }
void PageCoreAtOnce(benchmark::State& state) { Page(state, Core(), size_t{1} << 40); }
BENCHMARK(PageAll)->Name("Page")->Arg(2'000)->Arg(50'000)->Unit(benchmark::kMillisecond);
BENCHMARK(PageProtobuf)
    ->Name("Page/protobuf")
    ->Arg(2'000)
    ->Arg(50'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(PageNative)
    ->Name("Page/protobuf_native")
    ->Arg(2'000)
    ->Arg(50'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(PageCore)->Name("Core")->Arg(2'000)->Arg(50'000)->Unit(benchmark::kMillisecond);
BENCHMARK(PageCoreSmall)->Name("Core/a_family_a_batch")->Arg(2'000)->Unit(benchmark::kMillisecond);
BENCHMARK(PageCoreAtOnce)->Name("Core/one_batch")->Arg(2'000)->Unit(benchmark::kMillisecond);
// Twice is enough of these.
BENCHMARK(PageCore)->Name("Core")->Arg(1'000'000)->Unit(benchmark::kMillisecond)->Iterations(2);
BENCHMARK(PageCoreSmall)
    ->Name("Core/a_family_a_batch")
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(2);
BENCHMARK(PageCoreAtOnce)
    ->Name("Core/one_batch")
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(2);

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
