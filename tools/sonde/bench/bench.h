// `sonde bench`: the highest rate of each kind of probe at which the prober keeps its promises on
// this machine, against the farm or targets of the user's.
#pragma once

#include <string>
#include <vector>

#include "engine/contract/instant.h"
#include "tools/sonde/bench/bench_point.h"

namespace sonde {

struct BenchOptions {
  std::vector<std::string> types;  // names of rows; none: the usual ones
  double seconds = 0;              // each try; 0: 1, and 4 for each rehearsal of `plan`
  int repeats = 3;                 // searches of each type
  double budget_seconds = 300;     // all of it
  unsigned shards = 0;             // 0: one; for `plan` the file's
  std::string io = "epoll";        // engine.io; for `plan` the file's
  bool pin = true;  // prober and farm on processors of their own, where there are enough
  std::string interval = "250ms";
  std::string timeout = "1s";
  std::string lateness = "10ms";  // at p99
  // In percent of the slots.
  double skipped = 0.1, failed = 0.01, inconclusive = 0.01;
  double max_rate = 0;  // 0: as fast as it goes; needed with targets

  std::vector<std::string> targets;  // of the user's; none: the farm
  std::string config_file, module;   // how these are probed; "": the type's defaults
  std::string farm;                  // the farm's program; "": beside this one
  bool json = false;

  std::string plan;  // a file whose needs to predict instead
  bool verify = false;
  std::string round_trip = "20ms";  // to the targets of `plan`
};

// 0; 1: something could not be measured; 2: usage. Findings go to standard error.
int Bench(const BenchOptions& options);

}  // namespace sonde
