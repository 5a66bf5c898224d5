// `sonde check FILE...`: everything wrong with configuration files, at once.
#pragma once

#include <string>
#include <vector>

namespace sonde {

// 0: all are good; 1: at least one is not. Findings go to standard error, a line each.
int Check(const std::vector<std::string>& files);

}  // namespace sonde
