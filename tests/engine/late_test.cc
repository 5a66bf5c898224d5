// What a stand-still does to verdicts and slots: one test per sentence of "Late, defined once".
#include <gtest/gtest.h>

#include <cerrno>
#include <unordered_map>

#include "tests/engine/shard_peers.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

TEST(Late, ADeadlineExpiresOnlyAfterAPollBegunAfterIt) {
  // The answer comes at 400 ms, the deadline is at 500 ms, the process sleeps from 300 to 900 ms:
  // the answer is found before the deadline is judged.
  SimWorld world;
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(400));
  FakeTask task;
  task.mode = Mode::kAsk;
  task.interval = Seconds(10);
  auto record = world.Add(task.Make());
  while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
  world.RunFor(Milliseconds(300));
  world.StandStill(Milliseconds(600));
  world.RunFor(Milliseconds(1));
  ASSERT_EQ(world.runs.size(), 1u);
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kOk);
}

TEST(Late, APassOverAGapStaysAPassButItsLatencyIsNotRecorded) {
  SimWorld world;
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(100));
  FakeTask task;
  task.mode = Mode::kAsk;
  task.interval = Seconds(10);
  auto record = world.Add(task.Make());
  while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
  world.RunFor(Milliseconds(10));
  world.StandStill(Milliseconds(400));
  world.RunFor(Milliseconds(200));
  ASSERT_EQ(world.runs.size(), 1u);
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kOk);
  EXPECT_FALSE(world.runs[0].result.latency_recorded);
  EXPECT_EQ(record->tally.latency().count, 0u);
  EXPECT_EQ(record->tally.counts().success, 1u);
  EXPECT_EQ(world.shard().Stats().latencies_unrecorded, 1u);
}

// A peer that does, during the stand-still, what would be a failure of silence.
class Ends : public SimPeer {
 public:
  explicit Ends(bool reset) : reset_(reset) {}
  void OnBytes(SimConnection& connection, std::string_view) override {
    reset_ ? connection.Reset(Milliseconds(50)) : connection.End(Milliseconds(50));
  }

 private:
  bool reset_;
};

TEST(Late, TimeoutsResetsAndClosesOverAGapAreInconclusive) {
  for (int kind = 0; kind < 3; ++kind) {
    SimWorld world;
    if (kind == 0) AddPeer<Mute>(world, "10.0.0.1:80");
    if (kind == 1) AddPeer<Ends>(world, "10.0.0.1:80", true);
    if (kind == 2) AddPeer<Ends>(world, "10.0.0.1:80", false);
    FakeTask task;
    task.mode = Mode::kAsk;
    task.interval = Seconds(10);
    auto record = world.Add(task.Make());
    while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
    world.RunFor(Milliseconds(10));
    world.StandStill(Seconds(5));
    world.RunFor(Milliseconds(10));
    ASSERT_EQ(world.runs.size(), 1u);
    EXPECT_EQ(world.runs[0].result.outcome, Outcome::kProberLate);
    EXPECT_EQ(record->tally.counts().failed, 0u);
    EXPECT_EQ(record->tally.counts().inconclusive, 1u);
    EXPECT_FALSE(record->tally.last().has_value());
  }
}

TEST(Late, AFailureByContentStaysAFailure) {
  SimWorld world;
  AddPeer<Answering>(world, "10.0.0.1:80", "WRONG\n", Milliseconds(100));
  AddPeer<Refusing>(world, "10.0.0.2:80");
  FakeTask task;
  task.mode = Mode::kAsk;
  task.interval = Seconds(10);
  world.Add(task.Make());
  while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
  world.RunFor(Milliseconds(10));
  world.StandStill(Milliseconds(400));
  world.RunFor(Milliseconds(10));
  ASSERT_EQ(world.runs.size(), 1u);
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kDialogueMismatch);

  SimWorld other;
  AddPeer<Refusing>(other, "10.0.0.1:80");
  other.Add(task.Make());
  while (other.shard().in_flight() == 0) other.RunFor(Microseconds(100));
  other.StandStill(Milliseconds(400));
  other.RunFor(Milliseconds(10));
  ASSERT_EQ(other.runs.size(), 1u);
  EXPECT_EQ(other.runs[0].result.outcome, Outcome::kConnectRefused);
}

TEST(Late, ShortStandStillsAreNoGap) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.mode = Mode::kAsk;
  task.timeout = Seconds(2);  // 5 % are 100 ms
  task.interval = Seconds(10);
  world.Add(task.Make());
  while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
  world.RunFor(Milliseconds(500));
  world.StandStill(Milliseconds(90));
  world.RunFor(Seconds(2));
  ASSERT_EQ(world.runs.size(), 1u);
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kFirstByteTimeout);
}

TEST(Late, AGapBeforeTheRunDoesNotMatter) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.mode = Mode::kAsk;
  task.interval = Seconds(10);
  world.Add(task.Make());
  world.StandStill(Milliseconds(900));
  while (world.shard().in_flight() == 0) world.RunFor(Milliseconds(1));
  world.RunFor(Seconds(1));
  ASSERT_EQ(world.runs.size(), 1u);
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kFirstByteTimeout);
}

