#include "exporter/number_text.h"

#include <array>
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

// "000102...99"
constexpr std::array<char, 200> kPairs = [] {
  std::array<char, 200> pairs{};
  for (size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}();

void WritePair(char* at, uint32_t number) { std::memcpy(at, &kPairs[2 * size_t{number}], 2); }

// Up to nine digits after the point, trailing zeros left out. `nanos` < 10^9, not 0. In pairs, so
// that no division waits for more than two others.
char* WriteFraction(char* at, uint32_t nanos) {
  *at++ = '.';
  const uint32_t high = nanos / 10'000, low = nanos % 10'000;  // five digits and four
  const uint32_t middle = high % 10'000;
  *at = static_cast<char>('0' + high / 10'000);
  WritePair(at + 1, middle / 100);
  WritePair(at + 3, middle % 100);
  WritePair(at + 5, low / 100);
  WritePair(at + 7, low % 100);
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
