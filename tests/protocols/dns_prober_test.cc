#include "protocols/dns_prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "protocols/dns_conversation.h"
#include "tests/protocols/dns_probe.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

constexpr char kTcp[] = "{query_name: www.example, query_type: A, transport_protocol: tcp}";
constexpr char kTls[] = "{query_name: www.example, transport_protocol: tcp, dns_over_tls: true}";

uint32_t StageUs(const ProbeResult& result, Stage stage) {
  return result.stage_us[static_cast<size_t>(stage)];
}

double Get(ConversationDriver& probe, Fact fact) {
  return probe.result().facts.Get(fact).value_or(-1);
}

std::string Sample(std::string_view query) { return DnsAnswer(query).A("192.0.2.7").Text(); }

TEST(DnsProber, AsksOverUdp) {
  const auto probe = MakeDnsProbe({.module = "{query_name: www.example, query_type: A}"});
  probe->Start();
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().transport, Transport::kUdp);
  EXPECT_EQ(probe->leg().host, "192.0.2.53");
  EXPECT_EQ(probe->leg().port, 53);
  EXPECT_EQ(probe->leg().scheme, "dns");
  EXPECT_EQ(probe->leg().tls, nullptr);
  EXPECT_EQ(probe->leg().datagram, nullptr);
  LegScript leg;
  leg.token = 0xabcd;
  probe->Open(leg);
  EXPECT_EQ(probe->step().kind, Step::Kind::kMore);
  EXPECT_FALSE(probe->step().wake_at.stamped());  // nothing is sent twice
  EXPECT_EQ(probe->SendDatagram(), std::string("\xab\xcd\1\0\0\1\0\0\0\0\0\0", 12) +
                                       DnsQuestion(WireName("www.example"), 1, 1));
}

TEST(DnsProber, AnswersPass) {
  std::string query;
  const auto probe = AskDnsProbe({.module = "{query_name: www.example, query_type: A}"}, &query);
  probe->Advance(Milliseconds(4));
  probe->ReceiveDatagram(
      DnsAnswer(query).A("192.0.2.7").A("192.0.2.8").Add(1, 2, "\x02ns\xc0\x10").Text());
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  const ProbeResult& result = probe->result();
  EXPECT_EQ(Get(*probe, Fact::kDnsAnswerRrs), 2);
  EXPECT_EQ(Get(*probe, Fact::kDnsAuthorityRrs), 1);
  EXPECT_EQ(Get(*probe, Fact::kDnsAdditionalRrs), 0);
  EXPECT_EQ(Get(*probe, Fact::kDnsQuerySucceeded), 1);
  EXPECT_FALSE(result.facts.Has(Fact::kDnsSerial));
  EXPECT_EQ(Get(*probe, Fact::kDnsRcode), 0);
  EXPECT_EQ(Get(*probe, Fact::kDnsTruncated), 0);
  EXPECT_EQ(Get(*probe, Fact::kKernelStamps), 0);
  EXPECT_EQ(Get(*probe, Fact::kDnsResponseBytes), 29 + 16 + 16 + 17);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsLookupTime), 0.001);
  EXPECT_EQ(Get(*probe, Fact::kIpProtocol), 4);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsResolve), 0.001);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsConnect), 0.003);  // up to the moment it was sent
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsRequest), 0.005);  // sent to received
  EXPECT_EQ(StageUs(result, Stage::kWait), 5000u);
  EXPECT_EQ(StageUs(result, Stage::kTransfer), 0u);
  EXPECT_EQ(result.texts_hash, 0u);
  EXPECT_EQ(probe->evidence().head,
            "id 4660: NOERROR rd ra; answer 2, authority 1, additional 0; 78 bytes, udp");
  EXPECT_EQ(probe->evidence().body,
            "www.example.\t60\tIN\tA\t192.0.2.7\n"
            "www.example.\t60\tIN\tA\t192.0.2.8\n"
            "www.example.\t60\tIN\tNS\tns.example.\n");
  EXPECT_EQ(probe->evidence().peer.HostPort(), "192.0.2.1:53");
  EXPECT_EQ(probe->evidence().detail, "");
}

TEST(DnsProber, KernelStampsAreTold) {
  std::string query;
  const auto probe = AskDnsProbe({}, &query);
  probe->ReceiveDatagram(Sample(query), 0, 64, StampClock::kKernel);
  EXPECT_EQ(Get(*probe, Fact::kKernelStamps), 1);
}

