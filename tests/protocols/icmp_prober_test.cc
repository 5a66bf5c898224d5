#include "protocols/icmp_prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<ConversationDriver> Drive(std::string_view yaml, std::string_view expect = "",
                                          std::string_view target = "peer.example") {
  const ModuleText module = ReadModule(IcmpProber(), yaml);
  EXPECT_TRUE(module.module) << module.errors();
  if (!module.module) return nullptr;
  const TargetText plan = ReadTarget(IcmpProber(), target, *module.module, expect);
  EXPECT_TRUE(plan.plan) << plan.errors();
  if (!plan.plan) return nullptr;
  auto probe = std::make_unique<ConversationDriver>(IcmpProber(), module.module, plan.plan);
  probe->Start();
  return probe;
}

uint32_t StageUs(const ProbeResult& result, Stage stage) {
  return result.stage_us[static_cast<size_t>(stage)];
}
bool Reached(const ProbeResult& result, Stage stage) {
  return result.stages_reached & (1u << static_cast<unsigned>(stage));
}

// Plays a whole run: a character per packet. '+' answered, '2' answered twice, '-' silence,
// '!' somebody on the way says that the host cannot be reached. Ends with the deadline when the
// run does not end before it.
std::unique_ptr<ConversationDriver> Play(std::string_view fates, std::string_view max_loss = "0") {
  auto probe = Drive("{count: " + std::to_string(fates.size()) +
                     ", interval: 100ms, max_loss: " + std::string(max_loss) + "}");
  probe->Open();
  for (size_t i = 0; i < fates.size(); ++i) {
    if (i > 0) probe->Wake();
    EXPECT_NE(probe->SendDatagram(), "") << i;
    const auto number = static_cast<uint16_t>(i);
    if (fates[i] == '+' || fates[i] == '2') probe->ReceiveDatagram("x", number);
    if (fates[i] == '2') probe->ReceiveDatagram("x", number);
    if (fates[i] == '!') {
      probe->NetworkFails(Outcome::kConnectHostUnreachable, number, "host unreachable");
    }
  }
  if (!probe->finished()) probe->Deadline();
  return probe;
}

// ---- one packet ---------------------------------------------------------------------------------

TEST(IcmpProber, AsksForItsLeg) {
  const auto probe = Drive("{preferred_ip_protocol: ip4, dont_fragment: true}");
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().transport, Transport::kIcmp);
  EXPECT_EQ(probe->leg().host, "peer.example");
  EXPECT_EQ(probe->leg().port, 0);
  EXPECT_EQ(probe->leg().scheme, "icmp");
  EXPECT_EQ(probe->leg().tls, nullptr);
  EXPECT_EQ(probe->leg().network->preferred_family, IpFamily::kV4);
  ASSERT_NE(probe->leg().datagram, nullptr);
  EXPECT_EQ(probe->leg().datagram->ttl, 64);
  EXPECT_EQ(probe->leg().datagram->fragments, DatagramOptions::Fragments::kForbidden);
  EXPECT_FALSE(probe->task().plan->needs_descriptor);
  EXPECT_FALSE(probe->task().plan->needs_handshake);
  EXPECT_EQ(probe->task().plan->destination, "peer.example");
  EXPECT_EQ(probe->task().plan->needs_longer_than, Duration{});
}

TEST(IcmpProber, SmallPacketsNeedNoDividing) {
  using Fragments = DatagramOptions::Fragments;
  const std::pair<const char*, Fragments> kCases[] = {
      {"{}", Fragments::kNeedless},
      {"{payload_size: 548}", Fragments::kNeedless},  // 576 bytes with IPv4's header and ICMP's
      {"{payload_size: 549}", Fragments::kAllowed},
      {"{payload_size: 549, dont_fragment: true}", Fragments::kForbidden},
      {"{payload_size: 8, dont_fragment: true}", Fragments::kForbidden},
  };
  for (const auto& [options, fragments] : kCases) {
    EXPECT_EQ(Drive(options)->leg().datagram->fragments, fragments) << options;
  }
}

