#include "engine/contract/cost_model.h"

#include <algorithm>
#include <cmath>

namespace sonde {
namespace {

// Seconds of processor time, on the machine of docs/performance.md.
constexpr std::array<double, kCostKinds> kDefaults = {
    12e-6,   // dns
    46e-6,   // http
    9e-6,    // icmp
    37e-6,   // tcp
    46e-6,   // other
    700e-6,  // tls_handshake
    250e-6,  // tls_resumption
    6e-6,    // turn
};

// How far one observation moves the model, and the processor time it takes to be believed whole.
constexpr double kGain = 0.3;
constexpr double kBelieved = 0.02;
// A step is at most this, whatever was measured: a stall, a page fault storm.
constexpr double kMostStep = 4;
// No machine is a thousand times as fast or slow as ours.
constexpr double kMostFactor = 1000;

constexpr double kTurnsPerRun = 2.4;   // one by one: due, connected, answered
constexpr double kMostTurns = 12'000;  // a second, of one loop
constexpr double kKnownShare = 0.01;   // of the work: less teaches nothing about a kind

constexpr bool IsRun(size_t kind) { return kind <= static_cast<size_t>(CostKind::kOther); }

}  // namespace

CostKind CostKindOf(std::string_view prober) {
  for (size_t i = 0; i < static_cast<size_t>(CostKind::kOther); ++i) {
    if (kCostKindNames[i] == prober) return static_cast<CostKind>(i);
  }
  return CostKind::kOther;
}

double Work::runs() const {
  double sum = 0;
  for (size_t i = 0; i < kCostKinds; ++i) {
    if (IsRun(i)) sum += count[i];
  }
  return sum;
}

Openings OpeningsOf(const Task& task) {
  Openings openings;
  if (!task.plan->needs_descriptor) return openings;
  const Duration interval = task.schedule.TypicalInterval();
  const Duration keeps = task.module->keeps();
  openings.kept = keeps > Duration{} && interval <= kLongestIdle;
  openings.connections = openings.kept ? std::min(1.0, interval.seconds() / keeps.seconds()) : 1;
  if (!task.plan->needs_handshake) return openings;
  const TlsProfile* tls = task.module->first_tls();
  const double every = tls == nullptr ? 1 : std::max(1, tls->full_handshake_every);
  openings.full = openings.connections / every;
  openings.resumed = openings.connections - openings.full;
  return openings;
}

void Demand::Add(const Task& task) {
  if (!task.enabled) return;
  const double rate = 1 / task.schedule.TypicalInterval().seconds();
  const double silent = rate * std::max(0.0, task.timeout.seconds());
  per_second[CostKindOf(task.prober->name())] += rate;
  const Openings openings = OpeningsOf(task);
  per_second[CostKind::kHandshake] += rate * openings.full;
  per_second[CostKind::kResumption] += rate * openings.resumed;
  if (task.plan->needs_handshake) silent_handshakes += silent;
  silent_in_flight += silent;
  if (!task.plan->needs_descriptor) return;
  connections += rate;
  silent_descriptors += silent;
}

Demand DemandOf(std::span<const std::shared_ptr<const Task>> tasks) {
  Demand demand;
  for (const auto& task : tasks) demand.Add(*task);
  return demand;
}

CostModel::CostModel() : seconds_(kDefaults) {}

double CostModel::seconds(CostKind kind) const {
  const auto i = static_cast<size_t>(kind);
  return seen_[i] ? seconds_[i] : kDefaults[i] * machine_;
}

double CostModel::Expected(const Work& work) const {
  double sum = 0;
  for (size_t i = 0; i < kCostKinds; ++i) {
    sum += work.count[i] * seconds(static_cast<CostKind>(i));
  }
  return sum;
}

void CostModel::Observe(const Work& done, double measured, double elapsed, double shards) {
  const double expected = Expected(done);
  if (!(done.runs() > 0) || !(measured > 0) || !std::isfinite(measured) || !(elapsed > 0)) return;
  const double off = std::clamp(measured / expected, 1 / kMostStep, kMostStep);
  const double gain = kGain * std::min(1.0, measured / kBelieved);
  double defaults = 0;
  for (size_t i = 0; i < kCostKinds; ++i) {
    const auto kind = static_cast<CostKind>(i);
    const double share = done.count[i] * seconds(kind) / expected;
    defaults += done.count[i] * kDefaults[i];
    if (share < kKnownShare) continue;
    const double moved = seconds(kind) * std::pow(off, gain * share);
    seen_[i] = true;
    seconds_[i] = std::clamp(moved, kDefaults[i] / kMostFactor, kDefaults[i] * kMostFactor);
  }
  const double machine = std::clamp(measured / defaults, 1 / kMostFactor, kMostFactor);
  machine_ *= std::pow(machine / machine_, gain);
  const double turns = Turns(done.runs() / elapsed, shards) * elapsed;
  turns_ += gain * (std::min(done[CostKind::kTurn] / turns, kMostFactor) - turns_);
  measured_ = true;
}

double CostModel::Turns(double runs_per_second, double shards) {
  const double alone = runs_per_second * kTurnsPerRun;
  const double most = kMostTurns * std::max(1.0, shards);
  return alone > 0 ? most * alone / (most + alone) : 0;
}

double CostModel::Cores(const Work& per_second, double shards) const {
  Work work = per_second;
  work[CostKind::kTurn] = turns_ * Turns(per_second.runs(), shards);
  return Expected(work);
}

Headroom::Limit Headroom::first() const {
  const auto most = std::max_element(
      uses.begin(), uses.end(), [](const Use& a, const Use& b) { return a.ratio() < b.ratio(); });
  return static_cast<Limit>(most - uses.begin());
}

namespace {

struct Held {
  double in_flight, descriptors, handshakes;
};

Headroom Of(const CostModel& costs, const Demand& demand, const NodeLimits& node,
            const Held& held) {
  const double cores = std::min(node.shards, std::max(0.0, node.cores - node.other_cores));
  Headroom headroom;
  headroom.uses = {{{costs.Cores(demand.per_second, node.shards), cores},
                    {held.in_flight, node.in_flight},
                    {held.descriptors, node.descriptors},
                    {held.handshakes, node.handshakes}}};
  return headroom;
}

}  // namespace

Headroom HeadroomOf(const CostModel& costs, const Demand& demand, const NodeLimits& node,
                    const HeldSeconds& held) {
  const double handshakes =
      demand.per_second[CostKind::kHandshake] + demand.per_second[CostKind::kResumption];
  return Of(costs, demand, node,
            {demand.per_second.runs() * held.run, demand.connections * held.descriptor,
             handshakes * held.handshake});
}

Headroom SilentHeadroomOf(const CostModel& costs, const Demand& demand, const NodeLimits& node) {
  return Of(costs, demand, node,
            {demand.silent_in_flight, demand.silent_descriptors, demand.silent_handshakes});
}

}  // namespace sonde
