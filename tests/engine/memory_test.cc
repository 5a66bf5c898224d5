// What a task at rest and a probe in flight take, so that growth is a decision and not an accident.
// bench/memory_report measures the same through malloc, with everything around it.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/shard/shard.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/still_network.h"

namespace sonde {
namespace {

constexpr size_t kTasks = 10'000;
constexpr WallTime kStart{1'790'000'000'000'000'000};

struct Grounds {
  explicit Grounds(size_t most_streams) : network(most_streams) {
    Shard::Options options;
    options.start = network.now;
    options.wall_minus_mono = Duration{kStart.ns - network.now.ns};
    options.limits.in_flight = 1'000'000;
    shard = std::make_unique<Shard>(options, network, nullptr, nullptr);
  }
  // Turns until every task's first run is in the air. Slots are 60 s apart, time-outs 100 s.
  void StartProbes(size_t probes) {
    for (int turn = 0; turn < 20'000 && network.streams.size() < probes; ++turn) {
      network.now = network.now + Milliseconds(10);
      shard->BeginTurn(network.now);
      shard->EndTurn(network.now, {kStart.ns + (network.now - Instant{Seconds(1'000).ns}).ns});
    }
    ASSERT_EQ(shard->in_flight(), probes);
  }
  StillNetwork network;
  std::unique_ptr<Shard> shard;
};

// `count` tasks of one type, each with an address of its own.
std::vector<std::shared_ptr<const Task>> Tasks(const std::string& type, size_t count,
                                               const std::string& metrics = "recent: false") {
  std::string text = "metrics: {" + metrics + "}\ntasks:\n";
  for (size_t i = 0; i < count; ++i) {
    const std::string at = "10.0." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
    text += "- {name: shop-health-" + std::to_string(i) + ", type: " + type + ", target: '" +
            (type == "http" ? "http://" + at + "/'" : at + ":80'") +
            ", interval: 60s, timeout: 100s}\n";
  }
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("text");
  return std::move(file.tasks);
}

double PerTask(uint64_t count) { return static_cast<double>(count) / static_cast<double>(kTasks); }

TEST(MemoryTest, SizesArePinned) {
  EXPECT_LE(sizeof(Tally), 736u);
  EXPECT_LE(sizeof(TaskRecord), sizeof(Tally) + 16);
  EXPECT_LE(Shard::bytes_per_task(), 160u);
  EXPECT_LE(sizeof(ProbeResult), 288u);
  EXPECT_LE(sizeof(Task), 240u);
  const Grounds grounds(0);
  EXPECT_LE(grounds.shard->bytes_per_slot(), 1408u);
}

// The design's budget: engine and tally of a task within 1 KiB.
TEST(MemoryTest, AnIdleTaskTakesAKibibyteOfEngineAndTally) {
  if (!kCountsAllocations) GTEST_SKIP();
  const auto tasks = Tasks("tcp", kTasks);
  Grounds grounds(0);
  const AllocationCount before = ThreadAllocations();
  for (const auto& task : tasks) {
    grounds.shard->Apply({std::make_shared<TaskRecord>(task), task});
  }
  const AllocationCount taken = ThreadAllocations() - before;
  EXPECT_LE(PerTask(taken.bytes), 1024);
  // The record, the entry, its place; the table of places grows now and then.
  EXPECT_LE(PerTask(taken.allocations), 3.01);
}

// The optional parts: what a task asks for, when its record is made, and nothing otherwise.
TEST(MemoryTest, OptionalPartsAreTakenWhereTheyAreWanted) {
  if (!kCountsAllocations) GTEST_SKIP();
  const auto bytes = [](const std::string& metrics) {
    const auto tasks = Tasks("tcp", 1, metrics);
    const AllocationCount before = ThreadAllocations();
    const auto record = std::make_shared<TaskRecord>(tasks.front());
    return (ThreadAllocations() - before).bytes;
  };
  const uint64_t without = bytes("recent: false");
  EXPECT_EQ(bytes("recent: true") - without, sizeof(ResultRing));
  EXPECT_EQ(bytes("recent: false, families: [native]") - without, sizeof(NativeHistogram));
  EXPECT_EQ(bytes("recent: true, families: [native]") - without,
            sizeof(ResultRing) + sizeof(NativeHistogram));
}

// Runs that come and go take nothing; only a new height of runs in flight does: its slot.
TEST(MemoryTest, AProbeInFlightTakesItsSlot) {
  if (!kCountsAllocations) GTEST_SKIP();
  for (const std::string type : {"tcp", "http"}) {
    Grounds grounds(kTasks);
    for (const auto& task : Tasks(type, kTasks)) {
      grounds.shard->Apply({std::make_shared<TaskRecord>(task), task});
    }
    const AllocationCount before = ThreadAllocations();
    grounds.StartProbes(kTasks);
    if (type == "http") {  // the request is on its way, the answer awaited
      for (const StillNetwork::Stream& stream : grounds.network.streams) {
        grounds.shard->events().OnConnected(stream.slot, grounds.network.now);
      }
      ASSERT_EQ(grounds.shard->in_flight(), kTasks);
    }
    EXPECT_LE(PerTask((ThreadAllocations() - before).bytes), 2048) << type;
    EXPECT_LE(PerTask((ThreadAllocations() - before).allocations), 1.01) << type;
  }
}

}  // namespace
}  // namespace sonde
