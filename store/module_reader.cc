#include "store/module_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/contract/scalar_text.h"
#include "engine/contract/siphash.h"
#include "store/metrics_reader.h"
#include "store/module_text.h"
#include "store/node_text.h"
#include "store/yaml_reader.h"

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
    const Prober* prober = probers.FindReader(name);
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
    if (name != own || !prober->usable()) continue;
    module = std::move(read);
    module->prober = prober;
  }
  return module;
}

// All that is read of `modules` and `module_files`.
class Reader {
 public:
  Reader(const ProberList& probers, Diagnostics& diagnostics)
      : probers_(probers), diagnostics_(diagnostics) {}

  void Read(const ConfigNode* node, const std::string& file);
  void ReadFile(const ModuleFiles::File& file);

  ModuleSet set;

 private:
  void ReadModule(const ConfigEntry& entry, const std::string& path);
  void ReadPolicy(ConfigReader& in, Module* module);

  const ProberList& probers_;
  Diagnostics& diagnostics_;
  std::map<std::string, std::string, std::less<>> places_;  // module -> its file
};

void Reader::Read(const ConfigNode* node, const std::string& file) {
  if (node == nullptr) return;
  for (const ConfigEntry& entry : node->entries) {
    if (!IsUtf8(entry.key)) {
      diagnostics_.Error(entry.mark, "modules", "a module's name must be UTF-8 text");
      continue;
    }
    const std::string path = "modules." + std::string(entry.key);
    const auto [place, fresh] = places_.emplace(entry.key, file);
    if (!fresh) {  // within one file the decoder has seen to it
      diagnostics_.Error(entry.mark, path,
                         "this module stands in " +
                             (place->second.empty() ? "the main file" : place->second) +
                             " already");
      continue;
    }
    ReadModule(entry, path);
  }
}

void Reader::ReadFile(const ModuleFiles::File& file) {
  diagnostics_.SetFile(file.path);
  const YamlDocument document = ReadYaml(file.text, diagnostics_);
  ConfigReader in(&document.root(), "", diagnostics_);
  Read(in.Mapping("modules"), file.path);
  in.Finish();
  diagnostics_.SetFile("");
}

// `policy: {allow: [...], deny: [...]}`, sonde's own: where probes with this module may go.
void Reader::ReadPolicy(ConfigReader& in, Module* module) {
  const ConfigNode* node = in.Node("policy");
  if (node == nullptr) return;
  auto policy = ProbePolicy::Parse(node, in.PathOf("policy"), diagnostics_);
  if (module == nullptr) return;
  module->policy = std::make_shared<const ProbePolicy>(std::move(policy));
  std::string text;
  AppendPart(module->content_hash, &text);
  AppendPart(node, &text);
  module->content_hash = SipHash24(0x6d6f64756c652e70u, 0x6f6c696379686173u, text);
}

void Reader::ReadModule(const ConfigEntry& entry, const std::string& path) {
  const std::string name(entry.key);
  if (entry.value.kind == ConfigNode::Kind::kNull) {
    diagnostics_.Warn(entry.mark, path, "the module is empty: nothing can be probed with it");
    set.unusable.emplace(name, "");
    set.texts.emplace(name, "{}\n");
    return;
  }
  const size_t errors = diagnostics_.errors();
  ConfigReader in(&entry.value, path, diagnostics_);
  std::string prober;
  Duration timeout;
  in.String("prober", &prober);
  in.Time("timeout", &timeout);
  const MetricsSettings metrics =
      ReadMetrics(in.Node("metrics"), in.PathOf("metrics"), diagnostics_);
  if (entry.value.kind == ConfigNode::Kind::kMapping && !ProberList::InSchema(prober)) {
    in.Error("prober", "prober " + Quote(prober) + " is not valid" +
                           Suggestion(prober, ProberList::SchemaNames()));
  }
  std::shared_ptr<Module> module = ReadBlocks(in, prober, probers_);
  ReadPolicy(in, module.get());
  in.Finish();
  if (diagnostics_.errors() > errors) {
    set.bad.insert(name);
    return;
  }
  set.texts.emplace(name, ModuleText(entry.value));
  if (module == nullptr) {
    in.Warn("prober", "module " + Quote(name) + " is not usable: this version has no prober '" +
                          prober + "'");
    set.unusable.emplace(name, prober);
    return;
  }
  module->name = name;
  module->timeout = std::max(timeout, Duration{});
  module->metrics = metrics;
  set.good.emplace(name, std::move(module));
}

}  // namespace

const Prober* ProberList::Find(std::string_view name) const {
  const Prober* prober = FindReader(name);
  return prober != nullptr && prober->usable() ? prober : nullptr;
}

const Prober* ProberList::FindReader(std::string_view name) const {
  for (const Prober* prober : probers_) {
    if (prober->name() == name) return prober;
  }
  return nullptr;
}

std::span<const std::string_view> ProberList::SchemaNames() { return kSchemaNames; }

bool ProberList::InSchema(std::string_view name) {
  return std::find(kSchemaNames.begin(), kSchemaNames.end(), name) != kSchemaNames.end();
}

ModuleSet ReadModules(ConfigReader& in, const ProberList& probers, ModuleFiles* files) {
  Reader reader(probers, in.diagnostics());
  reader.Read(in.Mapping("modules"), "");
  in.StringList("module_files", &reader.set.patterns);
  if (!reader.set.patterns.empty() && files == nullptr) {
    in.Error("module_files", "cannot be followed from here");
    return std::move(reader.set);
  }
  for (const std::string& pattern : reader.set.patterns) {
    const auto found = files->Read(pattern);
    if (!found.ok()) {
      in.Error("module_files", std::string(found.status().message()));
      continue;
    }
    if (found->empty()) in.Warn("module_files", "no file matches " + Quote(pattern));
    for (const ModuleFiles::File& file : *found) reader.ReadFile(file);
  }
  return std::move(reader.set);
}

}  // namespace sonde
