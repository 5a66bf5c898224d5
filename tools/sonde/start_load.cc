#include "tools/sonde/start_load.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <unordered_map>
#include <utility>

namespace sonde {
namespace {

constexpr int64_t kSecond = Seconds(1).ns;
constexpr int64_t kHour = Hours(1).ns;
constexpr int64_t kDay = Hours(24).ns;

// What counting second by second may take in all, and what its parts take, in nanoseconds or so.
constexpr double kBudget = 1.5e9;
constexpr double kSlotCost = 4;      // a slot is put into its second
constexpr double kCronCost = 1'500;  // an expression in a time zone is asked for its next slot

constexpr int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

class Planner {
 public:
  explicit Planner(WallTime from) : from_(from.ns), seconds_(StartLoad::kSeconds) {
    load_.from = from;
  }
  StartLoad Plan(const std::vector<ScheduleGroup>& groups);

 private:
  // One group that is counted second by second if the budget allows.
  struct Work {
    const ScheduleGroup* group;
    double cost;
    int64_t round;  // ns after which an interval's slots fall into the same seconds; 0: too long
  };
  // Tasks that share a schedule, a type and the second their slots are moved to.
  struct Place {
    int64_t second;
    size_t type;
    uint32_t tasks;
  };

  Work WorkOf(const ScheduleGroup& group) const;
  void CountHours(const ScheduleGroup& group);
  void PutRounds(const ScheduleGroup& group, int64_t round);
  void PutEach(const ScheduleGroup& group);
  void PutCron(const ScheduleGroup& group);
  void Smooth(const ScheduleGroup& group);
  void SmoothCron(const ScheduleGroup& group);
  void Summarize();

  size_t TypeOf(const Task& task);
  std::vector<Place> PlacesOf(const ScheduleGroup& group);
  // Of an interval, at or after from_.
  int64_t FirstSlot(const Schedule& schedule, uint64_t id) const {
    const int64_t interval = schedule.TypicalInterval().ns;
    const int64_t since = schedule.Phase(id).ns - from_;
    return from_ + since - FloorDiv(since, interval) * interval;
  }
  uint32_t& SecondAt(int64_t at) { return seconds_[static_cast<size_t>((at - from_) / kSecond)]; }

