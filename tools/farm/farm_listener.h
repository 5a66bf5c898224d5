// One listener of a farm with everything derived from its configuration: shared by the workers,
// immutable apart from the override.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/farm/dns_target.h"
#include "tools/farm/farm_certificates.h"
#include "tools/farm/farm_config.h"
#include "tools/farm/http_target.h"

namespace sonde {

struct FarmSocket {
  int fd = -1;
  uint16_t port = 0;
};

// Which part of a mix a target (an address and a port) belongs to: the same for the same seed.
double TargetUnit(uint64_t seed, uint16_t port, uint32_t v4_address);

struct FarmListener {
  explicit FarmListener(const ListenerConfig& of) : config(of), http(config), dns(config) {}
  FarmListener(const FarmListener&) = delete;
  ~FarmListener();

  // Opens the sockets of each port for each of `workers` workers.
  absl::Status Open(int workers);
  // A UDP socket bound as this listener's are, that says to which address a datagram came; -1 with
  // errno when there is none to have. The caller closes it.
  int OpenDatagram(uint16_t port, bool shared = false) const;

  static constexpr int kNoOverride = -1;
  const ListenerConfig config;
  const FarmHttpTarget http;
  const FarmDnsTarget dns;
  std::shared_ptr<SSL_CTX> tls;
  std::atomic<int> override_behaviour{kNoOverride};
  std::vector<uint16_t> ports;
  std::vector<std::vector<FarmSocket>> sockets;    // TCP, by worker
  std::vector<std::vector<FarmSocket>> datagrams;  // UDP, by worker
  std::vector<int> fillers;                        // connections that fill a blackhole's queue

 private:
  absl::Status OpenPort(uint16_t port, int workers);
  absl::Status OpenStreams(uint16_t* port, int workers);
  absl::Status OpenDatagrams(uint16_t* port, int workers);
  void CloseLast();
  absl::Status FillQueue(uint16_t port);
};

}  // namespace sonde
