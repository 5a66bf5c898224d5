#include "engine/shard/tls_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

using State = TlsChannel::State;
using ::testing::HasSubstr;
using Version = TlsProfile::Version;

const TestCertificates& Certs() { return TestCertificates::Get(); }

// A client channel and, usually, a server; bytes go between them in pieces of `piece`.
class Pair {
 public:
  explicit Pair(const TlsServerOptions& options) : server(options) {
    profile.ca_pem = Certs().ca.Pem();
  }

  bool Connect(std::string_view name = "good.test") {
    auto context = contexts.For(profile);
    if (!context.ok()) {
      ADD_FAILURE() << context.status();
      return false;
    }
    channel = TlsChannel::Client(*context, profile, name, now);
    channel->Start(to_server);
    Exchange();
    return channel->state() == State::kOpen;
  }

  // Until neither side has anything left to say.
  void Exchange() {
    for (int round = 0; round < 20 && !to_server.empty(); ++round) {
      const std::string flight(to_server.text());
      to_server.Clear();
      for (size_t i = 0; i < flight.size(); i += piece) {
        Deliver(server.Feed(std::string_view(flight).substr(i, piece)));
      }
    }
  }

  void Deliver(std::string_view cipher) {
    for (size_t i = 0; i < cipher.size(); i += piece) {
      channel->Feed(AsBytes(cipher.substr(i, piece)), plain, to_server);
    }
  }

  BufferPool pool;
  TlsProfile profile;
  WallTime now = kTestNow;
  size_t piece = 1 << 20;
  TlsContexts contexts{nullptr};
  TlsServer server;
  Buffer to_server = pool.Take(), plain = pool.Take();
  std::unique_ptr<TlsChannel> channel;
};

TlsServerOptions Serving(const Certificate& certificate, int version = 0) {
  TlsServerOptions options;
  options.chain = {certificate};
  options.min_version = options.max_version = version;
  return options;
}

struct VersionCase {
  int wire;
  std::string text;
  std::string cipher;
};

class TlsVersions : public ::testing::TestWithParam<VersionCase> {};

