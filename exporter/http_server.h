// The exporter's HTTP/1.1 server: listeners, connections, limits and time-outs on one loop thread.
// Handlers, requests and answers: http_message.h. Routes: routes.h.
//
// RFC 9110 and 9112, strictly read. Everything a client can make grow has a limit here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "engine/contract/address.h"
#include "engine/contract/instant.h"
#include "engine/contract/log.h"
#include "exporter/http_message.h"
#include "exporter/loop.h"
#include "exporter/routes.h"

namespace prometheus {
class Registry;
}

namespace sonde {

struct HttpServerOptions {
  size_t max_connections = 1024;
  size_t max_connections_per_client = 256;  // per client address
  size_t max_head = 16 * 1024;              // request line and headers, bytes
  size_t max_headers = 100;
  size_t max_pipelined = 64 * 1024;      // bytes read ahead of the request being answered
  size_t max_requests = 100'000;         // per connection, then it is closed politely
  Duration head_timeout = Seconds(10);   // first byte of a request to the end of its headers
  Duration body_timeout = Seconds(30);   // end of the headers to the end of the body
  Duration idle_timeout = Seconds(120);  // keep-alive without a request
  Duration write_timeout = Seconds(30);  // output pending and less than 16 KiB taken meanwhile
  Duration linger_timeout = Seconds(2);  // after our FIN, for the client's
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

class HttpServer {
 public:
  // `loop` outlives the server; `router` is complete. Any thread before the loop runs, or the loop
  // thread; everything else on the loop thread (or while the loop does not run).
  HttpServer(ExporterLoop& loop, Router router, HttpServerOptions options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // ":9815" (IPv4 and IPv6), "127.0.0.1:9815", "[::1]:9815", "localhost:9815"; port 0 takes a free
  // one. All or none: an error names the address ("listen on 127.0.0.1:9815: address already in
  // use"). At start-up only: names are resolved by a blocking call.
  absl::Status Start(const std::vector<std::string>& listen_addresses);

  // What was bound, in the order of Start (a name may give several).
  const std::vector<Address>& bound() const;

  // Closes the listeners and idle connections at once, lets answers in flight finish for at most
  // `grace`, then cuts them. `done` (may be null) is called once from the loop when nothing is
  // left.
  void Stop(Duration grace, absl::AnyInvocable<void()> done);

  // Looks at every connection's time-outs now. Called by the server's own timer; tests with a clock
  // of their own call it after moving the clock.
  void CheckTimeouts();

  size_t connections() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sonde
