#include "protocols/tcp_prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<ConversationDriver> Drive(std::string_view yaml,
                                          std::string_view target = "peer.example:80") {
  const ModuleText module = ReadModule(TcpProber(), yaml);
  EXPECT_TRUE(module.module) << module.errors();
  if (!module.module) return nullptr;
  const TargetText plan = ReadTarget(TcpProber(), target, *module.module);
  EXPECT_TRUE(plan.plan) << plan.errors();
  if (!plan.plan) return nullptr;
  auto probe = std::make_unique<ConversationDriver>(TcpProber(), module.module, plan.plan);
  probe->Start();
  return probe;
}

uint32_t StageUs(const ProbeResult& result, Stage stage) {
  return result.stage_us[static_cast<size_t>(stage)];
}

TEST(TcpProber, AsksForItsLeg) {
  const auto probe = Drive("preferred_ip_protocol: ip4", "[2001:db8::1]:8080");
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().host, "2001:db8::1");
  EXPECT_EQ(probe->leg().port, 8080);
  EXPECT_EQ(probe->leg().scheme, "tcp");
  EXPECT_EQ(probe->leg().transport, Transport::kTcp);
  EXPECT_EQ(probe->leg().tls, nullptr);
  EXPECT_EQ(probe->leg().network->preferred_family, IpFamily::kV4);
}

TEST(TcpProber, PassesOnConnect) {
  const auto probe = Drive("");
  probe->Open();
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(probe->Sent(), "");
  const ProbeResult& result = probe->result();
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpResolve), 0.001);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpConnect), 0.002);
  EXPECT_FALSE(result.facts.Has(Fact::kTcpTls));
  EXPECT_FALSE(result.facts.Has(Fact::kTcpDialogue));
  EXPECT_EQ(*result.facts.Get(Fact::kFailedRegex), 0);
  EXPECT_EQ(*result.facts.Get(Fact::kFailedBytes), 0);
  EXPECT_EQ(*result.facts.Get(Fact::kIpProtocol), 4);
  EXPECT_EQ(*result.facts.Get(Fact::kIpAddrHash), 1969986452);
  EXPECT_EQ(result.texts_hash, 0u);
  EXPECT_EQ(StageUs(result, Stage::kConnect), 2000u);
  EXPECT_EQ(result.stages_reached, 0b011);
  EXPECT_EQ(probe->evidence().peer.HostPort(), "192.0.2.1:80");
  EXPECT_EQ(probe->evidence().detail, "");
  EXPECT_EQ(probe->buffers().borrowed(), 0u);
}

TEST(TcpProber, EveryConnectFailureIsTheVerdict) {
  for (const Outcome outcome :
       {Outcome::kConnectRefused, Outcome::kConnectTimeout, Outcome::kConnectReset,
        Outcome::kConnectHostUnreachable, Outcome::kConnectNetworkUnreachable,
        Outcome::kConnectDenied, Outcome::kProberPorts, Outcome::kProberDescriptors}) {
    const auto probe = Drive("query_response: [{expect: a}]");
    probe->FailLeg(outcome, LegFailure::kConnect, {}, "Connection refused");
    EXPECT_EQ(probe->outcome(), outcome);
    const FactSet& facts = probe->result().facts;
    EXPECT_FALSE(facts.Has(Fact::kFailedRegex));  // only after a successful dial
    EXPECT_FALSE(facts.Has(Fact::kFailedBytes));
    EXPECT_EQ(*facts.Get(Fact::kIpProtocol), 4);
    EXPECT_DOUBLE_EQ(*facts.Get(Fact::kTcpConnect), 0.002);
    EXPECT_FALSE(facts.Has(Fact::kTcpDialogue));
    EXPECT_EQ(probe->evidence().detail, "Connection refused");
  }
}

TEST(TcpProber, ResolveFailures) {
  const auto probe = Drive("");
  probe->FailLeg(Outcome::kDnsNotFound, LegFailure::kResolve);
  EXPECT_EQ(probe->outcome(), Outcome::kDnsNotFound);
  const FactSet& facts = probe->result().facts;
  EXPECT_EQ(*facts.Get(Fact::kIpProtocol), 0);
  EXPECT_EQ(*facts.Get(Fact::kIpAddrHash), 0);
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kDnsLookupTime), 0.001);
  EXPECT_FALSE(facts.Has(Fact::kTcpConnect));

  const auto refused = Drive("");
  refused->FailLeg(Outcome::kProberPolicy, LegFailure::kBeforeResolve, {}, ":80");
  EXPECT_FALSE(refused->result().facts.Has(Fact::kDnsLookupTime));
  EXPECT_EQ(refused->evidence().detail, ":80");
}

