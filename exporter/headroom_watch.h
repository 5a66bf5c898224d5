// How much more this process could probe: the model of what probes cost, fed with what they did, as
// metrics and as a warning. Loop thread.
#pragma once

#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/contract/cost_model.h"
#include "engine/contract/engine_stats.h"
#include "engine/contract/instant.h"
#include "engine/contract/log.h"

namespace sonde {

class HeadroomWatch {
 public:
  static constexpr size_t kSeries = 1 + Headroom::kLimits + kCostKinds;  // it makes

  // Both outlive it.
  HeadroomWatch(prometheus::Registry& registry, Logger& log);

  // After every load: what the tasks ask for, and of what. Warns when that is more than there is.
  void Plan(const Demand& demand, const NodeLimits& node);

  // Every second or so: the shards, and the processor time of the whole process.
  void Observe(std::span<const ShardStats> shards, double process_cpu_seconds, Instant now);

  const Headroom& headroom() const { return headroom_; }

 private:
  // Counters as they were told last.
  struct Seen {
    Instant at;
    Work work;
    double finished = 0;
    double in_flight = 0, descriptors = 0, handshakes = 0;  // held now
    double shard_seconds = 0;
    double process_seconds = 0;
  };
  static Seen Read(std::span<const ShardStats> shards, double process_cpu_seconds, Instant now);
  void LearnHeld(const Seen& seen, const Work& done, double finished, double elapsed);
  void Judge();
  void Warn();

  Logger& log_;
  CostModel costs_;
  Demand demand_;
  NodeLimits node_;
  HeldSeconds held_;
  std::optional<Seen> before_;
  Headroom headroom_;
  bool short_ = false;  // warned of
  prometheus::Gauge* ratio_;
  std::array<prometheus::Gauge*, Headroom::kLimits> uses_;
  std::array<prometheus::Gauge*, kCostKinds> costs_gauges_;
};

}  // namespace sonde
