#include "engine/shard/shard_counters.h"

namespace sonde {
namespace {

template <size_t n>
void Copy(const std::array<Counter, n>& from, std::array<uint64_t, n>* to) {
  for (size_t i = 0; i < n; ++i) (*to)[i] = from[i].value();
}

}  // namespace

ShardStats ShardCounters::Snapshot() const {
  ShardStats stats;
  stats.tasks = tasks.value();
  // In this order: what was started later than the first look counts as in flight.
  stats.finished = finished.value();
  stats.started = started.value();
  stats.in_flight = stats.started - stats.finished;
  stats.waiting = waiting.value();
  stats.gaps = gaps.value();
  stats.latencies_unrecorded = latencies_unrecorded.value();
  stats.handshakes_full = handshakes_full.value();
  stats.handshakes_resumed = handshakes_resumed.value();
  stats.handshakes_failed = handshakes_failed.value();
  stats.handshakes_in_progress = handshakes_in_progress.value();
  stats.datagrams_sent = datagrams_sent.value();
  stats.datagrams_received = datagrams_received.value();
  stats.datagrams_unstamped = datagrams_unstamped.value();
  Copy(datagrams_stray, &stats.datagrams_stray);
  stats.connections_idle = connections_idle.value();
  stats.connections_reused = connections_reused.value();
  stats.connections_retried = connections_retried.value();
  Copy(connections_closed, &stats.connections_closed);
  Copy(outcomes, &stats.outcomes);
  Copy(skipped, &stats.skipped);
  Copy(blocked, &stats.blocked);
  Copy(refused, &stats.refused);
  Copy(lateness, &stats.lateness);
  stats.lateness_sum_seconds = static_cast<double>(lateness_sum_ns.value()) / 1e9;
  for (const Type& type : types) {
    const Prober* prober = type.prober.load(std::memory_order_acquire);
    if (prober == nullptr) break;
    TypeRuns& runs = stats.types.emplace_back();
    runs.type = prober->name();
    Copy(type.runs, &runs.by_verdict);
  }
  return stats;
}

}  // namespace sonde
