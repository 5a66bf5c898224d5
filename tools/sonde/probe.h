// `sonde probe TYPE TARGET`: one run, now, through the engine every scheduled run goes through.
#pragma once

#include <string>

namespace sonde {

struct ProbeOptions {
  std::string type;
  std::string target;
  std::string config_file;  // "": none
  std::string module;       // of config_file
  std::string options;      // the protocol's block as YAML: "{method: HEAD}"
  std::string server;       // dns: whom to ask; goes into the options
  std::string query_type;   // dns: what to ask for; likewise
  std::string expect;       // "{status: 2xx}"
  std::string timeout;      // "": the module's, or 5s
  bool json = false;
};

// 0: the target answered as expected; 1: it did not; 2: bad usage, or the run was inconclusive.
int Probe(const ProbeOptions& options);

}  // namespace sonde
