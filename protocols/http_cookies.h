// Cookies met on the way through redirects (RFC 6265), one small jar per probe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sonde {

// Deliberately simple: names and values by logical host (or its Domain), Secure is honoured, Path
// is not. Without a wall clock, `Max-Age` of 0 or less and `Expires` before 2020 delete a cookie;
// no other expiry matters within one probe. Bounded: what does not fit is dropped.
class CookieJar {
 public:
  static constexpr size_t kMaxCookies = 32;
  static constexpr size_t kMaxCookieBytes = 4096;  // name and value

  // One Set-Cookie value of an answer from `host` (lower case, no port).
  void Set(std::string_view set_cookie, std::string_view host);

  // "a=b; c=d" for a request to `host`; empty for none.
  std::string For(std::string_view host, bool secure) const;

 private:
  struct Cookie {
    std::string name, value, domain;
    bool host_only = true;
    bool secure = false;
  };
  std::vector<Cookie> cookies_;
};

// Whether `host` is `domain` or lies below it; both lower case.
bool IsSameOrBelow(std::string_view host, std::string_view domain);

}  // namespace sonde
