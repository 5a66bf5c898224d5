// A shard's counters: written by its thread, read by any. Each value is right by itself; release
// and acquire make a reader who saw a run finished see it started too.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "engine/contract/engine_stats.h"
#include "engine/contract/outcome.h"
#include "engine/contract/task.h"

namespace sonde {

// A single writer's counter: load and store, no locked instruction.
class Counter {
 public:
  void Add(uint64_t n = 1) { Set(value() + n); }
  void Set(uint64_t n) { value_.store(n, std::memory_order_release); }
  uint64_t value() const { return value_.load(std::memory_order_acquire); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct ShardCounters {
  static constexpr size_t kTypes = 16;  // protocols of the registry at most

  Counter tasks, started, finished, waiting, gaps, latencies_unrecorded;
  Counter handshakes_full, handshakes_resumed, handshakes_failed, handshakes_in_progress;
  Counter datagrams_sent, datagrams_received, datagrams_unstamped;
  std::array<Counter, kStrayReasons> datagrams_stray;
  Counter connections_idle, connections_reused, connections_retried;
  std::array<Counter, kIdleEnds> connections_closed;
  std::array<Counter, kOutcomeCount> outcomes;
  std::array<Counter, kSkipReasons> skipped;
  std::array<Counter, kBlockReasons> blocked;
  std::array<Counter, kPolicyKinds> refused;
  std::array<Counter, kLatenessBuckets> lateness;
  Counter lateness_sum_ns;
  struct Type {
    std::atomic<const Prober*> prober{nullptr};
    std::array<Counter, kVerdicts> runs;
  };
  std::array<Type, kTypes> types;

  void CountRun(const Prober* prober, Verdict verdict) {
    for (Type& type : types) {
      const Prober* known = type.prober.load(std::memory_order_relaxed);
      if (known == nullptr) type.prober.store(known = prober, std::memory_order_release);
      if (known != prober) continue;
      type.runs[static_cast<size_t>(verdict)].Add();
      return;
    }
  }

  // Any thread. What only the loop knows (utilization, resolver, descriptors) is added by it.
  ShardStats Snapshot() const;
};

}  // namespace sonde
