#include "tools/sonde/bench/capacity_plan.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "tools/sonde/start_load.h"

namespace sonde {
namespace {

constexpr double kDay = 86'400;

// Starts a second, in the mean of the day: cron expressions are counted.
double RateOf(const Task& task, WallTime from) {
  if (!task.schedule.is_cron()) return 1 / task.schedule.TypicalInterval().seconds();
  constexpr uint64_t kMost = 1'000'000;
  return static_cast<double>(task.schedule.CountBetween(task.id, from, from + Hours(24), kMost)) /
         kDay;
}

CapacityDemand::Kind& KindOf(const BenchType* type, std::vector<CapacityDemand::Kind>* kinds) {
  for (auto& kind : *kinds) {
    if (kind.type == type) return kind;
  }
  return kinds->emplace_back(CapacityDemand::Kind{.type = type, .tasks = {}});
}

std::optional<double> Limit(double limit) {
  if (limit <= 0) return std::nullopt;
  return limit;
}

}  // namespace

bool LeavesSpare(const Task& task) {
  const NetworkOptions& network = task.module->network;
  return task.plan->needs_descriptor && network.close == NetworkOptions::Close::kReset &&
         network.plain();
}

CapacityDemand DemandOf(const TaskFile& file, WallTime from) {
  CapacityDemand demand;
  demand.tasks = file.tasks.size();
  std::unordered_map<std::string_view, double> closes;
  std::unordered_set<std::string_view> spares, half_open;
  for (const auto& task : file.tasks) {
    if (!task->enabled) continue;
    const double rate = RateOf(*task, from);
    CapacityDemand::Kind& kind = KindOf(BenchTypeOf(*task), &demand.kinds);
    kind.tasks.push_back(task.get());
    kind.rate += rate;
    kind.silent_in_flight += std::min(1.0, rate * task->timeout.seconds());
    demand.rate += rate;
    if (!task->plan->needs_descriptor) continue;
    if (LeavesSpare(*task)) {
      spares.insert(task->plan->destination);
      if (task->module->network.half_open) half_open.insert(task->plan->destination);
    } else {
      kind.fresh_rate += rate;
    }
    if (task->module->network.close == NetworkOptions::Close::kReset) continue;
    double& its = closes[task->plan->destination];
    its += rate * OpeningsOf(*task).connections;
    if (its <= demand.busiest_closes) continue;
    demand.busiest_closes = its;
    demand.busiest = task->plan->destination;
  }
  std::sort(demand.kinds.begin(), demand.kinds.end(),
            [](const auto& a, const auto& b) { return a.type < b.type; });
  demand.spare_peers = static_cast<double>(spares.size());
  demand.half_open_peers = static_cast<double>(half_open.size());
  demand.peak_rate = LoadOf(GroupBySchedule(file.tasks), from).peak;
  return demand;
}

Work WorkOf(const CapacityDemand& demand, const std::vector<size_t>& kinds, double share) {
  Work work;
  for (const size_t i : kinds) {
    const CapacityDemand::Kind& kind = demand.kinds[i];
    work[CostKindOf(kind.type->prober)] += kind.rate * share;
    if (!kind.type->handshake || kind.type->keeps) continue;
    work[kind.type->resumes ? CostKind::kResumption : CostKind::kHandshake] += kind.rate * share;
  }
  return work;
}

Work WorkOf(const CapacityDemand& demand, double share) {
  std::vector<size_t> all(demand.kinds.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return WorkOf(demand, all, share);
}

CapacityPrediction Predict(const CapacityDemand& demand, const Rehearsal& rehearsal,
                           const EngineSettings& settings, const NodeLimits& node,
                           const Machine& machine, Duration round_trip) {
  CapacityPrediction prediction;
  struct {
    double runs = 0, streams = 0, handshakes = 0, bytes = 0;
    double with_spares = 0;  // of the streams
  } typical, silent;
  for (size_t i = 0; i < demand.kinds.size(); ++i) {
    const CapacityDemand::Kind& kind = demand.kinds[i];
    const Rehearsal::Kind& its = rehearsal.kinds[i];
    const double latency = its.latency_seconds + kind.type->round_trips * round_trip.seconds();
    for (auto [sum, runs] :
         {std::pair(&typical, kind.rate * latency), std::pair(&silent, kind.silent_in_flight)}) {
      // A kept connection is there whether a run is on it or not; TLS is nearly all it takes.
      const bool kept = kind.type->keeps && sum == &typical;
      const double streams = kept ? static_cast<double>(kind.tasks.size()) : runs;
      sum->runs += runs;
      if (kind.type->stream) {
        sum->streams += streams;
        if (kind.rate > 0) sum->with_spares += streams * (1 - kind.fresh_rate / kind.rate);
      }
      if (kind.type->handshake && !kept) sum->handshakes += runs;
      sum->bytes += (kind.type->handshake ? streams : runs) * its.in_flight_bytes;
    }
  }
  prediction.in_flight = typical.runs;
  const double spares = std::min(
      settings.io == EngineSettings::Io::kUring ? demand.half_open_peers : demand.spare_peers,
      node.descriptors / 2);
  const double rest = rehearsal.base_bytes + rehearsal.task_bytes;
  const double peak = demand.rate > 0 ? demand.peak_rate / demand.rate : 0;
  prediction.cores = rehearsal.costs.Cores(WorkOf(demand, 1), node.shards);
  prediction.cores_at_peak = rehearsal.costs.Cores(WorkOf(demand, peak), node.shards);
  prediction.rows = {
      {"processor_cores",
       "processor, cores",
       prediction.cores,
       {},
       std::min(node.shards, node.cores)},
      {"memory_bytes", "memory, bytes", rest + typical.bytes, rest + silent.bytes,
       Limit(machine.memory_bytes)},
      {"descriptors", "descriptors of probes", typical.streams, silent.streams,
       Limit(node.descriptors)},
      {"spare_sockets",
       "sockets kept for the next run",
       std::max(0.0, spares - typical.with_spares),
       std::max(0.0, spares - silent.with_spares),
       {}},
      {"in_flight", "runs in flight", typical.runs, silent.runs, Limit(node.in_flight)},
      {"handshakes", "TLS handshakes", typical.handshakes, silent.handshakes,
       Limit(static_cast<double>(settings.max_handshakes))},
      {"ports",
       "ports to the busiest destination",
       demand.busiest_closes * kTimeWaitSeconds,
       {},
       Limit(machine.ports)},
      {"bytes_per_second",
       "network, bytes a second",
       demand.rate * rehearsal.loopback_bytes,
       {},
       {}},
  };
  return prediction;
}

FirstLimit FirstLimitOf(const CapacityPrediction& prediction, bool silent) {
  FirstLimit first;
  for (const CapacityRow& row : prediction.rows) {
    const double need = silent ? row.silent.value_or(row.need) : row.need;
    if (!row.limit || need <= 0) continue;
    const double times = *row.limit / need;
    if (first.row == nullptr || times < first.times) first = {&row, times};
  }
  return first;
}

}  // namespace sonde
