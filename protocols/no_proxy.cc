#include "protocols/no_proxy.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "protocols/url.h"

namespace sonde {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<unsigned> Number(std::string_view digits, unsigned most) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number > most) {
    return std::nullopt;
  }
  return number;
}

unsigned BitsOf(const Address& address) { return address.family == IpFamily::kV4 ? 32 : 128; }

bool Contains(const Address& network, unsigned bits, const Address& address) {
  if (network.family != address.family) return false;
  for (size_t i = 0; i < bits / 8; ++i) {
    if (network.bytes[i] != address.bytes[i]) return false;
  }
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff << (8 - bits % 8));
  return ((network.bytes[bits / 8] ^ address.bytes[bits / 8]) & mask) == 0;
}

bool IsLoopback(const Address& address) {
  static const Address kV6 = *Address::ParseLiteral("::1");
  return address.family == IpFamily::kV4 ? address.bytes[0] == 127 : address.bytes == kV6.bytes;
}

// "host:80" apart; an IPv6 address alone has no port.
bool SplitPort(std::string_view* host, uint16_t* port) {
  const size_t colon = host->rfind(':');
  const bool bracketed = host->starts_with('[');
  const bool has_port = colon != std::string_view::npos &&
                        (bracketed ? (*host)[colon - 1] == ']' : host->find(':') == colon);
  if (has_port) {
    const auto number = Number(host->substr(colon + 1), 65535);
    if (!number || *number == 0) return false;
    *port = static_cast<uint16_t>(*number);
    *host = host->substr(0, colon);
  }
  if (bracketed && host->ends_with(']')) *host = host->substr(1, host->size() - 2);
  return !host->empty();
}

}  // namespace

NoProxy NoProxy::Parse(std::string_view list) {
  NoProxy rules;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    rules.Add(LowerCase(Trim(list.substr(0, comma))));
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  return rules;
}

void NoProxy::Add(std::string_view entry) {
  if (entry == "*") everything_ = true;
  if (entry.empty() || entry == "*") return;
  const size_t slash = entry.find('/');
  if (slash != std::string_view::npos) {
    const auto network = Address::ParseLiteral(entry.substr(0, slash));
    const auto bits = Number(entry.substr(slash + 1), network ? BitsOf(*network) : 0);
    if (network && bits) networks_.push_back({*network, *bits, 0});
    return;
  }
  uint16_t port = 0;
  if (!SplitPort(&entry, &port)) return;
  if (const auto literal = Address::ParseLiteral(entry)) {
    const Address address = literal->Unmapped();
    networks_.push_back({address, BitsOf(address), port});
    return;
  }
  if (entry.starts_with("*.")) entry.remove_prefix(1);
  const bool below = entry.starts_with('.');
  domains_.push_back({(below ? "" : ".") + std::string(entry), port, !below});
}

bool NoProxy::Matches(std::string_view host, uint16_t port, const Address* address) const {
  if (everything_ || host == "localhost") return true;
  if (const auto literal = Address::ParseLiteral(host)) {
    return MatchesAddress(literal->Unmapped(), port);
  }
  return MatchesName(host, port) || (address && MatchesAddress(address->Unmapped(), port));
}

bool NoProxy::MatchesAddress(const Address& address, uint16_t port) const {
  return IsLoopback(address) ||
         std::any_of(networks_.begin(), networks_.end(), [&](const Network& rule) {
           return (rule.port == 0 || rule.port == port) &&
                  Contains(rule.address, rule.bits, address);
         });
}

bool NoProxy::MatchesName(std::string_view name, uint16_t port) const {
  return std::any_of(domains_.begin(), domains_.end(), [&](const Domain& rule) {
    const std::string_view suffix = rule.suffix;
    return (rule.port == 0 || rule.port == port) &&
           (name.ends_with(suffix) || (rule.itself && name == suffix.substr(1)));
  });
}

}  // namespace sonde
