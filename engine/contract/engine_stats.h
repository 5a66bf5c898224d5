// How the engine itself is doing, as plain numbers: the counters behind the sonde_* families.
// Counters start at 0 with the process and never go back; arrays are indexed by the enums below,
// whose tables carry the label values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/contract/outcome.h"

namespace sonde {

// Why a slot of the schedule got no run.
enum class SkipReason : uint8_t {
  kOverlap,    // the task was still waiting or running
  kStall,      // the loop stood still
  kClockStep,  // the wall clock was set forward
  kCount,
};
inline constexpr size_t kSkipReasons = static_cast<size_t>(SkipReason::kCount);
inline constexpr std::array<std::string_view, kSkipReasons> kSkipReasonNames = {"overlap", "stall",
                                                                                "clock_step"};

// Why a due task had to wait in the start queue. Counted once per wait and reason.
enum class BlockReason : uint8_t {
  kInFlight,     // runs in flight on the shard
  kDestination,  // runs in flight to the same destination
  kRate,         // starts per second to the same destination
  kHandshakes,   // TLS handshakes in progress
  kDescriptors,
  kPorts,
  kCount,
};
inline constexpr size_t kBlockReasons = static_cast<size_t>(BlockReason::kCount);
inline constexpr std::array<std::string_view, kBlockReasons> kBlockReasonNames = {
    "in_flight", "destination", "rate", "handshakes", "descriptors", "ports"};

// Which kind of probe policy rule refused a leg.
enum class PolicyKind : uint8_t { kAddress, kName, kPort, kScheme, kCount };
inline constexpr size_t kPolicyKinds = static_cast<size_t>(PolicyKind::kCount);
inline constexpr std::array<std::string_view, kPolicyKinds> kPolicyKindNames = {"address", "name",
                                                                                "port", "scheme"};

// Why a datagram that arrived was nobody's answer.
enum class StrayReason : uint8_t {
  kLate,       // the run it answers is over, unanswered
  kDuplicate,  // the run it answers is over, and had its answer
  kForeign,    // it answers nothing we sent, or comes from somebody we did not ask
  kMalformed,  // too short, or no answer at all
  kCount,
};
inline constexpr size_t kStrayReasons = static_cast<size_t>(StrayReason::kCount);
inline constexpr std::array<std::string_view, kStrayReasons> kStrayReasonNames = {
    "late", "duplicate", "foreign", "malformed"};

// Why a connection between two runs of its task was closed.
enum class IdleEnd : uint8_t {
  kPeer,         // the peer closed it, or said something nobody asked for
  kAge,          // it was idle, or open, for as long as connections are kept
  kDescriptors,  // a run needed its descriptor
  kChanged,      // the task changed or went, or a file its TLS depends on
  kUnused,       // the task's next run went elsewhere
  kCount,
};
inline constexpr size_t kIdleEnds = static_cast<size_t>(IdleEnd::kCount);
inline constexpr std::array<std::string_view, kIdleEnds> kIdleEndNames = {
    "peer", "age", "descriptors", "changed", "unused"};

inline constexpr size_t kVerdicts = 3;  // Verdict: success, failed, inconclusive

#define SONDE_COUNT_OUTCOME(name, phase, reason, fault, sentence) +1
inline constexpr size_t kOutcomeCount = 0 SONDE_OUTCOMES(SONDE_COUNT_OUTCOME);
#undef SONDE_COUNT_OUTCOME

// Upper bounds of sonde_schedule_lateness_seconds (due to started); the last bucket is +Inf.
inline constexpr std::array<double, 13> kLatenessBounds = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0};
inline constexpr size_t kLatenessBuckets = kLatenessBounds.size() + 1;

// Index of the bucket a lateness belongs to (bounds are inclusive).
constexpr size_t LatenessBucket(double seconds) {
  size_t i = 0;
  while (i < kLatenessBounds.size() && seconds > kLatenessBounds[i]) ++i;
  return i;
}

// Runs of one task type by verdict. `type` is Prober::name() and lives as long as the process.
struct TypeRuns {
  std::string_view type;
  std::array<uint64_t, kVerdicts> by_verdict{};
};

// One shard at one moment. Counters of one snapshot need not be of the very same turn of the loop,
// except started, finished and in_flight: started == finished + in_flight always holds.
struct ShardStats {
  uint64_t tasks = 0;  // tasks the shard holds, enabled or not

  uint64_t started = 0;
  uint64_t finished = 0;
  uint64_t in_flight = 0;
  uint64_t waiting = 0;         // tasks in the start queue now
  std::vector<TypeRuns> types;  // types met so far (or all that are registered), in any order

  std::array<uint64_t, kOutcomeCount> outcomes{};  // finished runs, indexed by Outcome
  std::array<uint64_t, kSkipReasons> skipped{};    // slots
  std::array<uint64_t, kBlockReasons> blocked{};   // waits
  std::array<uint64_t, kPolicyKinds> refused{};    // legs refused by the probe policy

  std::array<uint64_t, kLatenessBuckets> lateness{};  // not cumulative
  double lateness_sum_seconds = 0;

  uint64_t gaps = 0;                  // times the loop stood still (DESIGN: late)
  uint64_t latencies_unrecorded = 0;  // passes whose latency a gap spoiled

  double loop_utilization = 0;  // busy share of the last seconds, 0 to 1
  double cpu_seconds = 0;       // processor time of its thread
  uint64_t turns = 0;           // of its loop

  uint64_t resolver_hits = 0;    // answered from the cache, the hosts file excluded
  uint64_t resolver_misses = 0;  // asked of a server

  uint64_t handshakes_full = 0;
  uint64_t handshakes_resumed = 0;
  uint64_t handshakes_failed = 0;
  uint64_t handshakes_in_progress = 0;

  uint64_t descriptors = 0;  // open now for probes
  uint64_t spares = 0;       // sockets without a connection, kept for a peer's next

  uint64_t connections_idle = 0;     // between two runs of their task, now
  uint64_t connections_reused = 0;   // runs that began on one
  uint64_t connections_retried = 0;  // of them those that had to open another: it had ended
  std::array<uint64_t, kIdleEnds> connections_closed{};

  uint64_t datagrams_sent = 0;
  uint64_t datagrams_received = 0;
  std::array<uint64_t, kStrayReasons> datagrams_stray{};  // of those received
  uint64_t datagrams_dropped = 0;    // by the kernel: a receive queue of ours was full
  uint64_t datagrams_unstamped = 0;  // received without a stamp of the kernel's
};

// Implemented by the engine.
class EngineStats {
 public:
  virtual ~EngineStats() = default;
  // One entry per shard, in the order of their numbers. Any thread; does not wait for a shard.
  virtual std::vector<ShardStats> Snapshot() const = 0;
};

}  // namespace sonde
