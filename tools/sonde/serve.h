// `sonde serve`: builds the parts and hands them to each other.
#pragma once

#include <string>
#include <vector>

namespace sonde {

struct ServeOptions {
  std::string config_file = "sonde.yml";
  bool config_check = false;
  std::vector<std::string> listen_addresses = {":9815"};
  std::vector<std::string> allowed_hosts;
  std::string log_level = "info";
  std::string log_format = "logfmt";
  unsigned shards = 0;  // 0: the file's, or one per core
  bool pin = false;
  bool keep_capabilities = false;
};

// Runs until SIGTERM or SIGINT. 0; 1 when it could not start.
int Serve(const ServeOptions& options);

}  // namespace sonde
