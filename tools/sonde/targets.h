// --targets.file: lists of targets as Prometheus' file_sd writes them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/task.h"
#include "store/targets_file.h"
#include "store/task_file.h"

namespace sonde {

struct TargetsOptions {
  std::vector<std::string> files;
  TargetDefaults defaults;
};

struct LoadedTargets {
  std::vector<std::shared_ptr<const Task>> tasks;
  std::string warnings;  // "FILE:LINE:COLUMN: PATH: MESSAGE" lines
};

// With the modules of `config`; a task of its own with the same name is an error. Any thread;
// blocks. When anything is wrong nothing is taken: the error lists every place, a line each.
absl::StatusOr<LoadedTargets> LoadTargets(const TargetsOptions& options, const TaskFile& config);

}  // namespace sonde