TEST(TcpProber, TlsFromTheStart) {
  const auto probe = Drive("{tls: true, tls_config: {server_name: other.example}}");
  ASSERT_NE(probe->leg().tls, nullptr);
  EXPECT_EQ(probe->leg().tls->server_name, "other.example");
  EXPECT_TRUE(probe->task().plan->needs_handshake);
  probe->Open();
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  const ProbeResult& result = probe->result();
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpTls), 0.003);
  EXPECT_EQ(*result.facts.Get(Fact::kCertExpiry), 1'900'000'000);
  ASSERT_EQ(probe->texts().size(), 2u);  // no cipher: that is http's
  EXPECT_EQ(probe->texts()[0].family, TextFamily::kChainInfo);
  EXPECT_EQ(probe->texts()[1].family, TextFamily::kTlsVersion);
}

LegScript Expired() {
  LegScript script;
  script.facts.established = script.facts.verified = false;
  script.facts.verify_result = "expired";
  script.facts.earliest_expiry_unix = 1'600'000'000;
  script.facts.chain_expiry_unix = -62135596800;
  return script;
}

TEST(TcpProber, FailedVerificationStillShowsTheCertificate) {
  const auto probe = Drive("tls: true");
  probe->FailLeg(Outcome::kTlsExpired, LegFailure::kTls, Expired(), "certificate has expired");
  EXPECT_EQ(probe->outcome(), Outcome::kTlsExpired);
  const ProbeResult& result = probe->result();
  EXPECT_EQ(*result.facts.Get(Fact::kCertExpiry), 1'600'000'000);
  EXPECT_EQ(*result.facts.Get(Fact::kChainExpiry), -62135596800);
  EXPECT_FALSE(result.facts.Has(Fact::kFailedRegex));
  ASSERT_EQ(probe->texts().size(), 2u);
  EXPECT_EQ(probe->texts()[1].family, TextFamily::kVerifyResult);
  EXPECT_THAT(probe->texts()[1].labels, ElementsAre(std::make_pair("result", "expired")));
}

TEST(TcpProber, UntrustedCertificatesCanBeLeftOut) {
  const auto probe = Drive("{tls: true, export_untrusted_certificates: false}");
  probe->FailLeg(Outcome::kTlsExpired, LegFailure::kTls, Expired());
  EXPECT_FALSE(probe->result().facts.Has(Fact::kCertExpiry));
  EXPECT_TRUE(probe->texts().empty());
}

constexpr std::string_view kStarttls =
    "query_response: [{expect: '^220'}, {starttls: true}, {expect: '^250'}]";

TEST(TcpProber, StarttlsCountsItsHandshakeApart) {
  const auto probe = Drive(kStarttls, "mail.example:25");
  probe->Open();
  probe->Receive("220 hi\r\n");  // after 1 ms
  ASSERT_EQ(probe->step().kind, Step::Kind::kSecure);
  EXPECT_EQ(probe->step().server_name, "mail.example");
  EXPECT_FALSE(probe->task().plan->needs_handshake);
  probe->Open();                 // 3 ms
  probe->Receive("250 hi\r\n");  // 1 ms
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  const ProbeResult& result = probe->result();
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpConnect), 0.002);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpTls), 0.003);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpDialogue), 0.002);
  EXPECT_EQ(StageUs(result, Stage::kWait), 1000u);
  EXPECT_EQ(StageUs(result, Stage::kTransfer), 1000u);
  EXPECT_EQ(*result.facts.Get(Fact::kCertExpiry), 1'900'000'000);
}

TEST(TcpProber, StarttlsBeforeTheFirstByte) {
  const auto probe = Drive("query_response: [{starttls: true}, {expect: a}]");
  probe->Open();
  ASSERT_EQ(probe->step().kind, Step::Kind::kSecure);
  probe->Open();
  probe->Receive("a\n");
  EXPECT_EQ(StageUs(probe->result(), Stage::kWait), 1000u);
  EXPECT_EQ(StageUs(probe->result(), Stage::kTransfer), 0u);
}

TEST(TcpProber, FailedStarttls) {
  const auto probe = Drive(kStarttls);
  probe->Open();
  probe->Receive("220 hi\r\n");
  probe->FailLeg(Outcome::kTlsExpired, LegFailure::kTls, Expired(), "certificate has expired");
  EXPECT_EQ(probe->outcome(), Outcome::kTlsExpired);
  const ProbeResult& result = probe->result();
  EXPECT_EQ(*result.facts.Get(Fact::kFailedRegex), 0);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpConnect), 0.002);
  EXPECT_DOUBLE_EQ(*result.facts.Get(Fact::kTcpTls), 0.003);
  EXPECT_EQ(*result.facts.Get(Fact::kCertExpiry), 1'600'000'000);
  EXPECT_EQ(probe->evidence().detail, "starttls: certificate has expired");
  EXPECT_EQ(probe->evidence().body, "220 hi\r\n");
}

