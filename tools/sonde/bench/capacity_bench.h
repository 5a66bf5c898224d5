// `sonde bench --plan FILE`: what its tasks will need, by a rehearsal against the farm, and with
// --verify beside a `sonde serve` that really probes as many.
#pragma once

#include "tools/sonde/bench/bench.h"

namespace sonde {

// 0; 1: the file is not good, or something could not be measured; 2: usage.
int CapacityBench(const BenchOptions& options);

}  // namespace sonde
