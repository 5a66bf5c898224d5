#include "protocols/http_cookies.h"

#include <algorithm>
#include <utility>

#include "protocols/http_date.h"
#include "protocols/url.h"

namespace sonde {
namespace {

constexpr int64_t kYear2020 = 1577836800;

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// "name=value" in two; without '=' the value is empty.
std::pair<std::string_view, std::string_view> Halves(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {Trim(text), {}};
  return {Trim(text.substr(0, equals)), Trim(text.substr(equals + 1))};
}

bool IsZeroOrLess(std::string_view number) {
  return !number.empty() &&
         (number[0] == '-' || number.find_first_not_of('0') == std::string_view::npos);
}

}  // namespace

bool IsSameOrBelow(std::string_view host, std::string_view domain) {
  if (host == domain) return true;
  return host.size() > domain.size() && host.substr(host.size() - domain.size()) == domain &&
         host[host.size() - domain.size() - 1] == '.';
}

void CookieJar::Set(std::string_view set_cookie, std::string_view host) {
  size_t end = set_cookie.find(';');
  const auto [name, value] = Halves(set_cookie.substr(0, end));
  if (name.empty() || name.size() + value.size() > kMaxCookieBytes) return;
  Cookie cookie{std::string(name), std::string(value), std::string(host)};
  bool deleted = false;
  while (end != std::string_view::npos) {
    set_cookie.remove_prefix(end + 1);
    end = set_cookie.find(';');
    const auto [key, attribute] = Halves(set_cookie.substr(0, end));
    if (EqualsIgnoreCase(key, "secure")) {
      cookie.secure = true;
    } else if (EqualsIgnoreCase(key, "max-age")) {
      deleted = deleted || IsZeroOrLess(attribute);
    } else if (EqualsIgnoreCase(key, "expires")) {
      deleted = deleted || ParseHttpDate(attribute).value_or(kYear2020) < kYear2020;
    } else if (EqualsIgnoreCase(key, "domain") && !attribute.empty()) {
      cookie.domain = LowerCase(attribute[0] == '.' ? attribute.substr(1) : attribute);
      cookie.host_only = false;
      // A domain must hold the host, and be more than a top-level one.
      if (!IsSameOrBelow(host, cookie.domain)) return;
      if (cookie.domain.find('.') == std::string::npos && cookie.domain != host) return;
    }
  }
  std::erase_if(cookies_, [&](const Cookie& old) {
    return old.name == cookie.name && old.domain == cookie.domain;
  });
  if (!deleted && cookies_.size() < kMaxCookies) cookies_.push_back(std::move(cookie));
}

std::string CookieJar::For(std::string_view host, bool secure) const {
  std::string out;
  for (const Cookie& cookie : cookies_) {
    if (cookie.secure && !secure) continue;
    const bool ours = cookie.host_only ? host == cookie.domain : IsSameOrBelow(host, cookie.domain);
    if (!ours) continue;
    if (!out.empty()) out += "; ";
    out.append(cookie.name).append("=").append(cookie.value);
  }
  return out;
}

}  // namespace sonde