// The kernel's stamp of sending follows that of the system call, and lies before it.
TEST(DnsProber, TheLastStampOfSendingCounts) {
  std::string query;
  const auto probe = AskDnsProbe({}, &query);  // told of the sending at 4 ms
  probe->StampDatagram(0, probe->now() - Microseconds(500));
  probe->StampDatagram(1, probe->now());  // another one's
  probe->ReceiveDatagram(Sample(query));
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsConnect), 0.0025);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsRequest), 0.0015);
}

TEST(DnsProber, SerialsOfSoaQueries) {
  std::string query;
  const auto probe = AskDnsProbe({.module = "{query_name: www.example, query_type: SOA}"}, &query);
  probe->ReceiveDatagram(DnsAnswer(query).Soa(2024010101).Text());
  EXPECT_EQ(Get(*probe, Fact::kDnsSerial), 2024010101);
  const auto none = AskDnsProbe({.module = "{query_name: www.example, query_type: SOA}"}, &query);
  none->ReceiveDatagram(Sample(query));
  EXPECT_EQ(Get(*none, Fact::kDnsSerial), 0);
  const auto other = AskDnsProbe({}, &query);
  other->ReceiveDatagram(DnsAnswer(query).Soa(1).Text());
  EXPECT_FALSE(other->result().facts.Has(Fact::kDnsSerial));
}

// ---- what is there at each stage of failing (blackbox_contract 7.5) -----------------------------

struct Presence {
  bool address;     // the families of section 6
  double protocol;  // probe_ip_protocol, when they are there
  double resolve, connect, request;
  double succeeded;
  bool serial;
};

void ExpectPresence(ConversationDriver& probe, const Presence& want, const char* stage) {
  const FactSet& facts = probe.result().facts;
  for (const Fact fact : {Fact::kDnsLookupTime, Fact::kIpProtocol, Fact::kIpAddrHash}) {
    EXPECT_EQ(facts.Has(fact), want.address) << stage;
  }
  if (want.address) { EXPECT_EQ(Get(probe, Fact::kIpProtocol), want.protocol) << stage; }
  EXPECT_DOUBLE_EQ(Get(probe, Fact::kDnsResolve), want.resolve) << stage;
  EXPECT_DOUBLE_EQ(Get(probe, Fact::kDnsConnect), want.connect) << stage;
  EXPECT_DOUBLE_EQ(Get(probe, Fact::kDnsRequest), want.request) << stage;
  EXPECT_EQ(Get(probe, Fact::kDnsQuerySucceeded), want.succeeded) << stage;
  EXPECT_EQ(facts.Has(Fact::kDnsSerial), want.serial) << stage;
  if (want.succeeded == 0) {
    for (const Fact fact : {Fact::kDnsAnswerRrs, Fact::kDnsAuthorityRrs, Fact::kDnsAdditionalRrs}) {
      EXPECT_EQ(Get(probe, fact), 0) << stage;
    }
    for (const Fact fact : {Fact::kDnsRcode, Fact::kDnsResponseBytes, Fact::kDnsTruncated}) {
      EXPECT_FALSE(facts.Has(fact)) << stage;
    }
  }
}

