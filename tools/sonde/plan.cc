#include "tools/sonde/plan.h"

#include <cstdio>
#include <ctime>
#include <optional>

#include "absl/time/time.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/fleet_plan.h"
#include "tools/sonde/node.h"
#include "tools/sonde/plan_report.h"

namespace sonde {
namespace {

// Whole seconds. nullopt for what is no RFC 3339 time, or one that schedules do not reach.
std::optional<WallTime> ParseFrom(const std::string& text) {
  constexpr int64_t kLatest = 4'102'444'800;  // 2100
  absl::Time time;
  std::string error;
  const bool digits = !text.empty() && text[0] >= '0' && text[0] <= '9';  // no "infinite-past"
  if (!digits || !absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return std::nullopt;
  const int64_t second = absl::ToUnixSeconds(time);
  if (second < 0 || second > kLatest) return std::nullopt;
  return WallTime{second * Seconds(1).ns};
}

WallTime ThisSecond() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec * Seconds(1).ns};
}

int Fail(const std::string& message) {
  std::fprintf(stderr, "sonde plan: %s\n", message.c_str());
  return 1;
}

}  // namespace

int Plan(const PlanOptions& options) {
  PlanQuestion question;
  question.tasks = options.tasks;
  question.due_times = options.next;
  const auto from = options.from.empty() ? ThisSecond() : ParseFrom(options.from);
  if (!from) {
    return Fail("--from: '" + options.from +
                "' is not a time such as 2026-03-28T12:00:00Z, from 1970 to 2099");
  }
  question.from = *from;
  const auto loaded = LoadFile(options.file, {});
  if (!loaded.ok()) {
    PrintLines(stderr, std::string(loaded.status().message()));
    return 1;
  }
  std::fprintf(stderr, "%s", loaded->warnings.c_str());
  question.node = LimitsOf(loaded->file.engine);
  const auto plan = PlanFleet(loaded->file, question);
  if (!plan.ok()) return Fail(std::string(plan.status().message()));
  const std::string report =
      options.json ? PlanJson(options.file, *plan) : PlanText(options.file, *plan);
  std::fwrite(report.data(), 1, report.size(), stdout);
  return 0;
}

}  // namespace sonde
