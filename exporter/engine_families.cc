#include "exporter/engine_families.h"

#include <array>
#include <map>
#include <string>

namespace sonde {
namespace {

// A family that is one number of every shard, added up.
struct Scalar {
  MetricFamilyHead head;
  uint64_t ShardStats::*value;
};

constexpr MetricType kCounter = MetricType::kCounter;
constexpr MetricType kGauge = MetricType::kGauge;

constexpr std::array<Scalar, 17> kScalars = {{
    {{"sonde_runs_started_total", kCounter, "Scheduled runs started"}, &ShardStats::started},
    {{"sonde_runs_finished_total", kCounter, "Scheduled runs finished, with whatever verdict"},
     &ShardStats::finished},
    {{"sonde_runs_in_flight", kGauge, "Scheduled runs started and not finished"},
     &ShardStats::in_flight},
    {{"sonde_runs_waiting", kGauge, "Tasks that are due and wait in the start queue"},
     &ShardStats::waiting},
    {{"sonde_loop_turns_total", kCounter, "Turns of the shards' loops"}, &ShardStats::turns},
    {{"sonde_loop_gaps_total", kCounter, "Times a shard stood still long enough to spoil timings"},
     &ShardStats::gaps},
    {{"sonde_latencies_unrecorded_total", kCounter,
      "Passed runs whose latency was not recorded because their shard stood still meanwhile"},
     &ShardStats::latencies_unrecorded},
    {{"sonde_tls_handshakes_in_progress", kGauge, "TLS handshakes going on"},
     &ShardStats::handshakes_in_progress},
    {{"sonde_probe_descriptors", kGauge, "Descriptors open for probes"}, &ShardStats::descriptors},
    {{"sonde_spare_sockets", kGauge,
      "Sockets kept for the next run of a target (close: reset, half_open)"},
     &ShardStats::spares},
    {{"sonde_datagrams_sent_total", kCounter, "UDP and ICMP messages sent"},
     &ShardStats::datagrams_sent},
    {{"sonde_datagrams_received_total", kCounter, "UDP and ICMP messages received"},
     &ShardStats::datagrams_received},
    {{"sonde_datagrams_dropped_total", kCounter,
      "Messages the kernel dropped because a receive queue of the prober was full"},
     &ShardStats::datagrams_dropped},
    {{"sonde_datagrams_unstamped_total", kCounter,
      "Messages received without a time stamp of the kernel's"},
     &ShardStats::datagrams_unstamped},
    {{"sonde_connections_idle", kGauge, "Connections kept for the next run of their task"},
     &ShardStats::connections_idle},
    {{"sonde_connections_reused_total", kCounter,
      "Runs that began on a connection of an earlier run"},
     &ShardStats::connections_reused},
    {{"sonde_connections_retried_total", kCounter,
      "Runs whose kept connection had ended, and that opened another"},
     &ShardStats::connections_retried},
}};

uint64_t Sum(std::span<const ShardStats> shards, uint64_t ShardStats::*value) {
  uint64_t sum = 0;
  for (const ShardStats& shard : shards) sum += shard.*value;
  return sum;
}

std::string Label(std::string_view name, std::string_view value) {
  std::string labels;
  AppendLabel(&labels, name, value);
  return labels;
}

// A counter with one label out of a closed list.
template <size_t N>
void WriteByReason(Exposition& out, const MetricFamilyHead& head, std::string_view label,
                   const std::array<std::string_view, N>& names, std::span<const ShardStats> shards,
                   std::array<uint64_t, N> ShardStats::*values) {
  out.Begin(head);
  for (size_t i = 0; i < N; ++i) {
    uint64_t sum = 0;
    for (const ShardStats& shard : shards) sum += (shard.*values)[i];
    out.Sample(head.name, Label(label, names[i]), sum);
  }
}

void WriteRuns(Exposition& out, std::span<const ShardStats> shards) {
  std::map<std::string_view, std::array<uint64_t, kVerdicts>> types;
  for (const ShardStats& shard : shards) {
    for (const TypeRuns& runs : shard.types) {
      for (size_t i = 0; i < kVerdicts; ++i) types[runs.type][i] += runs.by_verdict[i];
    }
  }
  if (types.empty()) return;
  constexpr MetricFamilyHead kHead = {"sonde_runs_total", kCounter,
                                      "Finished scheduled runs by task type and verdict"};
  out.Begin(kHead);
  for (const auto& [type, verdicts] : types) {
    for (size_t i = 0; i < kVerdicts; ++i) {
      std::string labels = Label("type", type);
      AppendLabel(&labels, "outcome", VerdictName(static_cast<Verdict>(i)));
      out.Sample(kHead.name, labels, verdicts[i]);
    }
  }
}

void WriteInconclusive(Exposition& out, std::span<const ShardStats> shards) {
  constexpr MetricFamilyHead kHead = {
      "sonde_runs_inconclusive_total", kCounter,
      "Runs that say nothing about their target because of the prober's own trouble, by reason"};
  out.Begin(kHead);
  for (const OutcomeInfo& info : Outcomes()) {
    if (VerdictOf(info.fault) != Verdict::kInconclusive) continue;
    uint64_t sum = 0;
    for (const ShardStats& shard : shards) {
      sum += shard.outcomes[static_cast<size_t>(info.outcome)];
    }
    out.Sample(kHead.name, Label("reason", info.reason), sum);
  }
}

void WriteLateness(Exposition& out, std::span<const ShardStats> shards) {
  constexpr MetricFamilyHead kHead = {"sonde_schedule_lateness_seconds", MetricType::kHistogram,
                                      "How long after their due time runs were started"};
  std::array<uint64_t, kLatenessBuckets> buckets{};
  double sum = 0;
  for (const ShardStats& shard : shards) {
    for (size_t i = 0; i < kLatenessBuckets; ++i) buckets[i] += shard.lateness[i];
    sum += shard.lateness_sum_seconds;
  }
  out.Begin(kHead);
  HistogramLines(kHead.name, kLatenessBounds, out.format()).Write(out, {}, buckets, sum);
}

// A family that is one number of each shard.
struct PerShard {
  MetricFamilyHead head;
  double ShardStats::*value;
};
constexpr std::array<PerShard, 2> kPerShard = {{
    {{"sonde_loop_utilization_ratio", kGauge, "Busy share of a shard's loop over the last seconds"},
     &ShardStats::loop_utilization},
    {{"sonde_shard_cpu_seconds_total", kCounter, "Processor time of a shard's thread"},
     &ShardStats::cpu_seconds},
}};
void WritePerShard(Exposition& out, std::span<const ShardStats> shards) {
  if (shards.empty()) return;
  for (const PerShard& family : kPerShard) {
    out.Begin(family.head);
    for (size_t i = 0; i < shards.size(); ++i) {
      out.Sample(family.head.name, Label("shard", std::to_string(i)), shards[i].*family.value);
    }
  }
}

// Families whose label values are members of ShardStats.
struct Part {
  std::string_view value;
  uint64_t ShardStats::*count;
};
void WriteParts(Exposition& out, std::span<const ShardStats> shards, const MetricFamilyHead& head,
                std::string_view label, std::span<const Part> parts) {
  out.Begin(head);
  for (const Part& part : parts) {
    out.Sample(head.name, Label(label, part.value), Sum(shards, part.count));
  }
}

constexpr std::array<Part, 2> kLookups = {
    {{"hit", &ShardStats::resolver_hits}, {"miss", &ShardStats::resolver_misses}}};
constexpr std::array<Part, 3> kHandshakes = {{{"full", &ShardStats::handshakes_full},
                                              {"resumed", &ShardStats::handshakes_resumed},
                                              {"failed", &ShardStats::handshakes_failed}}};

}  // namespace

void WriteEngineFamilies(Exposition& out, std::span<const ShardStats> shards) {
  WriteRuns(out, shards);
  WriteInconclusive(out, shards);
  WriteByReason(
      out, {"sonde_runs_skipped_total", kCounter, "Slots of the schedule without a run, by reason"},
      "reason", kSkipReasonNames, shards, &ShardStats::skipped);
  WriteByReason(out,
                {"sonde_runs_blocked_total", kCounter,
                 "Times a due task had to wait before it could start, by reason"},
                "reason", kBlockReasonNames, shards, &ShardStats::blocked);
  WriteByReason(out,
                {"sonde_policy_refusals_total", kCounter,
                 "Connections the probe policy refused, by kind of rule"},
                "kind", kPolicyKindNames, shards, &ShardStats::refused);
  WriteByReason(out,
                {"sonde_datagrams_stray_total", kCounter,
                 "Messages received that answered no run in flight, by reason"},
                "reason", kStrayReasonNames, shards, &ShardStats::datagrams_stray);
  WriteByReason(out,
                {"sonde_connections_closed_total", kCounter,
                 "Kept connections that were closed before a run took them, by reason"},
                "reason", kIdleEndNames, shards, &ShardStats::connections_closed);
  for (const Scalar& scalar : kScalars) {
    out.Begin(scalar.head);
    out.Sample(scalar.head.name, {}, Sum(shards, scalar.value));
  }
  WriteLateness(out, shards);
  WritePerShard(out, shards);
  WriteParts(out, shards,
             {"sonde_resolver_lookups_total", kCounter,
              "Names looked up for scheduled runs: answered from the cache, or asked of a server"},
             "result", kLookups);
  WriteParts(out, shards,
             {"sonde_tls_handshakes_total", kCounter, "TLS handshakes of probes by how they ended"},
             "result", kHandshakes);
}

}  // namespace sonde
