// Tasks, limits and clocks that change while a shard runs; runs asked for at once.
#include <gtest/gtest.h>

#include <cerrno>
#include <unordered_map>

#include "tests/engine/shard_peers.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

// ---- changes ------------------------------------------------------------------------------------

TEST(Changes, UnchangedTasksKeepCountersAndPhase) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  const auto task = FakeTask{}.Make();
  auto record = world.Add(task);
  world.RunFor(Seconds(10));
  const WallTime last = world.runs.back().result.due;
  world.Replace(record, FakeTask{}.Make());  // equal version
  world.RunFor(Seconds(5));
  EXPECT_EQ(record->tally.counts().success, world.runs.size());
  EXPECT_EQ((world.runs.back().result.due - last).ns % Seconds(1).ns, 0);
}

TEST(Changes, AChangedTargetTakesEffectOnTheNextRun) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  AddPeer<Refusing>(world, "10.0.0.2:80");
  auto record = world.Add(FakeTask{}.Make());
  world.RunFor(Seconds(3));
  FakeTask changed;
  changed.target = "10.0.0.2:80";
  changed.version = 2;
  world.Replace(record, changed.Make());
  world.RunFor(Seconds(3));
  EXPECT_EQ(record->tally.counts().failed, 3u);
}

TEST(Changes, DisablingStopsAndEnablingStartsAgain) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  auto record = world.Add(FakeTask{}.Make());
  world.RunFor(Seconds(3));
  FakeTask off;
  off.enabled = false;
  off.version = 2;
  world.Replace(record, off.Make());
  const uint64_t before = world.finished();
  world.RunFor(Seconds(10));
  EXPECT_EQ(world.finished(), before);
  FakeTask on;
  on.version = 3;
  world.Replace(record, on.Make());
  world.RunFor(Seconds(10));
  EXPECT_EQ(world.finished(), before + 10);
}

TEST(Changes, ARemovedTaskEndsAsCancelledAndIsHeardOfNoMore) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.mode = Mode::kAsk;
  auto record = world.Add(task.Make());
  while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
  world.shard().Remove(TaskIdOf(task.name));
  ASSERT_EQ(world.runs.size(), 1u);
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kProberCancelled);
  EXPECT_EQ(world.network().open_streams(), 0u);
  world.RunFor(Seconds(10));
  EXPECT_EQ(world.runs.size(), 1u);
}

TEST(Changes, WhoWaitsForADestinationItNoLongerHasGoesToItsNewOne) {
  SimWorld::Options options;
  options.limits.destination_in_flight = 1;
  SimWorld world(options);
  AddPeer<Silent>(world, "10.0.0.1:80");
  AddPeer<Mute>(world, "10.0.0.2:80");
  FakeTask task;
  task.timeout = Seconds(60);
  world.Add(task.Make());
  while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
  task.name = "other";
  auto record = world.Add(task.Make());
  world.RunFor(Seconds(2));
  EXPECT_EQ(world.shard().waiting(), 1u);
  task.target = "10.0.0.2:80";
  task.version = 2;
  world.Replace(record, task.Make());
  world.RunFor(Milliseconds(100));
  EXPECT_EQ(world.shard().waiting(), 0u);
  EXPECT_GE(record->tally.counts().success, 1u);
}

TEST(Changes, DisablingRemovingAndEnablingWhoWaitsLeavesTheQueuesWhole) {
  SimWorld::Options options;
  options.limits.destination_in_flight = 1;
  SimWorld world(options);
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(300));
  std::vector<std::shared_ptr<TaskRecord>> records;
  FakeTask task;
  task.mode = Mode::kAsk;
  const auto named = [&task](int i) {
    task.name = "task" + std::to_string(i);
    return task.Make();
  };
  for (int i = 0; i < 10; ++i) records.push_back(world.Add(named(i)));
  for (int round = 0; round < 50; ++round) {
    world.RunFor(Milliseconds(310));
    task.version += 1;
    task.enabled = round % 2 != 0;
    for (int i = 0; i < 8; ++i) world.Replace(records[static_cast<size_t>(i)], named(i));
    if (round % 5 == 0) world.shard().Remove(TaskIdOf("task8"));
    if (round % 5 == 2) records[8] = world.Add(named(8));
  }
  task.enabled = false;
  task.version += 1;
  for (int i = 0; i < 10; ++i) world.Replace(records[static_cast<size_t>(i)], named(i));
  EXPECT_EQ(world.shard().in_flight(), 0u);
  EXPECT_EQ(world.shard().waiting(), 0u);
  const uint64_t before = world.finished();
  world.RunFor(Seconds(5));
  EXPECT_EQ(world.finished(), before);
}