TEST_P(TlsVersions, HandshakeDataAndEndInPiecesOfAnySize) {
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{1460}, size_t{1} << 20}) {
    TlsServerOptions options = Serving(Certs().good, GetParam().wire);
    options.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA";
    Pair pair(options);
    pair.profile.min_version = Version::kTls10;
    pair.piece = piece;
    ASSERT_TRUE(pair.Connect()) << pair.channel->detail();
    const TlsFacts& facts = pair.channel->facts();
    EXPECT_TRUE(facts.established);
    EXPECT_TRUE(facts.verified);
    EXPECT_FALSE(facts.resumed);
    EXPECT_EQ(facts.verify_result, "ok");
    EXPECT_EQ(facts.version, GetParam().text);
    EXPECT_EQ(facts.cipher, GetParam().cipher);
    EXPECT_EQ(facts.earliest_expiry_unix, kTestNowUnix + 30 * kDay);
    EXPECT_EQ(facts.chain_expiry_unix, kTestNowUnix + 30 * kDay);
    EXPECT_EQ(facts.subject_alternative, "good.test,*.wild.test");
    EXPECT_EQ(pair.server.server_name(), "good.test");

    const std::string big(100'000, 'x');
    ASSERT_EQ(pair.channel->Write(AsBytes("hello"), pair.to_server), State::kOpen);
    ASSERT_EQ(pair.channel->Write(AsBytes(big), pair.to_server), State::kOpen);
    pair.Exchange();
    EXPECT_EQ(pair.server.received(), "hello" + big);
    pair.Deliver(pair.server.Write(big + "world"));
    EXPECT_EQ(pair.plain.text(), big + "world");

    pair.Deliver(pair.server.Shutdown());
    EXPECT_EQ(pair.channel->state(), State::kEnded);
    pair.channel->Shutdown(pair.to_server);
    pair.Exchange();
    EXPECT_TRUE(pair.server.ended());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, TlsVersions,
    ::testing::Values(
        VersionCase{TLS1_VERSION, "TLS 1.0", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
        VersionCase{TLS1_1_VERSION, "TLS 1.1", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
        VersionCase{TLS1_2_VERSION, "TLS 1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
        VersionCase{TLS1_3_VERSION, "TLS 1.3", "TLS_AES_256_GCM_SHA384"}));

struct RefusedCase {
  std::string name;
  const Certificate TestCertificates::*certificate;
  std::string asked;
  Outcome outcome;
  std::string verify_result;
  std::string detail;
};

class TlsRefused : public ::testing::TestWithParam<RefusedCase> {};

TEST_P(TlsRefused, SaysWhyAndKeepsTheFacts) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const RefusedCase& wanted = GetParam();
    const Certificate& served = Certs().*wanted.certificate;
    Pair pair(Serving(served, version));
    pair.piece = 100;
    EXPECT_FALSE(pair.Connect(wanted.asked));
    EXPECT_EQ(pair.channel->state(), State::kFailed);
    EXPECT_EQ(OutcomeName(pair.channel->outcome()), OutcomeName(wanted.outcome));
    EXPECT_THAT(pair.channel->detail(), HasSubstr(wanted.detail));
    const TlsFacts& facts = pair.channel->facts();
    EXPECT_FALSE(facts.established);
    EXPECT_FALSE(facts.verified);
    EXPECT_EQ(facts.verify_result, wanted.verify_result);
    EXPECT_TRUE(facts.has_certificate);
    EXPECT_GT(facts.earliest_expiry_unix, kTestNowUnix - 2 * kDay);
    EXPECT_EQ(facts.chain_expiry_unix, -62135596800);
    EXPECT_EQ(facts.fingerprint_sha256.size(), 64u);
    EXPECT_EQ(facts.version, "");
    EXPECT_TRUE(pair.server.failed()) << "the peer is told by an alert";

    // The same certificate is taken when nobody asks for verification.
    Pair careless(Serving(served, version));
    careless.profile.verify = false;
    ASSERT_TRUE(careless.Connect(wanted.asked)) << careless.channel->detail();
    EXPECT_FALSE(careless.channel->facts().verified);
    EXPECT_EQ(careless.channel->facts().verify_result, "skipped");
    EXPECT_EQ(careless.channel->facts().fingerprint_sha256, facts.fingerprint_sha256);
    EXPECT_EQ(careless.channel->facts().chain_expiry_unix, -62135596800);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, TlsRefused,
    ::testing::Values(
        RefusedCase{"Expired", &TestCertificates::expired, "good.test", Outcome::kTlsExpired,
                    "expired", "expired on 2030-03-16 17:46:40 UTC"},
        RefusedCase{"NotYetValid", &TestCertificates::not_yet_valid, "good.test",
                    Outcome::kTlsNotYetValid, "not_yet_valid", "until 2030-03-18 17:46:40 UTC"},
        RefusedCase{"SelfSigned", &TestCertificates::self_signed, "good.test",
                    Outcome::kTlsSelfSigned, "self_signed", "self-signed"},
        RefusedCase{"Untrusted", &TestCertificates::untrusted, "good.test", Outcome::kTlsUntrusted,
                    "untrusted", "CN=Another CA"},
        RefusedCase{"MissingIntermediate", &TestCertificates::by_intermediate, "good.test",
                    Outcome::kTlsUntrusted, "untrusted", "CN=Sonde Test Intermediate"},
        RefusedCase{"WrongName", &TestCertificates::wrong_name, "good.test", Outcome::kTlsWrongName,
                    "wrong_name", "asked for 'good.test', the certificate is for 'elsewhere.test'"},
        RefusedCase{"WildcardIsOneLabel", &TestCertificates::good, "a.b.wild.test",
                    Outcome::kTlsWrongName, "wrong_name", "a.b.wild.test"},
        RefusedCase{"CommonNameIsNoName", &TestCertificates::name_only, "good.test",
                    Outcome::kTlsWrongName, "wrong_name", "CN=good.test"},
        RefusedCase{"WrongAddress", &TestCertificates::ip, "192.0.2.8", Outcome::kTlsWrongName,
                    "wrong_name", "192.0.2.8"},
        RefusedCase{"NameIsNoAddress", &TestCertificates::good, "192.0.2.7", Outcome::kTlsWrongName,
                    "wrong_name", "192.0.2.7"}),
    [](const auto& param) { return param.param.name; });

TEST(TlsChannel, AcceptsAddressesWildcardsAndLastDots) {
  const struct {
    const Certificate& certificate;
    std::string asked, sni;
  } cases[] = {{Certs().ip, "192.0.2.7", ""},
               {Certs().ip, "2001:db8::7", ""},
               {Certs().good, "a.wild.test", "a.wild.test"},
               {Certs().good, "good.test.", "good.test"},
               {Certs().good, "GOOD.test", "GOOD.test"}};
  for (const auto& c : cases) {
    Pair pair(Serving(c.certificate));
    EXPECT_TRUE(pair.Connect(c.asked)) << c.asked << ": " << pair.channel->detail();
    EXPECT_EQ(pair.server.server_name(), c.sni);
  }
}

TEST(TlsChannel, TheProfilesNameGoesFirst) {
  Pair pair(Serving(Certs().good));
  pair.profile.server_name = "good.test";
  EXPECT_TRUE(pair.Connect("127.0.0.1")) << pair.channel->detail();
  EXPECT_EQ(pair.server.server_name(), "good.test");
}

TEST(TlsChannel, NothingToVerifyAgainstIsTheProbersFault) {
  for (const std::string& name : {std::string(), std::string(300, 'a'), std::string("a\0b", 3)}) {
    Pair pair(Serving(Certs().good));
    EXPECT_FALSE(pair.Connect(name));
    EXPECT_EQ(pair.channel->outcome(), Outcome::kProberConfig);
    EXPECT_TRUE(pair.to_server.empty());
  }
}

TEST(TlsChannel, ChainThroughAnIntermediateExpiresWithIt) {
  TlsServerOptions options = Serving(Certs().by_intermediate);
  options.chain.push_back(Certs().intermediate);
  Pair pair(options);
  ASSERT_TRUE(pair.Connect()) << pair.channel->detail();
  EXPECT_EQ(pair.channel->facts().earliest_expiry_unix, kTestNowUnix + 10 * kDay);
  EXPECT_EQ(pair.channel->facts().chain_expiry_unix, kTestNowUnix + 10 * kDay);
  EXPECT_EQ(pair.channel->facts().subject, "CN=good.test");
}

TEST(TlsChannel, AnIntermediateOrTheLeafItselfMayBeTheRoot) {
  Pair by_intermediate(Serving(Certs().by_intermediate));
  by_intermediate.profile.ca_pem = Certs().intermediate.Pem();
  EXPECT_TRUE(by_intermediate.Connect()) << by_intermediate.channel->detail();
  Pair by_leaf(Serving(Certs().self_signed));
  by_leaf.profile.ca_pem = Certs().self_signed.Pem();
  EXPECT_TRUE(by_leaf.Connect()) << by_leaf.channel->detail();
}

TEST(TlsChannel, TimeIsTheOneItIsTold) {
  Pair pair(Serving(Certs().good));
  pair.now = kTestNow + Seconds(31 * kDay);
  EXPECT_FALSE(pair.Connect());
  EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsExpired);
}

TEST(TlsChannel, SystemRootsDoNotTrustUs) {
  Pair pair(Serving(Certs().good));
  pair.profile.ca_pem.clear();
  EXPECT_FALSE(pair.Connect());
  EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsUntrusted);
}

TEST(TlsChannel, Alpn) {
  TlsServerOptions options = Serving(Certs().good);
  options.alpn = "http/1.1";
  Pair pair(options);
  pair.profile.alpn = {"h2", "http/1.1"};
  ASSERT_TRUE(pair.Connect());
  EXPECT_EQ(pair.channel->facts().alpn, "http/1.1");
  Pair none(options);
  ASSERT_TRUE(none.Connect());
  EXPECT_EQ(none.channel->facts().alpn, "");
}

TEST(TlsChannel, ClientCertificate) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsServerOptions options = Serving(Certs().good, version);
    options.client_ca = &Certs().ca;
    Pair with(options);
    with.profile.cert_pem = Certs().client.Pem();
    with.profile.key_pem = Certs().client.KeyPem();
    ASSERT_TRUE(with.Connect()) << with.channel->detail();
    EXPECT_TRUE(with.server.client_certificate());

    Pair without(options);  // TLS 1.3 servers complain after the client thinks it is done
    without.Connect();
    EXPECT_EQ(without.channel->state(), State::kFailed);
    EXPECT_EQ(without.channel->outcome(), Outcome::kTlsAlert);
    EXPECT_THAT(without.channel->detail(), HasSubstr("alert"));
    EXPECT_TRUE(without.channel->facts().has_certificate);
  }
}

