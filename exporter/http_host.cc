#include "exporter/http_host.h"

#include <algorithm>

#include "engine/contract/address.h"
#include "exporter/http_text.h"

namespace sonde {
namespace {

bool IsNameChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_';
}

bool IsPort(std::string_view text) {
  if (text.size() > 5 || text.empty()) return false;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  return value <= 65535;
}

bool IsIpLiteral(std::string_view host) { return Address::ParseLiteral(host).has_value(); }

}  // namespace

bool Authority::Parse(std::string_view text, Authority& out) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    has_port = !rest.empty();
    if (has_port && rest[0] != ':') return false;
    if (has_port) port = rest.substr(1);
    if (host.find(':') == std::string_view::npos || !IsIpLiteral(host)) return false;
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  // RFC 3986 section 3.2.3 allows an empty port after the colon.
  if (has_port && !port.empty() && !IsPort(port)) return false;
  out.host = AsciiLower(host);
  out.port = std::string(port);
  if (out.host.size() > 1 && out.host.back() == '.') out.host.pop_back();
  if (out.host.empty() || out.host.size() > 255 || out.host.front() == '.') return false;
  return text[0] == '[' || std::all_of(out.host.begin(), out.host.end(), IsNameChar);
}

HostRule::HostRule(std::vector<std::string> names) {
  for (const std::string& name : names) {
    if (name == "*") any_ = true;
    std::string lower = AsciiLower(name);
    if (lower.size() > 1 && lower.back() == '.') lower.pop_back();
    if (!lower.empty()) names_.push_back(std::move(lower));
  }
}

bool HostRule::Listed(std::string_view host) const {
  return std::find(names_.begin(), names_.end(), host) != names_.end();
}

bool HostRule::Allows(const Authority& host) const {
  return any_ || host.host == "localhost" || IsIpLiteral(host.host) || Listed(host.host);
}

bool HostRule::AllowsOrigin(std::string_view origin, const Authority& host) const {
  const std::string lower = AsciiLower(origin);
  const bool https = lower.rfind("https://", 0) == 0;
  if (!https && lower.rfind("http://", 0) != 0) return false;
  Authority from;
  if (!Authority::Parse(std::string_view(lower).substr(https ? 8 : 7), from)) return false;
  const auto port_of = [&](const Authority& authority) {
    if (!authority.port.empty()) return authority.port;
    return std::string(https ? "443" : "80");
  };
  if (from.host == host.host && port_of(from) == port_of(host)) return true;
  // An IP literal or localhost is a name of this machine in Host, but any page's in Origin.
  return Listed(from.host) && !IsIpLiteral(from.host) && from.host != "localhost";
}

}  // namespace sonde
