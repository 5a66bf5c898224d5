// How long a probe asked for over HTTP may take (blackbox_contract 3). Pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "engine/contract/instant.h"

namespace sonde {

struct ProbeTimeout {
  double seconds = 0;   // what probe_timeout_seconds says; may be absurd
  Duration duration{};  // what the probe gets: 0 to kMost
  static constexpr Duration kMost = Hours(24);

  // `header`: X-Prometheus-Scrape-Timeout-Seconds, "" when it is absent. `module`: 0 when it sets
  // none. `offset_seconds`: --timeout-offset. nullopt: the header is no number.
  static std::optional<ProbeTimeout> Of(std::string_view header, double offset_seconds,
                                        Duration module);
};

// Go's strconv.ParseFloat as far as decimal texts go: "1.5", "1e3", "+.5", "Inf", "nan"; no
// hexadecimal, no underscores. Beyond the range of a double is an error.
std::optional<double> ParseGoFloat(std::string_view text);

}  // namespace sonde
