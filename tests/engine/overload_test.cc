// More is due than can run, for every reason there is: each slot is run or counted, nobody starves,
// no target is blamed, and when the load goes all is well at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/engine/shard_peers.h"
#include "tests/support/still_network.h"

namespace sonde {
namespace {

constexpr size_t kTasks = 120;
constexpr size_t kRounds = 30;
constexpr Duration kAnswersAfter = Milliseconds(99);  // and the connection takes 1 ms
// 120 runs a second of 100 ms each: 12 at a time would do.
constexpr size_t kThird = 4;

// What there is too little of, and how the shard spends a second then.
struct Scarcity {
  const char* name;
  std::function<void(SimWorld&, ShardLimits&)> limit;
  std::function<void(SimWorld&)> second;
  bool overload = true;  // slots are skipped because their task still waits or runs
};
std::ostream& operator<<(std::ostream& out, const Scarcity& scarcity) {
  return out << scarcity.name;
}

void Undisturbed(SimWorld& world) { world.RunFor(Seconds(1)); }

// The loop gets a turn every 250 ms: what was due meanwhile is late.
void StolenCore(SimWorld& world) {
  for (int i = 0; i < 4; ++i) world.StandStill(Milliseconds(250));
}

// A quota: 30 ms of every 100, in step with the schedules.
void Throttled(SimWorld& world) {
  for (int i = 0; i < 10; ++i) {
    world.RunFor(Milliseconds(30));
    world.StandStill(Milliseconds(70));
  }
}

void StoppedNowAndThen(SimWorld& world) {
  world.RunFor(Milliseconds(500));
  world.StandStill(Seconds(5));
  world.RunFor(Milliseconds(1500));
}

void SteppedForward(SimWorld& world) {
  world.RunFor(Milliseconds(700));
  world.StepClock(Milliseconds(1370));
}

class Overload : public testing::TestWithParam<Scarcity> {
 protected:
  struct Living {
    std::shared_ptr<TaskRecord> record;
    WallTime added;
    bool answers;
  };

  // Every third task has a target that never says a word, when `silent`.
  void Populate(SimWorld& world, bool silent) {
    AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", kAnswersAfter);
    AddPeer<Silent>(world, "10.0.0.2:80");
    for (size_t i = 0; i < kTasks; ++i) {
      FakeTask task;
      task.name = "task-" + std::to_string(i);
      task.mode = Mode::kAsk;
      task.timeout = Milliseconds(900);
      const bool answers = !silent || i % 3 != 0;
      if (!answers) task.target = "10.0.0.2:80";
      tasks_.push_back({world.Add(task.Make()), world.wall(), answers});
    }
  }

  // Slots that fell due since a task came are its runs, its skipped slots, and one that waits or
  // runs. Exactly, summed over all.
  void CheckAccounts(SimWorld& world) {
    world.RunFor({});  // what a turn left for the next
    uint64_t open = 0;
    for (const Living& living : tasks_) {
      const Task& task = *living.record->task;
      const Tally::Counts counts = living.record->tally.counts();
      const uint64_t due =
          task.schedule.CountBetween(task.id, living.added, world.wall(), 1'000'000);
      const uint64_t told = counts.success + counts.failed + counts.inconclusive + counts.skipped;
      ASSERT_LE(told, due) << task.name;
      ASSERT_LE(due, told + 1) << task.name;
      open += due - told;
    }
    const ShardStats stats = world.shard().Stats();
    EXPECT_EQ(open, stats.in_flight + stats.waiting);
    uint64_t skipped = 0;
    for (const uint64_t count : stats.skipped) skipped += count;
    uint64_t counted = 0;
    for (const Living& living : tasks_) counted += living.record->tally.counts().skipped;
    EXPECT_EQ(counted, skipped);
  }

  std::vector<uint64_t> Runs() const {
    std::vector<uint64_t> runs;
    for (const Living& living : tasks_) {
      const Tally::Counts counts = living.record->tally.counts();
      runs.push_back(counts.success + counts.failed + counts.inconclusive);
    }
    return runs;
  }

  // The queues are first in first out: rates fall evenly, of what waits in the same one.
  void CheckNobodyStarves(bool evenly) const {
    const std::vector<uint64_t> runs = Runs();
    for (const bool answers : {true, false}) {
      uint64_t least = UINT64_MAX, most = 0;
      for (size_t i = 0; i < runs.size(); ++i) {
        if (tasks_[i].answers != answers) continue;
        least = std::min(least, runs[i]);
        most = std::max(most, runs[i]);
      }
      EXPECT_GT(least, 0u);
      if (evenly && most > 0) { EXPECT_LE(most - least, 2 + most / 5); }
    }
  }

  void CheckNobodyIsBlamed() const {
    for (const Living& living : tasks_) {
      const Tally::Counts counts = living.record->tally.counts();
      if (living.answers) {
        EXPECT_EQ(counts.failed, 0u) << living.record->task->name;
      } else {
        EXPECT_EQ(counts.success, 0u) << living.record->task->name;
      }
    }
  }

