// `sonde plan FILE`: when tasks are due, how many start at a time, which clock changes they meet
// and how many series they make, before anything runs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace sonde {

struct PlanOptions {
  std::string file;
  std::vector<std::string> tasks;  // whose due times; none: of the first few
  size_t next = 5;                 // due times of each
  std::string from;                // RFC 3339; "": now
  bool json = false;
};

// 0; 1: the file is not good, or there is no such task or time. Findings go to standard error.
int Plan(const PlanOptions& options);

}  // namespace sonde
