// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): the one keyed hash of the
// house. Equal on every machine and in every build, so that ids and phases survive restarts.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sonde {

uint64_t SipHash24(uint64_t key0, uint64_t key1, std::span<const uint8_t> bytes);

inline uint64_t SipHash24(uint64_t key0, uint64_t key1, std::string_view text) {
  return SipHash24(
      key0, key1,
      std::span<const uint8_t>(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

}  // namespace sonde