TEST(DnsProber, PresenceAtEachStage) {
  const std::string soa = "query_name: www.example, query_type: SOA";
  std::string query;

  const auto transport = MakeDnsProbe({.module = "{" + soa + ", transport_protocol: x}"});
  transport->Start();
  EXPECT_EQ(transport->outcome(), Outcome::kProberConfig);
  ExpectPresence(*transport, {false, 0, 0, 0, 0, 0, false}, "transport");

  const auto policy = MakeDnsProbe({.module = "{" + soa + "}"});
  policy->Start();
  policy->FailLeg(Outcome::kProberPolicy, LegFailure::kBeforeResolve);
  ExpectPresence(*policy, {false, 0, 0, 0, 0, 0, false}, "policy");

  const auto resolve = MakeDnsProbe({.module = "{" + soa + "}"});
  resolve->Start();
  resolve->FailLeg(Outcome::kDnsNotFound, LegFailure::kResolve);
  EXPECT_EQ(resolve->outcome(), Outcome::kDnsNotFound);
  ExpectPresence(*resolve, {true, 0, 0, 0, 0, 0, false}, "resolve");
  EXPECT_DOUBLE_EQ(Get(*resolve, Fact::kDnsLookupTime), 0.001);

  const auto over_udp = MakeDnsProbe({.module = "{" + soa + ", dns_over_tls: true}"});
  over_udp->Start();
  over_udp->Open();
  EXPECT_EQ(over_udp->outcome(), Outcome::kProberConfig);
  EXPECT_EQ(over_udp->Sent(), "");
  ExpectPresence(*over_udp, {true, 4, 0.001, 0.002, 0, 0, false}, "TLS over UDP");

  const auto refused = MakeDnsProbe({.module = "{" + soa + ", transport_protocol: tcp}"});
  refused->Start();
  refused->FailLeg(Outcome::kConnectRefused, LegFailure::kConnect, {}, "Connection refused");
  EXPECT_EQ(refused->outcome(), Outcome::kConnectRefused);
  ExpectPresence(*refused, {true, 4, 0.001, 0.002, 0, 0, false}, "connect");
  EXPECT_EQ(refused->evidence().detail, "Connection refused");

  const auto tls =
      MakeDnsProbe({.module = "{" + soa + ", transport_protocol: tcp, dns_over_tls: true}"});
  tls->Start();
  tls->FailLeg(Outcome::kTlsUntrusted, LegFailure::kTls);
  EXPECT_EQ(tls->outcome(), Outcome::kTlsUntrusted);
  ExpectPresence(*tls, {true, 4, 0.001, 0.005, 0, 0, false}, "TLS");
  EXPECT_FALSE(tls->result().facts.Has(Fact::kCertExpiry));  // no TLS families
  EXPECT_TRUE(tls->texts().empty());

  const auto silent = AskDnsProbe({.module = "{" + soa + "}"}, &query);
  silent->Advance(Milliseconds(98));
  silent->Deadline();
  EXPECT_EQ(silent->outcome(), Outcome::kFirstByteTimeout);
  ExpectPresence(*silent, {true, 4, 0.001, 0.003, 0.099, 0, false}, "silent");

  const auto malformed = AskDnsProbe({.module = "{" + soa + "}"}, &query);
  malformed->ReceiveDatagram(query.substr(0, 11));
  EXPECT_EQ(malformed->outcome(), Outcome::kBodyMalformed);
  ExpectPresence(*malformed, {true, 4, 0.001, 0.003, 0.001, 0, false}, "malformed");

  const auto rcode = AskDnsProbe({.module = "{" + soa + "}"}, &query);
  rcode->ReceiveDatagram(DnsAnswer(query).Rcode(3).Soa(7, 1).Text());
  EXPECT_EQ(rcode->outcome(), Outcome::kValidationRcode);
  ExpectPresence(*rcode, {true, 4, 0.001, 0.003, 0.001, 1, true}, "rcode");
  EXPECT_EQ(Get(*rcode, Fact::kDnsAuthorityRrs), 1);
}

TEST(DnsProber, TimeUpOnTheWayIsReportedToo) {
  const auto probe = MakeDnsProbe({.module = kTcp});
  probe->Start();
  probe->FailLeg(Outcome::kConnectTimeout, LegFailure::kConnect);
  EXPECT_EQ(probe->outcome(), Outcome::kConnectTimeout);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsConnect), 0.002);
}

// ---- UDP: answers that are none -----------------------------------------------------------------

TEST(DnsProber, AnotherQuestionIsIgnored) {
  std::string query;
  const auto probe = AskDnsProbe({}, &query);
  const std::string other =
      DnsAnswer(query).Question(DnsQuestion(WireName("other"), 255, 1)).Text();
  probe->ReceiveDatagram(other);
  EXPECT_EQ(probe->step().kind, Step::Kind::kMore);
  probe->ReceiveDatagram(Sample(query));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);

  const auto late = AskDnsProbe({}, &query);
  late->ReceiveDatagram(other);
  late->ReceiveDatagram(other);
  late->Deadline();
  EXPECT_EQ(late->outcome(), Outcome::kFirstByteWrongQuestion);
  EXPECT_EQ(late->evidence().detail, "answers that are none: 2 to another question");
  EXPECT_EQ(Get(*late, Fact::kDnsQuerySucceeded), 0);
}

