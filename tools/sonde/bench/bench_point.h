// One stretch of time at one rate: what was seen, and whether it is good enough.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/contract/engine_stats.h"
#include "tools/sonde/bench/run_recorder.h"

namespace sonde {

// What a rate must keep to. Shares are of the slots that were due.
struct BenchBounds {
  Duration lateness_p99 = Milliseconds(10);
  double skipped = 0.001;  // slots that got no run, and runs that had to wait for a limit
  double failed = 0.0001;
  double inconclusive = 0.0001;
};

struct BenchPoint {
  double rate = 0;        // slots due a second
  double seconds = 0;     // how long
  uint64_t due = 0;       // slots of that time
  RecordedRuns recorded;  // the runs of these slots
  std::array<uint64_t, kSkipReasons> skipped_for{};
  std::array<uint64_t, kBlockReasons> blocked{};
  uint64_t datagrams_dropped = 0;

  uint64_t finished = 0;  // runs that ended meanwhile, whenever they were due
  uint64_t handshakes_full = 0, handshakes_resumed = 0;  // meanwhile
  uint64_t turns = 0;                                    // of the shards' loops
  double processor_seconds = 0;                          // of the whole prober, meanwhile
  double shard_busy = 0;                                 // the busiest shard's share of a processor
  double shard_waited = 0;        // the most a shard was ready to run and had none: a share too
  double farm_busy = 0;           // of its busiest thread; 0 without a farm
  bool shared_processor = false;  // prober and farm have no processor of their own
  uint64_t loopback_bytes = 0;

  uint64_t skipped() const { return due - std::min(due, recorded.runs); }
  uint64_t blocked_sum() const;
  double microseconds_per_probe() const;  // of processor; 0 when none ended
};

enum class Bound : uint8_t { kLateness, kSkipped, kFailed, kInconclusive };
std::string_view BoundName(Bound bound);  // "lateness"

// The bound it breaks: the one that says most about why. nullopt: it keeps all of them.
std::optional<Bound> BrokenBound(const BenchPoint& point, const BenchBounds& bounds);

// Who could not do more.
enum class Limiter : uint8_t { kProber, kFarm, kMachine, kLimit, kReceiveQueue, kUnknown };
std::string_view LimiterName(Limiter limiter);  // "prober"
Limiter LimiterOf(const BenchPoint& point);

// "lateness p99 14.2 ms, at most 10 ms; the prober used up its core (98 %)". The point breaks
// `bound`.
std::string WhyBroken(const BenchPoint& point, const BenchBounds& bounds, Bound bound);

}  // namespace sonde
