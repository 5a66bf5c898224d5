// What `sonde bench --plan` predicted, as people and programs read it.
#pragma once

#include <optional>
#include <string>

#include "tools/sonde/bench/capacity_plan.h"

namespace sonde {

// What a `sonde serve` really took, and what was predicted of it: of targets as near as the farm.
struct CapacityCheck {
  double predicted_cores = 0, cores = 0;
  double predicted_bytes = 0, bytes = 0;                        // of memory
  double predicted_bytes_per_second = 0, bytes_per_second = 0;  // of network
  double predicted_descriptors = 0, descriptors = 0;
  double waited = 0;  // the most a shard was ready to run and had no processor, a share
};

struct CapacityReport {
  std::string file;
  Machine machine;
  unsigned shards = 0;
  Duration round_trip;
  CapacityDemand demand;
  Rehearsal rehearsal;
  CapacityPrediction prediction;
  std::optional<CapacityCheck> check;
};

std::string CapacityText(const CapacityReport& report);
std::string CapacityJson(const CapacityReport& report);  // one object, a line

}  // namespace sonde
