// Legs over shared sockets: whose an answer is, what errors mean, what late and lost messages come
// to.
#include <gtest/gtest.h>

#include "tests/engine/shard_peers.h"

namespace sonde {
namespace {

// Answers each message after a time, as often as it is told to.
class Replying : public SimPeer {
 public:
  Duration delay = Milliseconds(5);
  int times = 1;
  int silent = 0;  // the first so many messages are not answered
  size_t quoted = SIZE_MAX;
  int error_type = -1, error_code = 0;  // an ICMP error instead
  StampClock clock = StampClock::kKernel;

  void OnDatagram(SimNetwork& network, const SimDatagram& message) override {
    if (silent-- > 0) return;
    const bool icmp = message.transport == Transport::kIcmp;
    if (error_type >= 0 && !icmp) {
      return network.DeliverError(message, ECONNREFUSED, error_type, error_code, delay, quoted > 0);
    }
    std::string reply = icmp ? EchoReplyTo(message) : message.bytes;
    if (error_type >= 0) reply = IcmpErrorAbout(message, error_type, error_code, quoted);
    const bool v4 = message.to.family == IpFamily::kV4;
    const Address router = *Address::ParseLiteral(v4 ? "10.9.9.9" : "2001:db8::9");
    const Address from = error_type >= 0 ? router : message.to;
    for (int i = 0; i < times; ++i) {
      network.Deliver(message.socket, from, reply, delay + Milliseconds(1) * i, 57, clock);
    }
  }
};

std::shared_ptr<Replying> Reply(SimWorld& world, const std::string& where) {
  auto peer = std::make_shared<Replying>();
  world.network().AddPeer(where, peer);
  return peer;
}

FakeTask Udp(std::string target = "10.0.0.1:53") {
  FakeTask task;
  task.name = "udp " + target;
  task.mode = Mode::kUdp;
  task.target = std::move(target);
  return task;
}

FakeTask Echo(std::string target = "10.0.0.1", int packets = 1) {
  FakeTask task;
  task.name = "echo " + target;
  task.mode = Mode::kEcho;
  task.target = std::move(target);
  task.packets = packets;
  return task;
}

double FactOf(const SimRun& run, Fact fact) { return run.result.facts.Get(fact).value_or(-1); }

uint64_t Strays(SimWorld& world, StrayReason reason) {
  return world.shard().Stats().datagrams_stray[static_cast<size_t>(reason)];
}

TEST(Datagrams, AnAnswerIsMatchedAndMeasured) {
  SimWorld world;
  Reply(world, "udp 10.0.0.1:53");
  Reply(world, "icmp 10.0.0.1");
  Reply(world, "icmp 2001:db8::1");
  for (const FakeTask& task : {Udp(), Echo(), Echo("2001:db8::1")}) {
    const SimRun run = RunOnce(world, task);
    EXPECT_EQ(run.result.outcome, Outcome::kOk) << task.name;
    EXPECT_DOUBLE_EQ(FactOf(run, Fact::kIcmpRtt), 0.005) << task.name;
    EXPECT_EQ(FactOf(run, Fact::kKernelStamps), 1) << task.name;
    EXPECT_EQ(run.result.duration, Milliseconds(5));
  }
  EXPECT_EQ(world.network().open_streams(), 0u);
  EXPECT_EQ(world.network().socket_users(), 0);
}

TEST(Datagrams, SilenceIsATimeOut) {
  for (const FakeTask& task : {Udp(), Echo()}) {
    SimWorld world;
    EXPECT_EQ(RunOnce(world, task).result.outcome, Outcome::kFirstByteTimeout);
    EXPECT_EQ(world.network().socket_users(), 0);
  }
}

TEST(Datagrams, SeveralPacketsAreToldApart) {
  SimWorld world;
  auto peer = Reply(world, "icmp 10.0.0.1");
  peer->delay = Milliseconds(35);  // answers overtake requests
  const SimRun run = RunOnce(world, Echo("10.0.0.1", 5));
  EXPECT_EQ(run.result.outcome, Outcome::kOk);
  EXPECT_EQ(FactOf(run, Fact::kIcmpSent), 5);
  EXPECT_EQ(FactOf(run, Fact::kIcmpReceived), 5);
  EXPECT_DOUBLE_EQ(FactOf(run, Fact::kIcmpRtt), 0.035);
}

// Payloads too short for a cookie go by sequence number.
TEST(Datagrams, ShortPayloadsAreMatchedToo) {
  SimWorld world;
  auto peer = Reply(world, "icmp 10.0.0.1");
  peer->times = 2;
  FakeTask task = Echo("10.0.0.1", 3);
  task.payload = 7;
  const SimRun run = RunOnce(world, task);
  EXPECT_EQ(run.result.outcome, Outcome::kOk);
  EXPECT_EQ(FactOf(run, Fact::kIcmpReceived), 3);
  EXPECT_EQ(FactOf(run, Fact::kIcmpDuplicates), 2);
}

TEST(Datagrams, DuplicatesAreToldOrCounted) {
  SimWorld world;
  Reply(world, "icmp 10.0.0.1")->times = 3;
  Reply(world, "udp 10.0.0.1:53")->times = 2;
  const SimRun run = RunOnce(world, Echo("10.0.0.1", 2));
  EXPECT_EQ(FactOf(run, Fact::kIcmpReceived), 2);
  EXPECT_EQ(FactOf(run, Fact::kIcmpDuplicates), 2);
  RunOnce(world, Udp());
  world.RunFor(Milliseconds(50));
  EXPECT_EQ(Strays(world, StrayReason::kDuplicate), 3u);
  EXPECT_EQ(Strays(world, StrayReason::kLate), 0u);
}

TEST(Datagrams, LateAnswersAreCountedAsSuch) {
  SimWorld world;
  Reply(world, "icmp 10.0.0.1")->delay = Milliseconds(520);
  Reply(world, "udp 10.0.0.1:53")->delay = Milliseconds(520);
  EXPECT_EQ(RunOnce(world, Echo()).result.outcome, Outcome::kFirstByteTimeout);
  EXPECT_EQ(RunOnce(world, Udp()).result.outcome, Outcome::kFirstByteTimeout);
  world.RunFor(Milliseconds(60));
  EXPECT_EQ(Strays(world, StrayReason::kLate), 2u);
  EXPECT_EQ(Strays(world, StrayReason::kDuplicate), 0u);
}

// The kernel's stamp decides: what came in time is in time, however late we look.
TEST(Datagrams, AStampBeforeTheDeadlineIsInTime) {
  SimWorld world;
  Reply(world, "icmp 10.0.0.1")->delay = Milliseconds(490);
  world.Add(Echo().Make());
  while (world.network().datagrams_queued_ever == 0) world.RunFor(Milliseconds(1));
  world.StandStill(Seconds(2));
  world.RunFor(Milliseconds(1));
  ASSERT_FALSE(world.runs.empty());
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kOk);
  EXPECT_DOUBLE_EQ(FactOf(world.runs[0], Fact::kIcmpRtt), 0.490);
  EXPECT_FALSE(world.runs[0].result.latency_recorded);
}

TEST(Datagrams, AStampAfterTheDeadlineIsLate) {
  SimWorld world;
  Reply(world, "icmp 10.0.0.1")->delay = Milliseconds(510);
  world.Add(Echo().Make());
  while (world.network().datagrams_queued_ever == 0) world.RunFor(Milliseconds(1));
  world.StandStill(Seconds(2));
  world.RunFor(Milliseconds(1));
  ASSERT_FALSE(world.runs.empty());
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kProberLate);
  EXPECT_EQ(Strays(world, StrayReason::kLate), 1u);
}

