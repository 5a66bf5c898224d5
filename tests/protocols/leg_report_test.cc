#include "protocols/leg_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/conversation_driver.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Instant At(int64_t ms) { return Instant{} + Milliseconds(ms); }

// Resolved 1000..1010, connected 1010..1030, TLS 1030..1060.
Leg WholeLeg() {
  Leg leg;
  leg.peer = *Address::ParseLiteral("127.0.0.1", 80);
  leg.start = At(1000);
  leg.resolve_start = At(1000);
  leg.resolve_end = At(1010);
  leg.resolved = true;
  leg.connect_start = At(1010);
  leg.connected = At(1030);
  leg.tls_start = At(1030);
  leg.tls_end = At(1060);
  return leg;
}

TEST(LegTimes, NothingStartedNothingSet) {
  LegTimes times;
  times.Failed(Leg{}, At(1001));
  FactSet facts;
  times.SetCommonFacts(&facts);
  EXPECT_EQ(facts.size(), 0u);
  ProbeResult result;
  times.SetStages(&result);
  EXPECT_EQ(result.stages_reached, 0);
}

TEST(LegTimes, WholeLegSetsEverything) {
  LegTimes times;
  times.Opened(WholeLeg());
  EXPECT_EQ(times.resolve(), Milliseconds(10));
  EXPECT_EQ(times.usable_connect(), Milliseconds(20));
  EXPECT_EQ(times.usable_tls(), Milliseconds(30));
  FactSet facts;
  times.SetCommonFacts(&facts);
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kDnsLookupTime), 0.010);
  EXPECT_EQ(*facts.Get(Fact::kIpProtocol), 4);
  EXPECT_EQ(*facts.Get(Fact::kIpAddrHash), 3668918509);
  ProbeResult result;
  times.SetStages(&result);
  times.SetStages(&result);  // assigned, not added
  EXPECT_EQ(result.stage_us[static_cast<size_t>(Stage::kConnect)], 20000u);
  EXPECT_EQ(result.stages_reached, 0b111);
}

TEST(LegTimes, FailedResolutionIsZeroButTimed) {
  Leg leg;
  leg.resolve_start = At(1000);
  LegTimes times;
  times.Failed(leg, At(1250));
  FactSet facts;
  times.SetCommonFacts(&facts);
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kDnsLookupTime), 0.250);
  EXPECT_EQ(*facts.Get(Fact::kIpProtocol), 0);
  EXPECT_EQ(*facts.Get(Fact::kIpAddrHash), 0);
  EXPECT_FALSE(times.connect_started());
}

TEST(LegTimes, FailedHandshakeCountsAsSpentNotAsUsable) {
  Leg leg = WholeLeg();
  leg.tls_end = Instant{};
  LegTimes times;
  times.Failed(leg, At(1100));
  EXPECT_EQ(times.connect(), Milliseconds(20));
  EXPECT_EQ(times.tls(), Milliseconds(70));
  EXPECT_EQ(times.usable_connect(), Duration{});
  EXPECT_EQ(times.usable_tls(), Duration{});
}

TEST(LegTimes, LegsAddUpAndTheFirstNamesTheAddress) {
  LegTimes times;
  times.Opened(WholeLeg());
  Leg second = WholeLeg();
  second.peer = *Address::ParseLiteral("2001:db8::1", 443);
  times.Opened(second);
  EXPECT_EQ(times.resolve(), Milliseconds(20));
  EXPECT_EQ(times.tls(), Milliseconds(60));
  FactSet facts;
  times.SetCommonFacts(&facts);
  EXPECT_DOUBLE_EQ(*facts.Get(Fact::kDnsLookupTime), 0.010);
  EXPECT_EQ(*facts.Get(Fact::kIpProtocol), 4);
  EXPECT_EQ(times.peer().HostPort(), "[2001:db8::1]:443");
}

TEST(LegTimes, StarttlsCountsItsHandshakeOnce) {
  Leg leg = WholeLeg();
  leg.tls_start = leg.tls_end = Instant{};
  LegTimes times;
  times.Opened(leg);
  leg.tls_start = At(1200);
  leg.tls_end = At(1230);
  times.Secured(leg);
  EXPECT_EQ(times.connect(), Milliseconds(20));
  EXPECT_EQ(times.tls(), Milliseconds(30));
  EXPECT_TRUE(times.tls_started());
}

TEST(LegTimes, FailedStarttlsCountsUpToItsEnd) {
  Leg leg = WholeLeg();
  leg.tls_start = leg.tls_end = Instant{};
  LegTimes times;
  times.Opened(leg);
  leg.tls_start = At(1200);
  times.FailedToSecure(leg, At(1207));
  EXPECT_EQ(times.connect(), Milliseconds(20));
  EXPECT_EQ(times.tls(), Milliseconds(7));
  EXPECT_EQ(times.usable_tls(), Duration{});
}

