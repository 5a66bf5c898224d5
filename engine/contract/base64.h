// Base64 (RFC 4648 section 4), as YAML's !!binary and HTTP's basic authentication write it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sonde {

// White space between characters is skipped; padding must be right and the unused bits zero.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace sonde
