// Reads a sonde.yml (docs/configuration.md), or a blackbox.yml, which is one with modules only.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/config_node.h"
#include "engine/contract/metrics_settings.h"
#include "engine/contract/probe_policy.h"
#include "engine/contract/settings.h"
#include "engine/contract/task.h"
#include "store/module_reader.h"
#include "store/yaml_reader.h"

namespace sonde {

struct TaskFile {
  // A file of at most so many tasks keeps their last results without being told to: 5 MB.
  static constexpr size_t kRecentTasks = 10'000;

  std::vector<std::shared_ptr<const Task>> tasks;  // in file order; bad ones are left out
  ModuleSet::Map modules;                          // by name; every one has a prober
  // Modules that load but cannot be used: name -> the prober's word this build does not have, ""
  // for a module given as null. /probe answers them `Unknown prober "<word>"`.
  std::map<std::string, std::string, std::less<>> unusable_modules;
  std::map<std::string, std::string, std::less<>> module_texts;  // ModuleSet::texts
  std::vector<std::string> module_patterns;                      // `module_files`
  std::string settings_text;       // the settings below as they were written, as YAML
  std::vector<std::string> files;  // every path a module names, sorted, once: for Files::Watch
  EngineSettings engine;
  MetricsSettings metrics;  // as said; what it came to stands in each task
  ProbePolicy policy;
  // `federation.external_labels`, for /federate: sorted, names legal and unique.
  std::vector<std::pair<std::string, std::string>> external_labels;
};

// Loader's thread; takes about a second for 100,000 tasks. Everything wrong is reported at once;
// what is good is in the result all the same. Whether a file with errors is taken is the caller's
// choice: a reload takes none of it when !diagnostics.ok(). `module_files` finds what that key
// names; null where no other file may be read.
TaskFile ReadTaskFile(std::string_view text, std::span<const Prober* const> probers,
                      Diagnostics& diagnostics, const YamlLimits& limits = {},
                      ModuleFiles* module_files = nullptr);

// The whole content of a regular file, a pipe or "-" (standard input). NotFound, PermissionDenied
// and so on by errno, ResourceExhausted when there are more than `limit` bytes. Blocks.
absl::StatusOr<std::string> ReadFileBounded(const std::string& path, size_t limit);

}  // namespace sonde
