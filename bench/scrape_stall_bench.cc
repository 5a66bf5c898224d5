// What a reader costs a shard: how long the turns of one take while a page of a million lines is
// rendered on another core, beside those of the same shard while nobody reads. The shard probes
// without a kernel (AnsweringNetwork) and turns without a pause, each turn a millisecond of its
// time, so that it writes the tallies being read as fast as it can. Turns in which the scheduler
// gave the core to somebody else are counted and left out; a turn that waits for a lock gives it
// away by itself, and is counted apart.
//   scrape_stall_bench [TASKS] [ROUNDS]        (default 30000 9)
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/answering_network.h"
#include "engine/shard/shard.h"
#include "exporter/catalog.h"
#include "exporter/metrics_page.h"
#include "protocols/registry.h"
#include "store/task_file.h"

namespace sonde {
namespace {

constexpr WallTime kStart{1'795'193'360'000'000'000};
constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

TaskFile Fleet(size_t tasks) {
  std::string text = "metrics: {recent: false}\ntasks:\n";
  for (size_t i = 0; i < tasks; ++i) {
    text += "- {name: t" + std::to_string(i) + ", type: http, interval: 1s, target: 'http://10." +
            std::to_string(i / 62'500) + "." + std::to_string(i / 250 % 250) + "." +
            std::to_string(1 + i % 250) + "/health'}\n";
  }
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  if (!diagnostics.ok()) {
    std::fputs(diagnostics.ToString("scrape_stall_bench").c_str(), stderr);
    std::abort();
  }
  return file;
}

void Pin(std::thread::native_handle_type thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (pthread_setaffinity_np(thread, sizeof set, &set) != 0) std::abort();
}

// Of the turns of one kind: while nobody reads, or while a page is rendered.
struct Turns {
  std::vector<double> us;  // those that had the core to themselves
  size_t taken = 0;        // turns the scheduler interrupted
  size_t given = 0;        // turns that gave the core away: waits

  double Quantile(double q) {
    if (us.empty()) return 0;
    std::sort(us.begin(), us.end());
    return us[std::min(us.size() - 1, static_cast<size_t>(q * static_cast<double>(us.size())))];
  }
};

class ReadShard {
 public:
  ReadShard(const TaskFile& file, Catalog* catalog) : network_(kAnswer) {
    Shard::Options options;
    options.start = network_.now;
    options.wall_minus_mono = Duration{kStart.ns - network_.now.ns};
    shard_ = std::make_unique<Shard>(options, network_, nullptr, nullptr);
    TaskDelta delta;
    for (const auto& task : file.tasks) {
      delta.upserts.push_back({std::make_shared<TaskRecord>(task), task});
      shard_->Apply(delta.upserts.back());
    }
    catalog->Apply(delta);
    for (int i = 0; i < 3'000; ++i) Turn();  // every task ran
  }

  // A thread's life, until Stop.
  void Run() {
    rusage before = Usage();
    auto began = std::chrono::steady_clock::now();
    while (!stop_.load(std::memory_order_relaxed)) {
      const bool read = read_.load(std::memory_order_acquire);
      Turn();
      const auto ended = std::chrono::steady_clock::now();
      const rusage after = Usage();
      if (read == read_.load(std::memory_order_acquire)) {
        Turns& kind = turns_[read];
        if (after.ru_nvcsw != before.ru_nvcsw) ++kind.given;
        if (after.ru_nivcsw != before.ru_nivcsw) {
          ++kind.taken;
        } else {
          kind.us.push_back(std::chrono::duration<double, std::micro>(ended - began).count());
        }
      }
      before = Usage();
      began = std::chrono::steady_clock::now();
    }
  }
  void Stop() { stop_ = true; }
  void SetRead(bool read) { read_.store(read, std::memory_order_release); }
  WallTime wall() const { return {wall_ns_.load(std::memory_order_relaxed)}; }
  Turns& turns(bool read) { return turns_[read]; }
  ShardStats stats() const { return shard_->Stats(); }

 private:
  static rusage Usage() {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    return usage;
  }
  void Turn() {
    network_.now = network_.now + Milliseconds(1);
    shard_->BeginTurn(network_.now);
    network_.Deliver(shard_->events());
    const WallTime wall{kStart.ns + network_.now.ns - Seconds(1'000).ns};
    shard_->EndTurn(network_.now, wall);
    wall_ns_.store(wall.ns, std::memory_order_relaxed);
  }

  AnsweringNetwork network_;
  std::unique_ptr<Shard> shard_;
  std::atomic<bool> stop_{false}, read_{false};
  std::atomic<int64_t> wall_ns_{kStart.ns};
  std::array<Turns, 2> turns_;
};

size_t Render(const Catalog& catalog, WallTime now) {
  MetricsPage page(catalog.Snapshot(), FamilySet::All(), Format::kText, now, nullptr);
  std::string chunk;
  size_t lines = 0;
  for (BodyStep step = BodyStep::kMore; step == BodyStep::kMore;) {
    chunk.clear();
    step = page.Next(chunk);
    lines += static_cast<size_t>(std::count(chunk.begin(), chunk.end(), '\n'));
  }
  return lines;
}

int Measure(size_t tasks, int rounds) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  if (cpus.size() < 2) {
    std::fputs("scrape_stall_bench: needs two cores\n", stderr);
    return 1;
  }
  Catalog catalog;
  ReadShard shard(Fleet(tasks), &catalog);
  std::thread thread([&shard] { shard.Run(); });
  Pin(thread.native_handle(), cpus.back());
  Pin(pthread_self(), cpus.front());
  std::string other(64 << 20, '\0');
  size_t lines = 0;
  std::vector<double> ms;
  for (int round = 0; round < rounds; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    std::fill(other.begin(), other.end(), static_cast<char>(round));  // the page begins cold
    asm volatile("" : : "r"(other.data()) : "memory");
    const auto began = std::chrono::steady_clock::now();
    shard.SetRead(true);
    lines = Render(catalog, shard.wall());
    shard.SetRead(false);
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began)
                     .count());
  }
  shard.Stop();
  thread.join();
  std::sort(ms.begin(), ms.end());
  std::printf("%zu tasks, page of %zu lines in %.0f ms, %d pages; %llu runs\n", tasks, lines,
              ms[ms.size() / 2], rounds, static_cast<unsigned long long>(shard.stats().finished));
  std::printf("  %-16s %8s %8s %8s %8s %8s %8s %8s\n", "turns, us", "turns", "p50", "p99", "p99.9",
              "longest", "taken", "waited");
  for (const bool read : {false, true}) {
    Turns& turns = shard.turns(read);
    std::printf("  %-16s %8zu %8.0f %8.0f %8.0f %8.0f %8zu %8zu\n",
                read ? "page being read" : "nobody reads", turns.us.size(), turns.Quantile(0.5),
                turns.Quantile(0.99), turns.Quantile(0.999), turns.Quantile(1), turns.taken,
                turns.given);
  }
  return 0;
}

}  // namespace
}  // namespace sonde

int main(int argc, char** argv) {
  const auto number = [&](int i, int otherwise) {
    return argc > i ? std::max(1, std::atoi(argv[i])) : otherwise;
  };
  return sonde::Measure(static_cast<size_t>(number(1, 30'000)), number(2, 9));
}
