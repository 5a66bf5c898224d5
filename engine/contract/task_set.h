// The interfaces through which tasks reach the shards and results leave them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/contract/probe_result.h"
#include "engine/contract/tally.h"
#include "engine/contract/task.h"

namespace sonde {

// A task and what it accumulated, shared between its shard (the tally's only writer) and readers.
// The shard drops its reference when the task is removed; the memory goes with the last reader.
struct TaskRecord {
  explicit TaskRecord(std::shared_ptr<const Task> initial) { Adopt(std::move(initial)); }

  // Control thread: the task's new value, and the parts of the tally it asks for. What was counted
  // stays; so does a part that is not asked for any more, which is not shown then.
  void Adopt(std::shared_ptr<const Task> changed) {
    task = std::move(changed);
    if (task->metrics.recent) tally.ProvideRecent();
    if (task->metrics.families.Has(FamilyGroup::kNative)) tally.ProvideNative();
  }

  // The value in force for readers on the control thread. The shard keeps its own copy.
  std::shared_ptr<const Task> task;
  Tally tally;
};

// Everything that changes at once. Ids are unique within one delta.
struct TaskDelta {
  struct Upsert {
    std::shared_ptr<TaskRecord> record;
    std::shared_ptr<const Task> task;  // the new value
  };
  std::vector<Upsert> upserts;  // added or changed (enable and disable are changes)
  std::vector<uint64_t> removals;
};

// Implemented by the engine. Control thread; takes effect on each shard in its next turn. Order is
// kept between calls.
class TaskSet {
 public:
  virtual ~TaskSet() = default;
  virtual void Apply(TaskDelta delta) = 0;
};

struct RunReport {
  const Task& task;
  const ProbeResult& result;
  const Texts* texts;        // null when unchanged since the last report of this task
  const Evidence* evidence;  // null unless the run did not succeed
};

// Told about every finished scheduled run. Shard thread: must not block, must not call back.
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  virtual void OnRun(const RunReport& report) = 0;
};

// Implemented by the engine: runs a task once, now, outside its schedule and tallies.
class Runner {
 public:
  struct Answer {
    ProbeResult result;
    Texts texts;
    Evidence evidence;
  };
  virtual ~Runner() = default;
  // Any thread. `done` is called exactly once on a shard's thread (outcome prober/cancelled after
  // Cancel or when the engine stops). Admission applies: a run that cannot start within its
  // time-out is inconclusive.
  virtual uint64_t RunNow(std::shared_ptr<const Task> task, std::function<void(Answer)> done) = 0;
  virtual void Cancel(uint64_t run) = 0;
};

}  // namespace sonde