  // All limits go: from then on every slot is run, when it is due.
  void CheckRecovery(SimWorld& world) {
    world.network().descriptors = 20'000;
    world.shard().SetLimits(ShardLimits());
    world.RunFor(Milliseconds(1001));  // who waits for a token of a rate, and the last long runs
    EXPECT_EQ(world.shard().waiting(), 0u);
    const uint64_t overlap = Skips(world, SkipReason::kOverlap);
    const uint64_t stall = Skips(world, SkipReason::kStall);
    const std::vector<uint64_t> before = Runs();
    world.runs.clear();
    world.RunFor(Seconds(5));
    EXPECT_EQ(Skips(world, SkipReason::kOverlap), overlap);
    EXPECT_EQ(Skips(world, SkipReason::kStall), stall);
    const std::vector<uint64_t> after = Runs();
    for (size_t i = 0; i < after.size(); ++i) EXPECT_GE(after[i] - before[i], 4u);
    for (const SimRun& run : world.runs) {
      EXPECT_LE(run.result.started - run.result.due, Milliseconds(1));
      EXPECT_NE(run.result.verdict(), Verdict::kInconclusive);
    }
  }

  std::vector<Living> tasks_;
};

TEST_P(Overload, EachSlotIsRunOrCounted) {
  for (const bool silent : {false, true}) {
    SCOPED_TRACE(silent ? "a third of the targets is silent" : "all targets answer");
    tasks_.clear();
    SimWorld world;
    ShardLimits limits;
    Populate(world, silent);
    GetParam().limit(world, limits);
    world.shard().SetLimits(limits);
    for (size_t i = 0; i < kRounds; ++i) {
      GetParam().second(world);
      CheckAccounts(world);
      if (HasFatalFailure()) return;
    }
    CheckNobodyIsBlamed();
    if (GetParam().overload) {
      EXPECT_GT(Skips(world, SkipReason::kOverlap), kTasks * kRounds / 2);
    } else {
      EXPECT_GT(Skips(world, SkipReason::kStall) + Skips(world, SkipReason::kClockStep), kTasks);
    }
    CheckNobodyStarves(GetParam().overload);
    CheckRecovery(world);
    CheckAccounts(world);
    CheckNobodyIsBlamed();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Overload,
    testing::Values(
        Scarcity{"Slots", [](SimWorld&, ShardLimits& limits) { limits.in_flight = kThird; },
                 Undisturbed},
        Scarcity{"Descriptors",
                 [](SimWorld& world, ShardLimits&) { world.network().descriptors = kThird; },
                 Undisturbed},
        Scarcity{"ADestination",
                 [](SimWorld&, ShardLimits& limits) { limits.destination_in_flight = kThird / 2; },
                 Undisturbed},
        Scarcity{"ARate",
                 [](SimWorld&, ShardLimits& limits) { limits.destination_rate = kTasks / 6; },
                 Undisturbed},
        Scarcity{"SlotsAndStops", [](SimWorld&, ShardLimits& limits) { limits.in_flight = 2; },
                 StoppedNowAndThen},
        Scarcity{"AStolenCore", [](SimWorld&, ShardLimits&) {}, StolenCore, false},
        Scarcity{"AQuota", [](SimWorld&, ShardLimits&) {}, Throttled, false},
        Scarcity{"Stops", [](SimWorld&, ShardLimits&) {}, StoppedNowAndThen, false},
        Scarcity{"StepsOfTheClock", [](SimWorld&, ShardLimits&) {}, SteppedForward, false}),
    [](const auto& one) { return std::string(one.param.name); });

// What fell due while the loop could not look is not started in one go: the dearer a start, the
// fewer are in flight before the loop looks at its sockets again, and all the rest is next. What
// came before the starts counts, but they have a share.
TEST(OverloadTurn, StartsForAMillisecond) {
  constexpr size_t kDue = 1'000;
  const struct {
    Duration start_takes, turn_took;
    size_t most;
  } kCases[] = {{Microseconds(1), {}, 256},
                {Microseconds(30), {}, 48},
                {Microseconds(10), Milliseconds(10), 32},
                {Milliseconds(5), {}, 16}};
  for (const auto& [start_takes, turn_took, most] : kCases) {
    StillNetwork network(2 * kDue);
    network.connect_takes = start_takes;
    Shard::Options options;
    options.start = network.now;
    options.wall_minus_mono = Seconds(1'790'000'000) - Duration{network.now.ns};
    options.limits.in_flight = 2 * kDue;
    Shard shard(options, network, nullptr, nullptr);
    for (size_t i = 0; i < kDue; ++i) {
      FakeTask task;
      task.name = "task-" + std::to_string(i);
      task.interval = Minutes(1);
      task.timeout = Seconds(50);
      const auto made = task.Make();
      shard.Apply({std::make_shared<TaskRecord>(made), made});
    }
    // Some 49 fall due in 2.95 s, which is not too late for them.
    size_t before = 0, fullest = 0;
    bool left_some = false;
    for (int looks = 0; network.streams.size() < kDue && looks < 10'000; ++looks) {
      shard.BeginTurn(network.now);
      network.now = network.now + turn_took;
      const Instant poll_began = network.now;
      shard.EndTurn(poll_began, {poll_began.ns + options.wall_minus_mono.ns});
      fullest = std::max(fullest, network.streams.size() - before);
      before = network.streams.size();
      if (shard.NextWake() > network.now) {
        network.now = network.now + Milliseconds(2950);
      } else {
        left_some = true;  // more is due: at once
      }
    }
    EXPECT_GE(network.streams.size(), kDue) << start_takes.ns;
    EXPECT_EQ(left_some, most < 256) << start_takes.ns;
    EXPECT_EQ(fullest == most, left_some) << start_takes.ns << ": " << fullest;
  }
}

}  // namespace
}  // namespace sonde
