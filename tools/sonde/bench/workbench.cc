#include "tools/sonde/bench/workbench.h"

#include <unistd.h>

#include <algorithm>

#include "engine/loop/thread_setup.h"
#include "tools/sonde/bench/process_watch.h"

namespace sonde {
namespace {

constexpr Duration kAhead = Milliseconds(5);  // between opening a stretch and its begin
constexpr Duration kLook = Milliseconds(5);
constexpr Duration kPatience = Seconds(60);  // for shards to take a million tasks

}  // namespace

// All counters at one moment.
struct Workbench::Moment {
  ShardStats sum;  // of the counters used below
  double processor = 0;
  std::vector<ProcessorTime> shards;
  uint64_t loopback = 0;
};

absl::StatusOr<std::unique_ptr<Workbench>> Workbench::Start(const Options& options,
                                                            Interruption& interruption) {
  std::unique_ptr<Workbench> bench(new Workbench(interruption));
  bench->farm_ = options.farm;
  bench->shared_processor_ = options.cpus.empty();
  for (const std::string& file : options.files) bench->files_.Watch(file);
  Engine::Options engine;
  engine.settings = options.settings;
  engine.pin = !options.cpus.empty();
  const std::vector<int> before = UsableCpus();
  StayOn(0, options.cpus);  // the shards are pinned to what this thread may use
  auto started = Engine::Start(engine, bench->files_, &bench->recorder_);
  StayOn(0, options.cpus.empty() ? before : options.other_cpus);
  if (!started.ok()) return started.status();
  bench->engine_ = *std::move(started);
  return bench;
}

Workbench::~Workbench() {
  if (engine_) engine_->Stop();
}

absl::Status Workbench::Replace(const Tasks& tasks) {
  tasks_ = tasks;
  TaskDelta delta = configuration_.Replace(tasks);
  catalog_.Apply(delta);
  engine_->Apply(std::move(delta));
  const WallTime end = BenchNow() + kPatience;
  for (;;) {
    uint64_t held = 0;
    for (const ShardStats& shard : engine_->Snapshot()) held += shard.tasks;
    if (held == tasks.size()) return absl::OkStatus();
    if (BenchNow() > end) return absl::DeadlineExceededError("the shards do not take the tasks");
    if (!interruption_.Wait(kLook)) return absl::CancelledError("interrupted");
  }
}

Workbench::Moment Workbench::Now() const {
  Moment now;
  for (const ShardStats& shard : engine_->Snapshot()) {
    now.sum.finished += shard.finished;
    now.sum.turns += shard.turns;
    now.sum.handshakes_full += shard.handshakes_full;
    now.sum.handshakes_resumed += shard.handshakes_resumed;
    now.sum.datagrams_dropped += shard.datagrams_dropped;
    for (size_t i = 0; i < kSkipReasons; ++i) now.sum.skipped[i] += shard.skipped[i];
    for (size_t i = 0; i < kBlockReasons; ++i) now.sum.blocked[i] += shard.blocked[i];
  }
  now.processor = ProcessSeconds(getpid());
  now.shards = ThreadTimes(getpid(), "sonde-shard");
  now.loopback = LoopbackBytes();
  return now;
}

// Slots in [from, until).
uint64_t Workbench::DueBetween(WallTime from, WallTime until) const {
  const Duration tick{1};
  uint64_t due = 0;
  for (const auto& task : tasks_) {
    if (!task->enabled) continue;
    due += task->schedule.CountBetween(task->id, from - tick, until - tick, UINT64_MAX);
  }
  return due;
}

absl::StatusOr<BenchPoint> Workbench::Watch(Duration time, Duration longest) {
  const WallTime from = BenchNow() + kAhead;
  const WallTime until = from + time;
  recorder_.Open(from, until);
  if (!interruption_.WaitUntil(from)) return absl::CancelledError("interrupted");
  const Moment before = Now();
  if (farm_ != nullptr) farm_->Busy();
  const WallTime began = BenchNow();
  if (!interruption_.WaitUntil(until)) return absl::CancelledError("interrupted");
  const double passed = (BenchNow() - began).seconds();
  const Moment after = Now();
  BenchPoint point;
  if (farm_ != nullptr) {
    if (farm_->process().Ended()) return absl::UnavailableError("the farm ended meanwhile");
    point.farm_busy = farm_->Busy();
  }

  const uint64_t due = point.due = DueBetween(from, until);
  point.seconds = time.seconds();
  point.rate = static_cast<double>(due) / point.seconds;
  point.shared_processor = shared_processor_;
  point.finished = after.sum.finished - before.sum.finished;
  point.processor_seconds = (after.processor - before.processor) / passed * point.seconds;
  point.handshakes_full = after.sum.handshakes_full - before.sum.handshakes_full;
  point.handshakes_resumed = after.sum.handshakes_resumed - before.sum.handshakes_resumed;
  point.turns = after.sum.turns - before.sum.turns;
  point.datagrams_dropped = after.sum.datagrams_dropped - before.sum.datagrams_dropped;
  point.loopback_bytes = after.loopback - before.loopback;
  for (size_t i = 0; i < kBlockReasons; ++i) {
    point.blocked[i] = after.sum.blocked[i] - before.sum.blocked[i];
  }
  for (size_t i = 0; i < std::min(before.shards.size(), after.shards.size()); ++i) {
    const ProcessorTime& a = before.shards[i];
    const ProcessorTime& b = after.shards[i];
    point.shard_busy = std::max(point.shard_busy, (b.ran - a.ran) / passed);
    point.shard_waited = std::max(point.shard_waited, (b.waited - a.waited) / passed);
  }

  // The last runs: every slot has its run or was skipped, or the rest takes too long.
  for (const WallTime end = until + longest; BenchNow() < end;) {
    uint64_t skipped = 0;
    for (const ShardStats& shard : engine_->Snapshot()) {
      for (const uint64_t count : shard.skipped) skipped += count;
    }
    for (const uint64_t count : before.sum.skipped) skipped -= count;
    if (recorder_.runs() + skipped >= due) break;
    if (!interruption_.Wait(kLook)) return absl::CancelledError("interrupted");
  }
  for (size_t i = 0; i < kSkipReasons; ++i) {
    point.skipped_for[i] = after.sum.skipped[i] - before.sum.skipped[i];
  }
  point.recorded = recorder_.Recorded();
  return point;
}

Workbench::Flight Workbench::flight() const {
  Flight flight;
  for (const ShardStats& shard : engine_->Snapshot()) {
    flight.runs += shard.in_flight;
    flight.handshakes += shard.handshakes_in_progress;
  }
  return flight;
}

}  // namespace sonde
