// A task's state in one word, and the one rule of when a result still speaks for its task. The
// metrics, the landing page and the API all ask here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/contract/probe_result.h"
#include "engine/contract/tally.h"
#include "engine/contract/task.h"

namespace sonde {

enum class TaskState : uint8_t {
  kUp,        // the last conclusive run succeeded
  kDown,      // it failed
  kUnknown,   // there was none yet, or it is too old to speak for the task
  kDisabled,  // the task is switched off
  kCount,
};
inline constexpr size_t kTaskStates = static_cast<size_t>(TaskState::kCount);
inline constexpr std::array<std::string_view, kTaskStates> kTaskStateNames = {
    "up", "down", "unknown", "disabled"};
inline std::string_view StateName(TaskState state) {
  return kTaskStateNames[static_cast<size_t>(state)];
}

// A conclusive result older than this is stale: max(5 min, 3 intervals).
Duration StaleAfter(const Task& task);

// The last conclusive result while the task is enabled and the result not stale. Any thread.
std::optional<ProbeResult> FreshResult(const Task& task, const Tally& tally, WallTime now);

// `fresh` is what FreshResult gave.
TaskState StateOf(const Task& task, const std::optional<ProbeResult>& fresh);

}  // namespace sonde
