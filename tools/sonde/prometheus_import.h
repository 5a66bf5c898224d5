// A prometheus.yml whose scrape jobs probe through blackbox_exporter, as a sonde.yml: each target
// becomes a task whose series have the labels they had. What a target's labels are is found as
// Prometheus finds it: by running the job's relabel_configs over them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "engine/contract/config_node.h"
#include "store/module_reader.h"
#include "store/task_file.h"

namespace sonde {

struct ImportModules {
  std::string pattern;             // for `module_files` of what is made; "" for the stock ones
  const TaskFile* file = nullptr;  // what they are; with "" it is not looked at
};

struct PrometheusImport {
  bool readable = false;  // false: the file is none of Prometheus', and there is no text
  std::string text;       // the sonde.yml
  size_t tasks = 0;
  size_t jobs = 0;  // that had any
};

// Reports what is lost as an error, what is left alone or changed as a warning, each at its place;
// the rest is in the result, which `sonde check` takes. `files` finds what file_sd_configs name.
// Blocks while they are read.
PrometheusImport ImportPrometheus(std::string_view text, const ImportModules& modules,
                                  ModuleFiles& files, Diagnostics& diagnostics);

}  // namespace sonde
