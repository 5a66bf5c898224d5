// Reads `metrics:`, which a file has and each of its modules may have (docs/configuration.md).
#pragma once

#include <string>

#include "engine/contract/config_node.h"
#include "engine/contract/metrics_settings.h"

namespace sonde {

// `node` may be null: nothing is said. An unknown group is an error, and the others count.
MetricsSettings ReadMetrics(const ConfigNode* node, const std::string& path,
                            Diagnostics& diagnostics);

}  // namespace sonde
