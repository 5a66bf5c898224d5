// A shard turned by hand: hours of schedule in seconds, through the code production runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/shard/shard.h"
#include "tests/support/sim_network.h"

namespace sonde {

// A finished run, copied.
struct SimRun {
  uint64_t task_id;
  ProbeResult result;
  Texts texts;
  Evidence evidence;
};

class SimWorld : public ResultSink {
 public:
  struct Options {
    ShardLimits limits;
    uint64_t seed = 1;
    WallTime wall{1'790'000'000'000'000'000};  // 2026-09-21
    std::shared_ptr<const ProbePolicy> policy;
    Files* files = nullptr;
    bool keep_runs = true;
    Duration timer_spacing{};
  };
  SimWorld() : SimWorld(Options{}) {}
  explicit SimWorld(const Options& options);
  ~SimWorld() override;

  SimClock& clock() { return clock_; }
  SimNetwork& network() { return network_; }
  Shard& shard() { return shard_; }
  Instant now() const { return clock_.now(); }
  WallTime wall() const { return {clock_.now().ns + wall_minus_mono_.ns}; }
  Instant ToInstant(WallTime wall) const { return {wall.ns - wall_minus_mono_.ns}; }

  std::shared_ptr<TaskRecord> Add(std::shared_ptr<const Task> task);
  void Replace(const std::shared_ptr<TaskRecord>& record, std::shared_ptr<const Task> task);

  // Turns the shard until `until`, checking the invariants each turn.
  void RunUntil(Instant until);
  void RunFor(Duration time) { RunUntil(now() + time); }
  // Turns until a run finished, at most for `limit`. False: none did.
  bool RunToNext(Duration limit);

  // The process stands still from now for `time`; what happens meanwhile is noticed after it.
  void StandStill(Duration time);
  // The wall clock is set.
  void StepClock(Duration by);

  std::vector<SimRun> runs;
  std::function<void(const RunReport&)> on_run;
  uint64_t finished() const { return finished_; }

  void OnRun(const RunReport& report) override;

 private:
  void Turn(Instant at);
  void CheckInvariants();

  Duration wall_minus_mono_;
  bool keep_runs_;
  SimClock clock_;
  SimNetwork network_;
  Shard shard_;
  uint64_t finished_ = 0;
};

}  // namespace sonde