TEST(IcmpProber, AnAnswerPasses) {
  const auto probe = Drive("");
  probe->Open();
  EXPECT_FALSE(probe->step().wake_at.stamped());  // until the deadline
  EXPECT_EQ(probe->SendDatagram(), "(cookie)sonde: echo request.");
  probe->Advance(Milliseconds(4));
  probe->ReceiveDatagram("whatever", 0, 61, StampClock::kKernel);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_FALSE(probe->step().reusable);
  EXPECT_EQ(probe->Sent(), "");
  const ProbeResult& result = probe->result();
  const FactSet& facts = result.facts;
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kIcmpResolve), 0.001);
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kIcmpSetup), 0.003);  // opening the leg, and until it was sent
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kIcmpRtt), 0.005);
  EXPECT_EQ(*facts.Get(Fact::kIcmpReplyHopLimit), 61);
  EXPECT_EQ(*facts.Get(Fact::kIcmpSent), 1);
  EXPECT_EQ(*facts.Get(Fact::kIcmpReceived), 1);
  EXPECT_EQ(*facts.Get(Fact::kIcmpDuplicates), 0);
  EXPECT_EQ(*facts.Get(Fact::kIcmpLoss), 0);
  for (const Fact fact : {Fact::kIcmpRttMin, Fact::kIcmpRttAvg, Fact::kIcmpRttMax}) {
    EXPECT_DOUBLE_EQ(*facts.Get(fact), 0.005);
  }
  EXPECT_FALSE(facts.Has(Fact::kIcmpRttStddev));  // of one there is none
  EXPECT_FALSE(facts.Has(Fact::kIcmpJitter));
  EXPECT_EQ(*facts.Get(Fact::kKernelStamps), 1);
  EXPECT_EQ(*facts.Get(Fact::kIpProtocol), 4);
  EXPECT_EQ(*facts.Get(Fact::kIpAddrHash), 1969986452);
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kDnsLookupTime), 0.001);
  EXPECT_EQ(StageUs(result, Stage::kResolve), 1000u);
  EXPECT_EQ(StageUs(result, Stage::kWait), 5000u);
  EXPECT_FALSE(Reached(result, Stage::kConnect));
  EXPECT_FALSE(Reached(result, Stage::kTransfer));
  EXPECT_EQ(result.texts_hash, 0u);
  EXPECT_TRUE(probe->texts().empty());
  EXPECT_EQ(probe->evidence().peer.Host(), "192.0.2.1");
  EXPECT_EQ(probe->evidence().detail, "");
  EXPECT_EQ(probe->buffers().borrowed(), 0u);
}

TEST(IcmpProber, HopLimitAndStampsOnlyWhenKnown) {
  const auto probe = Drive("");
  probe->Open();
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 0, -1, StampClock::kUser);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_FALSE(probe->result().facts.Has(Fact::kIcmpReplyHopLimit));
  EXPECT_EQ(*probe->result().facts.Get(Fact::kKernelStamps), 0);
}

TEST(IcmpProber, SilenceIsATimeout) {
  const auto probe = Drive("");
  probe->Open();
  probe->SendDatagram();
  probe->Advance(Milliseconds(99));
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kFirstByteTimeout);
  const ProbeResult& result = probe->result();
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpSent), 1);
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpReceived), 0);
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpLoss), 1);
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpRtt), 0);
  for (const Fact fact : {Fact::kIcmpReplyHopLimit, Fact::kIcmpRttMin, Fact::kIcmpRttAvg,
                          Fact::kIcmpRttMax, Fact::kKernelStamps}) {
    EXPECT_FALSE(result.facts.Has(fact)) << Info(fact).family;
  }
  EXPECT_EQ(StageUs(result, Stage::kWait), 100'000u);  // where the time went
  EXPECT_EQ(probe->evidence().detail, "");
}

TEST(IcmpProber, AnErrorEndsTheProbeWithItsReason) {
  for (const Outcome outcome :
       {Outcome::kConnectHostUnreachable, Outcome::kConnectNetworkUnreachable,
        Outcome::kConnectDenied, Outcome::kConnectTtlExceeded, Outcome::kConnectTooBig,
        Outcome::kConnectError}) {
    const auto probe = Drive("");
    probe->Open();
    probe->SendDatagram();
    probe->NetworkFails(outcome, 0, "told so");
    EXPECT_EQ(probe->outcome(), outcome);
    EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpLoss), 1);
    EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpSent), 1);
    EXPECT_EQ(probe->evidence().detail, "192.0.2.1 says: told so");
  }
}

