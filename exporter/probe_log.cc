#include "exporter/probe_log.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <vector>

#include "exporter/number_text.h"
#include "exporter/text_escape.h"

namespace sonde {
namespace {

constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warn", "error"};

std::string TimeText(WallTime at) {
  const std::time_t seconds = static_cast<std::time_t>(at.ns / 1'000'000'000);
  std::tm parts{};
  char date[32] = "";
  char text[48] = "";
  if (::gmtime_r(&seconds, &parts) == nullptr) return "?";
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%03dZ", date, static_cast<int>(at.ns / 1'000'000 % 1000));
  return text;
}

bool Bare(std::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
}

void AppendField(std::string* out, std::string_view key, std::string_view value) {
  if (!out->empty() && out->back() != '\n') out->push_back(' ');
  out->append(key).push_back('=');
  if (Bare(value)) {
    out->append(value);
  } else {
    AppendJson(out, value);
  }
}

std::string SecondsText(double seconds) {
  char text[kNumberBytes];
  return std::string(text, WriteNumber(text, seconds));
}

}  // namespace

void ProbeLog::Add(WallTime at, LogLevel level, std::string_view message,
                   std::initializer_list<LogField> fields) {
  if (level < level_) return;
  if (lines_.size() < kMostBytes) {
    AppendField(&lines_, "ts", TimeText(at));
    AppendField(&lines_, "level", kLevels[static_cast<size_t>(level)]);
    AppendField(&lines_, "module", module_);
    AppendField(&lines_, "target", target_);
    AppendField(&lines_, "msg", message);
    for (const auto& [key, value] : fields) AppendField(&lines_, key, value);
    lines_.push_back('\n');
  }
  if (log_ == nullptr) return;
  std::vector<LogField> all = {{"module", module_}, {"target", target_}};
  all.insert(all.end(), fields.begin(), fields.end());
  log_->Log(level, message, all);
}

void ProbeLog::AddRun(const Runner::Answer& answer) {
  const ProbeResult& result = answer.result;
  const WallTime end = result.started + result.duration;
  WallTime at = result.started;
  for (size_t i = 0; i < kStageCount; ++i) {
    if ((result.stages_reached >> i & 1) == 0) continue;
    const Duration took = Microseconds(result.stage_us[i]);
    at = at + took;
    Add(at, LogLevel::kDebug, "Stage ended",
        {{"stage", StageName(static_cast<Stage>(i))}, {"seconds", SecondsText(took.seconds())}});
  }
  if (answer.evidence.peer.family != IpFamily::kNone) {
    Add(at, LogLevel::kDebug, "Target address", {{"address", answer.evidence.peer.HostPort()}});
  }
  if (!answer.evidence.url.empty()) {
    Add(at, LogLevel::kInfo, "Redirects were followed", {{"location", answer.evidence.url}});
  }
  const std::string seconds = SecondsText(result.duration.seconds());
  if (result.outcome == Outcome::kOk) {
    Add(end, LogLevel::kDebug, "Probe succeeded", {{"duration_seconds", seconds}});
    return;
  }
  const OutcomeInfo& info = Info(result.outcome);
  const std::string_view detail =
      answer.evidence.detail.empty() ? info.sentence : std::string_view(answer.evidence.detail);
  Add(end, LogLevel::kError, "Probe failed",
      {{"phase", PhaseName(info.phase)},
       {"reason", info.reason},
       {"detail", detail},
       {"duration_seconds", seconds}});
}

}  // namespace sonde
