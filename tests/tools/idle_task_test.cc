// What a task that waits for its next slot takes in the whole process, texts apart: so that growth
// is a decision. bench/memory_report shows the same with its parts.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/shard/shard.h"
#include "exporter/catalog.h"
#include "protocols/registry.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/still_network.h"
#include "tools/sonde/configuration.h"

namespace sonde {
namespace {

constexpr size_t kTasks = 10'000;
constexpr WallTime kStart{1'790'000'000'000'000'000};

// Every text has some twenty letters, so that each takes a block of its own where it stands.
std::string Fleet(std::string_view kind) {
  std::string text = "metrics: {recent: false}\ntasks:\n";
  for (size_t i = 10'000; i < 10'000 + kTasks; ++i) {
    const std::string n = std::to_string(i);
    text += "- {name: shop-health-check-" + n + ", type: " + std::string(kind) + ", target: '" +
            (kind == "http" ? "http://" : "") + "shop-" + n + ".example" +
            (kind == "tcp" ? ":6379" : "") + "', application: shop}\n";
  }
  return text;
}

struct Parts {
  double task, engine, exporter;  // bytes of a task
};

Parts Measure(std::string_view kind) {
  StillNetwork network(0);
  Shard::Options options;
  options.start = network.now;
  options.wall_minus_mono = Duration{kStart.ns - network.now.ns};
  Shard shard(options, network, nullptr, nullptr);
  Configuration configuration;
  Catalog catalog;
  const auto per_task = [](int64_t from, int64_t to) {
    return static_cast<double>(to - from) / static_cast<double>(kTasks);
  };
  const int64_t before = HeldBytes();
  std::vector<std::shared_ptr<const Task>> tasks;
  {
    Diagnostics diagnostics;
    tasks = ReadTaskFile(Fleet(kind), Probers(), diagnostics).tasks;
    EXPECT_EQ(tasks.size(), kTasks) << diagnostics.ToString("text");
  }
  const int64_t loaded = HeldBytes();
  TaskDelta delta = configuration.Replace(tasks);
  const int64_t of_delta = static_cast<int64_t>(delta.upserts.capacity() * sizeof delta.upserts[0]);
  const int64_t counted = HeldBytes() - of_delta;
  catalog.Apply(delta);
  const int64_t shown = HeldBytes() - of_delta;
  for (TaskDelta::Upsert& upsert : delta.upserts) shard.Apply(std::move(upsert));
  const int64_t applied = HeldBytes() - of_delta;
  return {per_task(before, loaded), per_task(loaded, counted) + per_task(shown, applied),
          per_task(counted, shown)};
}

TEST(IdleTaskTest, TakesWhatItDid) {
  if (!kCountsAllocations) GTEST_SKIP();
  const struct {
    std::string_view kind;
    double task;  // the value, the plan, their texts
  } kBars[] = {{"http", 1150}, {"tcp", 600}, {"icmp", 600}};
  for (const auto& bar : kBars) {
    const Parts parts = Measure(bar.kind);
    EXPECT_LE(parts.task, bar.task) << bar.kind;
    // Counters, reasons, windows, last result, histogram; timer and state; both places.
    EXPECT_LE(parts.engine, 1000) << bar.kind;
    EXPECT_LE(parts.exporter, 300) << bar.kind;
    RecordProperty(std::string(bar.kind),
                   static_cast<int>(parts.task + parts.engine + parts.exporter));
  }
}

}  // namespace
}  // namespace sonde
