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
#include "exporter/http_listener.h"
#include "exporter/http_message.h"
#include "exporter/http_options.h"
#include "exporter/loop.h"
#include "exporter/routes.h"
#include "exporter/web_config.h"

namespace sonde {

class HttpServer {
 public:
  // `loop` outlives the server; `router` is complete. Any thread before the loop runs, or the loop
  // thread; everything else on the loop thread (or while the loop does not run).
  HttpServer(ExporterLoop& loop, Router router, HttpServerOptions options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // What --web.config.file says; plain HTTP for everybody until the first call. Null: it cannot be
  // read, and every request is answered 500. In force for the next request, TLS for the next
  // connection. Whether TLS is spoken at all is decided before Start: later calls change its
  // settings, never that.
  void SetWeb(std::shared_ptr<const WebConfig> config);

  // Listens. All or none: an error names the address ("listen on 127.0.0.1:9815: address already in
  // use").
  absl::Status Start(ListenSockets sockets);
  // Binds the addresses (ListenSockets::Bind) and listens. At start-up only: it may block.
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
