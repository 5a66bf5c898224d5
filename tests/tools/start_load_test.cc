#include "tools/sonde/start_load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "protocols/http_prober.h"
#include "protocols/tcp_prober.h"

namespace sonde {
namespace {

using Tasks = std::vector<std::shared_ptr<const Task>>;

constexpr WallTime kFrom{
    1'774'699'200'000'000'000};  // 2026-03-28T12:00:00Z, Berlin's change inside

void Add(Tasks* tasks, const Schedule& schedule, bool enabled = true) {
  auto task = std::make_shared<Task>();
  task->name = "task-" + std::to_string(tasks->size());
  task->id = TaskIdOf(task->name);
  task->prober = tasks->size() % 3 == 0 ? &TcpProber() : &HttpProber();
  task->schedule = schedule;
  task->enabled = enabled;
  tasks->push_back(std::move(task));
}

Schedule Every(Duration interval) { return *Schedule::Every(interval); }

Schedule Cron(std::string_view expression, std::string_view zone = "",
              Duration spread = Seconds(1)) {
  const auto schedule = Schedule::Cron(expression, zone, spread);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *schedule;
}

// The same by asking each schedule for one slot after another.
StartLoad SlotBySlot(const Tasks& tasks) {
  StartLoad load;
  load.from = kFrom;
  std::vector<double> seconds(StartLoad::kSeconds);
  std::map<std::string_view, std::array<uint64_t, StartLoad::kHours>> hours;
  for (const auto& task : tasks) {
    if (!task->enabled) continue;
    hours[task->prober->name()];  // also when it is never due
    WallTime at = kFrom - Duration{1};
    while (const auto next = task->schedule.NextAfter(task->id, at)) {
      at = *next;
      const auto second = static_cast<size_t>((at - kFrom).ns / Seconds(1).ns);
      if (second >= seconds.size()) break;
      ++seconds[second];
      ++hours[task->prober->name()][second / 3600];
      ++load.starts;
    }
  }
  for (const auto& [name, counts] : hours) load.types.push_back({name, counts});
  const auto peak = std::max_element(seconds.begin(), seconds.end());
  load.peak = *peak;
  load.peak_at = kFrom + Seconds(peak - seconds.begin());
  load.mean = static_cast<double>(load.starts) / StartLoad::kSeconds;
  std::sort(seconds.begin(), seconds.end());
  load.median = seconds[43'199];
  load.p99 = seconds[85'535];
  return load;
}

void ExpectSame(const StartLoad& load, const StartLoad& wanted) {
  EXPECT_EQ(load.starts, wanted.starts);
  EXPECT_DOUBLE_EQ(load.mean, wanted.mean);
  EXPECT_DOUBLE_EQ(load.median, wanted.median);
  EXPECT_DOUBLE_EQ(load.p99, wanted.p99);
  EXPECT_DOUBLE_EQ(load.peak, wanted.peak);
  EXPECT_EQ(load.peak_at, wanted.peak_at);
  ASSERT_EQ(load.types.size(), wanted.types.size());
  for (size_t i = 0; i < load.types.size(); ++i) {
    EXPECT_EQ(load.types[i].name, wanted.types[i].name);
    EXPECT_EQ(load.types[i].hours, wanted.types[i].hours) << load.types[i].name;
  }
}

// Every way of counting, each alone and all together, is the same as slot by slot.
TEST(StartLoad, IsWhatTheSchedulesSay) {
  const std::vector<std::vector<Schedule>> fleets = {
      {Every(Seconds(1))},
      {Every(Seconds(15))},
      {Every(Seconds(7))},          // no part of a day
      {Every(Milliseconds(1500))},  // two slots in a round of three seconds
      {Every(Milliseconds(2718))},
      {Every(Nanoseconds(3'141'592'653))},  // no round within the day
      {Every(Hours(1))},
      {Every(Hours(24 * 30))},  // perhaps none at all
      {Every(Milliseconds(250))},
      {Cron("*/30 * * * * *")},
      {Cron("30 2 * * *", "Europe/Berlin")},
      {Cron("*/15 * * * *", "Europe/Berlin", Minutes(10))},
      {Cron("0 3 * * *", "", Duration{})},
      {Cron("0 0 30 2 *")},
      {Every(Seconds(5)), Every(Milliseconds(1500)), Cron("0 * * * * *", "", Seconds(40)),
       Cron("0 * * * * *"), Every(Minutes(10))},
  };
  for (const std::vector<Schedule>& schedules : fleets) {
    for (const size_t each : {size_t{1}, size_t{40}}) {
      SCOPED_TRACE(schedules[0].ToString() + " x" + std::to_string(each));
      Tasks tasks;
      for (const Schedule& schedule : schedules) {
        for (size_t i = 0; i < each; ++i) Add(&tasks, schedule);
      }
      Add(&tasks, Every(Seconds(1)), false);
      const StartLoad load = LoadOf(GroupBySchedule(tasks), kFrom);
      EXPECT_EQ(load.smoothed, 0u);
      ExpectSame(load, SlotBySlot(tasks));
    }
  }
}

TEST(StartLoad, OfNothing) {
  const StartLoad load = LoadOf({}, kFrom);
  EXPECT_EQ(load.starts, 0u);
  EXPECT_EQ(load.peak, 0);
  EXPECT_TRUE(load.types.empty());
}

// 8.6 billion slots a day are not looked at one by one.
TEST(StartLoad, FrequentTasksAreQuick) {
  Tasks tasks;
  for (int i = 0; i < 10'000; ++i) Add(&tasks, Every(Milliseconds(100)));
  const StartLoad load = LoadOf(GroupBySchedule(tasks), kFrom);
  EXPECT_EQ(load.starts, uint64_t{10'000} * 864'000);
  EXPECT_DOUBLE_EQ(load.peak, 100'000);
  EXPECT_DOUBLE_EQ(load.median, 100'000);
  EXPECT_EQ(load.smoothed, 0u);
}

// Intervals that are no part of a second count by their rate, which is within one start a task.
TEST(StartLoad, OddPartsOfASecond) {
  Tasks tasks;
  for (int i = 0; i < 90; ++i) Add(&tasks, Every(Milliseconds(300)));
  const StartLoad load = LoadOf(GroupBySchedule(tasks), kFrom);
  EXPECT_EQ(load.smoothed, 90u);
  EXPECT_EQ(load.starts, 90u * 288'000u);
  EXPECT_DOUBLE_EQ(load.peak, 300);
}

// Very many different schedules: the most frequent ones count by rate. Nothing else changes.
TEST(StartLoad, TheBudgetHolds) {
  Tasks tasks;
  for (int i = 0; i < 9'000; ++i) Add(&tasks, Every(Nanoseconds(1'000'000'007 + i)));
  for (int i = 0; i < 100; ++i) Add(&tasks, Every(Hours(1)));
  const StartLoad load = LoadOf(GroupBySchedule(tasks), kFrom);
  EXPECT_GT(load.smoothed, 1'000u);
  EXPECT_LT(load.smoothed, 9'000u);
  EXPECT_NEAR(load.mean, 9'000, 0.1);
  EXPECT_NEAR(load.median, 9'000, 100);
  EXPECT_LT(load.peak, 9'000 + 500);
}

TEST(StartLoad, ManyDenseCronSchedulesAreSmoothedByTheHour) {
  Tasks tasks;
  for (int i = 0; i < 40; ++i) {
    Add(&tasks, Cron("* " + std::to_string(i) + "-59 3 * * *", "Europe/Berlin"));
  }
  for (int minute = 0; minute < 60; ++minute) {
    Add(&tasks, Cron("* * * " + std::to_string(minute % 28 + 1) + "-31 " +
                         std::to_string(minute % 2 + 3) + " *",
                     "Europe/Berlin"));
  }
  const StartLoad load = LoadOf(GroupBySchedule(tasks), kFrom);
  const StartLoad wanted = SlotBySlot(tasks);
  EXPECT_GT(load.smoothed, 0u);
  EXPECT_EQ(load.starts, wanted.starts);
  ASSERT_EQ(load.types.size(), wanted.types.size());
  for (size_t i = 0; i < load.types.size(); ++i) {
    EXPECT_EQ(load.types[i].hours, wanted.types[i].hours);
  }
}

TEST(GroupBySchedule, EqualSchedulesAreOne) {
  Tasks tasks;
  Add(&tasks, Every(Seconds(60)));
  Add(&tasks, Every(Minutes(1)));
  Add(&tasks, Cron("@daily"));
  Add(&tasks, Cron("0 0 0 * * *"));
  Add(&tasks, Cron("@daily", "", Minutes(1)));
  Add(&tasks, Cron("@daily", "Europe/Berlin"));
  Add(&tasks, Every(Minutes(1)), false);
  const std::vector<ScheduleGroup> groups = GroupBySchedule(tasks);
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups[0].tasks.size(), 2u);
  EXPECT_EQ(groups[1].tasks.size(), 2u);
  EXPECT_EQ(groups[2].tasks[0]->name, "task-4");
}

}  // namespace
}  // namespace sonde
