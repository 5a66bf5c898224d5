// What a configuration will do, worked out without running it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/cost_model.h"
#include "engine/contract/cron.h"
#include "exporter/series_count.h"
#include "store/task_file.h"
#include "tools/sonde/start_load.h"

namespace sonde {

struct PlanQuestion {
  WallTime from;                   // a whole second
  std::vector<std::string> tasks;  // whose due times; none: of the first few
  size_t due_times = 5;            // of each
  NodeLimits node;                 // where it is to run

  static constexpr size_t kFirstTasks = 5;
  static constexpr size_t kMostDueTimes = 1000;
};

// Refers to tasks of the file, which must outlive it.
struct FleetPlan {
  struct Due {
    const Task* task;
    std::vector<WallTime> times;
  };
  // Tasks that share a schedule and meet a change of its zone's clock.
  struct Meeting {
    ClockChange change;
    size_t group;  // of `groups`
  };

  WallTime from;
  size_t tasks = 0;
  std::vector<const Task*> disabled;
  std::vector<const Task*> never;  // enabled, and their schedule never fires
  std::vector<Due> due;
  std::vector<ScheduleGroup> groups;
  StartLoad load;                 // of the day that begins at `from`
  std::vector<Meeting> meetings;  // of a year; by time, zone and schedule
  SeriesCount series;
  uint64_t process_series = 0;
  unsigned shards = 0;
  Headroom headroom;         // by the costs assumed
  Headroom silent_headroom;  // when no target answers
};

// NotFound names a task of the question that the file does not have.
absl::StatusOr<FleetPlan> PlanFleet(const TaskFile& file, const PlanQuestion& question);

}  // namespace sonde