TEST(IcmpProber, AnErrorWithoutWordsHasTheReasonsSentence) {
  const auto probe = Drive("");
  probe->Open();
  probe->SendDatagram();
  probe->NetworkFails(Outcome::kConnectTtlExceeded);
  EXPECT_EQ(probe->evidence().detail, "192.0.2.1 says: the packet's hop limit ran out on the way");
}

// The machine refuses to send: no route. It was asked to, so it counts.
TEST(IcmpProber, WhatCouldNotBeSentIsLost) {
  const auto probe = Drive("");
  probe->Open();
  probe->NetworkFails(Outcome::kConnectNetworkUnreachable, 0, "Network is unreachable");
  EXPECT_EQ(probe->outcome(), Outcome::kConnectNetworkUnreachable);
  const ProbeResult& result = probe->result();
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpSent), 1);
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpLoss), 1);
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpSetup), 0.003);  // until it could not
  EXPECT_FALSE(Reached(result, Stage::kWait));
}

TEST(IcmpProber, OurOwnTroubleIsNoLoss) {
  for (const std::string_view yaml : {"", "count: 5"}) {
    const auto probe = Drive(yaml);
    probe->Open();
    probe->NetworkFails(Outcome::kProberMemory, 0, "No buffer space available");
    EXPECT_EQ(probe->outcome(), Outcome::kProberMemory);
    EXPECT_FALSE(probe->result().facts.Has(Fact::kIcmpSent));
    EXPECT_FALSE(probe->result().facts.Has(Fact::kIcmpLoss));
    EXPECT_THAT(probe->evidence().detail, HasSubstr("No buffer space"));
  }
}

// Our own trouble wins over what the network said before.
TEST(IcmpProber, OurOwnTroubleGivesItsOwnWords) {
  const auto probe = Drive("{count: 3, interval: 10ms}");
  probe->Open();
  probe->SendDatagram();
  probe->NetworkFails(Outcome::kConnectHostUnreachable, 0, "host unreachable");
  probe->Wake();
  probe->NetworkFails(Outcome::kProberMemory, 1, "No buffer space available");
  EXPECT_EQ(probe->outcome(), Outcome::kProberMemory);
  EXPECT_THAT(probe->evidence().detail, HasSubstr("No buffer space"));
}

TEST(IcmpProber, ALegThatFails) {
  const auto unknown = Drive("");
  unknown->FailLeg(Outcome::kDnsNotFound, LegFailure::kResolve, {}, "no such name");
  EXPECT_EQ(unknown->outcome(), Outcome::kDnsNotFound);
  const FactSet& facts = unknown->result().facts;
  EXPECT_EQ(*facts.Get(Fact::kIpProtocol), 0);
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kDnsLookupTime), 0.001);
  EXPECT_EQ(*facts.Get(Fact::kIcmpResolve), 0);  // stays 0 when resolving failed
  EXPECT_EQ(*facts.Get(Fact::kIcmpSetup), 0);
  EXPECT_EQ(*facts.Get(Fact::kIcmpRtt), 0);
  EXPECT_FALSE(facts.Has(Fact::kIcmpSent));
  EXPECT_EQ(StageUs(unknown->result(), Stage::kResolve), 1000u);
  EXPECT_EQ(unknown->evidence().detail, "no such name");

  const auto denied = Drive("");
  denied->FailLeg(Outcome::kProberConfig, LegFailure::kConnect, {}, "no raw sockets here");
  EXPECT_EQ(denied->outcome(), Outcome::kProberConfig);
  EXPECT_DOUBLE_EQ(*denied->result().facts.Get(Fact::kIcmpResolve), 0.001);
  EXPECT_EQ(*denied->result().facts.Get(Fact::kIpProtocol), 4);
  EXPECT_EQ(denied->evidence().detail, "no raw sockets here");

  const auto refused = Drive("");
  refused->FailLeg(Outcome::kProberPolicy, LegFailure::kBeforeResolve);
  EXPECT_FALSE(refused->result().facts.Has(Fact::kDnsLookupTime));
  EXPECT_EQ(*refused->result().facts.Get(Fact::kIcmpResolve), 0);  // always there
}