TEST(TlsChannel, NoVersionInCommon) {
  Pair old_server(Serving(Certs().good, TLS1_1_VERSION));
  EXPECT_FALSE(old_server.Connect());
  EXPECT_EQ(old_server.channel->outcome(), Outcome::kTlsVersion) << old_server.channel->detail();
  Pair new_server(Serving(Certs().good, TLS1_3_VERSION));
  new_server.profile.max_version = Version::kTls12;
  EXPECT_FALSE(new_server.Connect());
  EXPECT_EQ(new_server.channel->outcome(), Outcome::kTlsVersion) << new_server.channel->detail();
}

TEST(TlsChannel, NoCipherInCommon) {
  TlsServerOptions options = Serving(Certs().good, TLS1_2_VERSION);
  options.ciphers = "AES128-SHA";  // needs an RSA certificate, which the server has not
  Pair pair(options);
  EXPECT_FALSE(pair.Connect());
  EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsVersion) << pair.channel->detail();
  EXPECT_THAT(pair.channel->detail(), HasSubstr("handshake failure"));
}

TEST(TlsChannel, AlertInPlaceOfAServerHello) {
  Pair pair(Serving(Certs().good));
  auto context = pair.contexts.For(pair.profile);
  pair.channel = TlsChannel::Client(*context, pair.profile, "good.test", kTestNow);
  pair.channel->Start(pair.to_server);
  pair.piece = 1;
  pair.Deliver(std::string_view("\x15\x03\x03\x00\x02\x02\x70", 7));  // unrecognized_name
  EXPECT_EQ(pair.channel->state(), State::kFailed);
  EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsAlert);
  EXPECT_THAT(pair.channel->detail(), HasSubstr("unrecognized name"));
  EXPECT_FALSE(pair.channel->facts().has_certificate);
}