TEST(DnsProber, StraysAreToldApart) {
  std::string query;
  const Address foreign = *Address::ParseLiteral("192.0.2.99", 53);
  const auto play = [&](bool question, bool id, bool from) {
    auto probe = AskDnsProbe({}, &query);
    if (from) { EXPECT_TRUE(probe->ReceiveStray(Sample(query), foreign)); }
    if (id) {
      EXPECT_TRUE(
          probe->ReceiveStray(DnsAnswer(query).Id("zz").A("192.0.2.7").Text(), probe->peer()));
    }
    if (question) {
      probe->ReceiveDatagram(DnsAnswer(query).Question(DnsQuestion("", 1, 1)).Text());
    }
    EXPECT_FALSE(probe->finished());
    probe->Deadline();
    return probe;
  };
  EXPECT_EQ(play(false, false, false)->outcome(), Outcome::kFirstByteTimeout);
  EXPECT_EQ(play(false, false, true)->outcome(), Outcome::kFirstByteForeign);
  EXPECT_EQ(play(false, true, false)->outcome(), Outcome::kFirstByteWrongId);
  EXPECT_EQ(play(false, true, true)->outcome(), Outcome::kFirstByteWrongId);
  const auto all = AskDnsProbe({}, &query);
  all->ReceiveStray(Sample(query), foreign);
  all->ReceiveStray(Sample(query), foreign);
  all->ReceiveStray(DnsAnswer(query).Id("zz").Text(), all->peer());
  all->ReceiveDatagram(DnsAnswer(query).Question(DnsQuestion(WireName("x"), 1, 1)).Text());
  all->Deadline();
  EXPECT_EQ(all->outcome(), Outcome::kFirstByteWrongQuestion);
  EXPECT_EQ(all->evidence().detail,
            "answers that are none: 1 to another question, 1 with another id, 2 from another "
            "address, last 192.0.2.99:53");
}

TEST(DnsProber, StraysOfOthersAreLeftToThem) {
  std::string query;
  const auto probe = AskDnsProbe({}, &query);
  const Address foreign = *Address::ParseLiteral("192.0.2.99", 53);
  const std::string other = DnsAnswer(query).Question(DnsQuestion(WireName("x"), 1, 1)).Text();
  EXPECT_FALSE(probe->ReceiveStray(other, probe->peer()));
  EXPECT_FALSE(probe->ReceiveStray(other, foreign));
  EXPECT_FALSE(probe->ReceiveStray(query, foreign));  // no answer
  EXPECT_FALSE(probe->ReceiveStray("", foreign));
  probe->ReceiveDatagram(Sample(query));
  EXPECT_FALSE(probe->ReceiveStray(Sample(query), foreign));  // it is over
}

TEST(DnsProber, MalformedAnswersFail) {
  std::string query;
  const std::string whole = (AskDnsProbe({}, &query), Sample(query));
  for (size_t size = 2; size < whole.size(); ++size) {
    const auto probe = AskDnsProbe({}, &query);
    probe->ReceiveDatagram(whole.substr(0, size));
    EXPECT_EQ(probe->outcome(), size == 12 ? Outcome::kOk : Outcome::kBodyMalformed) << size;
    if (size != 12) { EXPECT_NE(probe->evidence().detail, ""); }
  }
  const auto echo = AskDnsProbe({}, &query);
  echo->ReceiveDatagram(query);
  EXPECT_EQ(echo->outcome(), Outcome::kBodyMalformed);
  EXPECT_EQ(echo->evidence().detail, "a query, not an answer");
  const auto record = AskDnsProbe({}, &query);
  record->ReceiveDatagram(DnsAnswer(query).A("192.0.2.7").Add(0, 1, "abc").Text());
  EXPECT_EQ(record->evidence().detail,
            "answer record 2: the record's data has not the form of its type");
}

TEST(DnsProber, AnswersLargerThanAskedFor) {
  std::string query;
  const auto play = [&](const char* keys, size_t size) {
    auto probe =
        AskDnsProbe({.module = std::string("{query_name: www.example") + keys + "}"}, &query);
    DnsAnswer answer(query);
    answer.Add(0, 10, std::string(size - 29 - 12, 'x'));
    EXPECT_EQ(answer.Text().size(), size);
    probe->ReceiveDatagram(answer.Text());
    return probe;
  };
  EXPECT_EQ(play("", 512)->outcome(), Outcome::kOk);
  const auto large = play("", 513);
  EXPECT_EQ(large->outcome(), Outcome::kBodyTooLarge);
  EXPECT_EQ(large->evidence().detail, "513 bytes over udp, at most 512 were asked for (edns_size)");
  EXPECT_EQ(Get(*large, Fact::kDnsQuerySucceeded), 0);
  EXPECT_EQ(play(", edns_size: 1232", 1232)->outcome(), Outcome::kOk);
  EXPECT_EQ(play(", edns_size: 1232", 1233)->outcome(), Outcome::kBodyTooLarge);
}

