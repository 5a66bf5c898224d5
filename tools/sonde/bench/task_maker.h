// Tasks alike, each with a target of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/task.h"
#include "tools/sonde/bench/bench_type.h"

namespace sonde {

class TaskMaker {
 public:
  // As a task of a file would be read: `task` is one, with any target; `config_file` "" or where
  // its module stands. Errors name what is wrong with the options.
  static absl::StatusOr<TaskMaker> Of(const std::string& task, const std::string& config_file);
  // `options`: the type's, or its silent ones.
  static absl::StatusOr<TaskMaker> ForFarm(const BenchType& type, std::string_view options,
                                           const std::string& authority, Duration timeout);

  absl::StatusOr<std::shared_ptr<const Task>> Make(const std::string& name,
                                                   const std::string& target,
                                                   const Schedule& schedule) const;

  // `original` with this type's prober, options and target in place of its own.
  absl::StatusOr<std::shared_ptr<const Task>> Remake(const Task& original,
                                                     const std::string& target,
                                                     const Schedule& schedule) const;

  const Task& like() const { return *like_; }
  const std::vector<std::string>& files() const { return files_; }  // its options name

 private:
  std::shared_ptr<const Task> like_;
  std::vector<std::string> files_;
};

}  // namespace sonde
