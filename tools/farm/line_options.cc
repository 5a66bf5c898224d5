#include "tools/farm/line_options.h"

#include <charconv>
#include <optional>
#include <vector>

#include "engine/contract/duration_text.h"

namespace sonde {
namespace {

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool ReadNumber(std::string_view text, double least, double most, double* out) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if (!(value >= least && value <= most)) return false;
  *out = value;
  return true;
}

bool ReadShare(std::string_view text, double* out) {
  if (!text.ends_with('%')) return ReadNumber(text, 0, 1, out);
  text.remove_suffix(1);
  if (!ReadNumber(text, 0, 100, out)) return false;
  *out /= 100;
  return true;
}

bool ReadSpan(std::string_view text, Duration* out) {
  const auto span = ParseDuration(text);
  if (!span || span->ns < 0 || *span > Hours(1)) return false;
  *out = *span;
  return true;
}

bool ReadJitter(std::string_view text, Delay* out) {
  const std::vector<std::string_view> words = Split(text, ':');
  Delay jitter;
  if (words[0] == "uniform" && words.size() == 3) {
    jitter.kind = Delay::Kind::kUniform;
    if (!ReadSpan(words[1], &jitter.a) || !ReadSpan(words[2], &jitter.b)) return false;
    if (jitter.b < jitter.a) return false;
  } else if (words[0] == "exponential" && words.size() == 2) {
    jitter.kind = Delay::Kind::kExponential;
    if (!ReadSpan(words[1], &jitter.a)) return false;
  } else if (words[0] == "lognormal" && words.size() == 3) {
    jitter.kind = Delay::Kind::kLognormal;
    if (!ReadSpan(words[1], &jitter.a) || !ReadNumber(words[2], 0, 5, &jitter.sigma)) return false;
  } else {
    return false;
  }
  *out = jitter;
  return true;
}

struct ConditionRow {
  std::string_view what;
  bool (*read)(std::string_view text, LineConditions* conditions);
};
constexpr ConditionRow kConditions[] = {
    {"delay", [](std::string_view text, LineConditions* c) { return ReadSpan(text, &c->delay); }},
    {"jitter",
     [](std::string_view text, LineConditions* c) { return ReadJitter(text, &c->jitter); }},
    {"loss", [](std::string_view text, LineConditions* c) { return ReadShare(text, &c->loss); }},
    {"duplicate",
     [](std::string_view text, LineConditions* c) { return ReadShare(text, &c->duplicate); }},
    {"reorder",
     [](std::string_view text, LineConditions* c) { return ReadShare(text, &c->reorder); }},
    {"reorder_by",
     [](std::string_view text, LineConditions* c) { return ReadSpan(text, &c->reorder_by); }},
};

}  // namespace

absl::Status ReadCondition(std::string_view what, std::string_view text, LineOptions* options) {
  const std::vector<std::string_view> parts = Split(text, ',');
  for (const ConditionRow& row : kConditions) {
    if (row.what != what) continue;
    if (parts.size() <= 2 && row.read(parts.front(), &options->there) &&
        row.read(parts.back(), &options->back)) {
      return absl::OkStatus();
    }
    break;
  }
  return absl::InvalidArgumentError("'" + std::string(text) + "' is no " + std::string(what));
}

}  // namespace sonde
