// Small words of RFC 9110 and RFC 3986 the server is made of: tokens, escapes, lists, status texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sonde {

// ASCII case only, never the locale's.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);
std::string AsciiLower(std::string_view text);

// RFC 9110 section 5.6.2 (tchar).
bool IsTokenChar(char c);
bool IsToken(std::string_view text);

// Strips blanks and tabs at both ends.
std::string_view TrimBlanks(std::string_view text);

// Takes the next element of a comma-separated list off the front of `rest`, trimmed; nullopt at the
// end. Empty elements are skipped (RFC 9110 section 5.6.1.2).
std::optional<std::string_view> NextListElement(std::string_view& rest);

// True when the comma-separated list holds the word, case ignored.
bool ListContains(std::string_view list, std::string_view word);

// Decodes %XX once; nullopt for a broken escape, or one that gives a control character (0..31,
// 127).
std::optional<std::string> DecodePath(std::string_view text);

// Decodes a name or value of a query or form: '+' is a blank, a broken escape stays as it is.
std::string FormDecode(std::string_view text);

// "Not Found" for 404; "Status" for a number without a registered text.
std::string_view StatusText(int status);

}  // namespace sonde
