// Probers of blackbox_exporter's schema that cannot probe yet: their blocks are read as strictly as
// all others, so that a mistake is found today, and no probe can be made with them.
#pragma once

#include <span>

#include "engine/contract/task.h"

namespace sonde {

// grpc, unix, websocket. Any thread.
std::span<const Prober* const> LaterProbers();

}  // namespace sonde
