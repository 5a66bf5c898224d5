// Durations as people and Go write them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/contract/instant.h"

namespace sonde {

// Go's time.ParseDuration: "300ms", "-1.5h", "1m30s"; units ns us µs ms s m h; a bare "0" is
// accepted. With `days`, d (24 h) and w (7 d) too. nullopt for anything else or on overflow.
std::optional<Duration> ParseDuration(std::string_view text, bool days = false);

// Go's Duration.String: "15s", "1m30s", "1.5s", "300ms".
std::string FormatDuration(Duration duration);

}  // namespace sonde
