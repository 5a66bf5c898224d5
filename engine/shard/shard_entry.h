// What a shard keeps per task. Internal to shard*.cc.
#pragma once

#include <functional>
#include <memory>

#include "engine/shard/shard.h"

namespace sonde {

// A task on this shard. The timer is its next due time; a run-now entry's is the end of its wait.
struct Shard::Entry : TimerNode, Waiter {
  static constexpr uint8_t kTag = 0;
  static constexpr uint8_t kMostStalls = 3;  // the next late slot is run
  Entry() : TimerNode(kTag) {}

  std::shared_ptr<const Task> task;
  std::shared_ptr<TaskRecord> record;  // null: a NowRun
  Destination* destination = nullptr;  // of the run that waits or is in flight
  WallTime due;                        // the slot the timer stands for
  WallTime run_due;                    // the slot that waits or is in flight
  Instant run_due_at;                  // the same; a clock that is set meanwhile does not move it
  SlotRef slot;
  std::unique_ptr<TlsMemory> tls_memory;  // null: no session is kept
  bool scheduled = false;                 // false: disabled, or the schedule has no further slot
  bool running = false;
  uint8_t blocked = 0;  // bit per BlockReason of this wait
  uint8_t stalls = 0;   // stand-stills in a row that cost it slots
  IdleConnections::PlaceId idle_place = IdleConnections::kNoPlace;

  bool is_now_run() const { return record == nullptr; }
};

// A run outside the schedule: somebody waits for its answer.
struct Shard::NowRun final : Entry {
  uint64_t id = 0;
  std::function<void(Runner::Answer)> done;
};
static_assert(kBlockReasons <= 8);

}  // namespace sonde
