// The UDP side of one worker's DNS listeners: queries are read and answered in batches, and what is
// to wait waits here. On the worker's thread. Nothing is allocated per query once the buffers have
// grown to what the load needs.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <climits>
#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <vector>

#include "tools/farm/farm.h"
#include "tools/farm/farm_listener.h"

namespace sonde {

class FarmDnsSockets {
 public:
  // `seed` is the farm's; `worker` sets this worker's draws apart.
  FarmDnsSockets(uint64_t seed, int worker, FarmCounters& counters);
  ~FarmDnsSockets();
  FarmDnsSockets(const FarmDnsSockets&) = delete;

  // The listener outlives this. Returns the number OnReadable wants.
  size_t Add(FarmListener& listener, FarmSocket socket);
  void OnReadable(size_t which, int64_t now_ns);

  // When the next waiting answer is due; INT64_MAX: none waits.
  int64_t NextWake() const { return due_.empty() ? INT64_MAX : due_.top().at; }
  void FireTimers(int64_t now_ns);

  static constexpr size_t kMostWaiting = 1'000'000;  // more are dropped and counted

 private:
  struct Batch;
  struct Peer {         // whom to answer, and as whom
    sockaddr_in6 name;  // or a sockaddr_in
    in6_addr local;     // IPv4: the first four bytes
    int interface;
  };
  struct Entry {
    FarmListener* listener;
    FarmSocket socket;
    int other_fd;  // another port, opened when first wanted; -1: none yet
  };
  struct Waiting {
    uint32_t entry;
    Behaviour behaviour;
    Peer peer;
    FarmDnsQuery query;
  };
  struct Due {
    int64_t at;
    uint64_t serial;  // equal times in the order of their queries
    uint32_t waiting;
    bool operator<(const Due& other) const {
      return at != other.at ? at > other.at : serial > other.serial;
    }
  };

  void Take(uint32_t entry, std::span<const uint8_t> message, const Peer& peer, int64_t now_ns);
  Behaviour Choose(const FarmListener& listener, const Peer& peer, uint16_t port);
  void Say(uint32_t entry, FarmDnsParse parsed, const FarmDnsQuery& query,
           const FarmDnsAsked& asked, Behaviour behaviour, const Peer& peer);
  void SendLater(uint32_t entry, std::span<const uint8_t> message, const Peer& peer);
  void SendNow(int fd, std::span<const uint8_t> message, const Peer& peer);
  void Flush();
  int OtherPort(Entry& entry);

  const uint64_t seed_;
  Random random_;
  FarmCounters& counters_;
  std::vector<Entry> entries_;
  std::unique_ptr<Batch> batch_;
  std::deque<Waiting> waiting_;
  std::vector<uint32_t> free_;
  std::priority_queue<Due> due_;
  uint64_t serial_ = 0;
};

}  // namespace sonde
