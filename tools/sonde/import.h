// `sonde import prometheus FILE`: a configuration out of another program's.
#pragma once

#include <string>

namespace sonde {

struct ImportOptions {
  std::string file;     // prometheus.yml; "-": standard input
  std::string modules;  // blackbox_exporter's file; "": the stock modules
  std::string output;   // "": standard output
};

// 0: all is carried over; 1: something is not, what is lost stands on standard error and the rest
// is written; 2: nothing is written.
int ImportPrometheusFile(const ImportOptions& options);

}  // namespace sonde