TEST(TlsChannel, CloseNotifyInPlaceOfAServerHello) {
  Pair pair(Serving(Certs().good));
  auto context = pair.contexts.For(pair.profile);
  pair.channel = TlsChannel::Client(*context, pair.profile, "good.test", kTestNow);
  pair.channel->Start(pair.to_server);
  pair.Deliver(std::string_view("\x15\x03\x03\x00\x02\x01\x00", 7));
  EXPECT_EQ(pair.channel->state(), State::kFailed);
  EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsClosed);
}

TEST(TlsChannel, GarbageInPlaceOfTls) {
  const struct {
    std::string said, detail;
  } cases[] = {{"HTTP/1.1 400 Bad Request\r\nServer: x\r\n", "HTTP/1.1 400 Bad Request"},
               {"220 mail.test ESMTP\r\n", "220 mail.test ESMTP"},
               {std::string("\x01\x02\x03\x04\x05\x06", 6), "it said: ??????"},
               {std::string(64, '\x16'), ""}};
  for (const auto& c : cases) {
    for (const size_t piece : {size_t{1}, size_t{100}}) {
      Pair pair(Serving(Certs().good));
      auto context = pair.contexts.For(pair.profile);
      pair.channel = TlsChannel::Client(*context, pair.profile, "good.test", kTestNow);
      pair.channel->Start(pair.to_server);
      pair.piece = piece;
      pair.Deliver(c.said);
      EXPECT_EQ(pair.channel->state(), State::kFailed);
      EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsProtocol);
      if (piece == 100) { EXPECT_THAT(pair.channel->detail(), HasSubstr(c.detail)); }
    }
  }
}

TEST(TlsChannel, OnlyCloseNotifyIsAnEnd) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Pair pair(Serving(Certs().good, version));
    ASSERT_TRUE(pair.Connect());
    std::string cipher = pair.server.Write("all of this");
    cipher += pair.server.Shutdown();
    pair.Deliver(std::string_view(cipher).substr(0, cipher.size() - 1));
    EXPECT_EQ(pair.channel->state(), State::kOpen) << "truncated: the end was not told";
    EXPECT_EQ(pair.plain.text(), "all of this");
    pair.Deliver(std::string_view(cipher).substr(cipher.size() - 1));
    EXPECT_EQ(pair.channel->state(), State::kEnded);
    pair.Deliver("more");
    EXPECT_EQ(pair.channel->state(), State::kEnded) << "nothing counts after the end";
  }
}

TEST(TlsChannel, AForgedRecordFails) {
  Pair pair(Serving(Certs().good));
  ASSERT_TRUE(pair.Connect());
  std::string cipher = pair.server.Write("secret");
  cipher.back() = static_cast<char>(cipher.back() ^ 1);
  pair.Deliver(cipher);
  EXPECT_EQ(pair.channel->state(), State::kFailed);
  EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsProtocol);
  EXPECT_TRUE(pair.plain.empty());
}

// A channel within that of `pair`, to a target behind the pair's server, which passes on what it
// gets and is given.
class Nested {
 public:
  explicit Nested(Pair& pair, const TlsServerOptions& options) : pair_(pair), target(options) {}

  bool Connect() {
    auto context = pair_.contexts.For(pair_.profile);
    pair_.channel = TlsChannel::Client(*context, pair_.profile, "good.test", pair_.now,
                                       std::move(pair_.channel));
    pair_.channel->Start(pair_.to_server);
    Exchange();
    return pair_.channel->state() == State::kOpen;
  }