TEST(IcmpProber, AReportWithoutAnything) {
  const auto probe = Drive("");
  const FactSet& facts = probe->result().facts;
  for (const Fact fact : {Fact::kIcmpResolve, Fact::kIcmpSetup, Fact::kIcmpRtt}) {
    EXPECT_EQ(*facts.Get(fact), 0);
  }
  EXPECT_EQ(facts.size(), 3u);
  EXPECT_EQ(probe->evidence().detail, "");
}

TEST(IcmpProber, AnswersToNothingAreNobodys) {
  const auto probe = Drive("");
  probe->Open();
  probe->ReceiveDatagram("x", 0);  // before it was sent
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 1);
  probe->NetworkFails(Outcome::kConnectHostUnreachable, 7);
  EXPECT_FALSE(probe->finished());
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kFirstByteTimeout);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpDuplicates), 0);
}

// ---- several packets ----------------------------------------------------------------------------

struct Case {
  std::string_view fates, max_loss;
  Outcome outcome;
  std::string_view detail;
};

constexpr Outcome kUnreachable = Outcome::kConnectHostUnreachable;
constexpr Case kCases[] = {
    {"+++++", "0", Outcome::kOk, "5 of 5 answered"},
    {"++2++", "0", Outcome::kOk, "5 of 5 answered"},
    {"+++-+", "0", Outcome::kValidationLoss, "4 of 5 answered"},
    {"+++-+", "20%", Outcome::kOk, "4 of 5 answered"},
    {"+-+-+", "20%", Outcome::kValidationLoss, "3 of 5 answered"},
    {"+-+-+", "0.4", Outcome::kOk, "3 of 5 answered"},
    {"+-+-+", "39%", Outcome::kValidationLoss, "3 of 5 answered"},
    {"-----", "0", Outcome::kFirstByteTimeout, "0 of 5 answered"},
    {"-----", "100%", Outcome::kFirstByteTimeout, "0 of 5 answered"},  // one must be
    {"----+", "100%", Outcome::kOk, "1 of 5 answered"},
    {"+----", "100%", Outcome::kOk, "1 of 5 answered"},
    {"-+++++++++", "10%", Outcome::kOk, "9 of 10 answered"},
    {"--++++++++", "10%", Outcome::kValidationLoss, "8 of 10 answered"},
    {"!!!!!", "0", kUnreachable, "0 of 5 answered; 192.0.2.1 says: host unreachable"},
    {"!!!!!", "100%", kUnreachable, "0 of 5 answered; 192.0.2.1 says: host unreachable"},
    {"--!--", "0", kUnreachable, "0 of 5 answered; 192.0.2.1 says: host unreachable"},
    {"+!+++", "20%", Outcome::kOk, "4 of 5 answered; 192.0.2.1 says: host unreachable"},
    {"+!+!+", "20%", Outcome::kValidationLoss, "3 of 5 answered; 192.0.2.1 says: host unreachable"},
    {"+!-++", "40%", Outcome::kOk, "3 of 5 answered; 192.0.2.1 says: host unreachable"},
    {"++", "0", Outcome::kOk, "2 of 2 answered"},
    {"+-", "0", Outcome::kValidationLoss, "1 of 2 answered"},
    {"+-", "50%", Outcome::kOk, "1 of 2 answered"},
};

TEST(IcmpProber, LossDecides) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::string(c.fates) + " max " + std::string(c.max_loss));
    const auto probe = Play(c.fates, c.max_loss);
    EXPECT_EQ(probe->outcome(), c.outcome) << OutcomeName(probe->outcome());
    EXPECT_EQ(probe->evidence().detail, c.detail);
    size_t answered = 0, doubled = 0;
    for (const char fate : c.fates) {
      answered += fate == '+' || fate == '2';
      doubled += fate == '2';
    }
    const auto count = static_cast<double>(c.fates.size());
    const auto received = static_cast<double>(answered);
    const FactSet& facts = probe->result().facts;
    EXPECT_EQ(*facts.Get(Fact::kIcmpSent), count);
    EXPECT_EQ(*facts.Get(Fact::kIcmpReceived), received);
    EXPECT_EQ(*facts.Get(Fact::kIcmpDuplicates), doubled);
    EXPECT_DOUBLE_EQ(*facts.Get(Fact::kIcmpLoss), (count - received) / count);
    EXPECT_EQ(facts.Has(Fact::kIcmpRttMin), answered > 0);
    EXPECT_EQ(facts.Has(Fact::kIcmpRttStddev), answered > 1);
    EXPECT_EQ(facts.Has(Fact::kKernelStamps), answered > 0);
    const bool passed = c.outcome == Outcome::kOk;
    EXPECT_EQ(facts.Has(Fact::kIcmpReplyHopLimit), passed);
    EXPECT_EQ(*facts.Get(Fact::kIcmpRtt) > 0, passed);
    EXPECT_EQ(probe->task().plan->needs_longer_than,
              Milliseconds(100) * static_cast<int64_t>(c.fates.size() - 1));
  }
}

