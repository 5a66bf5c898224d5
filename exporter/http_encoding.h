// Accept-Encoding (RFC 9110 section 12.5.3), as far as this server has a choice: gzip or identity.
#pragma once

#include <string_view>

namespace sonde {

// True when the client takes gzip and does not like identity better. `accept_encoding` is the whole
// list ("" when the header is absent: identity only). "x-gzip" counts as gzip; a broken q counts
// as 0, so that whoever sends nonsense gets plain bytes.
bool PrefersGzip(std::string_view accept_encoding);

}  // namespace sonde
