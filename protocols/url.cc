#include "protocols/url.h"

#include <algorithm>
#include <utility>

#include "engine/contract/address.h"

namespace sonde {
namespace {

constexpr size_t kMaxUrl = 16 * 1024;  // what servers take in a request line, and more

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = Lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool IsEscape(std::string_view text, size_t at) {
  return at + 2 < text.size() && HexValue(text[at + 1]) >= 0 && HexValue(text[at + 2]) >= 0;
}

void AppendEscaped(char c, std::string* out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  *out += '%';
  *out += kHex[byte >> 4];
  *out += kHex[byte & 15];
}

// Bytes that may not stand in a request line, or that Go's net/url escapes in a path.
bool NeedsEscape(char c, bool in_path) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte <= 0x20 || byte >= 0x7f) return true;
  return in_path && std::string_view("\"<>\\^`{|}").find(c) != std::string_view::npos;
}

std::string EscapeText(std::string_view text, bool in_path) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (NeedsEscape(c, in_path)) {
      AppendEscaped(c, &out);
    } else {
      out += c;
    }
  }
  return out;
}

absl::Status Bad(std::string_view what) { return absl::InvalidArgumentError(std::string(what)); }

absl::Status CheckBytes(std::string_view text) {
  if (text.size() > kMaxUrl) return Bad("URL longer than 16 KiB");
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return Bad("invalid control character in URL");
  }
  return absl::OkStatus();
}

absl::Status CheckEscapes(std::string_view text, std::string_view where) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && !IsEscape(text, i)) {
      return Bad("invalid URL escape \"" + std::string(text.substr(i, 3)) + "\" in " +
                 std::string(where));
    }
  }
  return absl::OkStatus();
}

bool HostCharacter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x80 || (c >= '0' && c <= '9') || (Lower(c) >= 'a' && Lower(c) <= 'z')) return true;
  return std::string_view("-._~!$&'()*+,;=").find(c) != std::string_view::npos;
}

// "[fe80::1%25eth0]" without its brackets: the literal as resolvers take it, and as a Host header
// may name it (RFC 6874: a zone means nothing to the peer).
absl::Status ParseBracketed(std::string_view inside, Url* url) {
  const size_t zone = inside.find('%');
  const std::string_view literal = inside.substr(0, zone);
  const auto address = Address::ParseLiteral(literal);
  if (!address || address->family != IpFamily::kV6) {
    return Bad("invalid IPv6 address \"" + std::string(inside) + "\" in URL");
  }
  url->host = LowerCase(literal);
  url->authority = "[" + std::string(literal) + "]";
  if (zone == std::string_view::npos) return absl::OkStatus();
  std::string_view name = inside.substr(zone + 1);
  if (name.substr(0, 2) == "25") name.remove_prefix(2);
  if (name.empty() || !std::all_of(name.begin(), name.end(), HostCharacter)) {
    return Bad("invalid IPv6 zone in URL");
  }
  url->host += "%" + std::string(name);
  return absl::OkStatus();
}

absl::Status ParsePort(std::string_view text, Url* url) {
  url->port = url->secure() ? 443 : 80;
  if (text.empty()) return absl::OkStatus();
  if (text[0] != ':') return Bad("invalid host in URL");
  const std::string_view digits = text.substr(1);
  url->authority += text;
  if (digits.empty()) return absl::OkStatus();  // "host:" is allowed, and means the default
  uint32_t port = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9' || port > 65535) {
      return Bad("invalid port \"" + std::string(text) + "\" after host");
    }
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  if (port == 0 || port > 65535) {
    return Bad("invalid port \"" + std::string(text) + "\" after host");
  }
  url->port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::Status ParseUserinfo(std::string_view text, Url* url) {
  const size_t colon = text.find(':');
  auto username = PercentDecode(text.substr(0, colon));
  auto password =
      PercentDecode(colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1));
  if (!username || !password) return Bad("invalid URL escape in userinfo");
  url->has_userinfo = true;
  url->username = std::move(*username);
  url->password = std::move(*password);
  return absl::OkStatus();
}

absl::Status ParseAuthority(std::string_view text, Url* url) {
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    if (absl::Status s = ParseUserinfo(text.substr(0, at), url); !s.ok()) return s;
    text.remove_prefix(at + 1);
  }
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return Bad("missing ']' in host");
    if (absl::Status s = ParseBracketed(text.substr(1, end - 1), url); !s.ok()) return s;
    return ParsePort(text.substr(end + 1), url);
  }
  const size_t colon = text.find(':');
  const std::string_view host = text.substr(0, colon);
  if (!std::all_of(host.begin(), host.end(), HostCharacter)) {
    return Bad("invalid character in host name \"" + std::string(host) + "\"");
  }
  url->host = LowerCase(host);
  url->authority = std::string(host);
  return ParsePort(colon == std::string_view::npos ? std::string_view() : text.substr(colon), url);
}

