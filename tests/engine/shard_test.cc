// The shard's core against a simulated world: when runs start, how they end, who waits, what a
// stand-still does. One test per sentence of "Late, defined once" and of the start queue.
#include "engine/shard/shard.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/fake_prober.h"
#include "tests/support/sim_world.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

using Mode = FakeModule::Mode;

// Accepts after 1 ms and answers what it is told to, after `delay`.
class Answering : public SimPeer {
 public:
  explicit Answering(std::string text = "PONG\n", Duration delay = Milliseconds(5))
      : text_(std::move(text)), delay_(delay) {}
  void OnBytes(SimConnection& connection, std::string_view) override {
    connection.Send(text_, delay_);
  }

 private:
  std::string text_;
  Duration delay_;
};

class Silent : public SimPeer {
  std::optional<Answer> OnConnect() override { return std::nullopt; }
};

class Refusing : public SimPeer {
 public:
  explicit Refusing(int error = ECONNREFUSED) : error_(error) {}
  std::optional<Answer> OnConnect() override { return Answer{error_, Milliseconds(1)}; }

 private:
  int error_;
};

// Accepts and never says a word.
class Mute : public SimPeer {};

template <typename Peer, typename... Args>
void AddPeer(SimWorld& world, const std::string& where, Args&&... args) {
  world.network().AddPeer(where, std::make_shared<Peer>(std::forward<Args>(args)...));
}

// Runs one task to its first result.
SimRun RunOnce(SimWorld& world, const FakeTask& task) {
  world.Add(task.Make());
  EXPECT_TRUE(world.RunToNext(Seconds(30)));
  return world.runs.back();
}

TEST(Shard, ConnectPasses) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  const SimRun run = RunOnce(world, {});
  EXPECT_EQ(run.result.outcome, Outcome::kOk);
  EXPECT_EQ(run.result.duration, Milliseconds(1));
  EXPECT_EQ(run.result.started, run.result.due);
  EXPECT_TRUE(run.result.latency_recorded);
  EXPECT_EQ(run.result.facts.Get(Fact::kSuccess), 1);
  EXPECT_EQ(run.result.facts.Get(Fact::kTimeout), 0.5);
}

TEST(Shard, EveryRunKeepsItsSlot) {
  SimWorld world;
  AddPeer<Answering>(world, "10.0.0.1:80", "PONG\n", Milliseconds(700));
  FakeTask task;
  task.mode = Mode::kAsk;
  task.timeout = Milliseconds(900);
  world.Add(task.Make());
  world.RunFor(Seconds(60));
  ASSERT_GE(world.runs.size(), 59u);
  for (size_t i = 1; i < world.runs.size(); ++i) {
    // Completion never moves the due time.
    EXPECT_EQ(world.runs[i].result.due - world.runs[i - 1].result.due, Seconds(1));
  }
}

TEST(Shard, OutcomesOfConnecting) {
  const struct {
    int error;
    Outcome outcome;
  } kRows[] = {
      {ECONNREFUSED, Outcome::kConnectRefused},
      {ECONNRESET, Outcome::kConnectReset},
      {ETIMEDOUT, Outcome::kConnectTimeout},
      {EHOSTUNREACH, Outcome::kConnectHostUnreachable},
      {ENETUNREACH, Outcome::kConnectNetworkUnreachable},
      {EACCES, Outcome::kConnectDenied},
      {EPROTO, Outcome::kConnectError},
      {EADDRNOTAVAIL, Outcome::kProberPorts},
      {EMFILE, Outcome::kProberDescriptors},
      {ENOBUFS, Outcome::kProberMemory},
      {ENODEV, Outcome::kProberConfig},
  };
  for (const auto& row : kRows) {
    SimWorld world;
    AddPeer<Refusing>(world, "10.0.0.1:80", row.error);
    const SimRun run = RunOnce(world, {});
    EXPECT_EQ(run.result.outcome, row.outcome) << row.error;
    EXPECT_EQ(run.evidence.detail, "fake");
  }
}

TEST(Shard, PortsAndDescriptorsAreTheProbersTrouble) {
  SimWorld world;
  AddPeer<Mute>(world, "10.0.0.1:80");
  auto record = world.Add(FakeTask{}.Make());
  world.network().FailConnects(EADDRNOTAVAIL, 1);
  ASSERT_TRUE(world.RunToNext(Seconds(2)));
  world.network().FailConnects(EMFILE, 1);
  ASSERT_TRUE(world.RunToNext(Seconds(2)));
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kProberPorts);
  EXPECT_EQ(world.runs[1].result.outcome, Outcome::kProberDescriptors);
  EXPECT_EQ(record->tally.counts().failed, 0u);
  EXPECT_EQ(record->tally.counts().inconclusive, 2u);
}

