#include "tests/support/sim_world.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace sonde {
namespace {

constexpr Instant kStart{1'000'000'000'000};

Shard::Options ShardOptions(const SimWorld::Options& options) {
  Shard::Options shard;
  shard.limits = options.limits;
  shard.random_seed = options.seed;
  shard.start = kStart;
  shard.timer_spacing = options.timer_spacing;
  shard.wall_minus_mono = {options.wall.ns - kStart.ns};
  return shard;
}

// Invariants hold or the run is worthless: no test framework in between.
void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "invariant broken: %s\n", what);
  std::abort();
}

}  // namespace

SimWorld::SimWorld(const Options& options)
    : wall_minus_mono_{options.wall.ns - kStart.ns},
      keep_runs_(options.keep_runs),
      clock_(kStart),
      network_(clock_),
      shard_(ShardOptions(options), network_, options.files, this) {
  network_.SetEvents(&shard_.events());
  shard_.SetPolicy(options.policy);
}

SimWorld::~SimWorld() {
  shard_.Clear();
  Require(network_.open_streams() == 0, "every stream is closed at the end");
  Require(network_.resolves_pending() == 0, "every resolve is over at the end");
}

std::shared_ptr<TaskRecord> SimWorld::Add(std::shared_ptr<const Task> task) {
  auto record = std::make_shared<TaskRecord>(task);
  shard_.Apply({record, std::move(task)});
  Turn(now());
  return record;
}

void SimWorld::Replace(const std::shared_ptr<TaskRecord>& record,
                       std::shared_ptr<const Task> task) {
  record->task = task;
  shard_.Apply({record, std::move(task)});
  Turn(now());
}

void SimWorld::Turn(Instant at) {
  shard_.BeginTurn(std::max(at, now()));
  clock_.AdvanceTo(at);
  shard_.EndTurn(now(), wall());
  CheckInvariants();
}

void SimWorld::RunUntil(Instant until) {
  for (;;) {
    Instant next = shard_.NextWake();
    if (const auto event = clock_.Next()) next = std::min(next, *event);
    if (next > until) break;
    Turn(std::max(next, now()));
  }
  clock_.AdvanceTo(until);
}

bool SimWorld::RunToNext(Duration limit) {
  const Instant until = now() + limit;
  const uint64_t before = finished_;
  while (finished_ == before) {
    Instant next = shard_.NextWake();
    if (const auto event = clock_.Next()) next = std::min(next, *event);
    if (next > until) return false;
    Turn(std::max(next, now()));
  }
  return true;
}

void SimWorld::StandStill(Duration time) { Turn(now() + time); }

void SimWorld::StepClock(Duration by) {
  wall_minus_mono_ = wall_minus_mono_ + by;
  shard_.ClockStepped(wall_minus_mono_);
  Turn(now());
}

void SimWorld::OnRun(const RunReport& report) {
  ++finished_;
  if (on_run) on_run(report);
  if (!keep_runs_) return;
  runs.push_back({report.task.id, report.result, report.texts ? *report.texts : Texts{},
                  report.evidence ? *report.evidence : Evidence{}});
}

void SimWorld::CheckInvariants() {
  const ShardStats stats = shard_.Stats();
  Require(stats.started == stats.finished + stats.in_flight, "started = finished + in flight");
  Require(stats.in_flight == shard_.in_flight(), "in flight is what the slots hold");
  Require(network_.open_streams() <= shard_.in_flight() + stats.connections_idle,
          "a stream belongs to a probe in flight, or to a task between two runs");
  Require(shard_.waiting() <= stats.tasks + 1000, "one entry per task waits");
  uint64_t judged = 0, outcomes = 0;
  for (const TypeRuns& type : stats.types) {
    for (const uint64_t count : type.by_verdict) judged += count;
  }
  for (const uint64_t count : stats.outcomes) outcomes += count;
  Require(judged == stats.finished, "every finished run has one verdict");
  Require(outcomes == stats.finished, "every finished run has one outcome");
}

}  // namespace sonde