// What follows the authority. An empty path is "/" (RFC 9112 section 3.2.1).
absl::Status ParsePathAndQuery(std::string_view text, Url* url) {
  text = text.substr(0, text.find('#'));
  const size_t mark = text.find('?');
  const std::string_view path = text.substr(0, mark);
  if (absl::Status s = CheckEscapes(path, "path"); !s.ok()) return s;
  url->path = path.empty() ? "/" : EscapeText(path, true);
  url->query = mark == std::string_view::npos ? "" : EscapeText(text.substr(mark), false);
  return absl::OkStatus();
}

// The scheme of "name:...", empty when the text has none (RFC 3986 section 3.1).
std::string_view SchemeOf(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = Lower(text[i]);
    if (c == ':') return text.substr(0, i);
    const bool letter = c >= 'a' && c <= 'z';
    const bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    if (!letter && (i == 0 || !other)) break;
  }
  return {};
}

absl::StatusOr<Url> WithHost(absl::StatusOr<Url> url) {
  return url.ok() && url->host.empty() ? Bad("no host in URL") : url;
}

// "//authority/path?query" with the scheme already known. The host may be empty.
absl::StatusOr<Url> ParseAfterScheme(std::string_view scheme, std::string_view rest) {
  Url url;
  url.scheme = LowerCase(scheme);
  if (url.scheme != "http" && url.scheme != "https") {
    return Bad("unsupported protocol scheme \"" + url.scheme + "\"");
  }
  if (rest.substr(0, 2) != "//") return Bad("no host in URL");
  rest.remove_prefix(2);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  if (absl::Status s = ParseAuthority(rest.substr(0, end), &url); !s.ok()) return s;
  if (absl::Status s = ParsePathAndQuery(rest.substr(end), &url); !s.ok()) return s;
  return url;
}

}  // namespace

absl::StatusOr<Url> Url::Parse(std::string_view text) {
  if (absl::Status s = CheckBytes(text); !s.ok()) return s;
  const std::string_view scheme = SchemeOf(text);
  if (scheme.empty()) return Bad("missing protocol scheme");
  return WithHost(ParseAfterScheme(scheme, text.substr(scheme.size() + 1)));
}

absl::StatusOr<Url> Url::ParseTarget(std::string_view text, bool without_host) {
  if (absl::Status s = CheckBytes(text); !s.ok()) return s;
  const std::string_view scheme = EqualsIgnoreCase(text.substr(0, 7), "http://")    ? "http"
                                  : EqualsIgnoreCase(text.substr(0, 8), "https://") ? "https"
                                                                                    : "";
  auto url = scheme.empty() ? ParseAfterScheme("http", "//" + std::string(text))
                            : ParseAfterScheme(scheme, text.substr(scheme.size() + 1));
  return without_host ? url : WithHost(std::move(url));
}

absl::StatusOr<Url> Url::Resolve(std::string_view reference, bool* absolute) const {
  *absolute = true;
  if (absl::Status s = CheckBytes(reference); !s.ok()) return s;
  if (!SchemeOf(reference).empty()) return Parse(reference);
  if (reference.substr(0, 2) == "//") return WithHost(ParseAfterScheme(scheme, reference));
  *absolute = false;
  Url out = *this;
  out.has_userinfo = false;
  out.username.clear();
  out.password.clear();
  const std::string_view without_fragment = reference.substr(0, reference.find('#'));
  if (without_fragment.empty()) return out;
  const std::string old_path = path;
  if (absl::Status s = ParsePathAndQuery(without_fragment, &out); !s.ok()) return s;
  if (without_fragment[0] == '?') {
    out.path = old_path;
  } else if (without_fragment[0] == '/') {
    out.path = RemoveDotSegments(out.path);
  } else {
    out.path = RemoveDotSegments(old_path.substr(0, old_path.rfind('/') + 1) + out.path);
  }
  return out;
}

std::string Url::Text() const { return scheme + "://" + authority + path + query; }

std::string RemoveDotSegments(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const size_t next = path.find('/', path[0] == '/' ? 1 : 0);
    const std::string_view segment = path.substr(0, next);  // with its leading '/'
    const bool last = next == std::string_view::npos;
    path = last ? std::string_view() : path.substr(next);
    const std::string_view name = segment[0] == '/' ? segment.substr(1) : segment;
    if (name == "." || name == "..") {
      if (name == "..") out.erase(std::min(out.rfind('/'), out.size()));
      if (last) out += '/';
    } else {
      out += segment;
    }
  }
  if (out.empty() || out[0] != '/') out.insert(out.begin(), '/');
  return out;
}

std::string LowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = Lower(c);
  return out;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (!IsEscape(text, i)) return std::nullopt;
    out += static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2]));
    i += 2;
  }
  return out;
}

}  // namespace sonde