TEST(Shard, DnsOutcomes) {
  const Outcome kOutcomes[] = {Outcome::kDnsNotFound,    Outcome::kDnsServerFailure,
                               Outcome::kDnsRefused,     Outcome::kDnsMalformed,
                               Outcome::kDnsUnreachable, Outcome::kDnsNoAddress};
  for (const Outcome outcome : kOutcomes) {
    SimWorld world;
    world.network().AddName("shop.test", {outcome, {}});
    FakeTask task;
    task.target = "shop.test:80";
    EXPECT_EQ(RunOnce(world, task).result.outcome, outcome);
  }
  SimWorld world;
  SimName silent;
  silent.silent = true;
  world.network().AddName("shop.test", silent);
  FakeTask task;
  task.target = "shop.test:80";
  const SimRun run = RunOnce(world, task);
  EXPECT_EQ(run.result.outcome, Outcome::kDnsTimeout);
  EXPECT_EQ(run.result.duration, Milliseconds(500));
}

TEST(Shard, TimeoutsNameTheirPhase) {
  SimWorld world;
  AddPeer<Silent>(world, "10.0.0.1:80");
  AddPeer<Mute>(world, "10.0.0.2:80");
  EXPECT_EQ(RunOnce(world, {}).result.outcome, Outcome::kConnectTimeout);
  FakeTask ask;
  ask.name = "ask";
  ask.target = "10.0.0.2:80";
  ask.mode = Mode::kAsk;
  world.Add(ask.Make());
  world.RunFor(Seconds(2));
  Outcome asked = Outcome::kOk;
  for (const SimRun& run : world.runs) {
    if (run.task_id == TaskIdOf("ask")) asked = run.result.outcome;
  }
  EXPECT_EQ(asked, Outcome::kFirstByteTimeout);
}

