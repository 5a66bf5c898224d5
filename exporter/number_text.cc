#include "exporter/number_text.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

namespace sonde {
namespace {

char* Write(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

// Up to nine digits after the point, trailing zeros left out. `nanos` < 10^9, not 0.
char* WriteFraction(char* at, uint32_t nanos) {
  *at++ = '.';
  for (char* digit = at + 8; digit >= at; --digit) {
    *digit = static_cast<char>('0' + nanos % 10);
    nanos /= 10;
  }
  char* end = at + 9;
  while (end[-1] == '0') --end;
  return end;
}

char* WriteSpecial(char* at, double value) {
  if (std::isnan(value)) return Write(at, "NaN");
  return Write(at, value > 0 ? "+Inf" : "-Inf");
}

}  // namespace

char* WriteNumber(char* at, uint64_t value) {
  return std::to_chars(at, at + kNumberBytes, value).ptr;
}

char* WriteNumber(char* at, double value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  constexpr double kNanosExact = 1e6;            // 6 + 9 digits always survive a double
  if (!std::isfinite(value)) return WriteSpecial(at, value);
  if (value < 0) {
    if (value > -kExact && value == std::trunc(value)) {
      return std::to_chars(at, at + kNumberBytes, static_cast<int64_t>(value)).ptr;
    }
    return std::to_chars(at, at + kNumberBytes, value).ptr;
  }
  if (value < kExact) {
    const auto whole = static_cast<uint64_t>(value);
    if (static_cast<double>(whole) == value) return WriteNumber(at, whole);
    if (value < kNanosExact) {
      // Twice as fast as to_chars, and durations are all of this kind.
      const auto nanos = static_cast<uint64_t>(value * 1e9 + 0.5);
      if (static_cast<double>(nanos) / 1e9 == value) {
        at = WriteNumber(at, nanos / 1'000'000'000);
        return WriteFraction(at, static_cast<uint32_t>(nanos % 1'000'000'000));
      }
    }
  }
  return std::to_chars(at, at + kNumberBytes, value).ptr;
}

std::string GoNumber(double value) {
  char buffer[kNumberBytes];
  if (!std::isfinite(value)) return {buffer, WriteSpecial(buffer, value)};
  // "d.ddde+XX": sign, digits and exponent, laid out anew where Go would.
  const char* end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 6) return std::string(text);
  const bool negative = text[0] == '-';
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  std::string out = negative ? "-" : "";
  if (exponent < 0) {
    out.append("0.").append(static_cast<size_t>(-exponent - 1), '0').append(digits);
    return out;
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out.append(digits).append(whole - digits.size(), '0');
  return out.append(digits, 0, whole).append(".").append(digits, whole);
}

std::string BoundText(double bound, bool open_metrics) {
  std::string text = GoNumber(bound);
  if (open_metrics && std::isfinite(bound) && text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return text;
}

}  // namespace sonde
