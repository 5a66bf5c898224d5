#include "engine/contract/probe_policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

constexpr std::string_view kNoAllowRule = "no allow rule";

struct Preset {
  std::string_view name;
  std::string_view network;
};
// 0.0.0.0/8 and :: stand with loopback: connecting there reaches this machine.
constexpr std::array<Preset, 17> kPresets = {{
    {"loopback", "127.0.0.0/8"},
    {"loopback", "0.0.0.0/8"},
    {"loopback", "::1/128"},
    {"loopback", "::/128"},
    {"link-local", "169.254.0.0/16"},
    {"link-local", "fe80::/10"},
    {"private", "10.0.0.0/8"},
    {"private", "172.16.0.0/12"},
    {"private", "192.168.0.0/16"},
    {"private", "100.64.0.0/10"},
    {"private", "fc00::/7"},
    {"metadata", "169.254.169.254/32"},
    {"metadata", "169.254.170.2/32"},
    {"metadata", "169.254.169.123/32"},
    {"metadata", "100.100.100.200/32"},
    {"metadata", "192.0.0.192/32"},
    {"metadata", "fd00:ec2::254/128"},
}};

constexpr std::array<std::string_view, 5> kSchemes = {"http", "https", "tcp", "dns", "icmp"};

std::string LowerName(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

bool IsHostName(std::string_view name) {
  if (name.empty() || name.size() > 253 || name.front() == '.' ||
      name.find("..") != std::string_view::npos) {
    return false;
  }
  bool letter = false;  // digits and dots alone are a mistyped address
  for (const char c : name) {
    const bool digit = (c >= '0' && c <= '9') || c == '.' || c == '-';
    const bool other = (c >= 'a' && c <= 'z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
    if (!digit && !other) return false;
    letter = letter || other;
  }
  return letter;
}

template <typename Number>
std::optional<Number> WholeNumber(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || rest != end) return std::nullopt;
  return value;
}

bool InNetwork(const Address& address, const Address& network, uint8_t bits) {
  if (address.family != network.family) return false;
  const size_t whole = bits / 8u;
  if (!std::equal(network.bytes.begin(), network.bytes.begin() + static_cast<ptrdiff_t>(whole),
                  address.bytes.begin())) {
    return false;
  }
  const unsigned rest = bits % 8u;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xffu << (8 - rest));
  return (address.bytes[whole] & mask) == (network.bytes[whole] & mask);
}

// "10.0.0.0/8" or a single address. Bits beyond the prefix are ignored.
bool ParseNetwork(std::string_view text, Address* network, uint8_t* bits) {
  const size_t slash = text.find('/');
  const auto address = Address::ParseLiteral(text.substr(0, slash));
  if (!address || address->scope != 0) return false;
  const Address plain = address->Unmapped();
  const auto most = static_cast<uint8_t>(address->family == IpFamily::kV4 ? 32 : 128);
  uint8_t prefix = most;
  if (slash != std::string_view::npos) {
    const auto number = WholeNumber<uint8_t>(text.substr(slash + 1));
    if (!number || *number > most) return false;
    prefix = *number;
  }
  if (plain.family != address->family) {  // a mapped network is one of IPv4
    if (prefix < 96) return false;
    prefix = static_cast<uint8_t>(prefix - 96);
  }
  *network = plain;
  *bits = prefix;
  return true;
}

bool ParsePorts(std::string_view text, uint16_t* first, uint16_t* last) {
  const size_t dash = text.find('-');
  const auto from = WholeNumber<uint16_t>(text.substr(0, dash));
  const auto to =
      dash == std::string_view::npos ? from : WholeNumber<uint16_t>(text.substr(dash + 1));
  if (!from || !to || *from == 0 || *from > *to) return false;
  *first = *from;
  *last = *to;
  return true;
}

}  // namespace

bool ProbePolicy::ParseRule(std::string_view text, bool allow, std::vector<Rule>* out) {
  Rule rule{};
  rule.allow = allow;
  rule.text = std::string(text);
  const size_t before = out->size();
  for (const Preset& preset : kPresets) {
    if (preset.name != text) continue;
    rule.kind = Rule::Kind::kAddress;
    ParseNetwork(preset.network, &rule.network, &rule.prefix_bits);
    out->push_back(rule);
  }
  if (out->size() > before) return true;
  if (ParseNetwork(text, &rule.network, &rule.prefix_bits)) {
    rule.kind = Rule::Kind::kAddress;
  } else if (text.starts_with(':')) {
    rule.kind = Rule::Kind::kPort;
    if (!ParsePorts(text.substr(1), &rule.port_first, &rule.port_last)) return false;
  } else if (text.starts_with("scheme:")) {
    rule.kind = Rule::Kind::kScheme;
    rule.name = LowerName(text.substr(7));
    if (std::find(kSchemes.begin(), kSchemes.end(), rule.name) == kSchemes.end()) return false;
  } else {
    rule.kind = Rule::Kind::kName;
    const bool below = text.starts_with("*.");
    const std::string name = LowerName(below ? text.substr(2) : text);
    if (!IsHostName(name)) return false;
    rule.name = below ? "." + name : name;
  }
  out->push_back(std::move(rule));
  return true;
}

