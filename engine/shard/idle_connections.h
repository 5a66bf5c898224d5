// Connections between two runs of their task: at most one a task, and nobody else's (ADR 041).
//
// A run that ends well for its connection parks it; the next run of the same task to the same place
// takes it. What happens to a parked connection meanwhile is nobody's failure: it is closed, and
// counted by its reason. Owned by the probe table, on the shard's thread. Once every task has had a
// connection here, nothing is taken from the heap.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/contract/conversation.h"
#include "engine/contract/engine_stats.h"
#include "engine/contract/files.h"
#include "engine/contract/task.h"
#include "engine/shard/network.h"
#include "engine/shard/start_queue.h"
#include "engine/shard/tls_channel.h"

namespace sonde {

class IdleConnections {
 public:
  static constexpr Duration kLongest = kLongestIdle;

  // What one run leaves to the next.
  struct Connection {
    StreamId stream = kNoStream;
    std::unique_ptr<TlsChannel> tls;  // null: plain
    Address peer;
    Instant connected, tls_end;
  };

  // Where a task's connection waits. Its owner keeps it with the task, from kNoPlace on.
  using PlaceId = uint32_t;
  static constexpr PlaceId kNoPlace = UINT32_MAX;

  // All outlive this. `files` may be null.
  IdleConnections(Network& network, const Files* files, BufferPool& buffers)
      : network_(network), files_(files), buffers_(buffers) {}

  // Keeps the connection for the task's next run to where `plan` leads; what was kept so far goes.
  // False: something waits in it unread, and it stays the caller's.
  bool Park(PlaceId& id, const Task& task, const LegPlan& plan, Connection& connection,
            Instant now);

  // The task's connection to where `plan` leads; its events are `slot`'s from now on. nullopt:
  // there is none, or none of use.
  std::optional<Connection> Take(PlaceId id, const Task& task, const LegPlan& plan, SlotRef slot,
                                 Instant now);

  bool Has(PlaceId id) const { return id < places_.size() && places_[id].queue != nullptr; }
  // The task goes, changes or rests.
  void Drop(PlaceId& id);
  // Into the processor's caches: Take is near.
  void Fetch(PlaceId id) const;
  // The one that waits for longest. False: there is none.
  bool CloseOldest(IdleEnd why);
  // Those that waited too long.
  void Expire(Instant now);
  std::optional<Instant> NextExpiry() const;
  // All tasks are gone, and with them their places.
  void Clear();

  // An event of a stream of nobody's in flight: of one parked here, or of none any more.
  void OnReadable(SlotRef ref);

  size_t size() const { return waiting_.size(); }
  const std::array<uint64_t, kIdleEnds>& closed() const { return closed_; }

 private:
  // Marks the references of parked streams; slots have none so high.
  static constexpr uint32_t kParked = 1u << 31;
  static constexpr size_t kReadSize = 4096;
  static constexpr int kReads = 4;

  // A task's, also while a run has its connection. In a queue: a connection is parked here.
  struct Place : Waiter {
    SlotRef ref;
    uint64_t version = 0;      // the task's
    uint64_t files_epoch = 0;  // of when it was parked, with TLS
    std::string scheme, host, server_name;
    uint16_t port = 0;
    NetworkOptions::Close close = NetworkOptions::Close::kFin;
    Instant parked;
    Connection connection;
  };

  Place& PlaceOf(PlaceId& id);
  uint64_t FilesEpoch(const Connection& connection) const;
  static bool LeadsTo(const Place& place, const LegPlan& plan);
  bool IsQuiet(Connection& connection);
  void Close(Place& place, IdleEnd why);

  Network& network_;
  const Files* files_;
  BufferPool& buffers_;
  std::deque<Place> places_;
  std::vector<uint32_t> free_;
  StartQueue waiting_;  // parked longest first
  std::array<uint64_t, kIdleEnds> closed_{};
};

}  // namespace sonde
