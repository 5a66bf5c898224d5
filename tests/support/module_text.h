// Modules and targets out of YAML text, for tests of protocols.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/contract/config_node.h"
#include "engine/contract/task.h"
#include "store/yaml_reader.h"

namespace sonde {

struct ModuleText {
  std::shared_ptr<const Module> module;  // null when there was an error
  Diagnostics diagnostics;

  // All diagnostics as one text, for EXPECT_THAT(..., HasSubstr(...)).
  std::string errors() const { return diagnostics.ToString(""); }
};

// `yaml` is the prober's block; empty for none.
inline ModuleText ReadModule(const Prober& prober, std::string_view yaml) {
  ModuleText read;
  if (yaml.empty()) {
    read.module = prober.ParseModule(nullptr, "module", read.diagnostics);
    return read;
  }
  const YamlDocument document = ReadYaml(yaml, read.diagnostics);
  read.module = prober.ParseModule(&document.root(), "module", read.diagnostics);
  if (!read.diagnostics.ok()) read.module = nullptr;
  return read;
}

struct TargetText {
  std::shared_ptr<const TargetPlan> plan;  // null when there was an error
  Diagnostics diagnostics;
  std::string errors() const { return diagnostics.ToString(""); }
};

// `expect` is the short form's block as YAML; empty for none.
inline TargetText ReadTarget(const Prober& prober, std::string_view target, const Module& module,
                             std::string_view expect = "") {
  TargetText read;
  const YamlDocument document =
      expect.empty() ? YamlDocument() : ReadYaml(expect, read.diagnostics);
  read.plan = prober.ParseTarget(target, Mark{}, expect.empty() ? nullptr : &document.root(),
                                 module, "task", read.diagnostics);
  return read;
}

}  // namespace sonde
