#include "tools/sonde/bench/task_maker.h"

#include "absl/status/status.h"
#include "engine/contract/duration_text.h"
#include "store/task_file.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/single_task.h"

namespace sonde {

absl::StatusOr<TaskMaker> TaskMaker::Of(const std::string& task, const std::string& config_file) {
  std::string config;
  if (!config_file.empty()) {
    auto text = ReadFileBounded(config_file, kConfigFileLimit);
    if (!text.ok()) return text.status();
    config = *std::move(text);
  }
  Diagnostics diagnostics;
  GlobbedFiles module_files(config_file);
  SingleTask single = ReadSingleTask(task, config, &module_files, diagnostics);
  if (!single.task || !diagnostics.ok()) {
    return absl::InvalidArgumentError(
        diagnostics.ToString(single.config_good ? "options" : config_file));
  }
  TaskMaker maker;
  maker.like_ = std::move(single.task);
  maker.files_ = std::move(single.files);
  return maker;
}

absl::StatusOr<TaskMaker> TaskMaker::ForFarm(const BenchType& type, std::string_view options,
                                             const std::string& authority, Duration timeout) {
  const std::string block = BenchBlock(options, authority);
  return Of("{name: bench, type: " + std::string(type.prober) + ", target: '" +
                FarmTarget(type, 0, 1) + "', timeout: " + FormatDuration(timeout) +
                ", interval: 1m, " + std::string(type.prober) + ": " + block + "}",
            "");
}

absl::StatusOr<std::shared_ptr<const Task>> TaskMaker::Make(const std::string& name,
                                                            const std::string& target,
                                                            const Schedule& schedule) const {
  Task original = *like_;
  original.name = name;
  original.id = TaskIdOf(name);
  return Remake(original, target, schedule);
}

absl::StatusOr<std::shared_ptr<const Task>> TaskMaker::Remake(const Task& original,
                                                              const std::string& target,
                                                              const Schedule& schedule) const {
  auto task = std::make_shared<Task>(original);
  Diagnostics diagnostics;
  task->prober = like_->prober;
  task->module = like_->module;
  task->target = target;
  task->plan = task->prober->ParseTarget(target, {}, nullptr, *task->module, "target", diagnostics);
  if (!task->plan) return absl::InvalidArgumentError(diagnostics.ToString(target));
  task->schedule = schedule;
  // What differs between two tasks of one name here.
  task->version = static_cast<uint64_t>(schedule.TypicalInterval().ns);
  return task;
}

}  // namespace sonde
