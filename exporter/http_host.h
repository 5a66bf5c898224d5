// Who a request may be addressed to. A browser can be tricked into sending requests here under a
// name an attacker owns (DNS rebinding), or from a page of his (cross-site): Host must therefore be
// a name of this machine, and Origin, on methods that change something, this very server.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sonde {

// A host with an optional port: "[::1]:9815", "localhost". RFC 3986 section 3.2 without user info.
struct Authority {
  std::string host;  // lower case, without brackets or trailing dot
  std::string port;  // empty when absent
  // False for anything that is not a host and a port.
  static bool Parse(std::string_view text, Authority& out);
};

class HostRule {
 public:
  // `names`: any case; "*" allows every name.
  explicit HostRule(std::vector<std::string> names);

  // IP literals, localhost and the names given.
  bool Allows(const Authority& host) const;

  // Origin (RFC 6454 section 7) of a request addressed to `host`: the same host and port, or a host
  // listed by name. "null" and unknown schemes are refused.
  bool AllowsOrigin(std::string_view origin, const Authority& host) const;

 private:
  bool Listed(std::string_view host) const;

  std::vector<std::string> names_;
  bool any_ = false;
};

}  // namespace sonde
