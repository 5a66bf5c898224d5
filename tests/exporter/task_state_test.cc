#include "exporter/task_state.h"

#include <gtest/gtest.h>

#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

TaskState StateNow(const TaskDelta::Upsert& task, WallTime now) {
  return StateOf(*task.task, FreshResult(*task.task, task.record->tally, now));
}

TEST(TaskState, FollowsTheLastConclusiveRun) {
  const TaskDelta::Upsert task = MakeUpsert({});
  EXPECT_EQ(StateNow(task, kSampleNow), TaskState::kUnknown);
  Record(*task.record, MakeResult(Outcome::kProberLate));
  EXPECT_EQ(StateNow(task, kSampleNow), TaskState::kUnknown);
  Record(*task.record, MakeResult(Outcome::kOk));
  EXPECT_EQ(StateNow(task, kSampleNow), TaskState::kUp);
  Record(*task.record, MakeResult(Outcome::kProberLate));
  EXPECT_EQ(StateNow(task, kSampleNow), TaskState::kUp);
  Record(*task.record, MakeResult(Outcome::kBodyReset));
  EXPECT_EQ(StateNow(task, kSampleNow), TaskState::kDown);
}

TEST(TaskState, ResultsGoStaleAfterFiveMinutesOrThreeIntervals) {
  const TaskDelta::Upsert often = MakeUpsert({});  // every 15 s
  TaskSpec hourly;
  hourly.name = "rare";
  hourly.interval = Hours(1);
  const TaskDelta::Upsert rare = MakeUpsert(hourly);
  const ProbeResult result = MakeResult(Outcome::kOk);
  const WallTime ended = result.started + result.duration;
  for (const auto* task : {&often, &rare}) Record(*task->record, result);

  EXPECT_EQ(StaleAfter(*often.task), Minutes(5));
  EXPECT_EQ(StaleAfter(*rare.task), Hours(3));
  EXPECT_EQ(StateNow(often, ended + Minutes(5)), TaskState::kUp);
  EXPECT_EQ(StateNow(often, ended + Minutes(5) + Nanoseconds(1)), TaskState::kUnknown);
  EXPECT_EQ(StateNow(rare, ended + Hours(3)), TaskState::kUp);
  EXPECT_EQ(StateNow(rare, ended + Hours(3) + Nanoseconds(1)), TaskState::kUnknown);
}

TEST(TaskState, DisabledWhateverRanBefore) {
  TaskSpec off;
  off.enabled = false;
  const TaskDelta::Upsert task = MakeUpsert(off);
  Record(*task.record, MakeResult(Outcome::kOk));
  EXPECT_EQ(StateNow(task, kSampleNow), TaskState::kDisabled);
  EXPECT_FALSE(FreshResult(*task.task, task.record->tally, kSampleNow));
}

TEST(TaskState, TheWordsAreFixed) {
  EXPECT_EQ(StateName(TaskState::kUp), "up");
  EXPECT_EQ(StateName(TaskState::kDown), "down");
  EXPECT_EQ(StateName(TaskState::kUnknown), "unknown");
  EXPECT_EQ(StateName(TaskState::kDisabled), "disabled");
}

}  // namespace
}  // namespace sonde
