// The engine's own families, summed over its shards.
#pragma once

#include <span>

#include "engine/contract/engine_stats.h"
#include "exporter/exposition.h"

namespace sonde {

// sonde_runs_*, sonde_schedule_lateness_seconds, sonde_loop_* and the rest of docs/metrics.md,
// "The engine". A label value of a closed list is there from the start, at 0.
void WriteEngineFamilies(Exposition& out, std::span<const ShardStats> shards);

}  // namespace sonde
