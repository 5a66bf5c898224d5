// blackbox_contract 7.3, row by row.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocols/http_conversation.h"
#include "tests/protocols/http_probe.h"

namespace sonde {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

constexpr Fact kPhases[] = {Fact::kHttpResolve, Fact::kHttpConnect, Fact::kHttpTls,
                            Fact::kHttpProcessing, Fact::kHttpTransfer};
constexpr Fact kAlways[] = {Fact::kHttpContentLength, Fact::kHttpBodyLength, Fact::kHttpRedirects,
                            Fact::kHttpSsl,           Fact::kHttpStatusCode, Fact::kHttpVersion,
                            Fact::kFailedRegex};

// The phases there are, in milliseconds.
std::vector<double> PhasesOf(ConversationDriver& probe) {
  std::vector<double> phases;
  for (const Fact fact : kPhases) {
    if (const auto value = probe.result().facts.Get(fact)) phases.push_back(*value * 1000);
  }
  for (const Fact fact : kAlways) EXPECT_TRUE(probe.result().facts.Has(fact)) << Info(fact).family;
  return phases;
}

bool HasAddressFacts(ConversationDriver& probe) {
  const FactSet& facts = probe.result().facts;
  EXPECT_EQ(facts.Has(Fact::kDnsLookupTime), facts.Has(Fact::kIpProtocol));
  EXPECT_EQ(facts.Has(Fact::kDnsLookupTime), facts.Has(Fact::kIpAddrHash));
  return facts.Has(Fact::kDnsLookupTime);
}

const LegScript kScript{
    .resolve = Milliseconds(10), .connect = Milliseconds(20), .tls = Milliseconds(30)};

TEST(HttpPhasesTest, PlainPass) {
  auto probe = MakeHttpProbe({});
  probe->pause = Milliseconds(7);
  probe->Start();
  probe->Open(kScript);
  probe->Receive(kOk.substr(0, 20));
  probe->Receive(kOk.substr(20));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 20, 0, 7, 7));
  EXPECT_TRUE(HasAddressFacts(*probe));
  EXPECT_EQ(FactOf(*probe, Fact::kDnsLookupTime), 0.010);
  EXPECT_EQ(FactOf(*probe, Fact::kIpProtocol), 4);
  EXPECT_EQ(FactOf(*probe, Fact::kIpAddrHash), 1969986452);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 0);
}

