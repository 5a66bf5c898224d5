#include "tools/sonde/check.h"

#include <cstdio>

#include "tools/sonde/configuration.h"

namespace sonde {

int Check(const std::vector<std::string>& files) {
  int exit_code = 0;
  for (const std::string& path : files) {
    const auto loaded = LoadFile(path, {});
    if (!loaded.ok()) {
      PrintLines(stderr, std::string(loaded.status().message()));
      exit_code = 1;
      continue;
    }
    std::fprintf(stderr, "%s", loaded->warnings.c_str());
    std::printf("%s: good, %zu tasks, %zu modules\n", path.c_str(), loaded->file.tasks.size(),
                loaded->file.modules.size());
  }
  return exit_code;
}

}  // namespace sonde
