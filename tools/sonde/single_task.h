// One task out of a text of its own, with the modules and the policy of a configuration.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/config_node.h"
#include "engine/contract/probe_policy.h"
#include "engine/contract/task.h"
#include "store/module_reader.h"

namespace sonde {

struct SingleTask {
  std::shared_ptr<const Task> task;  // null when something is wrong
  ProbePolicy policy;
  std::vector<std::string> files;  // for Files::Watch
  bool config_good = true;         // false: what was found stands in the configuration's text
};

// `task_text`: a task as it stands in `tasks:`. `config_text`: a sonde.yml, "" for none; its tasks
// are not read. `module_files` finds what that key of it names.
SingleTask ReadSingleTask(std::string_view task_text, std::string_view config_text,
                          ModuleFiles* module_files, Diagnostics& diagnostics);

}  // namespace sonde