TEST(DnsProber, NetworkErrorsAreTheVerdict) {
  std::string query;
  const auto probe = AskDnsProbe({}, &query);
  probe->NetworkFails(Outcome::kConnectRefused, 0, "port unreachable");
  EXPECT_EQ(probe->outcome(), Outcome::kConnectRefused);
  EXPECT_EQ(probe->evidence().detail, "port unreachable");
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsRequest), 0.001);
}

TEST(DnsProber, AsksAgainWhenTold) {
  std::string query;
  const auto probe =
      AskDnsProbe({.module = "{query_name: www.example, retransmit_interval: 200ms}"}, &query);
  for (int i = 0; i < 3; ++i) {
    const Instant due = probe->step().wake_at;
    ASSERT_TRUE(due.stamped());
    probe->Wake();
    EXPECT_EQ(probe->SendDatagram(), query);  // the same id
    EXPECT_EQ(probe->step().wake_at, due + Milliseconds(200));
  }
  // What is no answer changes nothing.
  const Instant due = probe->step().wake_at;
  probe->ReceiveDatagram(DnsAnswer(query).Question(DnsQuestion(WireName("x"), 1, 1)).Text());
  EXPECT_EQ(probe->step().wake_at, due);
  probe->ReceiveDatagram(Sample(query));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_GT(Get(*probe, Fact::kDnsRequest), 0.6);  // from the first
}

// ---- truncation ---------------------------------------------------------------------------------

TEST(DnsProber, TruncationIsAFactNoFailure) {
  std::string query;
  const auto probe = AskDnsProbe({}, &query);
  probe->ReceiveDatagram(DnsAnswer(query).Truncated().Text());
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(Get(*probe, Fact::kDnsTruncated), 1);
  const auto failing =
      AskDnsProbe({.module = "{query_name: www.example, fail_if_truncated: true}"}, &query);
  failing->ReceiveDatagram(DnsAnswer(query).Truncated().Text());
  EXPECT_EQ(failing->outcome(), Outcome::kValidationTruncated);
}

TEST(DnsProber, TruncatedAnswersAreAskedForAgain) {
  std::string query;
  const auto probe = AskDnsProbe({.module = "{query_name: www.example, retry_over_tcp: true, "
                                            "fail_if_truncated: true, retransmit_interval: 1s}",
                                  .target = "ns.example:5353"},
                                 &query);
  probe->ReceiveDatagram(DnsAnswer(query).Truncated().Text(), 0, 64, StampClock::kKernel);
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().transport, Transport::kTcp);
  EXPECT_EQ(probe->leg().port, 5353);
  ASSERT_NE(probe->leg().address, nullptr);  // the same server, not resolved again
  EXPECT_EQ(*probe->leg().address, probe->peer());
  probe->Open();
  EXPECT_FALSE(probe->step().wake_at.stamped());
  const std::string again = probe->Sent();
  EXPECT_EQ(again.substr(4), query.substr(2));
  probe->Receive(Framed(DnsAnswer(again.substr(2)).A("192.0.2.7").A("192.0.2.8").Text()));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(Get(*probe, Fact::kDnsTruncated), 1);  // the one over UDP
  EXPECT_EQ(Get(*probe, Fact::kKernelStamps), 1);
  EXPECT_EQ(Get(*probe, Fact::kDnsAnswerRrs), 2);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsResolve), 0.001);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsConnect), 0.005);  // both
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsRequest), 0.002);
  EXPECT_THAT(probe->evidence().head, HasSubstr("tcp"));
}

TEST(DnsProber, AskingAgainMayFail) {
  std::string query;
  const auto probe =
      AskDnsProbe({.module = "{query_name: www.example, retry_over_tcp: true}"}, &query);
  probe->ReceiveDatagram(DnsAnswer(query).Truncated().A("192.0.2.7").Text());
  probe->FailLeg(Outcome::kConnectRefused, LegFailure::kConnect, {}, "Connection refused");
  EXPECT_EQ(probe->outcome(), Outcome::kConnectRefused);
  EXPECT_EQ(probe->evidence().detail, "again over tcp: Connection refused");
  EXPECT_EQ(Get(*probe, Fact::kDnsQuerySucceeded), 1);
  EXPECT_EQ(Get(*probe, Fact::kDnsAnswerRrs), 1);
  EXPECT_THAT(probe->evidence().head, HasSubstr("udp"));
}

