// ICMP echo messages (RFC 792, RFC 4443 section 4), and the errors other hosts send about ours
// (RFC 792, RFC 4443 section 3). Pure functions over bytes; what comes from the network is hostile.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/contract/address.h"
#include "engine/contract/conversation.h"
#include "engine/contract/outcome.h"

namespace sonde {

inline constexpr size_t kEchoHeaderBytes = 8;
inline constexpr size_t kEchoCookieBytes = 8;  // of the payload, its first

// A number as it stands in a message, and back.
inline uint64_t NetworkOrder(uint64_t number) {
  return std::endian::native == std::endian::big ? number : __builtin_bswap64(number);
}

// Appends an echo request to `out`. The cookie takes the payload's first 8 bytes where it has so
// many. The checksum is for IPv4; the kernel makes IPv6's.
void AppendEchoRequest(IpFamily family, uint16_t id, uint16_t sequence, uint64_t cookie,
                       Bytes payload, std::vector<uint8_t>* out);

// What an ICMP message says about an echo request of ours.
struct EchoAnswer {
  bool error = false;  // an ICMP error that quotes our request; else the reply to it
  uint16_t id = 0;
  uint16_t sequence = 0;
  Address to;     // errors: where our request went (port 0); of a reply: family kNone
  Bytes payload;  // of the reply; errors: what is quoted of our payload, perhaps nothing
  Outcome outcome = Outcome::kOk;  // of errors
  std::string_view words;          // of errors: "host unreachable"
};

// `message` begins at the ICMP type. nullopt: nothing of this kind, or too short.
std::optional<EchoAnswer> ParseEchoAnswer(IpFamily family, Bytes message);

// What an ICMP error means for a probe.
struct IcmpErrorInfo {
  Outcome outcome;
  std::string_view words;
};
IcmpErrorInfo IcmpErrorOf(IpFamily family, int type, int code);

// The cookie of a payload that has room for one.
inline std::optional<uint64_t> CookieOf(Bytes payload) {
  if (payload.size() < kEchoCookieBytes) return std::nullopt;
  uint64_t cookie;
  std::memcpy(&cookie, payload.data(), sizeof cookie);
  return NetworkOrder(cookie);
}

}  // namespace sonde
