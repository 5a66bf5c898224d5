// Who may start now. One per shard; numbers only, no queues.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/contract/engine_stats.h"
#include "engine/contract/instant.h"
#include "engine/shard/start_queue.h"
#include "engine/shard/timer_wheel.h"

namespace sonde {

// A shard's share of the process's limits. 0 = unlimited, but for in_flight.
struct ShardLimits {
  size_t in_flight = 4000;
  size_t handshakes = 1000;          // TLS handshakes in progress
  size_t destination_in_flight = 0;  // runs to one host:port
  double destination_rate = 0;       // starts per second to one host:port
  size_t descriptors_reserve = 0;    // keep this many of Network::DescriptorsLeft
  bool operator==(const ShardLimits&) const = default;
};

// One host:port under a per-destination limit, or short of ports. Kept while somebody runs or
// waits.
struct Destination : TimerNode {
  static constexpr uint8_t kTag = 1;
  Destination() : TimerNode(kTag) {}
  std::string name;
  size_t users = 0;      // tasks that wait, for whatever reason, or run
  size_t in_flight = 0;  // of them those that run
  double tokens = 1;     // of the rate; at most one second's worth, at least one
  Instant refilled;
  Instant paused_until;                            // no local port was left for it
  BlockReason reason = BlockReason::kDestination;  // what its queue waits for
  bool ready = false;  // stands in the shard's list of destinations to look at again
  StartQueue queue;
};

// Destinations by name: all that are in use when a per-destination limit is set, otherwise those
// that ran out of local ports.
class Destinations {
 public:
  // How long a destination is left alone after no local port was left for it: ports come back by
  // the second, and asking for each costs as much as a probe.
  static constexpr Duration kPause = Seconds(1);

  // The destination, with one more user (who waits or runs); null when nothing limits it.
  Destination* Take(std::string_view name, const ShardLimits& limits, Instant now);
  // Forgets it when it has no user. False: its rate still owes time, ask again at Reopens (a
  // bucket that is not full must not be forgotten with its debt).
  bool Forget(Destination& destination, const ShardLimits& limits, Instant now);

  // Nothing starts there before `until`. Follow with Forget.
  Destination& Pause(std::string_view name, Instant until, Instant now);

  // What keeps a run from starting at `now`; nullopt: nothing (then Start it).
  static std::optional<BlockReason> Blocked(Destination& destination, const ShardLimits& limits,
                                            Instant now);
  static void Start(Destination& destination, const ShardLimits& limits);
  // When its pause is over and the next token there.
  static Instant Reopens(const Destination& destination, const ShardLimits& limits);
  size_t size() const { return by_name_.size(); }
  template <typename Visit>
  void ForEach(Visit&& visit) {  // which must forget none
    for (auto& [name, destination] : by_name_) visit(*destination);
  }
  void Clear(TimerWheel& wheel);

 private:
  Destination& Make(std::string_view name, Instant now);
  static void Refill(Destination& destination, const ShardLimits& limits, Instant now);
  std::unordered_map<std::string_view, std::unique_ptr<Destination>> by_name_;
};

}  // namespace sonde
