// The shard's core in a simulated world: how runs start, go and end.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <unordered_map>

#include "tests/engine/shard_peers.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

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

// The kernel knows when the SYN-ACK came; the loop only when it was told, here after 1 ms.
TEST(Shard, ConnectTakesAsLongAsTheKernelSaw) {
  const struct {
    TcpInfo info;
    double connect;
  } kRows[] = {
      {{.syn_retransmits = 0, .rtt = Microseconds(300)}, 0.0003},
      {{.syn_retransmits = 0, .rtt = Milliseconds(3)}, 0.001},    // of something else
      {{.syn_retransmits = 1, .rtt = Microseconds(300)}, 0.001},  // the first SYN was lost
      {{.syn_retransmits = 0}, 0.001},
      {{}, 0.001},
  };
  for (const auto& row : kRows) {
    SimWorld world;
    world.network().tcp_info = row.info;
    AddPeer<Mute>(world, "10.0.0.1:80");
    const SimRun run = RunOnce(world, {});
    EXPECT_EQ(run.result.facts.Get(Fact::kTcpConnect), row.connect);
    EXPECT_EQ(run.result.duration, Milliseconds(1));
  }
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

// Lateness of many tasks is bounded by the spacing; one alone is on time.
TEST(Shard, TimersThatFallDueSoonAfterATurnWait) {
  constexpr Duration kSpacing = Microseconds(200);
  for (const size_t tasks : {1u, 2000u}) {
    SimWorld::Options options;
    options.timer_spacing = kSpacing;
    SimWorld world(options);
    AddPeer<Mute>(world, "10.0.0.1:80");
    for (size_t i = 0; i < tasks; ++i) {
      FakeTask task;
      task.name = "task-" + std::to_string(i);
      world.Add(task.Make());
    }
    world.RunFor(Seconds(3));
    ASSERT_GE(world.runs.size(), 2 * tasks);
    size_t late = 0;
    for (const SimRun& run : world.runs) {
      const Duration lateness = run.result.started - run.result.due;
      EXPECT_GE(lateness, Duration{});
      EXPECT_LE(lateness, kSpacing);
      if (lateness > Duration{}) ++late;
    }
    if (tasks == 1) {
      EXPECT_LE(late, 1u);  // a heartbeat may come right before
    } else {
      EXPECT_GT(late, tasks / 10);
    }
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

TEST(Shard, AHalfOpenConnectionIsAcceptedWhenTheHeldBackAckLeaves) {
  class Counting : public SimPeer {
   public:
    void OnAccepted(SimConnection&) override { ++accepted; }
    int accepted = 0;
  };
  for (const auto& [timeout, accepted] : {std::pair{150, 0}, {500, 1}}) {
    SimWorld world;
    const auto peer = std::make_shared<Counting>();
    world.network().AddPeer("10.0.0.1:80", peer);
    FakeTask task;
    task.mode = Mode::kAsk;
    task.network.half_open = true;
    task.timeout = Milliseconds(timeout);
    RunOnce(world, task);
    EXPECT_EQ(peer->accepted, accepted);
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

}  // namespace
}  // namespace sonde
