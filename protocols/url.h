// http and https URLs: targets as users write them, and the references of redirects (RFC 3986).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sonde {

// A parsed absolute URL, ready for a request. Never holds CR, LF, NUL or another ASCII control.
struct Url {
  std::string scheme;     // "http" or "https"
  std::string host;       // lower case, without brackets and zone escapes; IDN as it was written
  std::string authority;  // host and port as written, for the Host header; no zone, no userinfo
  std::string path;       // begins with '/'; blanks and bytes a request line may not hold escaped
  std::string query;      // with its '?', or empty
  std::string username, password;  // of the userinfo, decoded
  bool has_userinfo = false;
  uint16_t port = 0;  // the scheme's own when none is written

  bool secure() const { return scheme == "https"; }
  std::string Target() const { return path + query; }  // origin form, RFC 9112 section 3.2.1
  std::string Text() const;                            // without userinfo and fragment

  // Absolute http or https URLs only.
  static absl::StatusOr<Url> Parse(std::string_view text);

  // A probe's target (blackbox_contract 5): without an http:// or https:// prefix, in any case,
  // http:// is put before it. `without_host`: an empty host is one, that does not resolve.
  static absl::StatusOr<Url> ParseTarget(std::string_view text, bool without_host = false);

  // A Location seen from this URL (RFC 3986 section 5.2). `absolute` tells whether the reference
  // named a host of its own.
  absl::StatusOr<Url> Resolve(std::string_view reference, bool* absolute) const;
};

// RFC 3986 section 5.2.4.
std::string RemoveDotSegments(std::string_view path);

// Lower-case ASCII; everything else stays.
std::string LowerCase(std::string_view text);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// "%41b" -> "Ab"; nullopt for a bad escape.
std::optional<std::string> PercentDecode(std::string_view text);

}  // namespace sonde
