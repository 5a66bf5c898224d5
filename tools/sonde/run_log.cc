#include "tools/sonde/run_log.h"

#include <string>

#include "engine/contract/duration_text.h"

namespace sonde {

void RunLog::OnRun(const RunReport& report) {
  next_.OnRun(report);
  const bool passed = report.result.verdict() == Verdict::kSuccess;
  const LogLevel level = passed ? LogLevel::kDebug : LogLevel::kWarn;
  if (!log_.Enabled(level)) return;
  if (!TakeLine(report.result.started.ns / 1'000'000'000)) return;
  const Task& task = report.task;
  const std::string duration = FormatDuration(report.result.duration);
  std::string_view detail = Info(report.result.outcome).sentence;
  if (report.evidence && !report.evidence->detail.empty()) detail = report.evidence->detail;
  log_.Log(level, passed ? "run succeeded" : "run did not succeed",
           {{"task", task.name},
            {"type", task.prober->name()},
            {"target", task.target},
            {"verdict", VerdictName(report.result.verdict())},
            {"outcome", OutcomeName(report.result.outcome)},
            {"duration", duration},
            {"detail", detail}});
}

// Several shards may meet here; a line more or less in the second that turns does not matter.
bool RunLog::TakeLine(int64_t second) {
  if (second_.load(std::memory_order_relaxed) != second) {
    if (second_.exchange(second, std::memory_order_relaxed) != second) {
      lines_.store(0, std::memory_order_relaxed);
      const uint64_t left_out = left_out_.exchange(0, std::memory_order_relaxed);
      if (left_out > 0) {
        log_.Log(LogLevel::kWarn, "runs not logged, too many at once",
                 {{"runs", std::to_string(left_out)}});
      }
    }
  }
  if (lines_.fetch_add(1, std::memory_order_relaxed) < kLinesPerSecond) return true;
  left_out_.fetch_add(1, std::memory_order_relaxed);
  left_out_total_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

}  // namespace sonde