  const int64_t from_;
  StartLoad load_;
  std::vector<uint32_t> seconds_;                   // starts put into each
  std::array<double, StartLoad::kHours> smooth_{};  // further starts per second, in each hour
};

size_t Planner::TypeOf(const Task& task) {
  const std::string_view name = task.prober->name();
  size_t i = 0;
  while (i < load_.types.size() && load_.types[i].name != name) ++i;
  if (i == load_.types.size()) load_.types.push_back({name, {}});
  return i;
}

std::vector<Planner::Place> Planner::PlacesOf(const ScheduleGroup& group) {
  std::vector<Place> all;
  all.reserve(group.tasks.size());
  for (const Task* task : group.tasks) {
    all.push_back({group.schedule.Phase(task->id).ns / kSecond, TypeOf(*task), 1});
  }
  std::sort(all.begin(), all.end(), [](const Place& a, const Place& b) {
    return std::pair(a.second, a.type) < std::pair(b.second, b.type);
  });
  std::vector<Place> places;
  for (const Place& place : all) {
    if (!places.empty() && places.back().second == place.second &&
        places.back().type == place.type) {
      ++places.back().tasks;
    } else {
      places.push_back(place);
    }
  }
  return places;
}

Planner::Work Planner::WorkOf(const ScheduleGroup& group) const {
  const auto tasks = static_cast<double>(group.tasks.size());
  const Schedule& schedule = group.schedule;
  if (schedule.is_cron()) {
    const auto slots = static_cast<double>(schedule.CountBetween(
        group.tasks[0]->id, {from_ - 1}, {from_ + kDay - 1}, StartLoad::kSeconds));
    const double places = std::min(tasks, 1 + schedule.spread().seconds());
    return {&group, (slots + 2) * (kCronCost + kSlotCost * places) + kSlotCost * tasks, 0};
  }
  const int64_t interval = schedule.TypicalInterval().ns;
  const double each = tasks * static_cast<double>(kDay / interval + 1) * kSlotCost;
  const int64_t slots = kSecond / std::gcd(interval, kSecond);  // of a task in a round
  if (interval > kDay / slots) return {&group, each, 0};
  const double rounds = (tasks * static_cast<double>(slots) + StartLoad::kSeconds) * kSlotCost;
  return rounds < each ? Work{&group, rounds, interval * slots} : Work{&group, each, 0};
}

StartLoad Planner::Plan(const std::vector<ScheduleGroup>& groups) {
  std::vector<Work> works;
  for (const ScheduleGroup& group : groups) {
    const Duration interval = group.schedule.TypicalInterval();
    if (!group.schedule.is_cron()) CountHours(group);
    if (!group.schedule.is_cron() && interval < Seconds(1)) {
      // Every second has as many, or one more or less.
      Smooth(group);
      if (kSecond % interval.ns != 0) load_.smoothed += group.tasks.size();
    } else {
      works.push_back(WorkOf(group));
    }
  }
  std::sort(works.begin(), works.end(),
            [](const Work& a, const Work& b) { return a.cost < b.cost; });
  double spent = 0;
  for (const Work& work : works) {
    const bool cron = work.group->schedule.is_cron();
    spent += work.cost;
    if (spent > kBudget) {
      cron ? SmoothCron(*work.group) : Smooth(*work.group);
      load_.smoothed += work.group->tasks.size();
    } else if (cron) {
      PutCron(*work.group);
    } else if (work.round > 0) {
      PutRounds(*work.group, work.round);
    } else {
      PutEach(*work.group);
    }
  }
  Summarize();
  return std::move(load_);
}

// Of intervals, by arithmetic alone.
void Planner::CountHours(const ScheduleGroup& group) {
  const int64_t interval = group.schedule.TypicalInterval().ns;
  for (const Task* task : group.tasks) {
    StartLoad::Type& type = load_.types[TypeOf(*task)];
    const int64_t phase = group.schedule.Phase(task->id).ns;
    int64_t before = FloorDiv(from_ - 1 - phase, interval);
    for (size_t hour = 0; hour < StartLoad::kHours; ++hour) {
      const int64_t end = from_ + static_cast<int64_t>(hour + 1) * kHour;
      const int64_t until = FloorDiv(end - 1 - phase, interval);
      type.hours[hour] += static_cast<uint64_t>(until - before);
      before = until;
    }
  }
}

void Planner::PutRounds(const ScheduleGroup& group, int64_t round) {
  const int64_t interval = group.schedule.TypicalInterval().ns;
  std::vector<uint32_t> in_round(static_cast<size_t>(round / kSecond));
  for (const Task* task : group.tasks) {
    for (int64_t at = FirstSlot(group.schedule, task->id); at < from_ + round; at += interval) {
      ++in_round[static_cast<size_t>((at - from_) / kSecond)];
    }
  }
  for (size_t second = 0, i = 0; second < seconds_.size(); ++second) {
    seconds_[second] += in_round[i];
    if (++i == in_round.size()) i = 0;
  }
}

void Planner::PutEach(const ScheduleGroup& group) {
  const int64_t interval = group.schedule.TypicalInterval().ns;
  for (const Task* task : group.tasks) {
    int64_t at = FirstSlot(group.schedule, task->id);
    for (; at < from_ + kDay; at += interval) ++SecondAt(at);
  }
}

// The expression is asked once, for the group's first task; the others' slots are moved otherwise.
void Planner::PutCron(const ScheduleGroup& group) {
  const Schedule& schedule = group.schedule;
  const std::vector<Place> places = PlacesOf(group);
  const uint64_t id = group.tasks[0]->id;
  const int64_t moved = schedule.Phase(id).ns;
  WallTime after{from_ - schedule.spread().ns - 1 + moved};
  while (const auto slot = schedule.NextAfter(id, after)) {
    after = *slot;
    const int64_t unmoved = slot->ns - moved;
    if (unmoved >= from_ + kDay) return;
    for (const Place& place : places) {
      const int64_t second = (unmoved - from_) / kSecond + place.second;
      if (second < 0 || second >= static_cast<int64_t>(StartLoad::kSeconds)) continue;
      seconds_[static_cast<size_t>(second)] += place.tasks;
      load_.types[place.type].hours[static_cast<size_t>(second / 3600)] += place.tasks;
    }
  }
}

void Planner::Smooth(const ScheduleGroup& group) {
  const double rate =
      static_cast<double>(group.tasks.size()) / group.schedule.TypicalInterval().seconds();
  for (double& hour : smooth_) hour += rate;
}

void Planner::SmoothCron(const ScheduleGroup& group) {
  const std::vector<Place> places = PlacesOf(group);
  for (size_t hour = 0; hour < StartLoad::kHours; ++hour) {
    const int64_t begin = from_ + static_cast<int64_t>(hour) * kHour;
    const uint64_t slots =
        group.schedule.CountBetween(group.tasks[0]->id, {begin - 1}, {begin + kHour - 1}, 3600);
    for (const Place& place : places) load_.types[place.type].hours[hour] += slots * place.tasks;
    smooth_[hour] += static_cast<double>(slots * group.tasks.size()) / 3600;
  }
}

void Planner::Summarize() {
  std::sort(load_.types.begin(), load_.types.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const StartLoad::Type& type : load_.types) {
    load_.starts = std::accumulate(type.hours.begin(), type.hours.end(), load_.starts);
  }
  load_.mean = static_cast<double>(load_.starts) / StartLoad::kSeconds;
  std::vector<double> rates(seconds_.size());
  for (size_t i = 0; i < rates.size(); ++i) rates[i] = seconds_[i] + smooth_[i / 3600];
  const auto peak = std::max_element(rates.begin(), rates.end());
  load_.peak = *peak;
  load_.peak_at = {from_ + (peak - rates.begin()) * kSecond};
  const auto quantile = [&rates](size_t percent) {
    const auto at = rates.begin() + static_cast<int64_t>((rates.size() * percent - 1) / 100);
    std::nth_element(rates.begin(), at, rates.end());
    return *at;
  };
  load_.median = quantile(50);
  load_.p99 = quantile(99);
}

}  // namespace

std::vector<ScheduleGroup> GroupBySchedule(const std::vector<std::shared_ptr<const Task>>& tasks) {
  std::vector<ScheduleGroup> groups;
  std::unordered_map<std::string, size_t> places;
  for (const auto& task : tasks) {
    if (!task->enabled) continue;
    std::string key = task->schedule.ToString();
    key += '/';
    key += std::to_string(task->schedule.spread().ns);
    const auto [found, added] = places.try_emplace(std::move(key), groups.size());
    if (added) groups.push_back({task->schedule, {}});
    groups[found->second].tasks.push_back(task.get());
  }
  return groups;
}

StartLoad LoadOf(const std::vector<ScheduleGroup>& groups, WallTime from) {
  return Planner(from).Plan(groups);
}

}  // namespace sonde
