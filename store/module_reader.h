// Reads `modules:`, exactly blackbox_exporter's block (docs/configuration.md), and finds probers.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "engine/contract/config_node.h"
#include "engine/contract/task.h"

namespace sonde {

// The probers of this build, by name. They outlive it. Any thread.
class ProberList {
 public:
  explicit ProberList(std::span<const Prober* const> probers) : probers_(probers) {}

  const Prober* Find(std::string_view name) const;  // exact, lower case; nullptr when absent
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
};

// Loader's thread. `node` may be null. Every block a module has is checked, also those its prober
// does not use.
ModuleSet ReadModules(const ConfigNode* node, const std::string& path, const ProberList& probers,
                      Diagnostics& diagnostics);

}  // namespace sonde
