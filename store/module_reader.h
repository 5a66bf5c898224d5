// Reads `modules:`, exactly blackbox_exporter's block (docs/configuration.md), and finds probers.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/config_node.h"
#include "engine/contract/task.h"

namespace sonde {

// The probers of this build, by name. They outlive it. Any thread.
class ProberList {
 public:
  explicit ProberList(std::span<const Prober* const> probers) : probers_(probers) {}

  const Prober* Find(std::string_view name) const;  // exact, lower case; nullptr when absent
  // Also those that only read their block.
  const Prober* FindReader(std::string_view name) const;
  // Names that are part of the schema, whether this build has a prober for them or not.
  static std::span<const std::string_view> SchemaNames();
  static bool InSchema(std::string_view name);

 private:
  std::span<const Prober* const> probers_;
};

struct ModuleSet {
  using Map = std::map<std::string, std::shared_ptr<const Module>, std::less<>>;
  Map good;
  // Loaded with a warning, not usable: name -> its prober's word, "" for a module given as null.
  std::map<std::string, std::string, std::less<>> unusable;
  std::set<std::string, std::less<>> bad;  // had errors, already reported
  // Those that are good or unusable as they are in force, secrets masked (ModuleText).
  std::map<std::string, std::string, std::less<>> texts;
  std::vector<std::string> patterns;  // `module_files` as written
};

// The files a pattern of `module_files` stands for. Loader's thread; may block.
class ModuleFiles {
 public:
  struct File {
    std::string path;
    std::string text;
  };
  virtual ~ModuleFiles() = default;
  // In the order of their names; none is no error.
  virtual absl::StatusOr<std::vector<File>> Read(const std::string& pattern) = 0;
};

// Reads the keys `modules` and `module_files` of a file's top level. Loader's thread. Every block a
// module has is checked, also those its prober does not use; a name stands once in all files.
// `files` may be null: then `module_files` is an error.
ModuleSet ReadModules(ConfigReader& in, const ProberList& probers, ModuleFiles* files);

}  // namespace sonde
