#include "tools/sonde/single_task.h"

#include "protocols/registry.h"
#include "store/module_reader.h"
#include "store/task_reader.h"
#include "store/yaml_reader.h"

namespace sonde {

SingleTask ReadSingleTask(std::string_view task_text, std::string_view config_text,
                          ModuleFiles* module_files, Diagnostics& diagnostics) {
  SingleTask single;
  const ProberList probers{SchemaProbers()};
  ModuleSet modules;
  YamlDocument config;
  if (!config_text.empty()) {
    config = ReadYaml(config_text, diagnostics);
    if (config.root().kind == ConfigNode::Kind::kMapping) {
      ConfigReader in(&config.root(), "", diagnostics);
      modules = ReadModules(in, probers, module_files);
      single.policy = ProbePolicy::Parse(config.root().Find("policy"), "policy", diagnostics);
    }
  }
  single.config_good = diagnostics.ok();
  if (!diagnostics.ok()) return single;
  const YamlDocument task = ReadYaml(task_text, diagnostics);
  if (!diagnostics.ok()) return single;
  TaskReader reader(probers, modules, diagnostics);
  single.task = reader.Read(task.root(), "");
  if (single.task && single.task->module) single.files = single.task->module->files;
  return single;
}

}  // namespace sonde
