// What `sonde bench` found, as people and programs read it.
#pragma once

#include <string>
#include <vector>

#include "tools/sonde/bench/bench.h"
#include "tools/sonde/bench/type_bench.h"

namespace sonde {

struct BenchReport {
  std::string version, processor, kernel, date;  // conditions
  unsigned cores = 0, shards = 0;
  double load = 0;      // of the machine, before
  bool pinned = false;  // prober and farm had processors of their own
  bool farm = true;     // otherwise targets of the user's
  bool interrupted = false;
  double seconds = 0;  // of a try
  double interval_seconds = 0;
  BenchBounds bounds;
  std::vector<TypeResult> results;
};

std::string BenchText(const BenchReport& report);
// One JSON object, a line. Times in seconds; null where nothing was measured.
std::string BenchJson(const BenchReport& report);

}  // namespace sonde
