// Reads one task: a mapping out of `tasks:` becomes a Task, or nothing and diagnostics.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/contract/config_node.h"
#include "engine/contract/task.h"
#include "store/module_reader.h"

namespace sonde {

// What a task may ask for at most.
struct TaskBounds {
  static constexpr size_t kNameBytes = 200;
  static constexpr size_t kApplicationBytes = 200;
  static constexpr size_t kTargetBytes = 8 * 1024;
  static constexpr size_t kLabels = 32;
  static constexpr size_t kLabelValueBytes = 1024;
  static constexpr Duration kTimeout = Minutes(5);
};

// One load. Loader's thread. What it reads from and the modules must outlive it; the tasks made do
// not refer to either. Tasks with equal inline blocks share one module, tasks with equal cron
// expressions one parsed expression.
class TaskReader {
 public:
  // `metrics`: of tasks whose module says nothing else.
  TaskReader(const ProberList& probers, const ModuleSet& modules, Diagnostics& diagnostics,
             const TaskMetrics& metrics = {});

  // Null when the task is not good; the diagnostics say why. Names must be unique within a load.
  std::shared_ptr<const Task> Read(const ConfigNode& node, const std::string& path);

  // Modules made for inline blocks and for tasks that name none.
  std::vector<std::shared_ptr<const Module>> OwnModules() const;

 private:
  struct NameUse {
    std::string_view name;
    Mark mark;
  };

  void ReadName(ConfigReader& in, Task* task);
  void ReadType(ConfigReader& in, Task* task);
  const Prober* FindType(ConfigReader& in);
  void ReadModuleName(ConfigReader& in, Task* task);
  void ReadInline(ConfigReader& in, Task* task);
  void ReadTexts(ConfigReader& in, Task* task);
  void ReadLabels(ConfigReader& in, Task* task);
  void ReadSchedule(ConfigReader& in, Task* task);
  void ReadCron(ConfigReader& in, Task* task);
  void ReadTimeout(ConfigReader& in, Task* task);
  void WarnOfShortTimeout(ConfigReader& in, const Task& task);
  uint64_t VersionOf(const Task& task, const ConfigNode* expect);

  const ProberList& probers_;
  const ModuleSet& modules_;
  Diagnostics& diagnostics_;
  const TaskMetrics metrics_;
  std::unordered_map<uint64_t, NameUse> names_;  // by task id
  std::unordered_map<std::string, std::shared_ptr<const Module>> inline_;
  std::unordered_map<std::string, Schedule> crons_;
  std::string type_;              // of the task being read, lower case; "" when not given
  std::string schedule_text_;     // of the task being read, for its version
  std::string_view inline_name_;  // its inline block's prober; "" for none
  bool left_out_ = false;         // not good, for an error that was reported elsewhere
  std::string scratch_;
};

}  // namespace sonde