struct Made {
  ProbeResult result;
  Texts texts;
};

Made Make(const TlsReport& tls, const TlsReport::Options& options, uint64_t known = 0) {
  Made made;
  Report report{made.result, &made.texts, known, nullptr};
  tls.SetFacts(options, &made.result.facts);
  ContentHash hash;
  const bool any = tls.Hash(options, &hash);
  if (FinishTexts(any, hash, &report)) tls.AppendTexts(options, report.texts);
  return made;
}

std::vector<std::string> Names(const Texts& texts) {
  std::vector<std::string> names;
  for (const Text& text : texts) {
    std::string name(TextFamilies()[static_cast<size_t>(text.family)].name);
    for (const auto& [label, value] : text.labels) name += " " + label + "=" + value;
    names.push_back(name);
  }
  return names;
}

constexpr char kChain[] =
    "probe_ssl_last_chain_info fingerprint_sha256=00ff issuer=CN=ca serialnumber=01 "
    "subject=CN=peer subjectalternative=peer.example";

TEST(TlsReport, PlainLegsHaveNothing) {
  TlsReport tls;
  tls.Opened(Leg{});
  const Made made = Make(tls, {});
  EXPECT_EQ(made.result.texts_hash, 0u);
  EXPECT_THAT(made.texts, IsEmpty());
  EXPECT_EQ(made.result.facts.size(), 0u);
}

TEST(TlsReport, EstablishedTellsAll) {
  const TlsFacts facts = LegScript::EstablishedTls();
  Leg leg;
  leg.tls = &facts;
  TlsReport tls;
  tls.Opened(leg);
  const Made made = Make(tls, {.cipher = true, .untrusted = false});
  EXPECT_THAT(Names(made.texts),
              ElementsAre(kChain, "probe_tls_version_info version=TLS 1.3",
                          "probe_tls_cipher_info cipher=TLS_AES_128_GCM_SHA256"));
  EXPECT_EQ(*made.result.facts.Get(Fact::kCertExpiry), 1'900'000'000);
  EXPECT_EQ(*made.result.facts.Get(Fact::kChainExpiry), 1'900'000'000);
  // Without the cipher it is another set of texts.
  const Made without = Make(tls, {});
  EXPECT_THAT(Names(without.texts), ElementsAre(kChain, "probe_tls_version_info version=TLS 1.3"));
  EXPECT_NE(without.result.texts_hash, made.result.texts_hash);
}

TEST(TlsReport, KnownTextsAreNotMadeAgain) {
  const TlsFacts facts = LegScript::EstablishedTls();
  Leg leg;
  leg.tls = &facts;
  TlsReport tls;
  tls.Opened(leg);
  const uint64_t hash = Make(tls, {}).result.texts_hash;
  ASSERT_NE(hash, 0u);
  const Made again = Make(tls, {}, hash);
  EXPECT_EQ(again.result.texts_hash, hash);
  EXPECT_THAT(again.texts, IsEmpty());
  EXPECT_TRUE(again.result.facts.Has(Fact::kCertExpiry));
}

TEST(TlsReport, FailedHandshakeKeepsACopy) {
  TlsReport tls;
  {
    TlsFacts facts = LegScript::EstablishedTls();
    facts.established = facts.verified = false;
    facts.verify_result = "expired";
    facts.chain_expiry_unix = -62135596800;
    Leg leg;
    leg.tls = &facts;
    tls.Failed(leg);
  }
  const Made made = Make(tls, {});
  EXPECT_THAT(Names(made.texts),
              ElementsAre(kChain, "probe_ssl_verify_result_info result=expired"));
  EXPECT_EQ(*made.result.facts.Get(Fact::kChainExpiry), -62135596800);
  EXPECT_THAT(Make(tls, {.cipher = true, .untrusted = false}).texts, IsEmpty());
  EXPECT_FALSE(Make(tls, {.cipher = true, .untrusted = false}).result.facts.Has(Fact::kCertExpiry));
}

TEST(TlsReport, FailureBeforeACertificateHasNothing) {
  const TlsFacts facts;
  Leg leg;
  leg.tls = &facts;
  TlsReport tls;
  tls.Failed(leg);
  EXPECT_EQ(Make(tls, {}).result.texts_hash, 0u);
}

TEST(TlsReport, ForgetsALegThatWent) {
  const TlsFacts facts = LegScript::EstablishedTls();
  Leg leg;
  leg.tls = &facts;
  TlsReport tls;
  tls.Opened(leg);
  tls.Forget();
  EXPECT_EQ(Make(tls, {}).result.texts_hash, 0u);
}

}  // namespace
}  // namespace sonde
