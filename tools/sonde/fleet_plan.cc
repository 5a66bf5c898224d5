#include "tools/sonde/fleet_plan.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

constexpr Duration kYear = Hours(24 * 366);

std::vector<WallTime> DueTimes(const Task& task, WallTime from, size_t count) {
  std::vector<WallTime> times;
  WallTime after = from - Duration{1};  // a slot at `from` itself is one
  while (times.size() < count) {
    const auto next = task.schedule.NextAfter(task.id, after);
    if (!next) break;
    times.push_back(*next);
    after = *next;
  }
  return times;
}

absl::Status FindDue(const TaskFile& file, const PlanQuestion& question, FleetPlan* plan) {
  const auto add = [&](const Task& task) {
    plan->due.push_back({&task, DueTimes(task, question.from, question.due_times)});
  };
  if (question.tasks.empty()) {
    for (size_t i = 0; i < std::min(file.tasks.size(), PlanQuestion::kFirstTasks); ++i) {
      add(*file.tasks[i]);
    }
    return absl::OkStatus();
  }
  for (const std::string& name : question.tasks) {
    const auto found = std::find_if(file.tasks.begin(), file.tasks.end(),
                                    [&name](const auto& task) { return task->name == name; });
    if (found != file.tasks.end()) {
      add(**found);
      continue;
    }
    std::vector<std::string_view> names;
    for (const auto& task : file.tasks) names.push_back(task->name);
    return absl::NotFoundError("there is no task " + Quote(name) + Suggestion(name, names));
  }
  return absl::OkStatus();
}

void FindMeetings(FleetPlan* plan) {
  const auto zone = [plan](size_t group) { return plan->groups[group].schedule.zone(); };
  for (size_t i = 0; i < plan->groups.size(); ++i) {
    const Schedule& schedule = plan->groups[i].schedule;
    for (const ClockChange& change : schedule.ClockChanges(plan->from, plan->from + kYear)) {
      plan->meetings.push_back({change, i});
    }
  }
  std::stable_sort(plan->meetings.begin(), plan->meetings.end(),
                   [&zone](const FleetPlan::Meeting& a, const FleetPlan::Meeting& b) {
                     if (a.change.at != b.change.at) return a.change.at < b.change.at;
                     return zone(a.group) < zone(b.group);
                   });
}

void FindSilent(const TaskFile& file, FleetPlan* plan) {
  for (const auto& task : file.tasks) {
    if (!task->enabled) plan->disabled.push_back(task.get());
  }
  // Whether a schedule fires does not depend on the task.
  for (const ScheduleGroup& group : plan->groups) {
    if (group.schedule.NextAfter(group.tasks[0]->id, plan->from)) continue;
    plan->never.insert(plan->never.end(), group.tasks.begin(), group.tasks.end());
  }
}

void CountAllSeries(const TaskFile& file, unsigned shards, FleetPlan* plan) {
  SeriesCounter counter;
  std::set<const Task*> silent(plan->never.begin(), plan->never.end());
  std::set<std::string_view> types;
  for (const auto& task : file.tasks) {
    types.insert(task->prober->name());
    counter.Add(task, silent.count(task.get()) == 0);
  }
  plan->series = counter.count();
  plan->shards = shards;
  const std::vector<std::string_view> names(types.begin(), types.end());
  plan->process_series = CountProcessSeries(plan->shards, names);
}

}  // namespace

absl::StatusOr<FleetPlan> PlanFleet(const TaskFile& file, const PlanQuestion& question) {
  FleetPlan plan;
  plan.from = question.from;
  plan.tasks = file.tasks.size();
  if (absl::Status status = FindDue(file, question, &plan); !status.ok()) return status;
  plan.groups = GroupBySchedule(file.tasks);
  FindSilent(file, &plan);
  FindMeetings(&plan);
  plan.load = LoadOf(plan.groups, plan.from);
  CountAllSeries(file, static_cast<unsigned>(question.node.shards), &plan);
  const Demand demand = DemandOf(file.tasks);
  plan.headroom = HeadroomOf(CostModel(), demand, question.node, HeldSeconds());
  plan.silent_headroom = SilentHeadroomOf(CostModel(), demand, question.node);
  return plan;
}

}  // namespace sonde
