// What a file sets for the process as a whole. Plain values; whoever builds the parts hands them
// on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sonde {

// `engine:`. All limits are per process and divided by the shards.
struct EngineSettings {
  struct PerDestination {      // one destination is one host:port
    size_t max_in_flight = 0;  // 0: unlimited
    double rate = 0;           // starts per second; 0: unlimited
    bool operator==(const PerDestination&) const = default;
  };

  enum class Io : uint8_t { kEpoll, kUring };

  unsigned shards = 0;  // 0: one per core
  Io io = Io::kEpoll;   // what carries TCP connections
  size_t max_in_flight = 8000;
  size_t max_handshakes = 2000;  // TLS handshakes in progress; 0: unlimited
  PerDestination per_destination;
  size_t max_descriptors = 0;                // 0: what RLIMIT_NOFILE allows
  bool transmit_stamps = false;              // ask the kernel when each datagram left
  int64_t body_memory = int64_t{256} << 20;  // bytes of bodies kept by all probes
  int64_t body_memory_per_probe = int64_t{16} << 20;

  bool operator==(const EngineSettings&) const = default;
};

}  // namespace sonde
