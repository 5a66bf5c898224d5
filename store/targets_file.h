// Reads a list of targets as Prometheus' file_sd writes it: JSON or YAML,
// `[{targets: [...], labels: {...}}]` (docs/blackbox.md). Each target becomes a task.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/config_node.h"
#include "engine/contract/task.h"
#include "store/task_reader.h"
#include "store/yaml_reader.h"

namespace sonde {

// What a target's labels do not say.
struct TargetDefaults {
  std::string module = "http_2xx";
  std::string interval = "1m";
};

// One load of any number of files. Loader's thread. The reader sees to it that names are unique:
// a task is called "MODULE TARGET".
class TargetsReader {
 public:
  TargetsReader(TargetDefaults defaults, TaskReader& reader, Diagnostics& diagnostics)
      : defaults_(std::move(defaults)), reader_(reader), diagnostics_(diagnostics) {}

  // Labels that mean something: `__param_module` or `module`, `__scrape_interval__`,
  // `__scrape_timeout__`, `application`. Others that begin with `__` are dropped, the rest are
  // labels of the series. What is wrong is reported, the rest is read.
  void Read(std::string_view text);

  std::vector<std::shared_ptr<const Task>> TakeTasks() { return std::move(tasks_); }

 private:
  struct Group;
  void ReadGroup(const ConfigNode& node, const std::string& path);
  void ReadTarget(const ConfigNode& target, const Group& group, const std::string& path);

  const TargetDefaults defaults_;
  TaskReader& reader_;
  Diagnostics& diagnostics_;
  std::vector<YamlDocument> documents_;  // the reader refers to them
  std::deque<std::string> names_;        // and to these
  std::vector<std::shared_ptr<const Task>> tasks_;
};

}  // namespace sonde
