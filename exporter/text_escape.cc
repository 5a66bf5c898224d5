#include "exporter/text_escape.h"

#include <cstdint>

namespace sonde {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Copies `text`; `escape(byte)` gives what to write instead of an ASCII byte, or an empty view to
// keep it. Runs of plain bytes are appended at once.
template <typename Escape>
void AppendEscaped(std::string* out, std::string_view text, Escape&& escape) {
  size_t start = 0, i = 0;
  const auto replace = [&](std::string_view with, size_t length) {
    out->append(text, start, i - start).append(with);
    i += length;
    start = i;
  };
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80) {
      const size_t length = Utf8Length(text.substr(i));
      if (length == 0) {
        replace(kReplacement, 1);
      } else {
        i += length;
      }
      continue;
    }
    const std::string_view with = escape(text[i]);
    if (with.empty()) {
      ++i;
    } else {
      replace(with, 1);
    }
  }
  out->append(text, start, i - start);
}

}  // namespace

size_t Utf8Length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;  // range of the second byte
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() < length) return 0;
  if (at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

void AppendLabelValue(std::string* out, std::string_view value) {
  AppendEscaped(out, value, [](char c) -> std::string_view {
    switch (c) {
      case '\\':
        return "\\\\";
      case '"':
        return "\\\"";
      case '\n':
        return "\\n";
      case '\0':
        return kReplacement;
      default:
        return {};
    }
  });
}

void AppendHelp(std::string* out, std::string_view help, bool escape_quote) {
  AppendEscaped(out, help, [escape_quote](char c) -> std::string_view {
    switch (c) {
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '"':
        return escape_quote ? "\\\"" : std::string_view();
      case '\0':
      case '\r':
        return kReplacement;  // a bare CR ends a line for some parsers
      default:
        return {};
    }
  });
}

void AppendUtf8(std::string* out, std::string_view text) {
  AppendEscaped(out, text, [](char c) { return c == '\0' ? kReplacement : std::string_view(); });
}

void AppendHtml(std::string* out, std::string_view text) {
  AppendEscaped(out, text, [](char c) -> std::string_view {
    switch (c) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&quot;";
      case '\'':
        return "&#39;";
      default:
        return (c >= 0 && c < 0x20 && c != '\n' && c != '\t') ? kReplacement : std::string_view();
    }
  });
}

void AppendJson(std::string* out, std::string_view text) {
  char code[6] = {'\\', 'u', '0', '0'};
  out->push_back('"');
  AppendEscaped(out, text, [&code](char c) -> std::string_view {
    constexpr char kHex[] = "0123456789abcdef";
    if (c == '"') return "\\\"";
    if (c == '\\') return "\\\\";
    if (c == '\n') return "\\n";
    if (c >= 0x20 && c != '<' && c != 0x7f) return {};
    code[4] = kHex[(c >> 4) & 15];
    code[5] = kHex[c & 15];
    return {code, sizeof code};
  });
  out->push_back('"');
}

}  // namespace sonde