TEST(HttpPhasesTest, TlsPass) {
  auto probe = MakeHttpProbe({.target = "https://shop.example/"});
  probe->pause = Milliseconds(7);
  probe->Start();
  probe->Open(kScript);
  probe->Receive(kOk);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 20, 30, 7, 0));
  EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 1);
  EXPECT_EQ(FactOf(*probe, Fact::kCertExpiry), 1'900'000'000);
  EXPECT_EQ(FactOf(*probe, Fact::kChainExpiry), 1'900'000'000);
  std::vector<TextFamily> families;
  for (const Text& text : probe->texts()) families.push_back(text.family);
  EXPECT_THAT(families,
              ElementsAre(TextFamily::kChainInfo, TextFamily::kTlsVersion, TextFamily::kTlsCipher));
  EXPECT_NE(probe->result().texts_hash, 0u);
  const ProbeResult& result = probe->result();
  EXPECT_EQ(result.stage_us[static_cast<size_t>(Stage::kResolve)], 10'000u);
  EXPECT_EQ(result.stage_us[static_cast<size_t>(Stage::kConnect)], 20'000u);
  EXPECT_EQ(result.stage_us[static_cast<size_t>(Stage::kTls)], 30'000u);
  EXPECT_EQ(result.stage_us[static_cast<size_t>(Stage::kWait)], 7'000u);
}

TEST(HttpPhasesTest, ResolutionFailed) {
  auto probe = MakeHttpProbe({});
  probe->Start();
  probe->FailLeg(Outcome::kDnsNotFound, LegFailure::kResolve, kScript, "no such name");
  EXPECT_EQ(probe->outcome(), Outcome::kDnsNotFound);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10));
  EXPECT_TRUE(HasAddressFacts(*probe));
  EXPECT_EQ(FactOf(*probe, Fact::kDnsLookupTime), 0.010);
  EXPECT_EQ(FactOf(*probe, Fact::kIpProtocol), 0);
  EXPECT_EQ(FactOf(*probe, Fact::kIpAddrHash), 0);
  EXPECT_EQ(probe->evidence().detail, "no such name");
}

TEST(HttpPhasesTest, NothingResolved) {
  // The policy forbids the name, or the module cannot be probed.
  auto probe = MakeHttpProbe({});
  probe->Start();
  probe->FailLeg(Outcome::kProberPolicy, LegFailure::kBeforeResolve);
  EXPECT_THAT(PhasesOf(*probe), IsEmpty());
  EXPECT_FALSE(HasAddressFacts(*probe));
  probe = MakeHttpProbe({.module = "oauth2: {client_id: a, token_url: http://p}"});
  probe->Start();
  EXPECT_THAT(PhasesOf(*probe), IsEmpty());
  EXPECT_FALSE(HasAddressFacts(*probe));
}

TEST(HttpPhasesTest, NoEventBeforeTheEnd) {
  auto probe = MakeHttpProbe({});
  probe->Start();
  EXPECT_THAT(PhasesOf(*probe), IsEmpty());
  EXPECT_FALSE(HasAddressFacts(*probe));
}

TEST(HttpPhasesTest, ResolvedButTheRequestIsInvalid) {
  for (const char* module : {"method: 'G T'", "method: CONNECT", "body_file: /nowhere"}) {
    FakeFiles files;
    auto probe = StartHttpProbe({.module = module}, &files);
    EXPECT_EQ(OutcomeName(probe->outcome()), "prober/config") << module;
    EXPECT_EQ(probe->Sent(), "");
    EXPECT_THAT(PhasesOf(*probe), ElementsAre(1)) << module;
    EXPECT_EQ(FactOf(*probe, Fact::kIpProtocol), 4);
    EXPECT_FALSE(probe->evidence().detail.empty());
    // The same when the connection is refused; a name that is not there comes first.
    probe = MakeHttpProbe({.module = module}, &files);
    probe->Start();
    probe->FailLeg(Outcome::kConnectRefused, LegFailure::kConnect);
    EXPECT_EQ(OutcomeName(probe->outcome()), "prober/config") << module;
    EXPECT_THAT(PhasesOf(*probe), ElementsAre(1)) << module;
    probe = MakeHttpProbe({.module = module}, &files);
    probe->Start();
    probe->FailLeg(Outcome::kDnsTimeout, LegFailure::kResolve);
    EXPECT_EQ(OutcomeName(probe->outcome()), "dns/timeout") << module;
  }
}

TEST(HttpPhasesTest, TlsConfigurationIsInvalid) {
  // The engine cannot make a context: a certificate's file is missing.
  auto probe = MakeHttpProbe({.target = "https://shop.example/"});
  probe->Start();
  probe->FailLeg(Outcome::kProberConfig, LegFailure::kConnect, kScript, "open '/ca.pem'");
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10));
  EXPECT_EQ(FactOf(*probe, Fact::kIpProtocol), 4);
}

TEST(HttpPhasesTest, MissingCredentialsCountAsAnAttempt) {
  FakeFiles files;
  auto probe =
      StartHttpProbe({.module = "basic_auth: {username: u, password_file: /nowhere}"}, &files);
  EXPECT_EQ(OutcomeName(probe->outcome()), "prober/config");
  EXPECT_THAT(probe->evidence().detail, HasSubstr("/nowhere"));
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 0);
  ASSERT_EQ(PhasesOf(*probe).size(), 5u);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpProcessing), 0);
}

TEST(HttpPhasesTest, ConnectionRefused) {
  auto probe = MakeHttpProbe({});
  probe->Start();
  probe->FailLeg(Outcome::kConnectRefused, LegFailure::kConnect, kScript);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 0, 0, 0, 0));
  EXPECT_EQ(FactOf(*probe, Fact::kIpProtocol), 4);
}

