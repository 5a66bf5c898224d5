// `sonde serve`: builds the parts and hands them to each other.
#pragma once

#include <string>
#include <vector>

#include "exporter/probe_request.h"
#include "tools/sonde/targets.h"

namespace sonde {

struct ServeOptions {
  std::string config_file;  // "": see DefaultConfigFile
  bool config_check = false;
  bool auto_reload = false;
  unsigned auto_reload_seconds = 30;
  TargetsOptions targets;

  std::vector<std::string> listen_addresses = {":9815"};
  std::vector<std::string> allowed_hosts;
  std::string external_url;
  std::string route_prefix;
  bool systemd_socket = false;
  std::string web_config_file;  // "": plain HTTP for everybody
  size_t max_connections = 4096;
  size_t max_connections_per_client = 2048;

  ProbePageOptions probe;  // without `policy` and `log_level`: see below
  std::vector<std::string> probe_deny = {"link-local", "metadata"};
  std::vector<std::string> probe_allow;
  std::string probe_credentials = "any";  // or "named"

  std::string log_level = "info";
  std::string log_format = "logfmt";
  std::string log_prober = "info";
  unsigned shards = 0;  // 0: the file's, or one per core
  bool pin = false;
  bool keep_capabilities = false;
};

// sonde.yml, or blackbox.yml where only that is there.
std::string DefaultConfigFile();

// Runs until SIGTERM or SIGINT. 0; 1 when it could not start.
int Serve(ServeOptions options);

}  // namespace sonde
