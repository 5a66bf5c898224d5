#include "store/module_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/contract/scalar_text.h"
#include "store/metrics_reader.h"

namespace sonde {
namespace {

constexpr std::array<std::string_view, 7> kSchemaNames = {"dns", "grpc", "http",     "icmp",
                                                          "tcp", "unix", "websocket"};

// The module's own prober's block, and as a check those of others.
std::shared_ptr<Module> ReadBlocks(ConfigReader& in, std::string_view own,
                                   const ProberList& probers) {
  std::shared_ptr<Module> module;
  for (const std::string_view name : kSchemaNames) {
    const ConfigNode* block = in.Node(name);
    const Prober* prober = probers.Find(name);
    if (prober == nullptr) {
      if (block != nullptr && name != own) {
        in.Warn(name, "is not checked: this version has no prober '" + std::string(name) + "'");
      }
      continue;
    }
    if (name != own && block == nullptr) continue;
    std::shared_ptr<Module> read = prober->ParseModule(block, in.PathOf(name), in.diagnostics());
    if (read == nullptr) continue;
    if (std::string fault = prober->SharedFault(*read); !fault.empty()) {
      in.Error(name, std::move(fault));
    }
    if (name != own) continue;
    module = std::move(read);
    module->prober = prober;
  }
  return module;
}

void ReadModule(const ConfigEntry& entry, const std::string& path, const ProberList& probers,
                Diagnostics& diagnostics, ModuleSet* set) {
  const std::string name(entry.key);
  if (entry.value.kind == ConfigNode::Kind::kNull) {
    diagnostics.Warn(entry.mark, path, "the module is empty: nothing can be probed with it");
    set->unusable.emplace(name, "");
    return;
  }
  const size_t errors = diagnostics.errors();
  ConfigReader in(&entry.value, path, diagnostics);
  std::string prober;
  Duration timeout;
  in.String("prober", &prober);
  in.Time("timeout", &timeout);
  const MetricsSettings metrics =
      ReadMetrics(in.Node("metrics"), in.PathOf("metrics"), diagnostics);
  if (entry.value.kind == ConfigNode::Kind::kMapping && !ProberList::InSchema(prober)) {
    in.Error("prober", "prober " + Quote(prober) + " is not valid" +
                           Suggestion(prober, ProberList::SchemaNames()));
  }
  std::shared_ptr<Module> module = ReadBlocks(in, prober, probers);
  in.Finish();
  if (diagnostics.errors() > errors) {
    set->bad.insert(name);
  } else if (module == nullptr) {
    in.Warn("prober", "module " + Quote(name) + " is not usable: this version has no prober '" +
                          prober + "'");
    set->unusable.emplace(name, prober);
  } else {
    module->name = name;
    module->timeout = std::max(timeout, Duration{});
    module->metrics = metrics;
    set->good.emplace(name, std::move(module));
  }
}

}  // namespace

const Prober* ProberList::Find(std::string_view name) const {
  for (const Prober* prober : probers_) {
    if (prober->name() == name) return prober;
  }
  return nullptr;
}

std::span<const std::string_view> ProberList::SchemaNames() { return kSchemaNames; }

bool ProberList::InSchema(std::string_view name) {
  return std::find(kSchemaNames.begin(), kSchemaNames.end(), name) != kSchemaNames.end();
}

ModuleSet ReadModules(const ConfigNode* node, const std::string& path, const ProberList& probers,
                      Diagnostics& diagnostics) {
  ModuleSet set;
  if (node == nullptr) return set;
  for (const ConfigEntry& entry : node->entries) {
    if (!IsUtf8(entry.key)) {
      diagnostics.Error(entry.mark, path, "a module's name must be UTF-8 text");
      continue;
    }
    ReadModule(entry, path + "." + std::string(entry.key), probers, diagnostics, &set);
  }
  return set;
}

}  // namespace sonde
