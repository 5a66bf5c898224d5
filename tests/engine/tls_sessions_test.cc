#include "engine/shard/tls_sessions.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/engine/shard_peers.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

const TestCertificates& Certs() { return TestCertificates::Get(); }

TlsServerOptions Serving(int version, const std::string& keys = std::string(80, 'k')) {
  TlsServerOptions options;
  options.chain = {Certs().good};
  options.min_version = options.max_version = version;
  options.ticket_keys = keys;
  return options;
}

// Handshakes one after the other, each with a server of its own that shares keys with the others.
class Visits {
 public:
  explicit Visits(const TlsServerOptions& options) : options_(options) {
    profile.ca_pem = Certs().ca.Pem();
    profile.full_handshake_every = 10;
  }

  // One exchange; true: it went well.
  bool Visit() {
    const auto context = contexts.For(profile);
    if (!context.ok()) return false;
    place.context = TlsContexts::NumberOf(*context);
    TlsServer server(options_);
    auto channel = TlsChannel::Client(*context, profile, place.name, now);
    channel->Resume(memory, place, profile);
    Buffer out = pool_.Take(), plain = pool_.Take();
    channel->Start(out);
    const auto exchange = [&] {
      for (int round = 0; round < 10 && !out.empty(); ++round) {
        const std::string reply = server.Feed(out.text());
        out.Clear();
        channel->Feed(AsBytes(reply), plain, out);
      }
    };
    exchange();
    if (channel->state() == TlsChannel::State::kOpen) {
      channel->Write(AsBytes("ask"), out);
      exchange();
      channel->Feed(AsBytes(server.Write("answer")), plain, out);
      EXPECT_EQ(plain.text(), "answer");
      EXPECT_EQ(server.resumed(), channel->facts().resumed);
      channel->KeepSession();
    }
    facts = channel->facts();
    outcome = channel->outcome();
    return channel->state() == TlsChannel::State::kOpen;
  }
  // 'f' for each full handshake, 'r' for each resumed one.
  std::string Pattern(int visits) {
    std::string pattern;
    for (int i = 0; i < visits; ++i) pattern += !Visit() ? '-' : facts.resumed ? 'r' : 'f';
    return pattern;
  }

  void Serve(const TlsServerOptions& options) { options_ = options; }

  TlsProfile profile;
  TlsPlace place{1, 0, Address::ParseLiteral("10.0.0.1", 443).value(), "good.test"};
  WallTime now = kTestNow;
  TlsContexts contexts{nullptr};
  TlsMemory memory;
  TlsFacts facts;
  Outcome outcome = Outcome::kOk;

 private:
  TlsServerOptions options_;
  BufferPool pool_;
};

class TlsSessions : public ::testing::TestWithParam<int> {};

TEST_P(TlsSessions, EveryKthHandshakeIsFull) {
  Visits visits(Serving(GetParam()));
  visits.profile.full_handshake_every = 3;
  EXPECT_EQ(visits.Pattern(7), "frrfrrf");
  visits.profile.full_handshake_every = 1;
  EXPECT_EQ(visits.Pattern(2), "ff");
}

// What a resumed handshake cannot see is what the last full one saw, with its time.
TEST_P(TlsSessions, FactsAreThoseOfTheLastFullHandshake) {
  Visits visits(Serving(GetParam()));
  ASSERT_TRUE(visits.Visit());
  const TlsFacts full = visits.facts;
  EXPECT_EQ(full.full_at, kTestNow);
  visits.now = kTestNow + Minutes(1);
  ASSERT_TRUE(visits.Visit());
  const TlsFacts& facts = visits.facts;
  EXPECT_TRUE(facts.resumed);
  EXPECT_TRUE(facts.established);
  EXPECT_TRUE(facts.verified);
  EXPECT_TRUE(facts.has_certificate);
  EXPECT_EQ(facts.full_at, kTestNow);
  EXPECT_EQ(facts.fingerprint_sha256, full.fingerprint_sha256);
  EXPECT_EQ(facts.subject_alternative, "good.test,*.wild.test");
  EXPECT_EQ(facts.chain_expiry_unix, kTestNowUnix + 30 * kDay);
  EXPECT_EQ(facts.version, full.version);
  EXPECT_EQ(facts.cipher, full.cipher);
  EXPECT_EQ(facts.verify_result, "ok");
}

TEST_P(TlsSessions, AnOldFullHandshakeIsMadeAnew) {
  Visits visits(Serving(GetParam()));
  visits.profile.full_handshake_every = 1000;
  visits.profile.full_handshake_max_age = Minutes(5);
  EXPECT_EQ(visits.Pattern(2), "fr");
  visits.now = kTestNow + Minutes(5) - Duration{1};
  EXPECT_EQ(visits.Pattern(1), "r");
  visits.now = kTestNow + Minutes(5);
  EXPECT_EQ(visits.Pattern(2), "fr");
  visits.now = kTestNow;  // the clock was set back
  EXPECT_EQ(visits.Pattern(1), "f");
}