TEST(Late, SlotsMissedWhileTheLoopStoodStillAreSkippedAndNotRunInABurst) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  std::vector<std::shared_ptr<TaskRecord>> records;
  for (int i = 0; i < 300; ++i) {
    FakeTask task;
    task.name = "task" + std::to_string(i);
    records.push_back(world.Add(task.Make()));
  }
  world.RunFor(Seconds(3));
  const uint64_t before = world.finished();
  world.StandStill(Seconds(5));
  world.RunFor(Milliseconds(20));
  // One second's worth of tasks is due each second: at most the last 5 % run at once.
  EXPECT_LE(world.finished() - before, 300 * 0.05 + 10 + 300 * 0.02);
  EXPECT_NEAR(static_cast<double>(Skips(world, SkipReason::kStall)), 1500, 30);
  world.RunFor(Seconds(1));
  for (const auto& record : records) EXPECT_EQ(record->tally.counts().failed, 0u);
}

// Whatever was skipped, each run stands on a slot of the schedule, and none is unaccounted for.
TEST(Late, AfterAStallTheScheduleGoesOn) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.timeout = Milliseconds(200);
  task.interval = Milliseconds(700);
  const auto made = task.Make();
  const WallTime added = world.wall();
  auto record = world.Add(made);
  for (int i = 0; i < 8; ++i) {
    world.RunFor(Milliseconds(1'600 + i * 37));
    world.StandStill(Milliseconds(900 + i * 811));
  }
  world.RunFor(Seconds(3));
  for (const SimRun& run : world.runs) {
    EXPECT_EQ(made->schedule.NextAfter(made->id, run.result.due - Nanoseconds(1)), run.result.due);
  }
  EXPECT_GT(record->tally.counts().skipped, 10u);
  const uint64_t slots = made->schedule.CountBetween(made->id, added, world.wall(), UINT64_MAX);
  EXPECT_NEAR(static_cast<double>(world.runs.size() + record->tally.counts().skipped),
              static_cast<double>(slots), 1);
}

TEST(Late, ALongIntervalIsNotLostToAShortStall) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  FakeTask task;
  task.interval = Hours(24);
  auto record = world.Add(task.Make());
  const auto due = task.Make()->schedule.NextAfter(TaskIdOf(task.name), world.wall()).value();
  world.RunUntil(world.ToInstant(due) - Milliseconds(50));
  world.StandStill(Seconds(5));
  world.RunFor(Seconds(1));
  EXPECT_EQ(record->tally.counts().success, 1u);
  EXPECT_EQ(record->tally.counts().skipped, 0u);
}

TEST(Late, AnOldLongGapDoesNotMakeLaterShortOnesLong) {
  GapLog gaps;
  const auto at = [](int64_t ms) { return Instant{Milliseconds(ms).ns}; };
  gaps.Add(at(1'000), at(6'000));
  for (int64_t i = 0; i < 1'000; ++i) gaps.Add(at(10'000 + i * 100), at(10'025 + i * 100));
  EXPECT_TRUE(gaps.Overlaps(at(5'000), Seconds(1)));
  EXPECT_FALSE(gaps.Overlaps(at(6'000), Seconds(1)));
  EXPECT_FALSE(gaps.Overlaps(at(100'000), Seconds(1)));
  EXPECT_TRUE(gaps.Overlaps(at(100'000), GapLog::kShortest));
  EXPECT_FALSE(gaps.Overlaps(at(200'000), GapLog::kShortest));
  // Ever shorter ones: the answer may err to yes, never to no.
  for (int64_t i = 0; i < 200; ++i) gaps.Add(at(300'000 + i * 1'000), at(300'900 + i * 998));
  for (int64_t i = 0; i < 200; ++i) {
    EXPECT_TRUE(gaps.Overlaps(at(300'900 + i * 998 - 1), Milliseconds(900 - i * 2 - 1))) << i;
  }
  EXPECT_FALSE(gaps.Overlaps(at(300'900), Milliseconds(900)));
}

TEST(Late, ATargetThatNeverAnswersFailsOnABusyLoopThatOnceStoodStill) {
  SimWorld world;
  AddPeer<Silent>(world, "10.0.0.1:80");
  FakeTask task;
  task.interval = Seconds(10);
  task.timeout = Seconds(8);  // 5 % are 400 ms
  auto record = world.Add(task.Make());
  world.StandStill(Seconds(5));
  world.RunFor(Seconds(30));
  for (int i = 0; i < 600; ++i) {  // turns of 30 ms: no gap for this task
    world.StandStill(Milliseconds(130));
    world.RunFor(Milliseconds(70));
  }
  EXPECT_LE(record->tally.counts().inconclusive, 1u);
  EXPECT_GE(record->tally.counts().failed, 10u);
}

}  // namespace
}  // namespace sonde
