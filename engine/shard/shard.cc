#include "engine/shard/shard.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "engine/contract/fetch_lines.h"
#include "engine/shard/shard_entry.h"

namespace sonde {
namespace {

// Not an answer of the target: when we were not there, or lost what came, nobody knows.
bool IsSilence(Outcome outcome) {
  constexpr std::string_view kSilent[] = {"timeout",  "reset",          "closed", "loss",
                                          "wrong_id", "wrong_question", "foreign"};
  return std::find(std::begin(kSilent), std::end(kSilent), Info(outcome).reason) !=
         std::end(kSilent);
}

}  // namespace

Shard::Shard(const Options& options, Network& network, Files* files, ResultSink* sink)
    : network_(network),
      sink_(sink),
      limits_(options.limits),
      wall_offset_(options.wall_minus_mono),
      timer_spacing_(options.timer_spacing),
      wheel_(options.start),
      probes_(options.index, network, files, options.random_seed, options.start, *this),
      turn_began_(options.start),
      promised_wake_(options.start + kHeartbeat) {
  probes_.SetWallOffset(wall_offset_);
}

Shard::~Shard() { Clear(); }

size_t Shard::bytes_per_task() { return sizeof(Entry); }

// ---- turns --------------------------------------------------------------------------------------

void Shard::BeginTurn(Instant woke) {
  turn_began_ = woke;
  gaps_.Add(promised_wake_, woke);
}

void Shard::EndTurn(Instant poll_began, WallTime wall) {
  // Slewing moves the offset a little each turn; a step is told through ClockStepped.
  const Duration offset{wall.ns - poll_began.ns};
  const Duration moved = offset - wall_offset_;
  if (moved < Milliseconds(50) && moved > Milliseconds(-50)) {
    wall_offset_ = offset;
    probes_.SetWallOffset(offset);
  }
  starts_left_ = kStartsPerTurn;
  starts_until_ = std::max(turn_began_ + kTurnFor, network_.Stamp() + kStartsFor);
  probes_.Advance(poll_began);
  StartWaiting(poll_began);
  wheel_.AdvanceTo(poll_began);
  while (starts_left_ > 0) {
    TimerNode* node = wheel_.PopExpired();
    if (!node) break;
    FetchAhead();
    OnTimer(*node, poll_began);
  }
  probes_.SendDatagrams();
  StartWaiting(poll_began);  // rates that have a token now, places that fell free at once
  probes_.SendDatagrams();
  ended_now_runs_.clear();
  const Instant end = network_.Stamp();
  gaps_.Add(turn_began_, end);
  Publish();
  Instant wake = end + kHeartbeat;
  if (const auto next = wheel_.NextWake()) wake = std::min(wake, *next);
  if (const auto next = probes_.NextWake()) wake = std::min(wake, *next);
  wake = std::max(wake, turn_began_ + timer_spacing_);
  if (starts_left_ <= 0) wake = end;  // more is due than one turn may start
  promised_wake_ = std::max(wake, end);
}

Instant Shard::NextWake() const { return promised_wake_; }

bool Shard::ExpiresBy(Instant now) const {
  const std::optional<Instant> next = probes_.NextWake();
  return next && *next <= now;
}

void Shard::Publish() {
  const ProbeTable::Counters& probes = probes_.counters();
  counters_.tasks.Set(tasks_.size());
  counters_.waiting.Set(waiting_count_);
  counters_.gaps.Set(gaps_.count());
  counters_.handshakes_full.Set(probes.handshakes_full);
  counters_.handshakes_resumed.Set(probes.handshakes_resumed);
  counters_.handshakes_failed.Set(probes.handshakes_failed);
  counters_.handshakes_in_progress.Set(probes.handshakes_in_progress);
  for (size_t i = 0; i < kPolicyKinds; ++i) counters_.refused[i].Set(probes.policy_refusals[i]);
  counters_.datagrams_sent.Set(probes.datagrams_sent);
  counters_.datagrams_received.Set(probes.datagrams_received);
  counters_.datagrams_unstamped.Set(probes.datagrams_unstamped);
  for (size_t i = 0; i < kStrayReasons; ++i) {
    counters_.datagrams_stray[i].Set(probes.datagrams_stray[i]);
  }
  counters_.connections_idle.Set(probes_.idle().size());
  counters_.connections_reused.Set(probes.reused);
  counters_.connections_retried.Set(probes.retried);
  for (size_t i = 0; i < kIdleEnds; ++i) {
    counters_.connections_closed[i].Set(probes_.idle().closed()[i]);
  }
}

// ---- schedules ----------------------------------------------------------------------------------

// Puts the timer on the first slot after `after`.
void Shard::Schedule(Entry& entry, WallTime after) {
  const auto next = entry.task->schedule.NextAfter(entry.task->id, after);
  entry.scheduled = entry.task->enabled && next.has_value();
  if (!entry.scheduled) {
    wheel_.Cancel(entry);
    return;
  }
  entry.due = *next;
  ArmDue(entry);
}

void Shard::ArmDue(Entry& entry) {
  const Instant at = ToInstant(entry.due);
  wheel_.Arm(entry, std::min(at, wheel_.now() + kArmAhead));
}

void Shard::ClockStepped(Duration wall_minus_mono) {
  const bool forward = wall_minus_mono > wall_offset_;
  wall_offset_ = wall_minus_mono;
  probes_.SetWallOffset(wall_offset_);
  const WallTime now = ToWall(wheel_.now());
  for (auto& [id, entry] : tasks_) {
    if (!entry->scheduled) continue;
    if (forward) {
      // Slots the clock jumped over get no run.
      if (entry->due <= now) {
        Skip(*entry, SkipReason::kClockStep, 1 + ScheduleAfter(*entry, now));
      } else {
        ArmDue(*entry);
      }
      continue;
    }
    // Backwards: the slots before `due` had their runs. They are not run again, unless that would
    // silence the task for long: then it starts anew on the new time.
    const class Schedule& schedule = entry->task->schedule;
    const Duration bearable =
        schedule.is_cron() ? Hours(3) : std::max(schedule.TypicalInterval() * 2, Seconds(1));
    const auto late = schedule.NextAfter(id, now + bearable);
    if (late && *late < entry->due) {
      Schedule(*entry, now);
    } else {
      ArmDue(*entry);
    }
  }
}

// What the next starts will read is fetched while this one works. One pointer a step, for what a
// pointer is read from must be there by then.
void Shard::FetchAhead() {
  const Entry* entry = nullptr;
  TimerNode* node = nullptr;
  const auto next = [&] {
    node = wheel_.Upcoming(node);
    entry = node && node->tag == Entry::kTag ? static_cast<const Entry*>(node) : nullptr;
    return node != nullptr;
  };
  if (!next()) return;
  if (entry && entry->record) entry->record->tally.Fetch(2);
  if (!next()) return;
  if (entry) {
    FetchLines(&entry->task->module->policy, kFetchedOptions);
    FetchLines(entry->task->plan.get(), kFetchedOptions);
    if (entry->record) entry->record->tally.Fetch(1);
  }
  if (!next()) return;
  if (entry) {
    FetchLines(entry->task.get(), Task::kBytesOfRuns);
    if (entry->record) entry->record->tally.Fetch(0);
    probes_.idle().Fetch(entry->idle_place);
  }
  if (next()) FetchLines(node, sizeof(Entry));
}

void Shard::OnTimer(TimerNode& node, Instant now) {
  if (node.tag == Destination::kTag) {
    LookAgain(static_cast<Destination&>(node));
    return;
  }
  Entry& entry = static_cast<Entry&>(node);
  if (entry.is_now_run()) {
    EndNowRun(static_cast<NowRun&>(entry), Outcome::kProberBusy, now);
  } else {
    OnDue(entry, now);
  }
}

void Shard::OnDue(Entry& entry, Instant now) {
  if (ToInstant(entry.due) > now) {  // re-armed on the way, or the clock was slewed
    ArmDue(entry);
    return;
  }
  if (SkipStalled(entry, now)) return;
  const WallTime due = entry.due;
  if (entry.running || entry.queue) {
    Skip(entry, SkipReason::kOverlap, 1);
  } else {
    entry.run_due = due;
    entry.run_due_at = ToInstant(due);
    Offer(entry, now);
  }
  ScheduleNext(entry);
}

// Puts the timer on the slot after the one it stands on. An interval's is that much later: its
// phase is a hash, which the slot it stands on knows already.
void Shard::ScheduleNext(Entry& entry) {
  const class Schedule& schedule = entry.task->schedule;
  if (schedule.is_cron()) return Schedule(entry, entry.due);
  entry.due = entry.due + schedule.TypicalInterval();
  ArmDue(entry);
}

// Puts the timer on the first slot after `wall`, which the one it stands on is not. Returns how
// many lie between the two.
uint64_t Shard::ScheduleAfter(Entry& entry, WallTime wall) {
  const class Schedule& schedule = entry.task->schedule;
  if (schedule.is_cron()) {
    const uint64_t between = schedule.CountBetween(entry.task->id, entry.due, wall, kMostSkipped);
    Schedule(entry, wall);
    return between;
  }
  const int64_t between = (wall - entry.due).ns / schedule.TypicalInterval().ns;
  entry.due = entry.due + schedule.TypicalInterval() * (between + 1);
  ArmDue(entry);
  return std::min(static_cast<uint64_t>(between), kMostSkipped);
}

// Slots missed while the loop stood still are skipped, not run in a burst. A slot that is late by a
// small part of its interval still gets its run: a daily task must not lose a day to 30 ms. So does
// that of a task which lost several in a row: stand-stills may keep time with its schedule.
bool Shard::SkipStalled(Entry& entry, Instant now) {
  const Duration late = now - ToInstant(entry.due);
  const Duration interval = entry.task->schedule.TypicalInterval();
  if (late <= std::max(GapLog::kShortest, interval / 20) || entry.stalls == Entry::kMostStalls) {
    entry.stalls = 0;
    return false;
  }
  ++entry.stalls;
  Skip(entry, SkipReason::kStall, 1 + ScheduleAfter(entry, ToWall(now)));
  return true;
}

void Shard::Skip(Entry& entry, SkipReason reason, uint64_t slots) {
  counters_.skipped[static_cast<size_t>(reason)].Add(slots);
  entry.record->tally.CountSkipped(slots);
}

// ---- finishing ----------------------------------------------------------------------------------

Outcome Shard::JudgeLate(const ProbeTable::Slot& slot, Outcome outcome, Instant at, bool* spoiled) {
  const Duration threshold = GapLog::Threshold(slot.task->timeout);
  *spoiled = gaps_.Overlaps(slot.started, threshold) ||
             at - std::max(turn_began_, slot.started) > threshold;
  if (outcome == Outcome::kOk || !IsSilence(outcome)) return outcome;
  if (*spoiled) return Outcome::kProberLate;
  return probes_.ReceiveQueueOverflowed(slot) ? Outcome::kProberReceiveQueue : outcome;
}

void Shard::OnProbeFinished(ProbeTable::Slot& slot, Outcome outcome, Instant at) {
  Entry& entry = *static_cast<Entry*>(slot.owner_data);
  bool spoiled = false;
  outcome = JudgeLate(slot, outcome, at, &spoiled);
  const Verdict verdict = VerdictOf(outcome);
  const bool passed = verdict == Verdict::kSuccess;

  result_.Reset();
  if (entry.is_now_run()) {
    result_.due = result_.started = ToWall(slot.started);
  } else {
    result_.due = entry.run_due;
    result_.started = entry.run_due + (slot.started - entry.run_due_at);
  }
  result_.duration = at - slot.started;
  result_.outcome = outcome;
  result_.latency_recorded = passed && !spoiled;
  result_.legs = slot.legs;
  result_.facts.Set(Fact::kSuccess, passed ? 1 : 0);
  result_.facts.Set(Fact::kDuration, result_.duration.seconds());
  result_.facts.Set(Fact::kTimeout, slot.task->timeout.seconds());
  texts_.clear();
  ResetEvidence();
  Report report{result_, &texts_, 0, passed && !entry.is_now_run() ? nullptr : &evidence_};
  if (entry.record && passed) report.known_texts_hash = entry.record->tally.texts_hash();
  slot.conversation->Report(report, at);

  counters_.finished.Add();
  counters_.CountRun(slot.task->prober, verdict);
  counters_.outcomes[static_cast<size_t>(outcome)].Add();
  if (passed && spoiled) counters_.latencies_unrecorded.Add();
  entry.running = false;
  if (outcome == Outcome::kProberPorts) {
    Forget(destinations_.Pause(slot.task->plan->destination, at + Destinations::kPause, at), at);
  }
  if (entry.destination) {
    --entry.destination->in_flight;
    if (!entry.destination->queue.empty()) LookAgain(*entry.destination);
    Release(entry, at);
  }
  if (entry.is_now_run()) {
    AnswerNowRun(static_cast<NowRun&>(entry));
  } else {
    CountScheduledRun(entry, *slot.task, ToWall(at));
  }
}

// Who asks for a run wants to see the peer, its certificates included.
std::unique_ptr<TlsMemory>* Shard::MemoryOf(ProbeTable::Slot& slot) {
  Entry& entry = *static_cast<Entry*>(slot.owner_data);
  return entry.is_now_run() ? nullptr : &entry.tls_memory;
}

// Who asks for a run wants to see the whole way.
IdleConnections::PlaceId* Shard::IdlePlaceOf(ProbeTable::Slot& slot) {
  Entry& entry = *static_cast<Entry*>(slot.owner_data);
  return entry.is_now_run() ? nullptr : &entry.idle_place;
}

// Hands the scratch result over; the entry lives on to the end of the turn.
void Shard::AnswerNowRun(NowRun& run) {
  auto done = std::move(run.done);
  const auto node = now_runs_.extract(run.id);
  if (!node.empty()) ended_now_runs_.push_back(std::move(node.mapped()));
  done(Runner::Answer{result_, std::move(texts_), std::move(evidence_)});
}

void Shard::CountScheduledRun(Entry& entry, const Task& task, WallTime finished) {
  const Duration late = result_.started - result_.due;
  counters_.lateness[LatenessBucket(late.seconds())].Add();
  counters_.lateness_sum_ns.Add(static_cast<uint64_t>(std::max<int64_t>(0, late.ns)));
  Tally& tally = entry.record->tally;
  const bool new_texts = !texts_.empty() && result_.texts_hash != tally.texts_hash();
  if (new_texts) tally.set_texts_hash(result_.texts_hash);
  tally.Record(result_, finished);
  const bool passed = result_.verdict() == Verdict::kSuccess;
  if (sink_) {
    sink_->OnRun({task, result_, new_texts ? &texts_ : nullptr, passed ? nullptr : &evidence_});
  }
}

// ---- changes ------------------------------------------------------------------------------------

// Whoever waits for a destination is looked at under the new limits: the timers and the runs that
// would have woken them belong to the old.
void Shard::SetLimits(const ShardLimits& limits) {
  if (limits == limits_) return;
  limits_ = limits;
  destinations_.ForEach([this](Destination& destination) {
    wheel_.Cancel(destination);
    LookAgain(destination);
  });
}

// Ends what the entry is doing: its timer, its wait, its run.
void Shard::Halt(Entry& entry, Instant at) {
  wheel_.Cancel(entry);
  StopWaiting(entry);
  if (entry.running) probes_.Cancel(entry.slot, Outcome::kProberCancelled, at);
  Release(entry, at);
}

// The entry waits for a destination its task no longer has: it is looked at anew this turn.
void Shard::GoElsewhere(Entry& entry, Instant now) {
  entry.queue->Remove(entry);
  Release(entry, now);
  entry.destination = destinations_.Take(entry.task->plan->destination, limits_, now);
  waiting_.PushBack(entry);
}

void Shard::Apply(TaskDelta::Upsert upsert) {
  std::unique_ptr<Entry>& entry = tasks_[upsert.task->id];
  const bool fresh = entry == nullptr;
  if (fresh) entry = std::make_unique<Entry>();
  const std::shared_ptr<const Task> old = std::exchange(entry->task, std::move(upsert.task));
  entry->record = std::move(upsert.record);
  if (!fresh && old->version == entry->task->version) return;
  probes_.idle().Drop(entry->idle_place);
  if (!entry->task->enabled) {
    Halt(*entry, network_.Stamp());
    entry->scheduled = false;
    return;
  }
  if (!fresh && entry->queue && old->plan->destination != entry->task->plan->destination) {
    GoElsewhere(*entry, network_.Stamp());
  }
  // A run in flight ends as it began; a changed schedule or a task switched on is armed anew.
  if (fresh || !old->enabled || !(old->schedule == entry->task->schedule)) {
    Schedule(*entry, ToWall(network_.Stamp()));
  }
}

void Shard::Remove(uint64_t task_id) {
  const auto found = tasks_.find(task_id);
  if (found == tasks_.end()) return;
  Halt(*found->second, network_.Stamp());
  probes_.idle().Drop(found->second->idle_place);
  tasks_.erase(found);
}

void Shard::RunNow(uint64_t run, std::shared_ptr<const Task> task,
                   std::function<void(Runner::Answer)> done) {
  auto made = std::make_unique<NowRun>();
  NowRun& entry = *made;
  entry.task = std::move(task);
  entry.id = run;
  entry.done = std::move(done);
  now_runs_[run] = std::move(made);
  Offer(entry, network_.Stamp());
}

void Shard::CancelRun(uint64_t run) {
  const auto found = now_runs_.find(run);
  if (found == now_runs_.end()) return;
  NowRun& entry = *found->second;
  if (entry.running) {
    probes_.Cancel(entry.slot, Outcome::kProberCancelled, network_.Stamp());
  } else {
    EndNowRun(entry, Outcome::kProberCancelled, network_.Stamp());
  }
}

// A run-now entry that never started.
void Shard::EndNowRun(NowRun& entry, Outcome outcome, Instant at) {
  Halt(entry, at);
  result_.Reset();
  result_.started = result_.due = ToWall(at);
  result_.outcome = outcome;
  result_.facts.Set(Fact::kSuccess, 0);
  result_.facts.Set(Fact::kDuration, 0);
  result_.facts.Set(Fact::kTimeout, entry.task->timeout.seconds());
  texts_.clear();
  ResetEvidence();
  AnswerNowRun(entry);
}

// Member by member, so that the strings keep their room.
void Shard::ResetEvidence() {
  evidence_.peer = {};
  evidence_.url.clear();
  evidence_.head.clear();
  evidence_.body.clear();
  evidence_.detail.clear();
}

void Shard::Clear() {
  const Instant now = network_.Stamp();
  while (!now_runs_.empty()) CancelRun(now_runs_.begin()->first);
  for (auto& [id, entry] : tasks_) Halt(*entry, now);
  probes_.idle().Clear();
  tasks_.clear();
  ended_now_runs_.clear();
  ready_destinations_.clear();
  destinations_.Clear(wheel_);
  Publish();
}

}  // namespace sonde
