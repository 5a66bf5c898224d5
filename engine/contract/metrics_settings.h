// What is kept and shown of a task beside what every task has. Plain values.
#pragma once

#include <optional>

#include "engine/contract/family_set.h"

namespace sonde {

// `metrics:` of a file, or of one of its modules; nullopt where it says nothing.
struct MetricsSettings {
  std::optional<FamilySet> families;
  std::optional<bool> recent;

  bool operator==(const MetricsSettings&) const = default;
};

// What that came to for one task.
struct TaskMetrics {
  FamilySet families = FamilySet::Default();
  bool recent = false;  // its last results are kept (ResultRing)

  // With what `settings` say in place of what was said before.
  constexpr TaskMetrics With(const MetricsSettings& settings) const {
    return {settings.families.value_or(families), settings.recent.value_or(recent)};
  }
  bool operator==(const TaskMetrics&) const = default;
};

}  // namespace sonde