TEST(IcmpProber, EndsWhenTheLastPacketIsAccountedFor) {
  EXPECT_TRUE(Play("+!")->finished());
  const auto probe = Drive("{count: 2, interval: 10ms, max_loss: 50%}");
  probe->Open();
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 0);
  EXPECT_FALSE(probe->finished());  // enough for max_loss, but the loss is a number people want
  probe->Wake();
  probe->SendDatagram();
  EXPECT_FALSE(probe->finished());
  probe->NetworkFails(Outcome::kConnectHostUnreachable, 1);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(IcmpProber, StatisticsOfTheTimes) {
  const auto probe = Drive("{count: 3, interval: 100ms}");
  probe->pause = Duration{};
  probe->Open();
  const int64_t times[] = {10, 16, 12};
  const int hops[] = {60, 61, 62};
  for (uint16_t i = 0; i < 3; ++i) {
    if (i > 0) probe->Wake();
    probe->SendDatagram();
    probe->Advance(Milliseconds(times[i]));
    probe->ReceiveDatagram("x", i, hops[i], i == 1 ? StampClock::kUser : StampClock::kKernel);
  }
  ASSERT_EQ(probe->outcome(), Outcome::kOk);
  const ProbeResult& result = probe->result();
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kIcmpRttMin), 0.010);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kIcmpRttAvg), 0.012666666);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kIcmpRtt), 0.012666666);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kIcmpRttMax), 0.016);
  EXPECT_NEAR(*result.facts.Get(Fact::kIcmpRttStddev), 0.002494438, 1e-9);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kIcmpJitter), 0.005);
  EXPECT_EQ(*result.facts.Get(Fact::kIcmpReplyHopLimit), 62);  // of the latest answer
  EXPECT_EQ(*result.facts.Get(Fact::kKernelStamps), 0);        // not every one
  EXPECT_EQ(StageUs(result, Stage::kWait), 212'000u);          // first request to last answer
}

TEST(IcmpProber, ADuplicateIsNoAnswerToAnother) {
  const auto probe = Drive("{count: 2, interval: 10ms}");
  probe->Open();
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 0, 60);
  probe->ReceiveDatagram("x", 0, 33);
  probe->Wake();
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 0, 33);
  EXPECT_FALSE(probe->finished());
  probe->ReceiveDatagram("x", 1, 60);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpDuplicates), 2);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpReceived), 2);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpReplyHopLimit), 60);
}

// ---- time ---------------------------------------------------------------------------------------

TEST(IcmpProber, PacketsKeepTheirDistance) {
  const auto probe = Drive("{count: 4, interval: 200ms}");
  probe->Open();
  const Instant opened = probe->now();
  EXPECT_EQ(probe->step().wake_at, opened + Milliseconds(200));
  probe->SendDatagram();
  // What comes in between does not lose the appointment.
  probe->ReceiveDatagram("x", 0);
  EXPECT_EQ(probe->step().wake_at, opened + Milliseconds(200));
  // Woken late, by a prober that stood still: the next one is a whole interval away.
  probe->Advance(Milliseconds(950));
  const Instant late = probe->now();
  probe->Wake();
  EXPECT_EQ(probe->step().wake_at, late + Milliseconds(200));
  EXPECT_NE(probe->SendDatagram(), "");
  probe->Wake();
  EXPECT_NE(probe->SendDatagram(), "");
  probe->Wake();
  EXPECT_NE(probe->SendDatagram(), "");
  EXPECT_FALSE(probe->step().wake_at.stamped());  // the last one has until the deadline
}