TEST(TcpProber, WaitingCountsWhenNothingCame) {
  const auto probe = Drive("query_response: [{expect: a}]");
  probe->Open();
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kFirstByteTimeout);
  EXPECT_EQ(StageUs(probe->result(), Stage::kWait), 1000u);
  EXPECT_EQ(probe->result().stages_reached & (1 << static_cast<int>(Stage::kTransfer)), 0);
  EXPECT_EQ(probe->evidence().detail, "step 1: expected /a/, got nothing");
}

TEST(TcpProber, ModulesAreToldApart) {
  const auto hash = [](std::string_view yaml) {
    return ReadModule(TcpProber(), yaml).module->content_hash;
  };
  EXPECT_EQ(hash(""), hash("{}"));
  EXPECT_NE(hash(""), hash("tls: true"));
  EXPECT_NE(hash("query_response: [{expect: a}]"), hash("query_response: [{expect: b}]"));
}

TEST(TcpProber, FilesAreNamedForWatching) {
  const ModuleText read = ReadModule(TcpProber(), "tls_config: {ca_file: /etc/ca.pem}");
  ASSERT_TRUE(read.module);
  EXPECT_THAT(read.module->files, ElementsAre("/etc/ca.pem"));
}

TEST(TcpProber, UnknownKeysAreErrors) {
  const ModuleText read = ReadModule(TcpProber(), "tlss: true");
  EXPECT_FALSE(read.module);
  EXPECT_THAT(read.errors(), HasSubstr("did you mean 'tls'"));
}

TEST(TcpProber, HalfOpenHoldsTheLastAckBackAndResets) {
  EXPECT_FALSE(ReadModule(TcpProber(), "").module->network.half_open);
  const auto probe = Drive("half_open: true");
  EXPECT_TRUE(probe->leg().network->half_open);
  EXPECT_EQ(probe->leg().network->close, NetworkOptions::Close::kReset);
  probe->Open();
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(probe->Sent(), "");
  EXPECT_TRUE(ReadModule(TcpProber(), "{half_open: true, close: reset}").module);
  EXPECT_TRUE(ReadModule(TcpProber(), "{half_open: false, close: fin, tls: true}").module);
}

TEST(TcpProber, HalfOpenRefusesWhatNeedsAPeer) {
  const std::pair<std::string_view, std::string_view> kRefused[] = {
      {"tls: true", "module.tls: half_open"},
      {"tls_config: {}", "module.tls_config: half_open"},
      {"preset: redis", "module.preset: half_open"},
      {"query_response: [{expect: a}]", "module.query_response: half_open"},
      {"query_response: [{starttls: true}]", "module.query_response: half_open"},
      {"close: fin", "module.close: half_open"},
  };
  for (const auto& [other, error] : kRefused) {
    const ModuleText read =
        ReadModule(TcpProber(), "{half_open: true, " + std::string(other) + "}");
    EXPECT_FALSE(read.module) << other;
    EXPECT_THAT(read.errors(), HasSubstr(error)) << other;
  }
  const ModuleText module = ReadModule(TcpProber(), "half_open: true");
  const TargetText target = ReadTarget(TcpProber(), "a:1", *module.module, "contains: x");
  EXPECT_FALSE(target.plan);
  EXPECT_THAT(target.errors(), HasSubstr("task.expect.contains: half_open"));
}

TEST(TcpProber, TargetsAreHostAndPort) {
  const ModuleText module = ReadModule(TcpProber(), "");
  const TargetText good = ReadTarget(TcpProber(), "Peer.Example:SSH", *module.module);
  ASSERT_TRUE(good.plan);
  EXPECT_EQ(good.plan->destination, "peer.example:22");
  EXPECT_FALSE(good.plan->needs_handshake);
  const TargetText bad = ReadTarget(TcpProber(), "peer.example", *module.module);
  EXPECT_FALSE(bad.plan);
  EXPECT_EQ(bad.errors(), "task.target: 'peer.example': missing port in address\n");
}

TEST(TcpProber, ExpectKnowsContainsOnly) {
  const ModuleText module = ReadModule(TcpProber(), "");
  EXPECT_TRUE(ReadTarget(TcpProber(), "a:1", *module.module, "contains: x").plan);
  const TargetText bad = ReadTarget(TcpProber(), "a:1", *module.module, "status: 200");
  EXPECT_FALSE(bad.plan);
  EXPECT_THAT(bad.errors(), HasSubstr("task.expect: unknown key 'status'"));
  EXPECT_FALSE(
      ReadTarget(TcpProber(), "a:1", *module.module, "contains: " + std::string(70000, 'x')).plan);
}

}  // namespace
}  // namespace sonde