TEST(Datagrams, AnOverflownQueueBlamesNobody) {
  SimWorld world;
  world.Add(Echo().Make());
  while (world.network().datagrams_queued_ever == 0) world.RunFor(Milliseconds(1));
  world.network().receive_drops = 3;
  ASSERT_TRUE(world.RunToNext(Seconds(2)));
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kProberReceiveQueue);
  ASSERT_TRUE(world.RunToNext(Seconds(2)));  // it did not grow since
  EXPECT_EQ(world.runs[1].result.outcome, Outcome::kFirstByteTimeout);
}

TEST(Datagrams, IcmpErrorsEndAProbeWithTheirReason) {
  struct Case {
    const char* target;
    int type, code;
    size_t quoted;
    Outcome outcome;
  };
  for (const Case& c : {Case{"10.0.0.1", 3, 1, SIZE_MAX, Outcome::kConnectHostUnreachable},
                        Case{"10.0.0.1", 3, 13, 8, Outcome::kConnectDenied},
                        Case{"10.0.0.1", 11, 0, 8, Outcome::kConnectTtlExceeded},
                        Case{"2001:db8::1", 2, 0, SIZE_MAX, Outcome::kConnectTooBig}}) {
    SimWorld world;
    auto peer = Reply(world, std::string("icmp ") + c.target);
    peer->error_type = c.type;
    peer->error_code = c.code;
    peer->quoted = c.quoted;
    const SimRun run = RunOnce(world, Echo(c.target));
    EXPECT_EQ(run.result.outcome, c.outcome) << c.type << "/" << c.code;
    EXPECT_EQ(run.result.duration, Milliseconds(5));
  }
}

