// The tally against prometheus-cpp: what one recorded run costs, what reading all series costs, and
// what a task weighs, with 50,000 tasks. What prometheus-cpp takes from the heap is shown under
// another name than our counts: it is its version's business, and bench/compare does not judge it.
#include <benchmark/benchmark.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <vector>

#include "bench/counted.h"
#include "engine/contract/tally.h"

namespace sonde {
namespace {

constexpr size_t kTasks = 50'000;
constexpr WallTime kStart{1'782'864'000'000'000'000};

ProbeResult Passed(Duration duration) {
  ProbeResult result;
  result.outcome = Outcome::kOk;
  result.duration = duration;
  result.latency_recorded = true;
  return result;
}

struct Parts {
  bool recent, native;
};

void TallyRecord(benchmark::State& state, Parts parts) {
  const uint64_t before = ProcessAllocations().bytes;
  const auto tallies = std::make_unique<Tally[]>(kTasks);
  for (size_t i = 0; i < kTasks; ++i) {
    if (parts.recent) tallies[i].ProvideRecent();
    if (parts.native) tallies[i].ProvideNative();
  }
  const uint64_t bytes = ProcessAllocations().bytes - before;
  std::mt19937_64 random(1);
  int64_t runs = 0;
  Counted counted(state);
  for (auto _ : state) {
    const uint64_t pick = random();
    tallies[pick % kTasks].Record(Passed(Duration{static_cast<int64_t>(pick >> 35)}),
                                  kStart + Microseconds(300 * ++runs));
  }
  counted.Report();
  state.counters["bytes_per_task"] = static_cast<double>(bytes) / kTasks;
}
BENCHMARK_CAPTURE(TallyRecord, plain, Parts{false, false});
BENCHMARK_CAPTURE(TallyRecord, recent, Parts{true, false});
BENCHMARK_CAPTURE(TallyRecord, native, Parts{false, true});
BENCHMARK_CAPTURE(TallyRecord, both, Parts{true, true});

// A counter, twelve buckets and their sum, and nothing else: what prometheus-cpp does below, by the
// tally's means (one writer, relaxed words, no lock).
struct alignas(64) CounterAndBuckets {
  std::atomic<uint64_t> success{0};
  std::array<std::atomic<uint32_t>, kLatencyBuckets> buckets{};
  std::atomic<double> sum{0};