TEST(HttpPhasesTest, HandshakeFailed) {
  for (const bool exported : {true, false}) {
    auto probe = MakeHttpProbe({.target = "https://shop.example/",
                                .module = exported ? "" : "export_untrusted_certificates: false"});
    probe->Start();
    LegScript script = kScript;
    script.facts.established = false;
    script.facts.verified = false;
    script.facts.verify_result = "expired";
    script.facts.earliest_expiry_unix = 1000;
    script.facts.chain_expiry_unix = -62135596800;
    probe->FailLeg(Outcome::kTlsExpired, LegFailure::kTls, script, "certificate has expired");
    EXPECT_EQ(probe->outcome(), Outcome::kTlsExpired);
    // Connected, but of no use: both stay 0.
    EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 0, 0, 0, 0));
    EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 0);
    EXPECT_EQ(FactOf(*probe, Fact::kCertExpiry),
              exported ? std::optional<double>(1000) : std::nullopt);
    EXPECT_EQ(FactOf(*probe, Fact::kChainExpiry),
              exported ? std::optional<double>(-62135596800) : std::nullopt);
    std::vector<TextFamily> families;
    for (const Text& text : probe->texts()) families.push_back(text.family);
    if (exported) {
      EXPECT_THAT(families, ElementsAre(TextFamily::kChainInfo, TextFamily::kVerifyResult));
    } else {
      EXPECT_THAT(families, IsEmpty());
      EXPECT_EQ(probe->result().texts_hash, 0u);
    }
  }
}

TEST(HttpPhasesTest, TimeoutWaitingForHeaders) {
  auto probe = MakeHttpProbe({.target = "https://shop.example/"});
  probe->Start();
  probe->Open(kScript);
  probe->Advance(Seconds(4));
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kFirstByteTimeout);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 20, 30, 0, 0));
  EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 0);
  EXPECT_FALSE(probe->result().facts.Has(Fact::kCertExpiry));
  EXPECT_GT(probe->result().stage_us[static_cast<size_t>(Stage::kWait)], 4'000'000u);
}

TEST(HttpPhasesTest, TimeoutWithinHeaders) {
  auto probe = MakeHttpProbe({});
  probe->Start();
  probe->Open(kScript);
  probe->Receive("HTTP/1.1 200");
  probe->Advance(Seconds(4));
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kHeadersTimeout);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 20, 0, 1, 0));
}

TEST(HttpPhasesTest, TimeoutReadingTheBody) {
  auto probe = MakeHttpProbe({});
  probe->Start();
  probe->Open(kScript);
  probe->Receive("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh");
  probe->Advance(Seconds(4));
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kBodyTimeout);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 20, 0, 1, testing::DoubleNear(4001, 0.001)));
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 200);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), 1.1);
}

TEST(HttpPhasesTest, SumsOverHops) {
  auto probe = MakeHttpProbe({.target = "http://shop.example/"});
  probe->Start();
  probe->Open(kScript);
  probe->Receive("HTTP/1.1 302 Found\r\nLocation: https://other.example/\r\n\r\n");
  probe->Open(kScript);
  probe->Receive("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n");
  probe->Open(kScript);  // the same address: nothing to resolve
  probe->Receive(kOk.substr(0, 30));
  probe->Receive(kOk.substr(30));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(20, 60, 60, 3, 1));  // transfer: the last trip only
  EXPECT_EQ(FactOf(*probe, Fact::kDnsLookupTime), 0.010);        // the first hop's
  double sum = 0;
  for (const double phase : PhasesOf(*probe)) sum += phase;
  EXPECT_LE(sum, probe->result().duration.millis());
}

TEST(HttpPhasesTest, UnfollowedRedirect) {
  auto probe = MakeHttpProbe({.module = "follow_redirects: false\nvalid_status_codes: [302]"});
  probe->Start();
  probe->Open(kScript);
  probe->Receive("HTTP/1.1 302 Found\r\nLocation:");
  probe->Receive(" /x\r\n\r\n");
  EXPECT_THAT(PhasesOf(*probe), ElementsAre(10, 20, 0, 1, 1));
}

TEST(HttpPhasesTest, TextsAreNotMadeWhenTheyAreKnown) {
  auto first = StartHttpProbe({.target = "https://shop.example/"});
  first->Receive(kOk);
  auto second = StartHttpProbe({.target = "https://shop.example/"});
  second->known_texts_hash = first->result().texts_hash;
  second->Receive(kOk);
  EXPECT_EQ(second->result().texts_hash, first->result().texts_hash);
  EXPECT_TRUE(second->texts().empty());
}

}  // namespace
}  // namespace sonde
