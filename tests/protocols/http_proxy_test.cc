// HTTP probes through proxies, from the first leg to the report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/protocols/http_probe.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string kEstablished = "HTTP/1.1 200 Connection established\r\n\r\n";
const std::string kGranted("\5\0\0\1\0\0\0\0\0\0", 10);
const LegScript kProxyLeg = {.peer = *Address::ParseLiteral("192.0.2.99", 3128)};

LegScript At(std::string_view address) { return {.peer = *Address::ParseLiteral(address)}; }

// Resolves the target and opens the leg to the proxy.
std::unique_ptr<ConversationDriver> Through(const HttpProbeText& text) {
  auto probe = MakeHttpProbe(text);
  EXPECT_EQ(probe->Start().kind, Step::Kind::kOpen);
  EXPECT_NE(probe->leg().reach, Reach::kPeer);
  EXPECT_EQ(probe->Open().kind, Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().reach, Reach::kPeer);
  EXPECT_EQ(probe->Sent(), "");
  probe->Open(kProxyLeg);
  return probe;
}

void ExpectPhases(ConversationDriver& probe, double resolve, double connect, double tls) {
  EXPECT_DOUBLE_EQ(FactOf(probe, Fact::kHttpResolve).value_or(-1), resolve);
  EXPECT_DOUBLE_EQ(FactOf(probe, Fact::kHttpConnect).value_or(-1), connect);
  EXPECT_DOUBLE_EQ(FactOf(probe, Fact::kHttpTls).value_or(-1), tls);
}

TEST(HttpProxyTest, PlainTargetsByTheirWholeUrl) {
  auto probe = MakeHttpProbe({.target = "http://shop.example:8080/a/b?q=1",
                              .module = "proxy_url: http://u:p@proxy.example:3128"});
  probe->Start();
  EXPECT_EQ(probe->leg().reach, Reach::kAddress);
  EXPECT_EQ(probe->leg().host, "shop.example");
  EXPECT_EQ(probe->leg().port, 8080);
  EXPECT_EQ(probe->leg().scheme, "http");
  EXPECT_EQ(probe->leg().tls, nullptr);
  probe->Open();
  EXPECT_EQ(probe->leg().reach, Reach::kPeer);
  EXPECT_EQ(probe->leg().host, "proxy.example");
  EXPECT_EQ(probe->leg().port, 3128);
  EXPECT_EQ(probe->leg().scheme, "http");
  EXPECT_EQ(probe->leg().tls, nullptr);
  probe->Open(kProxyLeg);
  EXPECT_THAT(probe->Sent(), StartsWith("GET http://shop.example:8080/a/b?q=1 HTTP/1.1\r\n"
                                        "Proxy-Authorization: Basic dTpw\r\n"
                                        "Host: shop.example:8080\r\n"));
  probe->Receive(kOk);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  // Looking up the proxy is part of connecting to it.
  ExpectPhases(*probe, 0.001, 0.003, 0);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 200);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 0);
  EXPECT_EQ(FactOf(*probe, Fact::kDnsLookupTime), 0.001);
  EXPECT_EQ(FactOf(*probe, Fact::kIpAddrHash), At("192.0.2.1").peer.Hash());
  EXPECT_EQ(probe->evidence().peer.HostPort(), "192.0.2.1:8080");
}

TEST(HttpProxyTest, TheRequestLineNamesTheHostOfTheHeader) {
  auto probe = Through({.target = "http://192.0.2.1/x",
                        .module = "proxy_url: http://proxy.example\n"
                                  "headers: {Host: vhost.example, Proxy-Authorization: Own x}"});
  const std::string sent = probe->Sent();
  EXPECT_THAT(sent, StartsWith("GET http://vhost.example/x HTTP/1.1\r\nHost: vhost.example\r\n"));
  EXPECT_THAT(sent, HasSubstr("Proxy-Authorization: Own x\r\n"));
}

