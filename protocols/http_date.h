// Dates of HTTP headers (RFC 9110 section 5.6.7).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sonde {

// IMF-fixdate (RFC 1123), RFC 850 and asctime dates; Unix seconds. nullopt for anything else. Two
// digits of a year mean 1969 to 2068, as Go's net/http reads them.
std::optional<int64_t> ParseHttpDate(std::string_view text);

}  // namespace sonde
