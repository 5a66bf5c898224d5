// Time as values. Nothing in sonde asks for the time: it is told. The only code that reads a clock
// stands in engine/loop (probing) and at the edges of exporter and tools.
#pragma once

#include <compare>
#include <cstdint>

namespace sonde {

// A span of time in nanoseconds; may be negative.
struct Duration {
  int64_t ns = 0;

  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration other) const { return {ns + other.ns}; }
  constexpr Duration operator-(Duration other) const { return {ns - other.ns}; }
  constexpr Duration operator*(int64_t factor) const { return {ns * factor}; }
  constexpr Duration operator/(int64_t divisor) const { return {ns / divisor}; }
  constexpr double seconds() const { return static_cast<double>(ns) / 1e9; }
  constexpr double millis() const { return static_cast<double>(ns) / 1e6; }
};

constexpr Duration Nanoseconds(int64_t n) { return {n}; }
constexpr Duration Microseconds(int64_t n) { return {n * 1'000}; }
constexpr Duration Milliseconds(int64_t n) { return {n * 1'000'000}; }
constexpr Duration Seconds(int64_t n) { return {n * 1'000'000'000}; }
constexpr Duration Minutes(int64_t n) { return Seconds(n * 60); }
constexpr Duration Hours(int64_t n) { return Seconds(n * 3600); }

// A point on the monotonic clock (CLOCK_MONOTONIC), nanoseconds. Zero means "not stamped".
struct Instant {
  int64_t ns = 0;

  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const { return {ns + d.ns}; }
  constexpr Instant operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator-(Instant other) const { return {ns - other.ns}; }
  constexpr bool stamped() const { return ns != 0; }
};

// A point of civil time, nanoseconds since the Unix epoch (UTC, leap seconds as the kernel has
// them). Schedules live on this scale; everything measured lives on Instant.
struct WallTime {
  int64_t ns = 0;

  constexpr auto operator<=>(const WallTime&) const = default;
  constexpr WallTime operator+(Duration d) const { return {ns + d.ns}; }
  constexpr WallTime operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator-(WallTime other) const { return {ns - other.ns}; }
  constexpr double unix_seconds() const { return static_cast<double>(ns) / 1e9; }
};

}  // namespace sonde