TEST(HttpProxyTest, ConnectInPiecesOfAnySize) {
  for (size_t piece = 1; piece <= kEstablished.size(); ++piece) {
    auto probe =
        Through({.target = "https://shop.example/a", .module = "proxy_url: http://proxy.example"});
    EXPECT_THAT(probe->Sent(), StartsWith("CONNECT 192.0.2.1:443 HTTP/1.1\r\n"));
    for (size_t at = 0; at < kEstablished.size(); at += piece) {
      ASSERT_EQ(probe->step().kind, Step::Kind::kMore);
      probe->Receive(kEstablished.substr(at, piece));
    }
    ASSERT_EQ(probe->step().kind, Step::Kind::kSecure) << piece;
    EXPECT_EQ(probe->step().server_name, "shop.example");
    probe->Open();
    EXPECT_THAT(probe->Sent(), StartsWith("GET /a HTTP/1.1\r\nHost: shop.example\r\n"));
    probe->Receive(kOk);
    EXPECT_EQ(probe->outcome(), Outcome::kOk);
    ExpectPhases(*probe, 0.001, 0.003, 0.003);  // connect ends where the proxy is connected
    EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 1);
    EXPECT_TRUE(probe->result().facts.Has(Fact::kCertExpiry));
  }
}

TEST(HttpProxyTest, TlsToTheProxyIsNotTheTargets) {
  const std::string module =
      "proxy_url: https://proxy.example\n"
      "tls_config: {server_name: cert.example}\nfail_if_ssl: true";
  auto plain = MakeHttpProbe({.module = module});
  plain->Start();
  plain->Open();
  ASSERT_NE(plain->leg().tls, nullptr);
  EXPECT_EQ(plain->leg().tls->server_name, "");
  EXPECT_EQ(plain->leg().host, "proxy.example");
  EXPECT_EQ(plain->leg().scheme, "https");
  plain->Open(kProxyLeg);
  EXPECT_THAT(plain->Sent(), StartsWith("GET http://shop.example/health HTTP/1.1\r\n"));
  plain->Receive(kOk);
  EXPECT_EQ(plain->outcome(), Outcome::kOk);  // fail_if_ssl speaks of the target
  ExpectPhases(*plain, 0.001, 0.006, 0);
  EXPECT_FALSE(plain->result().facts.Has(Fact::kCertExpiry));

  auto secure = Through({.target = "https://shop.example/", .module = module});
  EXPECT_THAT(secure->Sent(), StartsWith("CONNECT "));
  secure->Receive(kEstablished);
  ASSERT_EQ(secure->step().kind, Step::Kind::kSecure);
  EXPECT_EQ(secure->step().tls->server_name, "cert.example");
  secure->Open();
  secure->Receive(kOk);
  EXPECT_EQ(OutcomeName(secure->outcome()), "validation/tls");
  ExpectPhases(*secure, 0.001, 0.003, 0.003);
}

TEST(HttpProxyTest, Socks) {
  auto plain = Through({.module = "proxy_url: socks5://proxy.example"});
  EXPECT_EQ(plain->leg().scheme, "socks5");
  EXPECT_EQ(plain->leg().port, 1080);
  EXPECT_EQ(plain->Sent(), std::string("\5\1\0", 3));
  plain->ReceiveOneByOne(std::string("\5\0", 2));
  EXPECT_EQ(plain->Sent(), std::string("\5\1\0\1\xc0\0\2\1\0\x50", 10));
  plain->ReceiveOneByOne(kGranted);
  EXPECT_THAT(plain->Sent(), StartsWith("GET /health HTTP/1.1\r\nHost: shop.example\r\n"));
  plain->Receive(kOk);
  EXPECT_EQ(plain->outcome(), Outcome::kOk);

  // All of it at once, and an answer before it was asked for.
  auto hasty = Through({.module = "proxy_url: socks5://proxy.example"});
  hasty->Receive(std::string("\5\0", 2) + kGranted + kOk);
  EXPECT_EQ(hasty->outcome(), Outcome::kOk);

  auto secure = Through(
      {.target = "https://shop.example/", .module = "proxy_url: socks5h://u:p@proxy.example"});
  EXPECT_EQ(secure->Sent(), std::string("\5\2\0\2", 4));
  secure->Receive(std::string("\5\2", 2));
  EXPECT_EQ(secure->Sent(), "\1\1u\1p");
  secure->Receive(std::string("\1\0", 2));
  EXPECT_EQ(secure->Sent(), std::string("\5\1\0\1\xc0\0\2\1\1\xbb", 10));
  secure->Receive(kGranted);
  ASSERT_EQ(secure->step().kind, Step::Kind::kSecure);
  secure->Open();
  secure->Receive(kOk);
  EXPECT_EQ(secure->outcome(), Outcome::kOk);
}