// ---- clocks -------------------------------------------------------------------------------------

TEST(Clock, AfterAStepForwardTheNextSlotIsTheNewTimesOwn) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.interval = Seconds(10);
  world.Add(task.Make());
  world.RunFor(Seconds(60));
  const uint64_t before = world.finished();
  world.StepClock(Seconds(3600));
  EXPECT_EQ(world.finished(), before);  // nothing runs in a burst
  EXPECT_NEAR(static_cast<double>(Skips(world, SkipReason::kClockStep)), 360, 1);
  world.RunFor(Seconds(60));
  EXPECT_NEAR(static_cast<double>(world.finished() - before), 6, 1);
}

TEST(Clock, AfterASmallStepBackNoSlotRunsTwice) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.interval = Seconds(10);
  world.Add(task.Make());
  world.RunFor(Seconds(60));
  world.StepClock(Seconds(-15));
  world.RunFor(Seconds(60));
  for (size_t i = 1; i < world.runs.size(); ++i) {
    EXPECT_GT(world.runs[i].result.due, world.runs[i - 1].result.due);
  }
}

TEST(Clock, AfterSeveralSmallStepsBackNoSlotRunsTwiceAndNoneIsLost) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.interval = Seconds(10);
  world.Add(task.Make());
  world.RunFor(Seconds(60));
  world.StepClock(Seconds(-15));
  world.RunFor(Seconds(2));
  world.StepClock(Milliseconds(-100));
  world.RunFor(Seconds(3));
  world.StepClock(Seconds(1));
  world.RunFor(Seconds(120));
  for (size_t i = 1; i < world.runs.size(); ++i) {
    EXPECT_EQ(world.runs[i].result.due - world.runs[i - 1].result.due, Seconds(10));
  }
  EXPECT_EQ(Skips(world, SkipReason::kClockStep), 0u);
}

TEST(Clock, AfterABigStepBackATaskIsNotSilencedForHours) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.interval = Seconds(10);
  world.Add(task.Make());
  world.RunFor(Seconds(60));
  const uint64_t before = world.finished();
  world.StepClock(Hours(-5));
  world.RunFor(Seconds(60));
  EXPECT_NEAR(static_cast<double>(world.finished() - before), 6, 1);
}

