// `sonde check [--web.config.file=FILE] FILE...`: everything wrong with configuration files, at
// once.
#pragma once

#include <string>
#include <vector>

namespace sonde {

// 0: all are good; 1: at least one is not. Findings go to standard error, a line each.
// `web_file` "": there is none.
int Check(const std::vector<std::string>& files, const std::string& web_file);

}  // namespace sonde
