#include "tools/sonde/version.h"

#include "build_info.h"

namespace sonde {

BuildInfo ThisBuild() {
#ifdef __clang__
  return {SONDE_VERSION, SONDE_REVISION, "clang " __clang_version__};
#else
  return {SONDE_VERSION, SONDE_REVISION, "gcc " __VERSION__};
#endif
}

std::string VersionLine() {
  const BuildInfo build = ThisBuild();
  return "sonde " + build.version + " (revision " + build.revision + ", " + build.compiler + ")";
}

}  // namespace sonde
