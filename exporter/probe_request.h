// What a request of /probe asks for: its parameters read and checked against the modules in force,
// in blackbox_exporter's order (blackbox_contract 2.1). Pure functions.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "engine/contract/log.h"
#include "engine/contract/probe_policy.h"
#include "engine/contract/task.h"
#include "exporter/http_message.h"
#include "exporter/probe_limits.h"
#include "exporter/probe_timeout.h"

namespace sonde {

// The modules in force. Immutable; requests keep what they began with.
struct ProbeModules {
  std::map<std::string, std::shared_ptr<const Module>, std::less<>> usable;
  // Loaded but without a prober: name -> the prober's word, "" for a module given as null.
  std::map<std::string, std::string, std::less<>> unusable;
  std::map<std::string, std::string, std::less<>> texts;  // each as YAML, secrets masked
  std::string config;                                     // /config
};

struct ProbePageOptions {
  double timeout_offset = 0.5;  // seconds
  size_t history = 100;         // records kept per list
  LogLevel log_level = LogLevel::kInfo;
  bool details = false;              // families blackbox_exporter does not have, in every answer
  bool decode_target_twice = false;  // Q3
  // Modules that show a secret are for named targets only: without an allow rule in their `policy`
  // they are refused.
  bool guard_credentials = false;
  std::shared_ptr<const ProbePolicy> policy;  // besides the process's and the module's
  ProbeLimitSettings limits;
};

struct ProbeRequest {
  std::string module_name;
  std::string target;    // decoded
  std::string hostname;  // "" when none is given
  std::shared_ptr<const Module> module;
  std::shared_ptr<const std::string> module_text;  // with `hostname` in it
  std::shared_ptr<const TargetPlan> plan;          // null: the target cannot be taken apart
  std::string fault;                               // why
  ProbeTimeout timeout;
  bool debug = false;
  bool details = false;
};

struct ProbeRefusal {
  int status = 400;
  std::string text;  // ends with a line end
  bool unknown_module = false;
};

std::variant<ProbeRequest, ProbeRefusal> ReadProbeRequest(
    const HttpRequest& request, const std::shared_ptr<const ProbeModules>& modules,
    const ProbePageOptions& options);

// A module's text (store's ModuleText) as `hostname` changes it.
std::string TextWithHostname(std::string_view text, std::string_view prober,
                             std::string_view hostname);

}  // namespace sonde
