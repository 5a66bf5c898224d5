// The small grammars of header fields. Pure functions, any thread.
#pragma once

#include <string_view>

namespace sonde {

// RFC 9110 section 5.6.2: methods and header names.
bool IsHttpToken(std::string_view text);
// RFC 9110 section 5.5: no CR, LF, NUL or other control but the tab.
bool IsHttpFieldValue(std::string_view text);

// blackbox_contract 4.5: whether an Accept-Encoding value allows the module's compression.
bool AcceptEncodingAllows(std::string_view accept_encoding, std::string_view compression);

}  // namespace sonde