TEST(Datagrams, ErrorsOfTheKernelsQueueAreMatched) {
  for (const size_t quoted : {size_t{1}, size_t{0}}) {  // with and without our payload
    SimWorld world;
    auto peer = Reply(world, "udp 10.0.0.1:53");
    peer->error_type = 3;
    peer->error_code = 3;
    peer->quoted = quoted;
    const SimRun run = RunOnce(world, Udp());
    EXPECT_EQ(run.result.outcome, Outcome::kConnectRefused);
    EXPECT_EQ(run.result.duration, Milliseconds(5));
  }
}

// Without a payload nobody knows whose message was too large: not everybody's.
TEST(Datagrams, TheSizeOfAMessageIsNoFaultOfItsServer) {
  for (const size_t quoted : {size_t{1}, size_t{0}}) {
    SimWorld world;
    auto peer = Reply(world, "udp 10.0.0.1:53");
    peer->error_type = 3;
    peer->error_code = 4;
    peer->quoted = quoted;
    EXPECT_EQ(RunOnce(world, Udp()).result.outcome,
              quoted > 0 ? Outcome::kConnectTooBig : Outcome::kFirstByteTimeout);
  }
}

TEST(Datagrams, ErrorsOfSendingAreAnswers) {
  SimWorld world;
  world.network().send_error = ENETUNREACH;
  EXPECT_EQ(RunOnce(world, Echo()).result.outcome, Outcome::kConnectNetworkUnreachable);
  world.network().send_error = EMSGSIZE;
  EXPECT_EQ(RunOnce(world, Echo("10.0.0.2")).result.outcome, Outcome::kConnectTooBig);
  world.network().send_error = ENOBUFS;
  EXPECT_EQ(RunOnce(world, Udp()).result.outcome, Outcome::kProberMemory);
  EXPECT_EQ(world.network().socket_users(), 0);
}

TEST(Datagrams, SocketsThatCannotBeHadBlameNobody) {
  SimWorld world;
  world.network().join_error = EPERM;
  EXPECT_EQ(RunOnce(world, Echo()).result.outcome, Outcome::kProberConfig);
  world.network().join_error = EMFILE;
  EXPECT_EQ(RunOnce(world, Udp()).result.outcome, Outcome::kProberDescriptors);
}

TEST(Datagrams, NoDescriptorIsNeeded) {
  SimWorld world;
  Reply(world, "icmp 10.0.0.1");
  world.network().descriptors = 0;
  EXPECT_EQ(RunOnce(world, Echo()).result.outcome, Outcome::kOk);
}

// ---- strays ----

const Address kServer = *Address::ParseLiteral("10.0.0.1", 53);

