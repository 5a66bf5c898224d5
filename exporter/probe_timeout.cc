#include "exporter/probe_timeout.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "exporter/http_text.h"

namespace sonde {
namespace {

constexpr double kWithoutHeader = 120;

bool IsInfinity(std::string_view text) {
  return EqualsIgnoringCase(text, "inf") || EqualsIgnoringCase(text, "infinity");
}

}  // namespace

std::optional<double> ParseGoFloat(std::string_view text) {
  if (EqualsIgnoringCase(text, "nan")) return std::nan("");
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (IsInfinity(text)) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return negative ? -kInfinity : kInfinity;
  }
  // from_chars takes signs, "nan" and "inf" of its own: none may follow.
  if (text.empty() || text.find_first_not_of("0123456789.eE+-") != std::string_view::npos ||
      text[0] == '-' || text[0] == '+') {
    return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {  // Go: 0 when too small, an error when too large
    if (text.find('-') == std::string_view::npos) return std::nullopt;
    value = 0;
  } else if (error != std::errc()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<ProbeTimeout> ProbeTimeout::Of(std::string_view header, double offset_seconds,
                                             Duration module) {
  double wanted = kWithoutHeader;
  if (!header.empty()) {
    const auto value = ParseGoFloat(header);
    if (!value) return std::nullopt;
    if (*value != 0) wanted = *value;
  }
  const double most = wanted - offset_seconds;
  const double own = module.seconds();
  ProbeTimeout timeout;
  timeout.seconds = (0 < own && own < most) || most < 0 ? own : most;
  // Not a number, infinity and what no clock holds: there is no time, as there.
  constexpr double kClock = 9.2e9;
  if (timeout.seconds > 0 && timeout.seconds < kClock) {
    timeout.duration = timeout.seconds < kMost.seconds()
                           ? Duration{static_cast<int64_t>(timeout.seconds * 1e9)}
                           : kMost;
  }
  return timeout;
}

}  // namespace sonde
