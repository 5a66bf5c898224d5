// What this build calls itself.
#pragma once

#include <string>

#include "exporter/self_metrics.h"

namespace sonde {

BuildInfo ThisBuild();

// "sonde 0.1.0 (revision 0123abcd, gcc 12.2.0)"
std::string VersionLine();

}  // namespace sonde
