#include "tools/sonde/check.h"

#include <cstdio>

#include "engine/loop/file_watcher.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/node.h"
#include "tools/sonde/web_file.h"

namespace sonde {

namespace {

bool CheckWeb(const std::string& path) {
  FileWatcher files({.largest = kWebFileLimit});
  const auto loaded = LoadWebFile(path, files);
  if (!loaded.ok()) {
    PrintLines(stderr, std::string(loaded.status().message()));
    return false;
  }
  const WebConfig& config = *loaded->config;
  std::fprintf(stderr, "%s", loaded->warnings.c_str());
  std::printf("%s: good, %s, %s\n", path.c_str(), config.tls != nullptr ? "TLS" : "no TLS",
              config.users.empty() ? "no passwords" : "passwords");
  return true;
}

// Costs are assumed and the node is this one: a warning, whatever else is good.
void WarnOfShortage(const std::string& path, const TaskFile& file) {
  const std::string shortage = ShortageText(DemandOf(file.tasks), LimitsOf(file.engine));
  if (!shortage.empty()) PrintLines(stderr, path + ": warning: " + shortage);
}

}  // namespace

int Check(const std::vector<std::string>& files, const std::string& web_file) {
  int exit_code = web_file.empty() || CheckWeb(web_file) ? 0 : 1;
  for (const std::string& path : files) {
    const auto loaded = LoadFile(path, {});
    if (!loaded.ok()) {
      PrintLines(stderr, std::string(loaded.status().message()));
      exit_code = 1;
      continue;
    }
    std::fprintf(stderr, "%s", loaded->warnings.c_str());
    WarnOfShortage(path, loaded->file);
    std::printf("%s: good, %zu tasks, %zu modules\n", path.c_str(), loaded->file.tasks.size(),
                loaded->file.modules.size());
  }
  return exit_code;
}

}  // namespace sonde
