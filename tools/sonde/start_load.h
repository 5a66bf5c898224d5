// How many runs start in each second of a day, by the schedules alone. Due times are a pure
// function of schedule and id, so this is arithmetic: tasks that share an interval repeat together,
// and what is due in one round of it is counted once, however often the round comes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/contract/task.h"

namespace sonde {

// Enabled tasks that share a schedule; never empty.
struct ScheduleGroup {
  Schedule schedule;
  std::vector<const Task*> tasks;
};

// In the order in which schedules are met. The tasks outlive the groups.
std::vector<ScheduleGroup> GroupBySchedule(const std::vector<std::shared_ptr<const Task>>& tasks);

struct StartLoad {
  static constexpr size_t kHours = 24;
  static constexpr size_t kSeconds = kHours * 3600;

  WallTime from;  // a whole second: the day is [from, from + 24 h)
  // Starts in each hour, by task type; sorted by name.
  struct Type {
    std::string_view name;
    std::array<uint64_t, kHours> hours{};
  };
  std::vector<Type> types;
  uint64_t starts = 0;  // in the day

  // Starts per second.
  double mean = 0, median = 0, p99 = 0, peak = 0;
  WallTime peak_at;  // the first second that has so many

  // Tasks that count by the rate of their interval, or of each hour, instead of second by second:
  // intervals that are no part of a second, and the most frequent of very many different schedules.
  uint64_t smoothed = 0;
};

// Takes a second or two at the most, whatever the schedules; memory by the number of tasks.
StartLoad LoadOf(const std::vector<ScheduleGroup>& groups, WallTime from);

}  // namespace sonde
