// The start queue in a simulated world: who waits, for what, and that nobody starves.
#include <gtest/gtest.h>

#include <cerrno>
#include <unordered_map>

#include "tests/engine/shard_peers.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

TEST(StartQueue, InFlightLimitMakesTasksWaitInOrderAndNobodyStarves) {
  SimWorld::Options options;
  options.limits.in_flight = 4;
  SimWorld world(options);
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(99));
  for (int i = 0; i < 100; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    task.mode = Mode::kAsk;
    world.Add(task.Make());
  }
  world.RunFor(Seconds(100));  // 100 tasks a second are due, 40 can run
  std::unordered_map<uint64_t, int> per_task;
  for (const SimRun& run : world.runs) {
    EXPECT_EQ(run.result.outcome, Outcome::kOk);
    ++per_task[run.task_id];
  }
  EXPECT_EQ(per_task.size(), 100u);
  for (const auto& [id, count] : per_task) {
    EXPECT_GE(count, 30);  // an even share is 40
    EXPECT_LE(count, 50);
  }
  EXPECT_GT(Blocks(world, BlockReason::kInFlight), 0u);
  EXPECT_GT(Skips(world, SkipReason::kOverlap), 0u);
  // Every slot was run, skipped, or is waiting or running now.
  const ShardStats stats = world.shard().Stats();
  EXPECT_NEAR(
      static_cast<double>(stats.started + Skips(world, SkipReason::kOverlap) + stats.waiting),
      100 * 100, 101);
}

TEST(StartQueue, WaitingIsLateness) {
  SimWorld::Options options;
  options.limits.in_flight = 1;
  SimWorld world(options);
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(400));
  for (const char* name : {"a", "b", "c"}) {  // 1.2 s of work a second
    FakeTask task;
    task.name = name;
    task.mode = Mode::kAsk;
    world.Add(task.Make());
  }
  world.RunFor(Seconds(10));
  Duration longest{};
  for (const SimRun& run : world.runs) {
    longest = std::max(longest, run.result.started - run.result.due);
    EXPECT_EQ(run.result.duration, Milliseconds(401));  // waiting is no latency
  }
  EXPECT_GE(world.runs.size(), 23u);
  EXPECT_GT(longest, Milliseconds(100));
}

TEST(StartQueue, DestinationLimitBlocksOnlyItsOwn) {
  SimWorld::Options options;
  options.limits.destination_in_flight = 1;
  SimWorld world(options);
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(300));
  AddPeer<Answering>(world, "10.0.0.2:80", "PONG\n", Milliseconds(10));
  int most = 0;
  for (int i = 0; i < 6; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    task.target = i < 5 ? "10.0.0.1:80" : "10.0.0.2:80";
    task.mode = Mode::kAsk;
    world.Add(task.Make());
  }
  world.on_run = [&](const RunReport& run) {
    most = std::max(most, run.task.target == "10.0.0.2:80" ? 0 : 1);
    if (run.task.target == "10.0.0.2:80") { EXPECT_EQ(run.result.started, run.result.due); }
  };
  world.RunFor(Seconds(20));
  EXPECT_GT(Blocks(world, BlockReason::kDestination), 0u);
  EXPECT_EQ(Blocks(world, BlockReason::kInFlight), 0u);
}

TEST(StartQueue, DestinationRateSpreadsStarts) {
  SimWorld::Options options;
  options.limits.destination_rate = 2;
  SimWorld world(options);
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(1));
  for (int i = 0; i < 10; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    task.mode = Mode::kAsk;
    world.Add(task.Make());
  }
  world.RunFor(Seconds(30));  // 10 a second are due, 2 may start
  EXPECT_NEAR(static_cast<double>(world.runs.size()), 60, 3);
  EXPECT_GT(Blocks(world, BlockReason::kRate), 0u);
}

TEST(StartQueue, DescriptorsRunOutBeforeTheyAreGone) {
  SimWorld::Options options;
  options.limits.descriptors_reserve = 2;
  SimWorld world(options);
  world.network().descriptors = 5;
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(100));
  for (int i = 0; i < 30; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    task.mode = Mode::kAsk;
    world.Add(task.Make());
  }
  size_t most = 0;
  world.on_run = [&](const RunReport&) { most = std::max(most, world.network().open_streams()); };
  world.RunFor(Seconds(20));
  EXPECT_LE(most, 3u);
  EXPECT_GT(Blocks(world, BlockReason::kDescriptors), 0u);
  for (const SimRun& run : world.runs) EXPECT_EQ(run.result.outcome, Outcome::kOk);
}