TEST(HttpProxyTest, SkippedResolving) {
  const std::string skip = "\nskip_resolve_phase_with_proxy: true";
  auto probe = MakeHttpProbe(
      {.target = "https://shop.example/", .module = "proxy_url: http://proxy.example" + skip});
  probe->Start();
  EXPECT_EQ(probe->leg().reach, Reach::kName);  // the policy is asked all the same
  EXPECT_EQ(probe->leg().host, "shop.example");
  probe->Open();
  probe->Open(kProxyLeg);
  EXPECT_THAT(probe->Sent(), StartsWith("CONNECT shop.example:443 HTTP/1.1\r\n"));
  probe->Receive(kEstablished);
  probe->Open();
  probe->Receive(kOk);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  for (const Fact fact :
       {Fact::kHttpResolve, Fact::kDnsLookupTime, Fact::kIpProtocol, Fact::kIpAddrHash}) {
    EXPECT_FALSE(probe->result().facts.Has(fact));
  }
  EXPECT_TRUE(probe->result().facts.Has(Fact::kHttpConnect));

  auto socks = Through({.module = "proxy_url: socks5://proxy.example" + skip});
  socks->Receive(std::string("\5\0", 2));
  EXPECT_EQ(socks->Sent().substr(3), std::string("\5\1\0\3\14shop.example\0\x50", 19));
}

TEST(HttpProxyTest, NoProxyByNameAndByAddress) {
  for (const char* no_proxy : {"shop.example", "192.0.2.0/24"}) {
    auto probe = MakeHttpProbe(
        {.module = std::string("proxy_url: http://proxy.example\nno_proxy: ") + no_proxy});
    probe->Start();
    probe->Open();
    EXPECT_EQ(probe->leg().reach, Reach::kPeer);
    EXPECT_EQ(probe->leg().host, "shop.example");
    ASSERT_NE(probe->leg().address, nullptr);
    EXPECT_EQ(probe->leg().address->Host(), "192.0.2.1");
    probe->Open();
    EXPECT_THAT(probe->Sent(), StartsWith("GET /health HTTP/1.1\r\n"));
    probe->Receive(kOk);
    EXPECT_EQ(probe->outcome(), Outcome::kOk);
    ExpectPhases(*probe, 0.001, 0.002, 0);
  }
}

std::string MovedTo(std::string_view location) {
  return "HTTP/1.1 302 Found\r\nLocation: " + std::string(location) +
         "\r\nContent-Length: 0\r\n\r\n";
}

TEST(HttpProxyTest, EachHopHasItsOwnWay) {
  auto probe = Through({.target = "http://shop.example/",
                        .module = "proxy_url: http://proxy.example\nno_proxy: .internal"});
  EXPECT_THAT(probe->Sent(), StartsWith("GET http://shop.example/ HTTP/1.1\r\n"));

  // To https by name: resolved, judged, and through a tunnel.
  EXPECT_EQ(probe->Receive(MovedTo("https://other.example:444/x")).kind, Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().reach, Reach::kAddress);
  EXPECT_EQ(probe->leg().host, "other.example");
  probe->Open(At("192.0.2.2"));
  EXPECT_EQ(probe->leg().host, "proxy.example");
  probe->Open(kProxyLeg);
  EXPECT_THAT(probe->Sent(), StartsWith("CONNECT 192.0.2.2:444 HTTP/1.1\r\n"));
  probe->Receive(kEstablished);
  EXPECT_EQ(probe->step().server_name, "other.example");
  probe->Open();
  EXPECT_THAT(probe->Sent(), StartsWith("GET /x HTTP/1.1\r\nHost: other.example:444\r\n"));

  // Relative: the same address, asked for again without resolving.
  probe->Receive(MovedTo("/y"));
  EXPECT_EQ(probe->leg().reach, Reach::kAddress);
  ASSERT_NE(probe->leg().address, nullptr);
  EXPECT_EQ(probe->leg().address->HostPort(), "192.0.2.2:444");
  probe->Open();
  probe->Open(kProxyLeg);
  EXPECT_THAT(probe->Sent(), StartsWith("CONNECT 192.0.2.2:444 HTTP/1.1\r\n"));
  probe->Receive(kEstablished);
  probe->Open();
  EXPECT_THAT(probe->Sent(), StartsWith("GET /y HTTP/1.1\r\n"));

  // Back to http, by absolute form.
  probe->Receive(MovedTo("http://third.example/"));
  probe->Open();
  probe->Open(kProxyLeg);
  EXPECT_THAT(probe->Sent(), StartsWith("GET http://third.example/ HTTP/1.1\r\n"));

  // An exception: straight there.
  probe->Receive(MovedTo("http://a.internal/"));
  probe->Open(At("192.0.2.3"));
  EXPECT_EQ(probe->leg().host, "a.internal");
  probe->Open();
  EXPECT_THAT(probe->Sent(), StartsWith("GET / HTTP/1.1\r\nHost: a.internal\r\n"));
  probe->Receive(MovedTo("/z"));
  ASSERT_NE(probe->leg().address, nullptr);
  EXPECT_EQ(probe->leg().address->HostPort(), "192.0.2.3:80");
  probe->Open();
  EXPECT_EQ(probe->leg().host, "a.internal");
  probe->Open();
  EXPECT_THAT(probe->Sent(), StartsWith("GET /z HTTP/1.1\r\n"));
  probe->Receive(kOk);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 5);
  EXPECT_EQ(FactOf(*probe, Fact::kIpAddrHash), At("192.0.2.1").peer.Hash());
}