TEST(IcmpProber, AWakeBeforeItsTimeSendsNothing) {
  const auto probe = Drive("{count: 2, interval: 1s}");
  probe->Open();
  const Instant due = probe->step().wake_at;
  probe->SendDatagram();
  ConversationDriver& early = *probe;
  early.ReceiveDatagram("x", 0);
  EXPECT_EQ(early.Sent(), "");
  EXPECT_EQ(early.step().wake_at, due);
}

// A request that is still on its way out is not joined by the next one.
TEST(IcmpProber, OneMessageAtATime) {
  const auto probe = Drive("{count: 2, interval: 50ms, wait: 100ms, payload_size: 9}");
  probe->Open();
  probe->Wake();
  EXPECT_EQ(probe->step().wake_at, probe->now() + Milliseconds(50));
  EXPECT_EQ(probe->SendDatagram().size(), 9u);
  probe->Wake();
  probe->Wake();  // the last one was not sent yet, so its wait has not begun
  EXPECT_FALSE(probe->finished());
  EXPECT_EQ(probe->step().wake_at, probe->now() + Milliseconds(100));
  EXPECT_EQ(probe->SendDatagram().size(), 9u);
  probe->Wake();
  EXPECT_EQ(probe->outcome(), Outcome::kFirstByteTimeout);
}

TEST(IcmpProber, WaitEndsTheRunEarly) {
  const auto silent = Drive("wait: 300ms");
  silent->Open();
  EXPECT_EQ(silent->step().wake_at, silent->now() + Milliseconds(300));
  silent->SendDatagram();
  silent->Wake();
  EXPECT_EQ(silent->outcome(), Outcome::kFirstByteTimeout);

  const auto some = Drive("{count: 3, interval: 50ms, wait: 300ms, max_loss: 34%}");
  some->Open();
  some->SendDatagram();
  some->ReceiveDatagram("x", 0);
  some->Wake();
  some->SendDatagram();
  some->Wake();
  some->SendDatagram();
  EXPECT_EQ(some->step().wake_at, some->now() - some->pause + Milliseconds(300));
  some->ReceiveDatagram("x", 2);
  some->Wake();
  EXPECT_EQ(some->outcome(), Outcome::kOk);
  EXPECT_DOUBLE_EQ(*some->result().facts.Get(Fact::kIcmpLoss), 1.0 / 3);
}

// What the deadline left no time for is not lost.
TEST(IcmpProber, LossIsOfWhatWasSent) {
  const auto probe = Drive("{count: 5, interval: 1s}");
  probe->Open();
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 0);
  probe->Wake();
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 1);
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpSent), 2);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kIcmpLoss), 0);
  EXPECT_EQ(probe->evidence().detail, "2 of 2 answered");
}

// ---- options ------------------------------------------------------------------------------------

std::string Payload(std::string_view yaml) {
  const auto probe = Drive(yaml);
  probe->Open();
  return probe->SendDatagram();
}

