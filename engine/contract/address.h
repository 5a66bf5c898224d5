// An IP address with a port, as a plain value.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sonde {

enum class IpFamily : uint8_t { kNone = 0, kV4 = 4, kV6 = 6 };

struct Address {
  IpFamily family = IpFamily::kNone;
  uint16_t port = 0;                // host order
  uint32_t scope = 0;               // IPv6 scope id, 0 for none
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four

  auto operator<=>(const Address&) const = default;
  bool operator==(const Address& other) const {  // without a call: it is asked for each datagram
    const auto words = std::bit_cast<std::array<uint64_t, 2>>(bytes);
    const auto others = std::bit_cast<std::array<uint64_t, 2>>(other.bytes);
    return words[0] == others[0] && words[1] == others[1] && port == other.port &&
           family == other.family && scope == other.scope;
  }

  // "192.0.2.1", "2001:db8::1", "fe80::1%3"; no brackets, no port. nullopt for anything else.
  static std::optional<Address> ParseLiteral(std::string_view text, uint16_t port = 0);

  std::string Host() const;      // "192.0.2.1", "2001:db8::1"
  std::string HostPort() const;  // "192.0.2.1:80", "[2001:db8::1]:80"

  // ::ffff:192.0.2.1 is 192.0.2.1 (RFC 4291, 2.5.5.2); every other address is itself.
  Address Unmapped() const;

  // FNV-1a 32 bit over the address bytes; an IPv4-mapped IPv6 address hashes as IPv4
  // (blackbox_exporter's probe_ip_addr_hash).
  uint32_t Hash() const;
};

}  // namespace sonde
