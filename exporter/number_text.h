// Numbers as the exposition formats write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sonde {

inline constexpr size_t kNumberBytes = 32;  // what any of these writes at most

// Shortest digits that read back to the same double. Whole numbers below 2^53 are plain digits
// (1795193360, not 1.79519336e+09), multiples of a nanosecond below 10^6 are plain decimals; the
// rest is std::to_chars. NaN, +Inf, -Inf as Prometheus spells them. Returns the end.
char* WriteNumber(char* at, double value);
char* WriteNumber(char* at, uint64_t value);

// Go's strconv.FormatFloat(value, 'g', -1, 64): the bytes Go programs emit (1e+06, 1e-05, 0.0001).
std::string GoNumber(double value);

// The value of `le` and `quantile`. Text: Go's bytes. OpenMetrics: the canonical float, with ".0"
// where Go's has neither point nor exponent (OpenMetrics 1.0, "Considerations: Canonical Numbers").
std::string BoundText(double bound, bool open_metrics);

}  // namespace sonde