TEST(IcmpOptions, PayloadIsCutOrFilledUp) {
  const std::string whole = "(cookie)sonde: echo request.";
  EXPECT_EQ(Payload("payload_size: 0"), whole);
  EXPECT_EQ(Payload("payload_size: 28"), whole);
  EXPECT_EQ(Payload("payload_size: 1"), "(");
  EXPECT_EQ(Payload("payload_size: 12"), "(cookie)sond");
  EXPECT_EQ(Payload("payload_size: 30"), whole + std::string(2, '\0'));
  EXPECT_EQ(Payload("payload_size: 65000").size(), 65'000u);
}

TEST(IcmpOptions, RefusesNonsense) {
  struct Bad {
    std::string_view yaml, said;
  };
  constexpr Bad kBad[] = {
      {"ttl: -1", "\"ttl\" cannot be negative"},
      {"ttl: 256", "\"ttl\" cannot exceed 255"},
      {"ttl: '64'", "ttl"},
      {"payload_size: -1", "\"payload_size\" cannot be negative"},
      {"payload_size: 65001", "\"payload_size\" cannot exceed 65000"},
      {"count: 0", "count"},
      {"count: 256", "count"},
      {"interval: 9ms", "must be at least 10ms"},
      {"interval: -1s", "must be at least 10ms"},
      {"interval: 1", "interval"},
      {"wait: 0s", "must be above 0"},
      {"wait: -1s", "must be above 0"},
      {"max_loss: 20", "a share such as 20% or 0.2"},
      {"max_loss: 101%", "a share such as 20% or 0.2"},
      {"max_loss: -0.1", "a share such as 20% or 0.2"},
      {"max_loss: .nan", "a share such as 20% or 0.2"},
      {"max_loss: [1]", "max_loss"},
      {"dont_fragment: maybe", "dont_fragment"},
      {"tls_config: {}", "unknown key 'tls_config'"},
  };
  for (const Bad& bad : kBad) {
    const ModuleText read = ReadModule(IcmpProber(), bad.yaml);
    EXPECT_FALSE(read.module) << bad.yaml;
    EXPECT_THAT(read.errors(), HasSubstr(std::string(bad.said))) << bad.yaml;
  }
}

TEST(IcmpOptions, TakesTheEdges) {
  for (const std::string_view yaml :
       {"ttl: 0", "ttl: 1", "ttl: 255", "count: 1", "count: 255", "interval: 10ms", "wait: 1ns",
        "max_loss: 0", "max_loss: 1", "max_loss: 100%", "max_loss: '20%'", "payload_size: 65000",
        "{source_ip_address: '::1', source_interface: eth1, dscp: 46, resolver: {cache: false}}"}) {
    const ModuleText read = ReadModule(IcmpProber(), yaml);
    EXPECT_TRUE(read.module) << read.errors();
    EXPECT_EQ(read.errors(), "");
  }
  EXPECT_EQ(Drive("ttl: 0")->leg().datagram->ttl, 0);
  EXPECT_THAT(ReadModule(IcmpProber(), "close: reset").errors(), HasSubstr("has no effect"));
}

TEST(IcmpOptions, ContentHashFollowsTheBlock) {
  const auto hash = [](std::string_view yaml) {
    return ReadModule(IcmpProber(), yaml).module->content_hash;
  };
  EXPECT_EQ(hash(""), hash("{}"));
  EXPECT_EQ(hash("{count: 2, ttl: 3}"), hash("{ttl: 3, count: 2}"));
  EXPECT_NE(hash("count: 2"), hash("count: 3"));
}

TEST(IcmpOptions, Targets) {
  const ModuleText module = ReadModule(IcmpProber(), "");
  for (const std::string_view good :
       {"peer.example", "127.0.0.1", "::1", "2001:DB8::1", "fe80::1%1", "_srv.example.",
        "b\xc3\xbc"
        "cher.example"}) {
    EXPECT_TRUE(ReadTarget(IcmpProber(), good, *module.module).plan) << good;
  }
  for (const std::string_view bad :
       {"", "peer.example:80", "127.0.0.1:0", "[::1]", "[::1]:0", "http://peer.example/", "a b",
        "a/b", "u@h", "a\nb", "::1::", "1:2"}) {
    const TargetText read = ReadTarget(IcmpProber(), bad, *module.module);
    EXPECT_FALSE(read.plan) << bad;
    EXPECT_THAT(read.errors(), HasSubstr("not a host name or address")) << bad;
  }
  EXPECT_TRUE(ReadTarget(IcmpProber(), std::string(255, 'a'), *module.module).plan);
  EXPECT_FALSE(ReadTarget(IcmpProber(), std::string(256, 'a'), *module.module).plan);
  EXPECT_EQ(ReadTarget(IcmpProber(), "2001:DB8::1", *module.module).plan->destination,
            "2001:db8::1");
}

TEST(IcmpOptions, ExpectOverridesTheModule) {
  const auto probe = Drive("{count: 2, interval: 10ms}", "max_loss: 50%");
  probe->Open();
  probe->SendDatagram();
  probe->ReceiveDatagram("x", 0);
  probe->Wake();
  probe->SendDatagram();
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kOk);

  const ModuleText module = ReadModule(IcmpProber(), "");
  for (const std::string_view bad : {"max_loss: 20", "status: 200", "max_rtt: 5ms"}) {
    EXPECT_FALSE(ReadTarget(IcmpProber(), "h", *module.module, bad).plan) << bad;
  }
}

}  // namespace
}  // namespace sonde