// ---- TCP and TLS --------------------------------------------------------------------------------

TEST(DnsProber, AsksOverTcp) {
  const auto probe = MakeDnsProbe({.module = kTcp});
  probe->Start();
  EXPECT_EQ(probe->leg().transport, Transport::kTcp);
  EXPECT_EQ(probe->leg().port, 53);
  probe->Open();
  const std::string sent = probe->Sent();
  EXPECT_EQ(sent.substr(0, 2), Number16(static_cast<unsigned>(sent.size() - 2)));
  EXPECT_EQ(sent.substr(4),
            DnsQueryAfterId({.question = DnsQuestion(WireName("www.example"), 1, 1)}));
  probe->Receive(Framed(Sample(sent.substr(2))));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_FALSE(probe->result().facts.Has(Fact::kDnsTruncated));
  EXPECT_FALSE(probe->result().facts.Has(Fact::kKernelStamps));
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsConnect), 0.002);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsRequest), 0.001);
}

TEST(DnsProber, AsksOverTls) {
  const auto probe = MakeDnsProbe({.module = kTls, .target = "dns.example"});
  probe->Start();
  ASSERT_NE(probe->leg().tls, nullptr);
  EXPECT_EQ(probe->leg().host, "dns.example");  // the name that is verified, unless one is given
  EXPECT_EQ(probe->leg().server_name, "");
  EXPECT_EQ(probe->leg().port, 853);
  probe->Open();
  probe->Receive(Framed(DnsAnswer(probe->Sent().substr(2)).Text()));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_DOUBLE_EQ(Get(*probe, Fact::kDnsConnect), 0.005);
  EXPECT_FALSE(probe->result().facts.Has(Fact::kCertExpiry));
  EXPECT_TRUE(probe->texts().empty());
}

TEST(DnsProber, AnswersInPieces) {
  std::string query;
  const std::string whole = (AskDnsProbe({.module = kTcp}, &query), Framed(Sample(query)));
  const auto same = [&](ConversationDriver& probe) {
    EXPECT_EQ(probe.outcome(), Outcome::kOk);
    EXPECT_EQ(Get(probe, Fact::kDnsAnswerRrs), 1);
  };
  const auto one_by_one = AskDnsProbe({.module = kTcp}, &query);
  one_by_one->ReceiveOneByOne(Framed(Sample(query)));
  same(*one_by_one);
  EXPECT_EQ(StageUs(one_by_one->result(), Stage::kWait), 1000u);
  EXPECT_EQ(StageUs(one_by_one->result(), Stage::kTransfer), (whole.size() - 1) * 1000);
  for (size_t split = 1; split < whole.size(); ++split) {
    const auto probe = AskDnsProbe({.module = kTcp}, &query);
    const std::string answer = Framed(Sample(query));
    probe->Receive(answer.substr(0, split));
    EXPECT_FALSE(probe->finished());
    probe->Receive(answer.substr(split));
    same(*probe);
  }
}

TEST(DnsProber, TwoMessagesInOneRead) {
  std::string query;
  const auto first = AskDnsProbe({.module = kTcp}, &query);
  first->Receive(Framed(Sample(query)) + Framed(DnsAnswer(query).Rcode(2).Text()));
  EXPECT_EQ(first->outcome(), Outcome::kOk);
  const auto wrong = AskDnsProbe({.module = kTcp}, &query);
  wrong->Receive(Framed(DnsAnswer(query).Id("zz").Text()) + Framed(Sample(query)));
  EXPECT_EQ(wrong->outcome(), Outcome::kFirstByteWrongId);
}

TEST(DnsProber, OverTcpEveryMessageCounts) {
  std::string query;
  const auto id = AskDnsProbe({.module = kTcp}, &query);
  id->Receive(Framed(DnsAnswer(query).Id("zz").Text()));
  EXPECT_EQ(id->outcome(), Outcome::kFirstByteWrongId);
  EXPECT_THAT(id->evidence().detail, HasSubstr("the answer's id is 31354, not "));
  const auto question = AskDnsProbe({.module = kTcp}, &query);
  question->Receive(Framed(DnsAnswer(query).Question(DnsQuestion(WireName("x"), 1, 1)).Text()));
  EXPECT_EQ(question->outcome(), Outcome::kFirstByteWrongQuestion);
  for (const char* text : {"", "a", "ab"}) {
    const auto empty = AskDnsProbe({.module = kTcp}, &query);
    empty->Receive(Framed(text));
    EXPECT_TRUE(empty->finished());
    EXPECT_NE(empty->outcome(), Outcome::kOk);
  }
  const auto large = AskDnsProbe({.module = kTcp}, &query);
  large->Receive(Framed(DnsAnswer(query).Add(0, 10, std::string(60000, 'x')).Text()));
  EXPECT_EQ(large->outcome(), Outcome::kOk);
}