TEST(Shard, PartialSendThenRoomGoesOn) {
  class Narrow : public SimPeer {
   public:
    void OnBytes(SimConnection& connection, std::string_view text) override {
      got += text;
      if (got.back() != '\n') {
        if (generous) connection.OpenWindow(30'000);
      } else {
        connection.Send("PONG\n");
      }
    }
    std::string got;
    bool generous = true;
  };
  for (const bool generous : {true, false}) {
    SimWorld world;
    auto peer = std::make_shared<Narrow>();
    peer->generous = generous;
    world.network().AddPeer("10.0.0.1:80", peer);
    FakeTask task;
    task.mode = Mode::kAsk;
    task.request = std::string(300'000, 'x') + "\n";
    world.network().first_window = 10;
    const SimRun run = RunOnce(world, task);
    if (generous) {
      EXPECT_EQ(run.result.outcome, Outcome::kOk);
    } else {
      EXPECT_EQ(run.result.outcome, Outcome::kSendTimeout);
    }
  }
}

TEST(Shard, ResetWhileSendingIsSendReset) {
  class Breaks : public SimPeer {
    void OnBytes(SimConnection& connection, std::string_view) override { connection.Reset(); }
  };
  SimWorld world;
  AddPeer<Breaks>(world, "10.0.0.1:80");
  world.network().first_window = 10;
  FakeTask task;
  task.mode = Mode::kAsk;
  task.request = std::string(100, 'x');
  EXPECT_EQ(RunOnce(world, task).result.outcome, Outcome::kSendReset);
}

TEST(Shard, AnAnswerBeforeAResetStillCounts) {
  class AnswersAndBreaks : public SimPeer {
    void OnBytes(SimConnection& connection, std::string_view) override {
      connection.Send("PONG\n");
      connection.Reset();
    }
  };
  SimWorld world;
  AddPeer<AnswersAndBreaks>(world, "10.0.0.1:80");
  FakeTask task;
  task.mode = Mode::kAsk;
  EXPECT_EQ(RunOnce(world, task).result.outcome, Outcome::kOk);
}

TEST(Shard, OneByteAtATimeAndSplits) {
  class Drip : public SimPeer {
    void OnBytes(SimConnection& connection, std::string_view) override {
      connection.SendEachByte("PONG\n", Milliseconds(1));
    }
  };
  SimWorld world;
  AddPeer<Drip>(world, "10.0.0.1:80");
  FakeTask task;
  task.mode = Mode::kAsk;
  const SimRun run = RunOnce(world, task);
  EXPECT_EQ(run.result.outcome, Outcome::kOk);
  EXPECT_EQ(run.result.duration, Milliseconds(5));
}

TEST(Shard, HopsCloseTheOldLegAndOpenTheNew) {
  SimWorld world;
  AddPeer<Answering>(world, "10.0.0.1:80", "GO 10.0.0.2:81\n");
  AddPeer<Answering>(world, "10.0.0.2:81");
  FakeTask task;
  task.mode = Mode::kHop;
  const SimRun run = RunOnce(world, task);
  EXPECT_EQ(run.result.outcome, Outcome::kOk);
  EXPECT_EQ(run.result.legs, 2);
  EXPECT_EQ(world.network().open_streams(), 0u);
}

TEST(Shard, CloseStyleIsTheModules) {
  for (const auto style : {NetworkOptions::Close::kFin, NetworkOptions::Close::kReset}) {
    SimWorld world;
    AddPeer<Mute>(world, "10.0.0.1:80");
    std::vector<NetworkOptions::Close> closes;
    world.network().on_close = [&](NetworkOptions::Close how) { closes.push_back(how); };
    FakeTask task;
    task.network.close = style;
    RunOnce(world, task);
    ASSERT_EQ(closes.size(), 1u);
    EXPECT_EQ(closes[0], style);
  }
}

TEST(Shard, AConversationThatWaitsForNothingIsEndedAsInternal) {
  class Ending : public SimPeer {
    void OnAccepted(SimConnection& connection) override { connection.End(); }
  };
  SimWorld world;
  AddPeer<Ending>(world, "10.0.0.1:80");
  FakeTask task;
  task.mode = Mode::kDeaf;
  EXPECT_EQ(RunOnce(world, task).result.outcome, Outcome::kProberInternal);
}

// Speaks TLS; what it says to PING is followed, in the same flight, by a record nobody encrypted.
class BreaksTls : public SimPeer {
 public:
  explicit BreaksTls(std::string answer) : answer_(std::move(answer)) {}
  void OnBytes(SimConnection& connection, std::string_view bytes) override {
    if (!connection.state) {
      TlsServerOptions options;
      options.chain = {TestCertificates::Get().good};
      connection.state = std::make_shared<TlsServer>(options);
    }
    auto& tls = *static_cast<TlsServer*>(connection.state.get());
    std::string reply = tls.Feed(bytes);
    if (tls.received() == "PING\n") {
      if (!answer_.empty()) reply += tls.Write(answer_);
      reply += std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
    }
    connection.Send(reply);
  }

 private:
  std::string answer_;
};

TEST(Shard, ABrokenRecordIsNoEndAndTakesNothingBackThatCameBeforeIt) {
  for (const bool answers : {true, false}) {
    SimWorld world;
    AddPeer<BreaksTls>(world, "10.0.0.1:80", answers ? "PONG\n" : "");
    FakeTask task;
    task.mode = Mode::kAsk;
    task.use_tls = true;
    task.tls.verify = false;
    const SimRun run = RunOnce(world, task);
    EXPECT_EQ(run.result.outcome, answers ? Outcome::kOk : Outcome::kFirstByteReset);
  }
}

// ---- policy -------------------------------------------------------------------------------------

std::shared_ptr<const ProbePolicy> Deny(std::string_view rule) {
  const ConfigNode item{.kind = ConfigNode::Kind::kScalar, .text = rule};
  const ConfigEntry entry{"deny", {}, {.kind = ConfigNode::Kind::kSequence, .items = {&item, 1}}};
  const ConfigNode block{.kind = ConfigNode::Kind::kMapping, .entries = {&entry, 1}};
  Diagnostics diagnostics;
  auto policy = std::make_shared<ProbePolicy>(ProbePolicy::Parse(&block, "policy", diagnostics));
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("test");
  return policy;
}

TEST(Shard, PolicyIsAskedOnNamesPortsAndResolvedAddressesOfEveryLeg) {
  const struct {
    const char* rule;
    PolicyKind kind;
  } kRows[] = {{"second.test", PolicyKind::kName},
               {":81", PolicyKind::kPort},
               {"scheme:tcp", PolicyKind::kScheme},
               {"10.0.0.2/32", PolicyKind::kAddress}};
  for (const auto& row : kRows) {
    SimWorld::Options options;
    options.policy = Deny(row.rule);
    SimWorld world(options);
    world.network().AddName("second.test",
                            {Outcome::kOk, {Address::ParseLiteral("10.0.0.2").value()}});
    AddPeer<Answering>(world, "10.0.0.1:80", "GO second.test:81\n");
    AddPeer<Answering>(world, "10.0.0.2:81");
    FakeTask task;
    task.mode = Mode::kHop;
    const SimRun run = RunOnce(world, task);
    EXPECT_EQ(run.result.outcome, Outcome::kProberPolicy) << row.rule;
    const ShardStats stats = world.shard().Stats();
    EXPECT_EQ(stats.refused[static_cast<size_t>(row.kind)], 1u) << row.rule;
    EXPECT_LE(world.network().connects(), 1u);
  }
}

// ---- admission ----------------------------------------------------------------------------------

uint64_t Blocks(const SimWorld& world, BlockReason reason) {
  return const_cast<SimWorld&>(world).shard().Stats().blocked[static_cast<size_t>(reason)];
}

uint64_t Skips(const SimWorld& world, SkipReason reason) {
  return const_cast<SimWorld&>(world).shard().Stats().skipped[static_cast<size_t>(reason)];
}

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

// ---- late, defined once -------------------------------------------------------------------------

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
