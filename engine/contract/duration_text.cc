#include "engine/contract/duration_text.h"

#include <array>
#include <charconv>

namespace sonde {
namespace {

struct Unit {
  std::string_view name;
  uint64_t ns;
  bool days_only;
};

constexpr std::array<Unit, 10> kUnits = {{
    {"ns", 1, false},
    {"us", 1'000, false},
    {"\u00b5s", 1'000, false},  // micro sign
    {"\u03bcs", 1'000, false},  // Greek mu
    {"ms", 1'000'000, false},
    {"s", 1'000'000'000, false},
    {"m", 60'000'000'000, false},
    {"h", 3'600'000'000'000, false},
    {"d", 86'400'000'000'000, true},
    {"w", 604'800'000'000'000, true},
}};

constexpr uint64_t kMost = uint64_t{1} << 63;  // of the magnitude; only a negative one may reach it

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Takes the digits at the front of `text`. False when they exceed kMost.
bool TakeWhole(std::string_view& text, uint64_t* value) {
  for (; !text.empty() && IsDigit(text.front()); text.remove_prefix(1)) {
    if (*value > kMost / 10) return false;
    *value = *value * 10 + static_cast<uint64_t>(text.front() - '0');
    if (*value > kMost) return false;
  }
  return true;
}

// The same after the point; digits beyond the type's precision are dropped, as Go does.
void TakeFraction(std::string_view& text, uint64_t* value, double* scale) {
  bool full = false;
  for (; !text.empty() && IsDigit(text.front()); text.remove_prefix(1)) {
    if (full || *value > (kMost - 1) / 10) {
      full = true;
      continue;
    }
    const uint64_t next = *value * 10 + static_cast<uint64_t>(text.front() - '0');
    if (next > kMost) {
      full = true;
      continue;
    }
    *value = next;
    *scale *= 10;
  }
}

const Unit* TakeUnit(std::string_view& text, bool days) {
  size_t length = 0;
  while (length < text.size() && text[length] != '.' && !IsDigit(text[length])) ++length;
  const std::string_view name = text.substr(0, length);
  text.remove_prefix(length);
  for (const Unit& unit : kUnits) {
    if (unit.name == name && (days || !unit.days_only)) return &unit;
  }
  return nullptr;
}

// One "1.5h". False on anything else.
bool TakePart(std::string_view& text, bool days, uint64_t* total) {
  uint64_t whole = 0, fraction = 0;
  double scale = 1;
  const size_t before = text.size();
  if (!TakeWhole(text, &whole)) return false;
  bool digits = text.size() != before;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    const size_t after_point = text.size();
    TakeFraction(text, &fraction, &scale);
    digits = digits || text.size() != after_point;
  }
  if (!digits) return false;
  const Unit* unit = TakeUnit(text, days);
  if (unit == nullptr || whole > kMost / unit->ns) return false;
  uint64_t part = whole * unit->ns;
  if (fraction > 0) {
    part += static_cast<uint64_t>(static_cast<double>(fraction) *
                                  (static_cast<double>(unit->ns) / scale));
    if (part > kMost) return false;
  }
  *total += part;
  return *total <= kMost;
}

// "1.5" + suffix: `value` in units of 10^-digits, without trailing zeros.
void AppendDecimal(uint64_t value, int digits, std::string_view suffix, std::string* out) {
  uint64_t power = 1;
  for (int i = 0; i < digits; ++i) power *= 10;
  *out += std::to_string(value / power);
  uint64_t rest = value % power;
  if (rest != 0) {
    std::string tail(static_cast<size_t>(digits), '0');
    for (size_t i = tail.size(); i-- > 0; rest /= 10) tail[i] = static_cast<char>('0' + rest % 10);
    while (tail.back() == '0') tail.pop_back();
    *out += "." + tail;
  }
  *out += suffix;
}

}  // namespace

std::optional<Duration> ParseDuration(std::string_view text, bool days) {
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return Duration{};
  if (text.empty()) return std::nullopt;
  uint64_t total = 0;
  while (!text.empty()) {
    if (!TakePart(text, days, &total)) return std::nullopt;
  }
  if (negative) return Duration{static_cast<int64_t>(0 - total)};
  if (total >= kMost) return std::nullopt;
  return Duration{static_cast<int64_t>(total)};
}

std::string FormatDuration(Duration duration) {
  if (duration.ns == 0) return "0s";
  std::string text = duration.ns < 0 ? "-" : "";
  const uint64_t ns =
      duration.ns < 0 ? 0 - static_cast<uint64_t>(duration.ns) : static_cast<uint64_t>(duration.ns);
  if (ns < 1'000'000'000) {
    if (ns < 1'000) {
      AppendDecimal(ns, 0, "ns", &text);
    } else if (ns < 1'000'000) {
      AppendDecimal(ns, 3, "\u00b5s", &text);
    } else {
      AppendDecimal(ns, 6, "ms", &text);
    }
    return text;
  }
  const uint64_t minutes = ns / 60'000'000'000;
  if (minutes >= 60) text += std::to_string(minutes / 60) + "h";
  if (minutes > 0) text += std::to_string(minutes % 60) + "m";
  AppendDecimal(ns % 60'000'000'000, 9, "s", &text);
  return text;
}

}  // namespace sonde
