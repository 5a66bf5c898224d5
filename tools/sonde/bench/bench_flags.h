// The flags of `sonde bench`.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/sonde/bench/bench.h"

namespace sonde {

void AddBenchFlags(CLI::App* bench, BenchOptions* options);

}  // namespace sonde