TEST(Datagrams, StraysAreOfferedToWhomTheyMayConcern) {
  SimWorld world;
  SimDatagram sent;
  world.network().on_datagram = [&](const SimDatagram& d) { sent = d; };
  world.Add(Udp().Make());
  while (sent.bytes.empty()) world.RunFor(Milliseconds(1));
  std::string other_id = sent.bytes + "mine";
  other_id[0] = static_cast<char>(other_id[0] ^ 1);
  world.network().Deliver(sent.socket, kServer, other_id, Milliseconds(1));  // wrong id
  const Address elsewhere = *Address::ParseLiteral("10.0.0.2", 53);
  world.network().Deliver(sent.socket, elsewhere, sent.bytes + "mine", Milliseconds(2));  // foreign
  world.network().Deliver(sent.socket, elsewhere, other_id, Milliseconds(3));  // nobody's at all
  world.network().Deliver(sent.socket, kServer, "x", Milliseconds(4));
  ASSERT_TRUE(world.RunToNext(Seconds(2)));
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kFirstByteWrongId);
  EXPECT_EQ(FactOf(world.runs[0], Fact::kDnsRcode), 2);
  EXPECT_EQ(Strays(world, StrayReason::kForeign), 3u);
  EXPECT_EQ(Strays(world, StrayReason::kMalformed), 1u);
}

TEST(Datagrams, ForgedEchoesAreForeign) {
  SimWorld world;
  SimDatagram sent;
  world.network().on_datagram = [&](const SimDatagram& d) { sent = d; };
  world.Add(Echo().Make());
  while (sent.bytes.empty()) world.RunFor(Milliseconds(1));
  const Address target = *Address::ParseLiteral("10.0.0.1");
  std::string forged = EchoReplyTo(sent);
  forged[8] = static_cast<char>(forged[8] ^ 0x40);  // of the cookie
  world.network().Deliver(sent.socket, target, forged, Milliseconds(1));
  const Address elsewhere = *Address::ParseLiteral("10.0.0.2");
  world.network().Deliver(sent.socket, elsewhere, EchoReplyTo(sent), Milliseconds(1));
  world.network().Deliver(sent.socket, target, sent.bytes, Milliseconds(1));  // a request
  ASSERT_TRUE(world.RunToNext(Seconds(2)));
  EXPECT_EQ(world.runs[0].result.outcome, Outcome::kFirstByteTimeout);
  EXPECT_EQ(Strays(world, StrayReason::kForeign), 2u);
  EXPECT_EQ(Strays(world, StrayReason::kMalformed), 1u);
}

// Many tasks at one server and one host: nobody gets another's answer.
TEST(Datagrams, ThousandsAtOneServer) {
  SimWorld world;
  Reply(world, "udp 10.0.0.1:53")->delay = Milliseconds(300);
  Reply(world, "icmp 10.0.0.1")->delay = Milliseconds(300);
  for (int i = 0; i < 3000; ++i) {
    FakeTask task = i % 2 == 0 ? Udp() : Echo();
    task.name += std::to_string(i);
    task.interval = Milliseconds(700);
    world.Add(task.Make());
  }
  world.RunFor(Seconds(10));
  EXPECT_GT(world.finished(), 3000u * 12);
  for (const SimRun& run : world.runs) {
    ASSERT_EQ(run.result.outcome, Outcome::kOk);
    ASSERT_DOUBLE_EQ(FactOf(run, Fact::kIcmpRtt), 0.3);
  }
  const ShardStats stats = world.shard().Stats();
  EXPECT_EQ(stats.datagrams_received, world.finished());
  for (const uint64_t strays : stats.datagrams_stray) EXPECT_EQ(strays, 0u);
}

TEST(Datagrams, ARemovedTasksAnswerIsNobodys) {
  SimWorld world;
  Reply(world, "icmp 10.0.0.1")->delay = Milliseconds(100);
  const auto task = Echo().Make();
  world.Add(task);
  while (world.network().datagrams_queued_ever == 0) world.RunFor(Milliseconds(1));
  world.shard().Remove(task->id);
  world.RunFor(Milliseconds(200));
  EXPECT_EQ(Strays(world, StrayReason::kLate), 1u);
  EXPECT_EQ(world.network().socket_users(), 0);
}

}  // namespace
}  // namespace sonde
