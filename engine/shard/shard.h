// The core of a shard: which tasks it has, when each is due, what may start, and what a finished
// run comes to. It knows no socket and no clock; engine/loop turns it in production, SimWorld in
// tests. Everything runs on the shard's thread, but for Stats().
//
// A turn of the loop:
//   BeginTurn(woke)             a late wake-up is a gap
//   ... network events into events(), messages into Apply / Remove / RunNow ...
//   EndTurn(poll_began, wall)   deadlines before poll_began expire, waiting and due tasks start
// then sleep until NextWake().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/contract/engine_stats.h"
#include "engine/contract/files.h"
#include "engine/contract/task_set.h"
#include "engine/shard/admission.h"
#include "engine/shard/gap_log.h"
#include "engine/shard/probe_table.h"
#include "engine/shard/shard_counters.h"
#include "engine/shard/start_queue.h"
#include "engine/shard/timer_wheel.h"

namespace sonde {

class Shard final : private ProbeTable::Owner {
 public:
  struct Options {
    unsigned index = 0;
    ShardLimits limits;
    uint64_t random_seed = 1;
    Instant start;               // now, at construction
    Duration wall_minus_mono{};  // now, at construction
    // Timers wake no sooner than this after a turn began: under load, those that fall due meanwhile
    // share a turn, its system calls and its wake-up. Alone, a timer is exact. Zero: all are.
    Duration timer_spacing{};
  };
  // Longest sleep: a heartbeat makes gaps visible in an idle loop.
  static constexpr Duration kHeartbeat = Milliseconds(100);

  // `files` and `sink` may be null. All outlive the shard.
  Shard(const Options& options, Network& network, Files* files, ResultSink* sink);
  ~Shard() override;

  NetworkEvents& events() { return probes_; }

  void BeginTurn(Instant woke);
  // `poll_began`: the stamp taken right before the last poll of this turn, the one after which
  // nothing more was waiting. `wall`: the wall clock at that moment.
  void EndTurn(Instant poll_began, WallTime wall);
  Instant NextWake() const;
  // A probe's time-out or wake-up is due by `now`: let EndTurn's poll have begun later.
  bool ExpiresBy(Instant now) const;

  // The wall clock was set. Schedules go on from the next slot; no slot runs twice.
  void ClockStepped(Duration wall_minus_mono);

  void Apply(TaskDelta::Upsert upsert);
  void Remove(uint64_t task_id);
  void RunNow(uint64_t run, std::shared_ptr<const Task> task,
              std::function<void(Runner::Answer)> done);
  void CancelRun(uint64_t run);
  void SetLimits(const ShardLimits& limits);
  void SetPolicy(std::shared_ptr<const ProbePolicy> policy) { probes_.SetPolicy(policy); }

  // Ends every run as prober/cancelled and forgets all tasks. For stopping.
  void Clear();

  ShardStats Stats() const { return counters_.Snapshot(); }  // any thread
  size_t in_flight() const { return probes_.in_flight(); }
  size_t waiting() const { return waiting_count_; }
  static size_t bytes_per_task();
  size_t bytes_per_slot() const { return probes_.bytes_per_slot(); }

 private:
  struct Entry;
  struct NowRun;
  // A turn starts runs until it has lasted for so long, or as many as this, so that a burst of due
  // tasks does not keep the loop from its sockets: what is in flight grows, falls out of the
  // processor's caches, and a run costs half as much again, which keeps a shard that fell behind
  // from ever catching up. What events and messages of the turn took counts, but starts have their
  // share. (More than the datagrams of a batch that is stamped: who is behind has no time for it.)
  static constexpr Duration kTurnFor = Milliseconds(1), kStartsFor = Microseconds(250);
  static constexpr int kStartsPerTurn = 256;
  static constexpr int kStartsPerLook = 16;            // at the clock
  static constexpr uint64_t kMostSkipped = 1'000'000;  // slots of one jump that are counted
  // Of what runs read of a module, and of a target's plan, whose sizes only their protocol knows:
  // their beginnings.
  static constexpr size_t kFetchedOptions = 256;
  // Timers of far slots are re-armed at least this often, so that the wall clock's drift shows.
  static constexpr Duration kArmAhead = Minutes(10);

  Instant ToInstant(WallTime wall) const { return {wall.ns - wall_offset_.ns}; }
  WallTime ToWall(Instant at) const { return {at.ns + wall_offset_.ns}; }

  void Schedule(Entry& entry, WallTime after);
  void ScheduleNext(Entry& entry);
  uint64_t ScheduleAfter(Entry& entry, WallTime wall);
  void ArmDue(Entry& entry);
  void FetchAhead();
  void OnTimer(TimerNode& node, Instant now);
  void OnDue(Entry& entry, Instant now);
  bool SkipStalled(Entry& entry, Instant now);
  void Skip(Entry& entry, SkipReason reason, uint64_t slots);
  void Offer(Entry& entry, Instant now);
  std::optional<BlockReason> Blocked(Entry& entry, Instant now);
  bool LacksDescriptor(const Entry& entry);
  void Wait(Entry& entry, BlockReason reason, Instant now);
  void StopWaiting(Entry& entry);
  void Start(Entry& entry);
  void StartWaiting(Instant now);
  void StartFrom(StartQueue& queue, Instant now);
  void LookAgain(Destination& destination);
  void Release(Entry& entry, Instant now);
  void Forget(Destination& destination, Instant now);
  void GoElsewhere(Entry& entry, Instant now);
  void Halt(Entry& entry, Instant at);
  void EndNowRun(NowRun& entry, Outcome outcome, Instant at);

  void OnProbeFinished(ProbeTable::Slot& slot, Outcome outcome, Instant at) override;
  std::unique_ptr<TlsMemory>* MemoryOf(ProbeTable::Slot& slot) override;
  IdleConnections::PlaceId* IdlePlaceOf(ProbeTable::Slot& slot) override;
  void AnswerNowRun(NowRun& run);
  void CountScheduledRun(Entry& entry, const Task& task, WallTime finished);
  void ResetEvidence();
  Outcome JudgeLate(const ProbeTable::Slot& slot, Outcome outcome, Instant at, bool* spoiled);
  void Publish();

  Network& network_;
  ResultSink* sink_;
  ShardLimits limits_;
  Duration wall_offset_;
  const Duration timer_spacing_;
  TimerWheel wheel_;  // due times; deadlines stand in the probe table's own
  ProbeTable probes_;
  Destinations destinations_;
  GapLog gaps_;
  ShardCounters counters_;
  std::unordered_map<uint64_t, std::unique_ptr<Entry>> tasks_;
  std::unordered_map<uint64_t, std::unique_ptr<NowRun>> now_runs_;
  std::vector<std::unique_ptr<NowRun>> ended_now_runs_;  // freed at the end of the turn
  StartQueue waiting_;                                   // for a place in flight or a descriptor
  StartQueue waiting_handshake_;
  std::vector<Destination*> ready_destinations_;
  size_t waiting_count_ = 0;
  int starts_left_ = 0;
  Instant starts_until_;
  Instant turn_began_;
  Instant promised_wake_;  // what NextWake said last
  ProbeResult result_;     // scratch of OnProbeFinished
  Texts texts_;
  Evidence evidence_;
};

}  // namespace sonde
