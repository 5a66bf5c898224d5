// Limits and time-outs of the HTTP server, with the defaults it serves with.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "engine/contract/instant.h"
#include "engine/contract/log.h"

namespace prometheus {
class Registry;
}

namespace sonde {

struct HttpServerOptions {
  size_t max_connections = 1024;
  size_t max_connections_per_client = 256;  // per client address
  size_t max_head = 16 * 1024;              // request line and headers, bytes
  size_t max_headers = 100;
  size_t max_pipelined = 64 * 1024;          // bytes read ahead of the request being answered
  size_t max_body_total = 64 * 1024 * 1024;  // bytes of all bodies held at once; then 503
  size_t max_gzip = 64;                      // answers compressed at once; the rest go plain
  size_t max_requests = 100'000;             // per connection, then it is closed politely
  Duration head_timeout = Seconds(10);       // first byte of a request to the end of its headers
  Duration body_timeout = Seconds(30);       // end of the headers to the end of the body
  Duration idle_timeout = Seconds(120);      // keep-alive without a request
  Duration write_timeout = Seconds(30);      // output pending and less than 16 KiB taken meanwhile
  Duration linger_timeout = Seconds(2);      // after our FIN, for the client's
  Duration sweep_interval = Milliseconds(500);  // how often time-outs are looked at; 0: only when
                                                // CheckTimeouts is called
  // Names that may stand in Host besides IP literals, localhost, the listen addresses' hosts and
  // the machine's host name. "*" allows every name. Against DNS rebinding.
  std::vector<std::string> allowed_hosts;
  std::string allowed_hosts_flag = "--web.allowed-hosts";  // named in the refusal
  // The clock; null: CLOCK_MONOTONIC. Loop thread.
  absl::AnyInvocable<Instant()> now;
  Logger* log = nullptr;                     // may be null
  prometheus::Registry* registry = nullptr;  // may be null; outlives the server
};

}  // namespace sonde