  template <typename T>
  static void Add(std::atomic<T>& counter, T amount) {
    counter.store(static_cast<T>(counter.load(std::memory_order_relaxed) + amount),
                  std::memory_order_relaxed);
  }
  void Record(double seconds) {
    size_t bucket = 0;
    while (bucket < kLatencyBounds.size() && seconds > kLatencyBounds[bucket]) ++bucket;
    Add(success, uint64_t{1});
    Add(buckets[bucket], uint32_t{1});
    Add(sum, seconds);
  }
};

void CountAlone(benchmark::State& state) {
  const uint64_t before = ProcessAllocations().bytes;
  const auto tasks = std::make_unique<CounterAndBuckets[]>(kTasks);
  const uint64_t bytes = ProcessAllocations().bytes - before;
  std::mt19937_64 random(1);
  Counted counted(state);
  for (auto _ : state) {
    const uint64_t pick = random();
    tasks[pick % kTasks].Record(static_cast<double>(pick >> 35) / 1e9);
  }
  counted.Report();
  state.counters["bytes_per_task"] = static_cast<double>(bytes) / kTasks;
}
BENCHMARK(CountAlone)->Name("CounterAndBuckets");

// One histogram and one ring that stay in the cache: what the counting itself takes.
std::vector<Duration> Latencies() {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> latency(16, 2);  // about 9 ms
  std::vector<Duration> all(4096);
  for (Duration& one : all) one.ns = static_cast<int64_t>(latency(random));
  return all;
}

void NativeCount(benchmark::State& state) {
  const std::vector<Duration> latencies = Latencies();
  NativeHistogram histogram;
  size_t i = 0;
  Counted counted(state);
  for (auto _ : state) histogram.Count(latencies[i++ % latencies.size()]);
  counted.Report();
}
BENCHMARK(NativeCount);

void RingAdd(benchmark::State& state) {
  const std::vector<Duration> latencies = Latencies();
  ResultRing ring;
  size_t i = 0;
  Counted counted(state);
  for (auto _ : state) {
    const Duration latency = latencies[i++ % latencies.size()];
    ring.Add({kStart + latency, Outcome::kOk, latency});
  }
  counted.Report();
}
BENCHMARK(RingAdd);

// Everything a scrape reads of a task.
void TallyReadAll(benchmark::State& state) {
  const auto tallies = std::make_unique<Tally[]>(kTasks);
  for (size_t i = 0; i < kTasks; ++i) tallies[i].Record(Passed(Milliseconds(3)), kStart);
  std::vector<Tally::Reason> reasons;
  double sum = 0;
  Counted counted(state);
  for (auto _ : state) {
    for (size_t i = 0; i < kTasks; ++i) {
      const Tally& tally = tallies[i];
      sum += static_cast<double>(tally.counts().success) + tally.latency().sum_seconds;
      reasons.clear();
      tally.Reasons(&reasons);
      for (size_t w = 0; w < kWindows.size(); ++w) {
        sum += tally.ratio(static_cast<Window>(w), kStart).passed;
      }
      sum += tally.last()->duration.seconds();
    }
  }
  benchmark::DoNotOptimize(sum);
  counted.Report(static_cast<int64_t>(state.iterations() * kTasks));
}
BENCHMARK(TallyReadAll)->Unit(benchmark::kMillisecond);

// The part of it prometheus-cpp knows: two counters and one histogram; no windows, no last result.
struct PrometheusTasks {
  PrometheusTasks() {
    const uint64_t before = ProcessAllocations().bytes;
    auto& success = prometheus::BuildCounter().Name("success_total").Help("h").Register(registry);
    auto& failed = prometheus::BuildCounter().Name("failed_total").Help("h").Register(registry);
    auto& latency = prometheus::BuildHistogram().Name("latency").Help("h").Register(registry);
    const prometheus::Histogram::BucketBoundaries bounds(kLatencyBounds.begin(),
                                                         kLatencyBounds.end());
    for (size_t i = 0; i < kTasks; ++i) {
      const prometheus::Labels labels = {{"name", "task-" + std::to_string(i)}, {"type", "http"}};
      tasks.push_back({&success.Add(labels), &failed.Add(labels), &latency.Add(labels, bounds)});
    }
    bytes = ProcessAllocations().bytes - before;
  }
  struct Task {
    prometheus::Counter* success;
    prometheus::Counter* failed;
    prometheus::Histogram* latency;
  };
  prometheus::Registry registry;
  std::vector<Task> tasks;
  uint64_t bytes = 0;
};

void PrometheusRecord(benchmark::State& state) {
  PrometheusTasks prometheus;
  std::mt19937_64 random(1);
  for (auto _ : state) {
    const uint64_t pick = random();
    PrometheusTasks::Task& task = prometheus.tasks[pick % kTasks];
    task.success->Increment();
    task.latency->Observe(static_cast<double>(pick >> 35) / 1e9);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
  state.counters["peer_bytes_per_task"] = static_cast<double>(prometheus.bytes) / kTasks;
}
BENCHMARK(PrometheusRecord);

void PrometheusReadAll(benchmark::State& state) {
  PrometheusTasks prometheus;
  for (PrometheusTasks::Task& task : prometheus.tasks) task.latency->Observe(0.003);
  for (auto _ : state) benchmark::DoNotOptimize(prometheus.registry.Collect());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kTasks));
}
BENCHMARK(PrometheusReadAll)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