ProbePolicy ProbePolicy::Parse(const ConfigNode* block, const std::string& path,
                               Diagnostics& diagnostics) {
  ProbePolicy policy;
  ConfigReader in(block, path, diagnostics);
  for (const bool allow : {true, false}) {
    const std::string_view key = allow ? "allow" : "deny";
    const ConfigNode* list = in.Sequence(key);
    if (list == nullptr) continue;
    for (size_t i = 0; i < list->items.size(); ++i) {
      const ConfigNode& item = list->items[i];
      if (item.kind == ConfigNode::Kind::kScalar && ParseRule(item.text, allow, &policy.rules_)) {
        continue;
      }
      diagnostics.Error(item.mark, in.PathOf(key) + "[" + std::to_string(i) + "]",
                        "must be a network (10.0.0.0/8), a name (*.internal), a port (:25, "
                        ":8000-8999), a scheme (scheme:http) or one of loopback, link-local, "
                        "private, metadata; not " +
                            (item.kind == ConfigNode::Kind::kScalar ? Quote(item.text)
                                                                    : std::string("a collection")));
    }
  }
  in.Finish();
  return policy;
}

bool ProbePolicy::names_targets() const {
  return std::any_of(rules_.begin(), rules_.end(), [](const Rule& rule) {
    return rule.allow && (rule.kind == Rule::Kind::kName || rule.kind == Rule::Kind::kAddress);
  });
}

template <typename Match>
ProbePolicy::Decision ProbePolicy::Judge(Rule::Kind kind, Match&& match) const {
  bool any_allow = false, allowed = false;
  for (const Rule& rule : rules_) {
    if (rule.kind != kind) continue;
    const bool matches = match(rule);
    if (matches && !rule.allow) return {false, rule.text, kind};
    any_allow = any_allow || rule.allow;
    allowed = allowed || (matches && rule.allow);
  }
  if (any_allow && !allowed) return {false, kNoAllowRule, kind};
  return {};
}

ProbePolicy::Decision ProbePolicy::CheckName(std::string_view host, uint16_t port,
                                             std::string_view scheme) const {
  if (rules_.empty()) return {};
  Decision decision =
      Judge(Rule::Kind::kScheme, [scheme](const Rule& rule) { return rule.name == scheme; });
  if (!decision.allowed) return decision;
  if (port != 0) {  // ICMP has none
    decision = Judge(Rule::Kind::kPort, [port](const Rule& rule) {
      return rule.port_first <= port && port <= rule.port_last;
    });
    if (!decision.allowed) return decision;
  }
  // A literal address has no name: the allowed networks judge it, where there are any; where only
  // names are allowed, it is not one of them.
  if (const auto literal = Address::ParseLiteral(host)) {
    const bool networks = std::any_of(rules_.begin(), rules_.end(), [](const Rule& rule) {
      return rule.kind == Rule::Kind::kAddress && rule.allow;
    });
    const bool names = std::any_of(rules_.begin(), rules_.end(), [](const Rule& rule) {
      return rule.kind == Rule::Kind::kName && rule.allow;
    });
    if (names && !networks) return {false, kNoAllowRule, PolicyKind::kName};
    return CheckAddress(*literal);
  }
  const std::string name = LowerName(host);
  return Judge(Rule::Kind::kName, [&name](const Rule& rule) {
    return rule.name.front() == '.' ? name.ends_with(rule.name) : name == rule.name;
  });
}

ProbePolicy::Decision ProbePolicy::CheckAddress(const Address& address) const {
  if (rules_.empty()) return {};
  // Else a mapped address would slip past a rule on IPv4.
  const Address plain = address.Unmapped();
  return Judge(Rule::Kind::kAddress, [&plain](const Rule& rule) {
    return InNetwork(plain, rule.network, rule.prefix_bits);
  });
}

}  // namespace sonde