  void Exchange() {
    for (int round = 0; round < 20 && !pair_.to_server.empty(); ++round) {
      pair_.Exchange();
      const std::string passed = pair_.server.received().substr(passed_);
      passed_ += passed.size();
      for (size_t i = 0; i < passed.size(); i += pair_.piece) {
        Deliver(target.Feed(std::string_view(passed).substr(i, pair_.piece)));
      }
    }
  }
  void Deliver(std::string_view cipher) {
    if (!cipher.empty()) pair_.Deliver(pair_.server.Write(cipher));
  }

 private:
  Pair& pair_;
  size_t passed_ = 0;

 public:
  TlsServer target;
};

TEST(TlsChannel, InsideAnother) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{1460}, size_t{1} << 20}) {
      Pair pair(Serving(Certs().ip, version));
      pair.piece = piece;
      ASSERT_TRUE(pair.Connect("192.0.2.7")) << pair.channel->detail();
      Nested nested(pair, Serving(Certs().good));
      ASSERT_TRUE(nested.Connect()) << pair.channel->detail();
      EXPECT_EQ(pair.channel->facts().subject_alternative, "good.test,*.wild.test");
      EXPECT_EQ(pair.channel->carrier_state(), State::kOpen);

      const std::string big(100'000, 'x');
      ASSERT_EQ(pair.channel->Write(AsBytes("hello" + big), pair.to_server), State::kOpen);
      nested.Exchange();
      EXPECT_EQ(nested.target.received(), "hello" + big);
      nested.Deliver(nested.target.Write(big + "world"));
      EXPECT_EQ(pair.plain.text(), big + "world");

      nested.Deliver(nested.target.Shutdown());
      EXPECT_EQ(pair.channel->state(), State::kEnded);
      EXPECT_EQ(pair.channel->carrier_state(), State::kOpen);
      pair.channel->Shutdown(pair.to_server);
      nested.Exchange();
      EXPECT_TRUE(nested.target.ended());
      EXPECT_TRUE(pair.server.ended());
    }
  }
}

TEST(TlsChannel, TheCarrierEndsOrBreaks) {
  for (const bool broken : {false, true}) {
    Pair pair(Serving(Certs().good));
    ASSERT_TRUE(pair.Connect());
    Nested nested(pair, Serving(Certs().good));
    ASSERT_TRUE(nested.Connect());
    std::string cipher = broken ? pair.server.Write("secret") : pair.server.Shutdown();
    if (broken) cipher.back() = static_cast<char>(cipher.back() ^ 1);
    pair.Deliver(cipher);
    EXPECT_EQ(pair.channel->carrier_state(), broken ? State::kFailed : State::kEnded);
    EXPECT_EQ(pair.channel->state(), State::kOpen);
    EXPECT_TRUE(pair.plain.empty());
    // Nothing more can be sent.
    pair.to_server.Clear();
    pair.channel->Write(AsBytes("late"), pair.to_server);
    EXPECT_TRUE(pair.to_server.empty());
  }
}

TEST(TlsChannel, WhatIsInsideIsNotTls) {
  Pair pair(Serving(Certs().good));
  ASSERT_TRUE(pair.Connect());
  Nested nested(pair, Serving(Certs().good));
  auto context = pair.contexts.For(pair.profile);
  pair.channel =
      TlsChannel::Client(*context, pair.profile, "good.test", pair.now, std::move(pair.channel));
  pair.channel->Start(pair.to_server);
  nested.Deliver("220 mail.example\r\n");
  EXPECT_EQ(pair.channel->outcome(), Outcome::kTlsProtocol);
  EXPECT_THAT(pair.channel->detail(), HasSubstr("220 mail.example"));
}

TEST(TlsChannel, EveryPrefixOfAHandshakeIsUndecided) {
  // One server's bytes, cut anywhere: never open, never failed before the last flight is whole.
  for (size_t cut = 0;; cut += 13) {
    Pair pair(Serving(Certs().good, TLS1_3_VERSION));
    auto context = pair.contexts.For(pair.profile);
    pair.channel = TlsChannel::Client(*context, pair.profile, "good.test", kTestNow);
    pair.channel->Start(pair.to_server);
    const std::string flight = pair.server.Feed(pair.to_server.text());
    if (cut >= flight.size()) break;
    pair.Deliver(std::string_view(flight).substr(0, cut));
    EXPECT_EQ(pair.channel->state(), State::kHandshaking) << cut;
  }
}

}  // namespace
}  // namespace sonde
