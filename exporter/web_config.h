// --web.config.file, as blackbox_exporter and all of Prometheus' exporters have it (docs/web.md):
// TLS, response headers, users and a limit on requests, for every listen address alike.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/contract/config_node.h"
#include "engine/contract/files.h"
#include "exporter/basic_auth.h"
#include "exporter/http_message.h"

struct ssl_ctx_st;

namespace sonde {

// Immutable. Any thread.
struct WebConfig {
  std::shared_ptr<ssl_ctx_st> tls;  // null: plain HTTP
  std::vector<HttpHeader> headers;  // of every answer
  WebUsers users;                   // empty: nobody is asked who he is
  double rate = 0;                  // requests per second; 0: no limit
  double burst = 0;                 // requests at once
  std::vector<std::string> files;   // named in it, sorted
};

// Reads the file's tree. Files named are watched and read through `files`; relative ones are of
// `folder` ("" or with a '/' at its end). Everything wrong is reported with its place, also what is
// wrong with certificates; the result is of use only when nothing is. Any thread, one at a time;
// blocks.
WebConfig ReadWebConfig(const ConfigNode& root, const std::string& folder, Files& files,
                        Diagnostics& diagnostics);

// `tls_server_config` (web_tls.cc). Null when it is absent or says nothing that asks for TLS, and
// after an error.
std::shared_ptr<ssl_ctx_st> ReadWebTls(const ConfigNode* node, const std::string& folder,
                                       Files& files, Diagnostics& diagnostics,
                                       std::vector<std::string>* named);

}  // namespace sonde
