// What the process says about itself beside the engine: its build, its configuration, its own HTTP
// server (through a prometheus-cpp registry) and the kernel's view of it. Loop thread, but for the
// registry, which has its own locks.
#pragma once

#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/contract/instant.h"
#include "exporter/exposition.h"

namespace sonde {

struct BuildInfo {
  std::string version;   // "0.1.0"
  std::string revision;  // of the source; "unknown" outside a checkout
  std::string compiler;  // "gcc 12.2.0"
};

// prometheus-cpp's families in our exposition (its own serializer writes `Nan` and leaves HELP
// unescaped). Families without metrics are left out.
void WriteRegistryFamilies(Exposition& out, std::span<const prometheus::MetricFamily> families);

class SelfMetrics {
 public:
  explicit SelfMetrics(BuildInfo build);

  const BuildInfo& build() const { return build_; }
  // Where the HTTP server keeps its counters. Collected at every scrape.
  prometheus::Registry& registry() { return registry_; }

  // After every load of the configuration, the first one included.
  void SetReload(bool successful, WallTime when);

  // After every reading of --targets.file.
  void SetTargets(bool successful) { targets_successful_ = successful; }

  // After every reading of --web.config.file.
  void SetWebConfig(bool successful) { web_successful_ = successful; }

  // sonde_build_info, sonde_config_*, the same under blackbox_exporter's names, then the registry's
  // families.
  void Write(Exposition& out) const;

 private:
  void WriteBlackboxBuild(Exposition& out) const;

  BuildInfo build_;
  prometheus::Registry registry_;
  std::optional<bool> reload_successful_;
  std::optional<bool> targets_successful_;
  std::optional<bool> web_successful_;
  WallTime reload_success_{};  // 0: never yet
};

}  // namespace sonde
