// Hostile text made safe for the formats we write. Everything here appends to `out`, any thread.
// Bytes that are not valid UTF-8, and NUL, become U+FFFD: one bad label value would otherwise make
// Prometheus drop a whole scrape.
#pragma once

#include <string>
#include <string_view>

namespace sonde {

// Label values of text 0.0.4 and OpenMetrics: backslash, double quote and newline.
void AppendLabelValue(std::string* out, std::string_view value);

// HELP of text 0.0.4: backslash and newline; OpenMetrics also the double quote.
void AppendHelp(std::string* out, std::string_view help, bool escape_quote);

// Text for formats that escape nothing.
void AppendUtf8(std::string* out, std::string_view text);

// HTML text and attribute values in either kind of quotes. Control characters but tab and newline
// become U+FFFD.
void AppendHtml(std::string* out, std::string_view text);

// A JSON string with its quotes (RFC 8259 section 7); `<` is escaped too, so that the text may
// stand in a script element.
void AppendJson(std::string* out, std::string_view text);

// Length of the valid UTF-8 sequence `text` begins with; 0 when there is none (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF). `text` must not be empty.
size_t Utf8Length(std::string_view text);

}  // namespace sonde
