#include "tools/sonde/targets.h"

#include <unordered_set>
#include <utility>

#include "protocols/registry.h"
#include "tools/sonde/configuration.h"

namespace sonde {

absl::StatusOr<LoadedTargets> LoadTargets(const TargetsOptions& options, const TaskFile& config) {
  LoadedTargets loaded;
  if (options.files.empty()) return loaded;
  ModuleSet modules;
  modules.good = config.modules;
  modules.unusable = config.unusable_modules;
  const ProberList probers{SchemaProbers()};
  Diagnostics diagnostics;
  TaskReader tasks(probers, modules, diagnostics);
  TargetsReader targets(options.defaults, tasks, diagnostics);
  for (const std::string& path : options.files) {
    const absl::StatusOr<std::string> text = ReadFileBounded(path, kConfigFileLimit);
    if (!text.ok()) return text.status();
    diagnostics.SetFile(path);
    targets.Read(*text);
  }
  loaded.tasks = targets.TakeTasks();
  std::unordered_set<uint64_t> taken;
  for (const auto& task : config.tasks) taken.insert(task->id);
  for (const auto& task : loaded.tasks) {
    if (taken.count(task->id) == 0) continue;
    diagnostics.Error({}, "", "the configuration has a task '" + task->name + "' already");
  }
  if (!diagnostics.ok()) return absl::InvalidArgumentError(diagnostics.ToString(""));
  loaded.warnings = diagnostics.ToString("");
  return loaded;
}

}  // namespace sonde
