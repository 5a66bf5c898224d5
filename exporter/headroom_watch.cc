#include "exporter/headroom_watch.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

namespace sonde {
namespace {

using prometheus::Family;
using prometheus::Gauge;

constexpr double kSmoothing = 0.2;  // of one look
// A ratio below the first is warned of; above the second the warning is forgotten.
constexpr double kShort = 0, kEnough = 0.05;

Family<Gauge>& Add(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.0f", value);
  return text;
}

}  // namespace

HeadroomWatch::HeadroomWatch(prometheus::Registry& registry, Logger& log) : log_(log) {
  ratio_ =
      &Add(registry, "sonde_headroom_ratio",
           "What is left of the limit that comes first, 1 to 0; below 0 the tasks ask for more "
           "than this process can carry")
           .Add({});
  auto& uses = Add(registry, "sonde_capacity_use_ratio",
                   "What the tasks ask for, as a share of what there is, by limit");
  for (size_t i = 0; i < Headroom::kLimits; ++i) {
    uses_[i] = &uses.Add({{"limit", std::string(Headroom::kNames[i])}});
  }
  auto& costs = Add(registry, "sonde_probe_cost_seconds",
                    "Processor time of one run, handshake or turn of the loop, as learnt");
  for (size_t i = 0; i < kCostKinds; ++i) {
    costs_gauges_[i] = &costs.Add({{"kind", std::string(kCostKindNames[i])}});
  }
  Judge();
}

void HeadroomWatch::Plan(const Demand& demand, const NodeLimits& node) {
  const double other = node_.other_cores;  // as measured
  demand_ = demand;
  node_ = node;
  node_.other_cores = std::max(node.other_cores, other);
  short_ = false;
  Judge();
}

HeadroomWatch::Seen HeadroomWatch::Read(std::span<const ShardStats> shards,
                                        double process_cpu_seconds, Instant now) {
  Seen seen{.at = now, .process_seconds = process_cpu_seconds};
  for (const ShardStats& shard : shards) {
    for (const TypeRuns& runs : shard.types) {
      for (const uint64_t count : runs.by_verdict) {
        seen.work[CostKindOf(runs.type)] += static_cast<double>(count);
      }
    }
    // One that failed went most of the way.
    seen.work[CostKind::kHandshake] +=
        static_cast<double>(shard.handshakes_full + shard.handshakes_failed);
    seen.work[CostKind::kResumption] += static_cast<double>(shard.handshakes_resumed);
    seen.work[CostKind::kTurn] += static_cast<double>(shard.turns);
    seen.finished += static_cast<double>(shard.finished);
    seen.in_flight += static_cast<double>(shard.in_flight);
    seen.descriptors += static_cast<double>(shard.descriptors);
    seen.handshakes += static_cast<double>(shard.handshakes_in_progress);
    seen.shard_seconds += shard.cpu_seconds;
  }
  return seen;
}

void HeadroomWatch::Observe(std::span<const ShardStats> shards, double process_cpu_seconds,
                            Instant now) {
  const Seen seen = Read(shards, process_cpu_seconds, now);
  const std::optional<Seen> before = std::exchange(before_, seen);
  if (!before || now <= before->at) return;
  const double elapsed = (now - before->at).seconds();
  Work done = seen.work;
  for (size_t i = 0; i < kCostKinds; ++i) done.count[i] -= before->work.count[i];
  const double shard_seconds = seen.shard_seconds - before->shard_seconds;
  costs_.Observe(done, shard_seconds, elapsed, static_cast<double>(shards.size()));

  const double others = seen.process_seconds - before->process_seconds - shard_seconds;
  node_.other_cores += kSmoothing * (std::max(0.0, others / elapsed) - node_.other_cores);
  LearnHeld(seen, done, seen.finished - before->finished, elapsed);
  Judge();
}

// What is held now, by how much of it ended a second, is for how long it is held.
void HeadroomWatch::LearnHeld(const Seen& seen, const Work& done, double finished, double elapsed) {
  const double runs = demand_.per_second.runs();
  const double connections = runs > 0 ? finished * demand_.connections / runs : 0;
  const double handshakes = done[CostKind::kHandshake] + done[CostKind::kResumption];
  const struct {
    double held, ended;
    double* seconds;
  } kinds[] = {{seen.in_flight, finished, &held_.run},
               {seen.descriptors, connections, &held_.descriptor},
               {seen.handshakes, handshakes, &held_.handshake}};
  for (const auto& kind : kinds) {
    if (kind.ended <= 0) continue;
    *kind.seconds += kSmoothing * (kind.held * elapsed / kind.ended - *kind.seconds);
  }
}

void HeadroomWatch::Judge() {
  headroom_ = HeadroomOf(costs_, demand_, node_, held_);
  ratio_->Set(headroom_.ratio());
  for (size_t i = 0; i < Headroom::kLimits; ++i) uses_[i]->Set(headroom_.uses[i].ratio());
  for (size_t i = 0; i < kCostKinds; ++i) {
    costs_gauges_[i]->Set(costs_.seconds(static_cast<CostKind>(i)));
  }
  if (headroom_.ratio() > kEnough) short_ = false;
  if (headroom_.ratio() < kShort && !std::exchange(short_, true)) Warn();
}

void HeadroomWatch::Warn() {
  const Headroom::Limit first = headroom_.first();
  const Headroom::Use& use = headroom_.use(first);
  log_.Log(LogLevel::kWarn,
           "the tasks ask for more than this process can carry: slots will be skipped",
           std::array<LogField, 4>{{{"limit", Headroom::kNames[static_cast<size_t>(first)]},
                                    {"asked", Number(use.asked)},
                                    {"has", Number(use.has)},
                                    {"costs", costs_.measured() ? "measured" : "assumed"}}});
}

}  // namespace sonde
