#include "engine/contract/scalar_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

namespace sonde {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

// `word` is lower case; `text` must be it in lower, upper or title case, not mixed.
bool IsWord(std::string_view text, std::string_view word) {
  if (text.size() != word.size()) return false;
  bool lower = true, upper = true, title = true;
  for (size_t i = 0; i < text.size(); ++i) {
    lower = lower && text[i] == word[i];
    upper = upper && text[i] == Upper(word[i]);
    title = title && text[i] == (i == 0 ? Upper(word[i]) : word[i]);
  }
  return lower || upper || title;
}

bool TakeSign(std::string_view& text) {
  if (text.empty() || (text.front() != '-' && text.front() != '+')) return false;
  const bool negative = text.front() == '-';
  text.remove_prefix(1);
  return negative;
}

// Digits without their `_`; empty when there is one at an end, or none.
std::string WithoutSeparators(std::string_view text) {
  std::string digits;
  if (text.empty() || text.front() == '_' || text.back() == '_') return digits;
  digits.reserve(text.size());
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits),
               [](char c) { return c != '_'; });
  return digits;
}

std::optional<int64_t> ParseWhole(std::string_view text) {
  if (text.size() > 80) return std::nullopt;
  const bool negative = TakeSign(text);
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && !IsDigit(text[1])) {
    const char kind = Lower(text[1]);
    base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (base == 0) return std::nullopt;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
    text.remove_prefix(1);
  }
  const std::string digits = WithoutSeparators(text);
  if (digits.empty()) return std::nullopt;
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, value, base);
  if (error != std::errc() || rest != end) return std::nullopt;
  const uint64_t most = uint64_t{1} << 63;
  if (value > most || (value == most && !negative)) return std::nullopt;
  return static_cast<int64_t>(negative ? 0 - value : value);
}

struct SizeUnit {
  std::string_view name;
  int power;  // of 1024
};
constexpr std::array<SizeUnit, 13> kSizeUnits = {{{"B", 0},
                                                  {"KB", 1},
                                                  {"KiB", 1},
                                                  {"MB", 2},
                                                  {"MiB", 2},
                                                  {"GB", 3},
                                                  {"GiB", 3},
                                                  {"TB", 4},
                                                  {"TiB", 4},
                                                  {"PB", 5},
                                                  {"PiB", 5},
                                                  {"EB", 6},
                                                  {"EiB", 6}}};

// One "1.5MiB" at the front of `text`.
bool TakeSizePart(std::string_view& text, double* total) {
  size_t length = 0;
  bool digit = false, point = false;
  for (; length < text.size(); ++length) {
    if (IsDigit(text[length])) {
      digit = true;
    } else if (text[length] == '.' && !point) {
      point = true;
    } else {
      break;
    }
  }
  if (!digit || length > 40) return false;
  double number = 0;
  std::from_chars(text.data(), text.data() + length, number);
  text.remove_prefix(length);
  length = 0;
  while (length < text.size() && text[length] != '.' && !IsDigit(text[length])) ++length;
  const std::string_view name = text.substr(0, length);
  text.remove_prefix(length);
  const auto unit = std::find_if(kSizeUnits.begin(), kSizeUnits.end(),
                                 [name](const SizeUnit& u) { return u.name == name; });
  if (unit == kSizeUnits.end()) return false;
  *total += std::ldexp(number, 10 * unit->power);
  return true;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (Lower(a[i - 1]) == Lower(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<bool> ParseBoolWord(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kTrue = {"true", "yes", "on", "y"};
  static constexpr std::array<std::string_view, 4> kFalse = {"false", "no", "off", "n"};
  for (const std::string_view word : kTrue) {
    if (IsWord(text, word)) return true;
  }
  for (const std::string_view word : kFalse) {
    if (IsWord(text, word)) return false;
  }
  return std::nullopt;
}

bool IsNullWord(std::string_view text) {
  return text.empty() || text == "~" || IsWord(text, "null");
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  if (const auto whole = ParseWhole(text)) return whole;
  if (text.find_first_of(".eE") == std::string_view::npos) return std::nullopt;
  const auto real = ParseReal(text);
  // 2^63 itself is the first double that does not fit.
  if (!real || *real != std::floor(*real) || std::fabs(*real) >= 9223372036854775808.0) {
    return std::nullopt;
  }
  return static_cast<int64_t>(*real);
}

std::optional<double> ParseReal(std::string_view text) {
  if (const auto whole = ParseWhole(text)) return static_cast<double>(*whole);
  if (text.empty() || text.size() > 80) return std::nullopt;
  std::string_view rest = text;
  const bool negative = TakeSign(rest);
  if (IsWord(rest.substr(rest.empty() ? 0 : 1), "inf") && rest.front() == '.') {
    const double inf = std::numeric_limits<double>::infinity();
    return negative ? -inf : inf;
  }
  if (text == ".nan" || text == ".NaN" || text == ".NAN") {
    return std::numeric_limits<double>::quiet_NaN();
  }
  // from_chars alone would take "inf", "nan" and a second sign.
  if (rest.empty() || (!IsDigit(rest.front()) && rest.front() != '.')) return std::nullopt;
  const std::string digits = WithoutSeparators(rest);
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, value);
  if (digits.empty() || error != std::errc() || at != end) return std::nullopt;
  return negative ? -value : value;
}

std::optional<int64_t> ParseSize(std::string_view text) {
  const bool negative = TakeSign(text);
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    if (!TakeSizePart(text, &total)) return std::nullopt;
  }
  if (total >= 9223372036854775808.0) return std::nullopt;
  return negative ? 0 : static_cast<int64_t>(total);
}

std::string Quote(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  constexpr size_t kShown = 80;
  std::string out = "'";
  size_t end = std::min(text.size(), kShown);
  // Not in the middle of a UTF-8 sequence.
  while (end < text.size() && end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  const bool utf8 = IsUtf8(text.substr(0, end));
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8)) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  if (end < text.size()) out += "...";
  return out + "'";
}

std::string Suggestion(std::string_view wrong, std::span<const std::string_view> candidates) {
  constexpr size_t kLongest = 64;  // nobody mistypes more, and the distance is quadratic
  if (wrong.empty() || wrong.size() > kLongest) return "";
  std::string_view best;
  size_t nearest = std::min<size_t>(3, (wrong.size() + 2) / 3 + 1);  // must be less than this
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const size_t distance = EditDistance(wrong, candidate);
    if (distance < nearest) {
      nearest = distance;
      best = candidate;
    }
  }
  return best.empty() ? "" : " (did you mean '" + std::string(best) + "'?)";
}

bool IsUtf8(std::string_view text) {
  const auto byte = [text](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  for (size_t i = 0; i < text.size();) {
    const uint8_t first = byte(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return false;
    uint8_t low = 0x80, high = 0xbf;  // of the second byte: overlong forms and surrogates
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    if (byte(i + 1) < low || byte(i + 1) > high) return false;
    for (size_t k = 2; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace sonde