// The proxy's login is the proxy's, whatever host a redirect leads to.
TEST(HttpProxyTest, TheLoginOutlivesRedirects) {
  auto probe = Through({.target = "http://shop.example/",
                        .module = "proxy_url: http://u:p@proxy.example\n"
                                  "headers: {Proxy-Authorization: Own x}"});
  const std::string first = probe->Sent();
  EXPECT_THAT(first, HasSubstr("Proxy-Authorization: Own x\r\n"));
  EXPECT_THAT(first, Not(HasSubstr("Basic")));
  probe->Receive(MovedTo("http://other.example/"));
  probe->Open();
  probe->Open(kProxyLeg);
  EXPECT_THAT(probe->Sent(), HasSubstr("Proxy-Authorization: Basic dTpw\r\n"));
}

// The first address' failure is not when the probe ended.
TEST(HttpProxyTest, TheOtherFamilyAndThenSilence) {
  auto probe = MakeHttpProbe({.module = "proxy_url: http://proxy.example"});
  probe->Start();
  probe->Open();
  probe->FailLeg(Outcome::kConnectRefused, LegFailure::kConnect, At("2001:db8::9"));
  probe->Open(kProxyLeg);
  probe->Receive("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok");
  probe->Deadline();
  EXPECT_EQ(OutcomeName(probe->outcome()), "body/timeout");
  EXPECT_GT(FactOf(*probe, Fact::kHttpTransfer).value_or(-1), 0);
}

TEST(HttpProxyTest, TheOtherFamilyOfAProxysName) {
  auto probe = MakeHttpProbe({.module = "proxy_url: http://proxy.example"});
  probe->Start();
  probe->Open();
  EXPECT_EQ(probe->leg().network->preferred_family, IpFamily::kV6);
  EXPECT_EQ(probe->FailLeg(Outcome::kConnectRefused, LegFailure::kConnect, At("2001:db8::9")).kind,
            Step::Kind::kOpen);
  EXPECT_EQ(probe->leg().network->preferred_family, IpFamily::kV4);
  EXPECT_FALSE(probe->leg().network->fallback);
  probe->Open(kProxyLeg);
  probe->Receive(kOk);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(probe->evidence().detail, "");

  // There is none: what failed first is the reason.
  probe = MakeHttpProbe({.module = "proxy_url: http://proxy.example"});
  probe->Start();
  probe->Open();
  probe->FailLeg(Outcome::kConnectRefused, LegFailure::kConnect, At("2001:db8::9"), "refused");
  probe->FailLeg(Outcome::kDnsNoAddress, LegFailure::kResolve, {}, "no address");
  EXPECT_EQ(OutcomeName(probe->outcome()), "connect/proxy_unreachable");
  EXPECT_EQ(probe->evidence().detail, "proxy proxy.example:80: refused");
}