TEST_P(TlsSessions, AChainThatHasExpiredSinceIsJudgedAgain) {
  Visits visits(Serving(GetParam()));
  visits.profile.full_handshake_max_age = Hours(24 * 7);
  visits.now = {(kTestNowUnix + 30 * kDay) * 1'000'000'000 - 1};
  EXPECT_EQ(visits.Pattern(2), "fr");
  visits.now = visits.now + Seconds(2);
  EXPECT_FALSE(visits.Visit());
  EXPECT_EQ(visits.outcome, Outcome::kTlsExpired);
}

TEST_P(TlsSessions, AnotherPlaceIsMetWithAFullHandshake) {
  Visits visits(Serving(GetParam()));
  EXPECT_EQ(visits.Pattern(2), "fr");
  visits.place.peer = Address::ParseLiteral("10.0.0.2", 443).value();
  EXPECT_EQ(visits.Pattern(2), "fr");
  visits.place.name = "x.wild.test";
  EXPECT_EQ(visits.Pattern(2), "fr");
  ++visits.place.task;
  EXPECT_EQ(visits.Pattern(2), "fr");
  visits.profile.min_version = TlsProfile::Version::kTls11;  // another context
  EXPECT_EQ(visits.Pattern(2), "fr");
}

TEST_P(TlsSessions, AServerThatRefusesTheTicketIsMetWithAFullHandshake) {
  Visits visits(Serving(GetParam()));
  EXPECT_EQ(visits.Pattern(2), "fr");
  TlsServerOptions other = Serving(GetParam(), std::string(80, 'x'));
  other.chain = {Certs().Leaf("good.test")};
  visits.Serve(other);
  const std::string before = visits.facts.fingerprint_sha256;
  visits.now = kTestNow + Seconds(1);
  EXPECT_EQ(visits.Pattern(1), "f");
  EXPECT_NE(visits.facts.fingerprint_sha256, before);
  EXPECT_EQ(visits.facts.full_at, kTestNow + Seconds(1));
  EXPECT_EQ(visits.Pattern(1), "r");
}

TEST_P(TlsSessions, WithoutTicketsNothingIsKept) {
  TlsServerOptions options = Serving(GetParam());
  options.tickets = false;
  Visits visits(options);
  EXPECT_EQ(visits.Pattern(3), "fff");
}

// What a task that resumes adds to its record.
TEST_P(TlsSessions, ASessionTakesAboutAKibibyte) {
  Visits visits(Serving(GetParam()));
  ASSERT_TRUE(visits.Visit());
  RecordProperty("bytes", static_cast<int>(sizeof(TlsMemory) + visits.memory.bytes()));
  EXPECT_GT(visits.memory.bytes(), 200u);
  EXPECT_LE(sizeof(TlsMemory) + visits.memory.bytes(), 1536u);
}

TEST_P(TlsSessions, CertificatesThatSayTooMuchAreNotKept) {
  for (const bool too_much : {false, true}) {
    Visits visits(Serving(GetParam()));
    CertificateOptions options = TestCertificates::LeafOptions("good.test");
    const size_t names = (TlsMemory::kMostBytes - 2048) / 50 + (too_much ? 100 : 0);
    for (size_t i = 0; i < names; ++i) {
      options.dns_names.push_back(std::string(36, 'n') + std::to_string(10000 + i) + ".test");
    }
    TlsServerOptions serving = Serving(GetParam());
    serving.chain = {Certificate::SignedBy(Certs().ca, options)};
    visits.Serve(serving);
    EXPECT_EQ(visits.Pattern(2), too_much ? "ff" : "fr");
    EXPECT_LE(visits.memory.bytes(), TlsMemory::kMostBytes);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TlsSessions, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

// RFC 8446 section 4.6.1: a lifetime of zero is no ticket.
TEST(TlsMemory, TicketsToBeThrownAwayAtOnceAre) {
  for (const int seconds : {0, 60}) {
    TlsServerOptions options = Serving(TLS1_3_VERSION);
    options.ticket_seconds = seconds;
    Visits visits(options);
    ASSERT_TRUE(visits.Visit());
    EXPECT_EQ(visits.memory.Offer(visits.place, visits.profile, kTestNow) != nullptr, seconds > 0);
  }
}

// A handshake that was broken off has used its ticket up.
TEST(TlsMemory, WhatIsOfferedIsGone) {
  Visits visits(Serving(TLS1_3_VERSION));
  ASSERT_TRUE(visits.Visit());
  EXPECT_NE(visits.memory.Offer(visits.place, visits.profile, kTestNow), nullptr);
  EXPECT_EQ(visits.memory.Offer(visits.place, visits.profile, kTestNow), nullptr);
}

// ---- in a shard ---------------------------------------------------------------------------------

// A TLS server behind an address: answers PING with what it is told to.
class TlsPeer : public SimPeer {
 public:
  void OnBytes(SimConnection& connection, std::string_view bytes) override {
    if (!connection.state) connection.state = std::make_shared<TlsServer>(Serving(TLS1_3_VERSION));
    auto& tls = *static_cast<TlsServer*>(connection.state.get());
    const bool before = tls.open();
    std::string reply = tls.Feed(bytes);
    if (!before && tls.open()) handshakes += tls.resumed() ? 'r' : 'f';
    if (tls.received() == "PING\n") reply += tls.Write(answer);
    if (!reply.empty()) connection.Send(reply);
  }
  std::string answer = "PONG\n";
  std::string handshakes;
};

struct Stage {
  Stage() {
    SimWorld::Options options;
    options.wall = kTestNow;
    world = std::make_unique<SimWorld>(options);
    world->network().AddPeer("10.0.0.1:80", peer);
    task.mode = Mode::kAsk;
    task.use_tls = true;
    task.tls.ca_pem = Certs().ca.Pem();
    task.tls.server_name = "good.test";
    task.tls.full_handshake_every = 4;
  }
  void Runs(size_t count) {
    const size_t want = world->runs.size() + count;
    while (world->runs.size() < want && world->RunToNext(Seconds(10))) {}
  }
  std::shared_ptr<TlsPeer> peer = std::make_shared<TlsPeer>();
  std::unique_ptr<SimWorld> world;
  FakeTask task;
};

TEST(TlsSessionsInAShard, MostRunsResumeAndAreCounted) {
  Stage stage;
  stage.world->Add(stage.task.Make());
  stage.Runs(9);
  EXPECT_EQ(stage.peer->handshakes, "frrrfrrrf");
  for (const SimRun& run : stage.world->runs) EXPECT_EQ(run.result.outcome, Outcome::kOk);
  const ShardStats stats = stage.world->shard().Stats();
  EXPECT_EQ(stats.handshakes_full, 3u);
  EXPECT_EQ(stats.handshakes_resumed, 6u);
}

// Two messages until the answer: the ClientHello, and the handshake's end with the request.
TEST(TlsSessionsInAShard, AHandshakeEndsTogetherWithTheRequest) {
  Stage stage;
  int sends = 0, sends_of_run = 0;
  stage.world->on_run = [&](const RunReport&) { sends_of_run = sends; };
  stage.world->network().on_send = [&](SimConnection&, std::string_view) { ++sends; };
  stage.world->Add(stage.task.Make());
  stage.Runs(1);
  EXPECT_EQ(stage.peer->handshakes, "f");
  EXPECT_EQ(sends_of_run, 2);
}

TEST(TlsSessionsInAShard, OffUnlessAsked) {
  Stage stage;
  stage.task.tls.full_handshake_every = 1;
  stage.world->Add(stage.task.Make());
  stage.Runs(3);
  EXPECT_EQ(stage.peer->handshakes, "fff");
}

TEST(TlsSessionsInAShard, AFailureOfAnyKindIsFollowedByAFullHandshake) {
  Stage stage;
  stage.world->Add(stage.task.Make());
  stage.Runs(2);
  stage.peer->answer = "NO\n";  // the handshake resumes, the answer is not the expected one
  stage.Runs(1);
  EXPECT_NE(stage.world->runs.back().result.outcome, Outcome::kOk);
  stage.peer->answer = "PONG\n";
  stage.Runs(2);
  EXPECT_EQ(stage.peer->handshakes, "frrfr");
  stage.world->network().FailConnects(EMFILE, 1);  // nothing of the peer's
  stage.Runs(3);
  EXPECT_EQ(stage.peer->handshakes, "frrfrfr");
}

TEST(TlsSessionsInAShard, TasksDoNotShareSessions) {
  Stage stage;
  stage.world->Add(stage.task.Make());
  stage.Runs(1);
  stage.task.name = "another";
  stage.world->Add(stage.task.Make());
  stage.Runs(4);
  EXPECT_EQ(stage.world->shard().Stats().handshakes_full, 2u);
}

TEST(TlsSessionsInAShard, AChangedTaskBeginsAnew) {
  Stage stage;
  const auto record = stage.world->Add(stage.task.Make());
  stage.Runs(2);
  stage.world->Replace(record, stage.task.Make());  // equal version
  stage.Runs(1);
  stage.task.version = 2;
  stage.world->Replace(record, stage.task.Make());
  stage.Runs(2);
  EXPECT_EQ(stage.peer->handshakes, "frrfr");
}

TEST(TlsSessionsInAShard, RunsOnRequestAreFullAndChangeNothing) {
  Stage stage;
  stage.world->Add(stage.task.Make());
  stage.Runs(1);
  int answers = 0;
  for (uint64_t run = 1; run <= 2; ++run) {
    stage.world->shard().RunNow(run, stage.task.Make(), [&](Runner::Answer answer) {
      EXPECT_EQ(answer.result.outcome, Outcome::kOk);
      ++answers;
    });
    stage.world->RunFor(Milliseconds(20));
  }
  EXPECT_EQ(answers, 2);
  stage.Runs(1);
  EXPECT_EQ(stage.peer->handshakes, "fffr");
}

}  // namespace
}  // namespace sonde