TEST(DnsProber, PeersThatGoAway) {
  std::string query;
  const auto play = [&](std::string_view said, PeerClose how) {
    auto probe = AskDnsProbe({.module = kTcp}, &query);
    probe->Receive(said);
    probe->Close(how);
    return probe->outcome();
  };
  EXPECT_EQ(play("", PeerClose::kEnd), Outcome::kFirstByteClosed);
  EXPECT_EQ(play("", PeerClose::kTruncated), Outcome::kFirstByteClosed);
  EXPECT_EQ(play("", PeerClose::kReset), Outcome::kFirstByteReset);
  EXPECT_EQ(play("\1", PeerClose::kEnd), Outcome::kBodyClosed);
  EXPECT_EQ(play("\1\1abc", PeerClose::kEnd), Outcome::kBodyClosed);
  EXPECT_EQ(play("\1\1abc", PeerClose::kReset), Outcome::kBodyReset);
  const auto silent = AskDnsProbe({.module = kTcp}, &query);
  silent->Deadline();
  EXPECT_EQ(silent->outcome(), Outcome::kFirstByteTimeout);
  const auto slow = AskDnsProbe({.module = kTcp}, &query);
  slow->Receive("\1\1abc");
  slow->Deadline();
  EXPECT_EQ(slow->outcome(), Outcome::kBodyTimeout);
}

// ---- servers ------------------------------------------------------------------------------------

TEST(DnsProber, SystemServersComeFromResolvConf) {
  FakeFiles files;
  files.contents["/etc/resolv.conf"] = "search x\nnameserver 2001:db8::53\nnameserver 10.0.0.1\n";
  const auto probe = MakeDnsProbe({.module = "", .target = "shop.example"}, &files);
  probe->Start();
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().host, "2001:db8::53");
  EXPECT_EQ(probe->leg().port, 53);
  files.contents.clear();  // the text of the leg does not depend on it
  EXPECT_EQ(probe->leg().host, "2001:db8::53");

  const auto missing = MakeDnsProbe({.module = "", .target = "shop.example"}, &files);
  missing->Start();
  EXPECT_EQ(missing->outcome(), Outcome::kProberConfig);
  EXPECT_THAT(missing->evidence().detail, HasSubstr("open '/etc/resolv.conf'"));
  const auto none = MakeDnsProbe({.module = "", .target = "shop.example"});
  none->Start();
  EXPECT_EQ(none->outcome(), Outcome::kProberConfig);
}

TEST(DnsProber, EvidenceIsBounded) {
  std::string query;
  const auto probe = AskDnsProbe({.module = "{query_name: www.example, edns_size: 65535}"}, &query);
  DnsAnswer answer(query);
  for (int i = 0; i < 1000; ++i) answer.A("192.0.2.7");
  answer.Add(0, 16, std::string(1, '\xff') + std::string(255, '\n'));
  probe->ReceiveDatagram(answer.Text());
  EXPECT_EQ(probe->evidence().body.size(), Evidence::kBodyLimit);
  // A record that is not whole in what is kept is not shown.
  const auto long_one =
      AskDnsProbe({.module = "{query_name: www.example, edns_size: 65535}"}, &query);
  long_one->ReceiveDatagram(DnsAnswer(query).Add(0, 10, std::string(5000, 'x')).Text());
  EXPECT_EQ(long_one->outcome(), Outcome::kOk);
  EXPECT_EQ(long_one->evidence().body, "");
}

TEST(DnsProber, BuffersComeBack) {
  std::string query;
  auto probe = AskDnsProbe({}, &query);
  probe->ReceiveDatagram(Sample(query));
  probe->result();
  EXPECT_LE(probe->buffers().borrowed(), 1u);  // the shown bytes, until the conversation goes
}

}  // namespace
}  // namespace sonde