TEST(StartQueue, ADestinationWithoutPortsIsLeftAloneForAWhile) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  AddPeer<Mute>(world, "10.0.0.2:80");
  for (int i = 0; i < 40; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    task.target = i % 2 == 0 ? "10.0.0.1:80" : "10.0.0.2:80";
    world.Add(task.Make());
  }
  // The next connect finds no port; which of the two it is for, the pause will tell.
  world.network().FailConnects(EADDRNOTAVAIL, 1);
  ASSERT_TRUE(world.RunToNext(Seconds(2)));
  const uint64_t poor = world.runs.back().task_id;
  EXPECT_EQ(world.runs.back().result.outcome, Outcome::kProberPorts);
  std::string target;
  for (int i = 0; i < 40; ++i) {
    if (TaskIdOf("task" + std::to_string(i)) == poor) {
      target = i % 2 == 0 ? "10.0.0.1:80" : "10.0.0.2:80";
    }
  }
  int there = 0, elsewhere = 0;
  world.on_run = [&](const RunReport& run) {
    (run.task.target == target ? there : elsewhere) += 1;
    EXPECT_EQ(run.result.outcome, Outcome::kOk);
  };
  world.RunFor(Milliseconds(950));
  EXPECT_EQ(there, 0);
  EXPECT_GT(elsewhere, 10);
  EXPECT_GT(Blocks(world, BlockReason::kPorts), 10u);
  world.RunFor(Seconds(3));
  EXPECT_GT(there, 50);  // what waited is run, then everything as before
}

TEST(StartQueue, ASlotThatFallsDueWhileItsTaskRunsIsSkipped) {
  SimWorld world;
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(2500));
  FakeTask task;
  task.mode = Mode::kAsk;
  task.timeout = Seconds(5);
  auto record = world.Add(task.Make());
  world.RunFor(Seconds(30));
  EXPECT_EQ(world.runs.size(), 9u);  // one in three slots
  EXPECT_NEAR(static_cast<double>(Skips(world, SkipReason::kOverlap)), 20, 1);
  EXPECT_EQ(record->tally.counts().skipped, Skips(world, SkipReason::kOverlap));
}

TEST(StartQueue, AWaitIsCountedOncePerReasonHoweverOftenItChangesQueues) {
  SimWorld::Options options;
  options.limits.in_flight = 2;
  options.limits.destination_in_flight = 1;
  SimWorld world(options);
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(100));
  AddPeer<Answering>(world, "10.0.0.2:80", "PONG\n", Milliseconds(130));
  AddPeer<Answering>(world, "10.0.0.3:80", "PONG\n", Milliseconds(170));
  for (int i = 0; i < 60; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    task.target = "10.0.0." + std::to_string(1 + i % 3) + ":80";
    task.mode = Mode::kAsk;
    world.Add(task.Make());
  }
  world.RunFor(Seconds(60));
  const ShardStats stats = world.shard().Stats();
  const uint64_t waits = stats.started + stats.waiting;  // at most
  EXPECT_LE(Blocks(world, BlockReason::kInFlight), waits);
  EXPECT_LE(Blocks(world, BlockReason::kDestination), waits);
  EXPECT_GT(Blocks(world, BlockReason::kDestination), 0u);
}

TEST(StartQueue, NewLimitsFreeWhoWaitsUnderTheOld) {
  struct Change {
    ShardLimits before, after;
  };
  ShardLimits slow, fast, none, one, many;
  slow.destination_rate = 1e-12;  // the next token in centuries
  fast.destination_rate = 100;
  one.destination_in_flight = 1;
  many.destination_in_flight = 100;
  for (const Change& change : {Change{slow, fast},
                               {slow, none},
                               {slow, many},
                               {one, many},
                               {one, none},
                               {one, fast},
                               {one, slow},
                               {none, slow}}) {
    SimWorld::Options options;
    options.limits = change.before;
    SimWorld world(options);
    AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Seconds(3));
    for (int i = 0; i < 20; ++i) {
      FakeTask task;
      task.name = "task" + std::to_string(i);
      task.mode = Mode::kAsk;
      task.interval = Seconds(10);
      task.timeout = Seconds(5);
      world.Add(task.Make());
    }
    while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
    world.RunFor(Seconds(2));
    const size_t before = world.shard().waiting();
    world.shard().SetLimits(change.after);
    world.RunFor(Milliseconds(500));
    if (change.after == slow) {
      world.RunFor(Seconds(60));
      EXPECT_GT(world.shard().waiting(), 10u);
    } else {
      EXPECT_GT(before, 0u);
      EXPECT_EQ(world.shard().waiting(), 0u);
    }
    world.shard().SetLimits(none);
    world.RunFor(Seconds(12));
    EXPECT_EQ(world.shard().waiting(), 0u);
    const uint64_t finished = world.finished();
    world.RunFor(Seconds(10));
    EXPECT_EQ(world.finished() - finished, 20u);
  }
}

}  // namespace
}  // namespace sonde
