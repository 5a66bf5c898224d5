#include "engine/contract/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <span>

namespace sonde {
namespace {

// Four decimal numbers up to 255 without leading zeros, as inet_pton takes them: read for each leg
// of each probe.
bool ParseIpv4(std::string_view text, uint8_t* out) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto digit = [&] { return at == end ? 10 : static_cast<unsigned>(*at - '0'); };
  for (int part = 0; part < 4; ++part) {
    if (part > 0 && (at == end || *at++ != '.')) return false;
    unsigned number = digit();
    if (number > 9) return false;
    ++at;
    for (int more = 0; more < 2 && digit() <= 9; ++more) {
      if (number == 0) return false;
      number = number * 10 + digit();
      ++at;
    }
    if (number > 255) return false;
    out[part] = static_cast<uint8_t>(number);
  }
  return at == end;
}

}  // namespace

std::optional<Address> Address::ParseLiteral(std::string_view text, uint16_t port) {
  Address plain;
  if (ParseIpv4(text, plain.bytes.data())) {
    plain.family = IpFamily::kV4;
    plain.port = port;
    return plain;
  }
  if (text.find(':') == std::string_view::npos) return std::nullopt;
  char buffer[INET6_ADDRSTRLEN + IF_NAMESIZE + 2];
  if (text.empty() || text.size() >= sizeof buffer) return std::nullopt;
  Address address;
  address.port = port;
  const size_t percent = text.find('%');
  const std::string_view host = text.substr(0, percent);
  std::memcpy(buffer, host.data(), host.size());
  buffer[host.size()] = '\0';
  if (inet_pton(AF_INET6, buffer, address.bytes.data()) != 1) return std::nullopt;
  address.family = IpFamily::kV6;
  if (percent != std::string_view::npos) {
    const std::string zone(text.substr(percent + 1));
    const char* end = zone.data() + zone.size();
    const auto [rest, error] = std::from_chars(zone.data(), end, address.scope);
    if (error != std::errc() || rest != end) address.scope = if_nametoindex(zone.c_str());
    if (address.scope == 0) return std::nullopt;
  }
  return address;
}

std::string Address::Host() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (family == IpFamily::kNone) return "";
  inet_ntop(family == IpFamily::kV4 ? AF_INET : AF_INET6, bytes.data(), buffer, sizeof buffer);
  std::string host = buffer;
  if (scope != 0) host += "%" + std::to_string(scope);
  return host;
}

std::string Address::HostPort() const {
  const std::string digits = std::to_string(port);
  return family == IpFamily::kV6 ? "[" + Host() + "]:" + digits : Host() + ":" + digits;
}

Address Address::Unmapped() const {
  static constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (family != IpFamily::kV6 || !std::equal(kMapped.begin(), kMapped.end(), bytes.begin())) {
    return *this;
  }
  Address plain;
  plain.family = IpFamily::kV4;
  plain.port = port;
  std::copy(bytes.begin() + kMapped.size(), bytes.end(), plain.bytes.begin());
  return plain;
}

uint32_t Address::Hash() const {
  const Address plain = Unmapped();
  const std::span data(plain.bytes.data(), plain.family == IpFamily::kV4 ? 4u : 16u);
  uint32_t hash = 2166136261u;
  for (const uint8_t byte : data) hash = (hash ^ byte) * 16777619u;
  return hash;
}

}  // namespace sonde
