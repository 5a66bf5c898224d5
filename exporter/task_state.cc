#include "exporter/task_state.h"

#include <algorithm>

namespace sonde {

Duration StaleAfter(const Task& task) {
  return std::max(Minutes(5), task.schedule.TypicalInterval() * 3);
}

std::optional<ProbeResult> FreshResult(const Task& task, const Tally& tally, WallTime now) {
  if (!task.enabled) return std::nullopt;
  std::optional<ProbeResult> last = tally.last();
  if (last && now - (last->started + last->duration) > StaleAfter(task)) return std::nullopt;
  return last;
}

TaskState StateOf(const Task& task, const std::optional<ProbeResult>& fresh) {
  if (!task.enabled) return TaskState::kDisabled;
  if (!fresh) return TaskState::kUnknown;
  return fresh->verdict() == Verdict::kSuccess ? TaskState::kUp : TaskState::kDown;
}

}  // namespace sonde
