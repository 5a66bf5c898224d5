// Random numbers and delay distributions, from a seed: the same seed gives the same draws.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/contract/instant.h"

namespace sonde {

// splitmix64: one addition, two multiplications a number; any seed is good.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return Mix(state_ += 0x9E3779B97F4A7C15u); }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

  static uint64_t Mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
  }

 private:
  uint64_t state_;
};

struct Delay {
  enum class Kind : uint8_t { kNone, kConstant, kUniform, kExponential, kLognormal };
  Kind kind = Kind::kNone;
  Duration a;        // the constant, the least, the mean, the median
  Duration b;        // the most of kUniform
  double sigma = 0;  // of kLognormal: standard deviation of the logarithm
  Duration most = Seconds(60);

  Duration Draw(Random& random) const {
    const auto least = [this](double ns) {
      return Duration{static_cast<int64_t>(std::min(ns, static_cast<double>(most.ns)))};
    };
    switch (kind) {
      case Kind::kNone:
        return {};
      case Kind::kConstant:
        return a;
      case Kind::kUniform:
        return least(static_cast<double>(a.ns) + random.Unit() * static_cast<double>(b.ns - a.ns));
      case Kind::kExponential:
        return least(-std::log(1.0 - random.Unit()) * static_cast<double>(a.ns));
      case Kind::kLognormal: {
        // Box and Muller; the second number is thrown away.
        const double normal = std::sqrt(-2.0 * std::log(1.0 - random.Unit())) *
                              std::cos(6.283185307179586 * random.Unit());
        return least(static_cast<double>(a.ns) * std::exp(sigma * normal));
      }
    }
    return {};
  }
};

}  // namespace sonde