TEST(HttpProxyTest, WhatFailsOnTheWay) {
  const auto through = [](std::string_view url = "http://proxy.example") {
    return Through({.target = "https://shop.example/", .module = "proxy_url: " + std::string(url)});
  };
  const auto expect = [](ConversationDriver& probe, std::string_view outcome,
                         std::string_view detail) {
    EXPECT_EQ(OutcomeName(probe.outcome()), outcome);
    EXPECT_THAT(probe.evidence().detail, HasSubstr(detail));
    EXPECT_EQ(FactOf(probe, Fact::kHttpStatusCode), 0);
    ExpectPhases(probe, 0.001, 0, 0);
  };
  auto probe = MakeHttpProbe({.module = "proxy_url: http://proxy.example"});
  probe->Start();
  probe->Open();
  probe->FailLeg(Outcome::kDnsNotFound, LegFailure::kResolve, {}, "no such name");
  expect(*probe, "connect/proxy_unreachable", "proxy proxy.example:80: no such name");

  probe = MakeHttpProbe({.module = "proxy_url: https://proxy.example"});
  probe->Start();
  probe->Open();
  probe->FailLeg(Outcome::kTlsExpired, LegFailure::kTls, kProxyLeg, "has expired");
  EXPECT_FALSE(probe->result().facts.Has(Fact::kCertExpiry));
  expect(*probe, "connect/proxy_unreachable", "proxy proxy.example:443: has expired");

  probe = through();
  probe->Receive("HTTP/1.1 407 Who\r\n\r\n");
  expect(*probe, "connect/proxy_auth", "it answered 407");
  probe = through();
  probe->Receive("HTTP/1.1 403 No\r\n\r\n");
  expect(*probe, "connect/proxy_refused", "it answered 403");
  probe = through();
  probe->Receive("garbage\r\n");
  expect(*probe, "connect/proxy_answer", "does not speak HTTP");
  probe = through();
  probe->Receive("HTTP/1.1 200 O");
  probe->Close();
  expect(*probe, "connect/proxy_closed", "proxy proxy.example:80: it closed");
  probe = through();
  probe->Close(PeerClose::kReset);
  expect(*probe, "connect/proxy_closed", "it reset");
  probe = through();
  probe->Receive("HTTP/1.1 200 O");
  probe->Deadline();
  expect(*probe, "connect/proxy_timeout", "proxy proxy.example:80");
  probe = through("socks5://proxy.example");
  probe->Receive(std::string("\5\0\5\5", 4));
  expect(*probe, "connect/refused", "proxy proxy.example:1080: it replied 'connection refused'");

  // What fails inside the tunnel is the target's.
  probe = through();
  probe->Receive(kEstablished);
  probe->FailLeg(Outcome::kTlsExpired, LegFailure::kTls, {}, "has expired");
  expect(*probe, "tls/expired", "has expired");
  probe = through();
  probe->Receive(kEstablished);
  probe->Open();
  probe->Close();
  EXPECT_EQ(OutcomeName(probe->outcome()), "first_byte/closed");
}

TEST(HttpProxyTest, WhatFailsBeforeTheProxy) {
  const std::string module = "proxy_url: http://proxy.example";
  auto probe = MakeHttpProbe({.module = module});
  probe->Start();
  probe->FailLeg(Outcome::kDnsNotFound, LegFailure::kResolve, {}, "no such name");
  EXPECT_EQ(OutcomeName(probe->outcome()), "dns/not_found");
  EXPECT_FALSE(probe->result().facts.Has(Fact::kHttpConnect));
  EXPECT_TRUE(probe->result().facts.Has(Fact::kHttpResolve));

  for (const char* bad :
       {"proxy_url: ftp://proxy.example", "proxy_url: http://proxy.example\nbody_file: /nowhere"}) {
    FakeFiles files;
    probe = MakeHttpProbe({.module = bad}, &files);
    probe->Start();
    EXPECT_EQ(OutcomeName(probe->Open().outcome), "prober/config") << bad;
    EXPECT_FALSE(probe->result().facts.Has(Fact::kHttpConnect));
    EXPECT_TRUE(probe->result().facts.Has(Fact::kHttpResolve));
  }
}

TEST(HttpProxyTest, ThePolicyJudgesEveryLeg) {
  const std::string module = "proxy_url: http://proxy.example";
  auto probe = MakeHttpProbe({.module = module});
  probe->Start();
  probe->FailLeg(Outcome::kProberPolicy, LegFailure::kResolve, {}, "denied by 'metadata'");
  EXPECT_EQ(OutcomeName(probe->outcome()), "prober/policy");
  probe = MakeHttpProbe({.module = module});
  probe->Start();
  probe->Open();
  probe->FailLeg(Outcome::kProberPolicy, LegFailure::kBeforeResolve, {}, "denied by ':80'");
  EXPECT_EQ(OutcomeName(probe->outcome()), "prober/policy");
  EXPECT_EQ(probe->evidence().detail, "proxy proxy.example:80: denied by ':80'");
}

}  // namespace
}  // namespace sonde
