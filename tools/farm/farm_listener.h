// One listener of a farm with everything derived from its configuration: shared by the workers,
// immutable apart from the override.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/farm/farm_certificates.h"
#include "tools/farm/farm_config.h"
#include "tools/farm/http_target.h"

namespace sonde {

struct FarmSocket {
  int fd = -1;
  uint16_t port = 0;
};

struct FarmListener {
  explicit FarmListener(const ListenerConfig& of) : config(of), http(config) {}
  FarmListener(const FarmListener&) = delete;
  ~FarmListener();

  // Opens one socket per port for each of `workers` workers.
  absl::Status Open(int workers);

  static constexpr int kNoOverride = -1;
  const ListenerConfig config;
  const HttpTarget http;
  std::shared_ptr<SSL_CTX> tls;
  std::atomic<int> override_behaviour{kNoOverride};
  std::vector<uint16_t> ports;
  std::vector<std::vector<FarmSocket>> sockets;  // by worker
  std::vector<int> fillers;                      // connections that fill a blackhole's queue

 private:
  absl::Status OpenPort(uint16_t port, int workers);
  absl::Status FillQueue(uint16_t port);
};

}  // namespace sonde