TEST(Clock, EverySlotIsRunOrSkippedExactlyOnceWhateverHappens) {
  SimWorld::Options options;
  options.limits.in_flight = 8;
  options.limits.destination_in_flight = 3;
  options.keep_runs = false;
  SimWorld world(options);
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(150));
  AddPeer<Mute>(world, "10.0.0.2:80");
  std::vector<std::pair<std::shared_ptr<const Task>, std::shared_ptr<TaskRecord>>> all;
  const WallTime began = world.wall();
  constexpr int64_t kIntervalsMs[] = {100, 700, 1'000, 5'000, 60'000, 3'600'000};
  for (int i = 0; i < 120; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    task.target = i % 3 == 0 ? "10.0.0.2:80" : "10.0.0.1:80";
    task.mode = Mode::kAsk;
    task.interval = Milliseconds(kIntervalsMs[i % 6]);
    const auto made = task.Make();
    all.emplace_back(made, world.Add(made));
  }
  uint64_t random = 7;
  const auto below = [&random](uint64_t limit) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int64_t>((random >> 33) % limit);
  };
  for (int i = 0; i < 300; ++i) {
    world.RunFor(Milliseconds(below(3'000)));
    if (below(3) == 0) world.StandStill(Milliseconds(below(4'000)));
    if (below(4) == 0) world.StepClock(Milliseconds(below(9'000)));
    // Back so little that no task starts anew.
    if (below(4) == 0) world.StepClock(Milliseconds(-below(40)));
    if (below(10) == 0) world.shard().SetLimits(options.limits);
    if (below(10) == 0) world.shard().SetLimits({});
  }
  world.RunFor(Milliseconds(50));
  world.StepClock({});  // a turn now
  world.RunFor(Seconds(70));
  world.StandStill({});
  uint64_t due = 0, counted = 0;
  for (const auto& [task, record] : all) {
    due += task->schedule.CountBetween(task->id, began, world.wall(), UINT64_MAX);
    const Tally::Counts counts = record->tally.counts();
    counted += counts.success + counts.failed + counts.inconclusive + counts.skipped;
  }
  EXPECT_EQ(due, counted + world.shard().in_flight() + world.shard().waiting());
}

// ---- run now ------------------------------------------------------------------------------------

TEST(RunNow, AnswersOnceAndLeavesTalliesAlone) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  int answers = 0;
  world.shard().RunNow(1, FakeTask{}.Make(), [&](Runner::Answer answer) {
    ++answers;
    EXPECT_EQ(answer.result.outcome, Outcome::kOk);
  });
  world.RunFor(Seconds(1));
  EXPECT_EQ(answers, 1);
  EXPECT_TRUE(world.runs.empty());
}

// blackbox_contract section 3: the scrape's time-out leaves no time at all.
TEST(RunNow, WithoutTimeItFailsAtWhatItBegan) {
  SimWorld world;
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Duration{});
  for (const Duration timeout : {Duration{}, Duration{-1}}) {
    FakeTask task;
    task.timeout = timeout;
    std::vector<Runner::Answer> answers;
    world.shard().RunNow(1, task.Make(), [&](Runner::Answer a) { answers.push_back(a); });
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(answers[0].result.outcome, Outcome::kConnectTimeout);
    EXPECT_EQ(answers[0].result.duration, Duration{});
    EXPECT_EQ(world.shard().in_flight(), 0u);
  }
}

// A run may be kept from more than the process's policy forbids, by its task or its module.
TEST(RunNow, ThePolicyOfTaskAndModule) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  auto policy = std::make_shared<ProbePolicy>();
  ASSERT_TRUE(policy->Add("10.0.0.0/8", false));
  for (const bool of_module : {true, false}) {
    auto task = std::make_shared<Task>(*FakeTask{}.Make());
    if (of_module) {
      auto module = std::make_shared<FakeModule>();
      module->policy = policy;
      task->module = module;
    } else {
      task->policy = policy;
    }
    std::vector<Runner::Answer> answers;
    world.shard().RunNow(1, task, [&](Runner::Answer a) { answers.push_back(a); });
    world.RunFor(Milliseconds(10));
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(answers[0].result.outcome, Outcome::kProberPolicy) << of_module;
  }
  world.RunFor(Milliseconds(200));  // a turn publishes it
  EXPECT_EQ(world.shard().Stats().refused[static_cast<size_t>(PolicyKind::kAddress)], 2u);
}

// Nothing is opened from a source that is none.
TEST(RunNow, ABadSourceIsTheModulesTrouble) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.network.bad_source = true;
  const SimRun run = RunOnce(world, task);
  EXPECT_EQ(run.result.outcome, Outcome::kProberConfig);
}

TEST(RunNow, CancelAndNoRoomInTime) {
  SimWorld::Options options;
  options.limits.in_flight = 1;
  SimWorld world(options);
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask slow;
  slow.mode = Mode::kAsk;
  slow.timeout = Seconds(10);
  std::vector<Outcome> answers;
  const auto done = [&](Runner::Answer answer) { answers.push_back(answer.result.outcome); };
  world.shard().RunNow(1, slow.Make(), done);
  world.shard().RunNow(2, FakeTask{}.Make(), done);
  world.RunFor(Seconds(1));
  ASSERT_EQ(answers.size(), 1u);  // the second found no room within its 500 ms
  EXPECT_EQ(answers[0], Outcome::kProberBusy);
  world.shard().CancelRun(1);
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1], Outcome::kProberCancelled);
  world.RunFor(Seconds(1));
}

TEST(RunNow, CancelsWhileResolvingWaitingAndAfterwards) {
  SimWorld::Options options;
  options.limits.destination_in_flight = 1;
  SimWorld world(options);
  SimName silent;
  silent.silent = true;
  world.network().AddName("shop.test", silent);
  FakeTask task;
  task.target = "shop.test:80";
  task.timeout = Seconds(10);
  std::vector<std::pair<int, Outcome>> answers;
  const auto done = [&answers](int run) {
    return [&answers, run](Runner::Answer answer) {
      answers.emplace_back(run, answer.result.outcome);
    };
  };
  for (const int run : {1, 2, 3}) {
    world.shard().RunNow(static_cast<uint64_t>(run), task.Make(), done(run));
  }
  EXPECT_EQ(world.network().resolves_pending(), 1u);
  EXPECT_EQ(world.shard().waiting(), 2u);
  world.shard().CancelRun(2);
  world.shard().CancelRun(1);
  world.shard().CancelRun(1);
  EXPECT_EQ(world.network().resolves_pending(), 0u);
  world.RunFor(Shard::kHeartbeat);
  EXPECT_EQ(world.shard().in_flight(), 1u);  // the third took its place
  world.RunFor(Seconds(11));
  const std::vector<std::pair<int, Outcome>> expected = {
      {2, Outcome::kProberCancelled}, {1, Outcome::kProberCancelled}, {3, Outcome::kDnsTimeout}};
  EXPECT_EQ(answers, expected);
}

}  // namespace
}  // namespace sonde
