#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocols/http_conversation.h"
#include "protocols/http_cookies.h"
#include "tests/protocols/http_probe.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

std::string To(std::string_view location, int status = 302, std::string_view more = "") {
  return "HTTP/1.1 " + std::to_string(status) + " Moved\r\nLocation: " + std::string(location) +
         "\r\n" + std::string(more) + "Content-Length: 4\r\n\r\nbody";
}

// Follows one redirect; returns the request of the second hop.
std::string Second(ConversationDriver& probe, const std::string& answer) {
  probe.Sent();
  EXPECT_EQ(probe.Receive(answer).kind, Step::Kind::kOpen);
  probe.Open();
  return probe.Sent();
}

TEST(HttpRedirectTest, RelativeStaysOnTheAddress) {
  auto probe = StartHttpProbe(
      {.target = "https://shop.example:444/a/b?q", .module = "headers: {Host: vhost.example}"});
  EXPECT_EQ(probe->leg().server_name, "vhost.example");
  const std::string request = Second(*probe, To("../c"));
  EXPECT_THAT(request, StartsWith("GET /c HTTP/1.1\r\nHost: vhost.example\r\n"));
  EXPECT_THAT(request, HasSubstr("Referer: https://shop.example:444/a/b?q\r\n"));
  ASSERT_NE(probe->leg().address, nullptr);
  EXPECT_EQ(probe->leg().address->HostPort(), "192.0.2.1:444");
  EXPECT_EQ(probe->leg().host, "shop.example");
  EXPECT_EQ(probe->leg().server_name, "vhost.example");
  EXPECT_NE(probe->leg().tls, nullptr);
  probe->Receive(kOk);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 1);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 200);
  EXPECT_EQ(probe->evidence().url, "https://shop.example:444/c");
}

TEST(HttpRedirectTest, AbsoluteIsResolvedAgain) {
  auto probe = StartHttpProbe(
      {.target = "http://shop.example/a", .module = "headers: {Host: vhost.example}"});
  const std::string request = Second(*probe, To("https://Other.example:8443/x"));
  EXPECT_THAT(request, StartsWith("GET /x HTTP/1.1\r\nHost: Other.example:8443\r\n"));
  EXPECT_EQ(probe->leg().address, nullptr);
  EXPECT_EQ(probe->leg().host, "other.example");
  EXPECT_EQ(probe->leg().server_name, "other.example");
  EXPECT_EQ(probe->leg().port, 8443);
  EXPECT_EQ(probe->leg().scheme, "https");
  EXPECT_NE(probe->leg().tls, nullptr);
  probe->Receive(kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 1);
  EXPECT_TRUE(probe->result().facts.Has(Fact::kCertExpiry));
}

TEST(HttpRedirectTest, NoRefererFromTlsToPlain) {
  auto probe = StartHttpProbe({.target = "https://shop.example/a"});
  EXPECT_THAT(Second(*probe, To("http://shop.example/b")), Not(HasSubstr("Referer")));
  EXPECT_EQ(probe->leg().tls, nullptr);
  probe->Receive(kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 0);
  EXPECT_FALSE(probe->result().facts.Has(Fact::kCertExpiry));
}

TEST(HttpRedirectTest, MethodsAndBodies) {
  const struct {
    int status;
    std::string_view method, next;
    bool body;
  } kCases[] = {
      {301, "POST", "GET", false},  {302, "POST", "GET", false},     {303, "PUT", "GET", false},
      {307, "POST", "POST", true},  {308, "PUT", "PUT", true},       {301, "HEAD", "HEAD", false},
      {303, "HEAD", "HEAD", false}, {307, "DELETE", "DELETE", true}, {302, "GET", "GET", false},
  };
  for (const auto& c : kCases) {
    auto probe = StartHttpProbe({.module = "method: " + std::string(c.method) +
                                           "\nbody: data\nheaders: {Content-Type: text/x}"});
    const std::string request = Second(*probe, To("/next", c.status));
    EXPECT_THAT(request, StartsWith(std::string(c.next) + " /next ")) << c.status << c.method;
    EXPECT_EQ(request.find("data") != std::string::npos, c.body) << c.status << c.method;
    EXPECT_EQ(request.find("Content-Length: 4") != std::string::npos, c.body) << c.status;
    EXPECT_EQ(request.find("Content-Type") != std::string::npos, c.body) << c.status;
  }
}

TEST(HttpRedirectTest, ABodyOnceDroppedStaysDropped) {
  auto probe = StartHttpProbe({.module = "method: POST\nbody: data"});
  Second(*probe, To("/b", 303));
  EXPECT_THAT(Second(*probe, To("/c", 307)), Not(HasSubstr("data")));
}

TEST(HttpRedirectTest, AFileIsNotSentTwice) {
  FakeFiles files;
  files.contents["/body"] = "data";
  const std::string module = "method: POST\nbody_file: /body\nvalid_status_codes: [307]";
  auto probe = StartHttpProbe({.module = module}, &files);
  probe->Receive(To("/next", 307));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 0);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), 4);
  probe = StartHttpProbe({.module = module}, &files);
  EXPECT_THAT(Second(*probe, To("/next", 302)), StartsWith("GET /next "));
}

TEST(HttpRedirectTest, TenAreFollowed) {
  auto probe = StartHttpProbe({});
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(probe->Receive(To("/again")).kind, Step::Kind::kOpen) << i;
    probe->Open();
  }
  probe->Receive(kOk);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 10);
}

TEST(HttpRedirectTest, TheEleventhIsTheAnswer) {
  for (const bool accepted : {false, true}) {
    auto probe = StartHttpProbe({.module = accepted ? "valid_status_codes: [302]" : ""});
    for (int i = 0; i < 10; ++i) {
      probe->Receive(To("/again"));
      probe->Open();
    }
    probe->Receive(To("/again"));
    EXPECT_EQ(OutcomeName(probe->outcome()), accepted ? "ok" : "validation/redirect");
    EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 11);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 302);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpContentLength), 4);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), 0);
  }
}

TEST(HttpRedirectTest, NotFollowed) {
  const struct {
    std::string_view more, outcome;
    double regex;
  } kCases[] = {
      {"valid_status_codes: [302]", "ok", 0},
      {"", "validation/status", 0},
      {"valid_status_codes: [302]\nfail_if_header_matches: [{header: Location, regexp: /x}]",
       "validation/header", 1},
      {"valid_status_codes: [302]\nfail_if_body_matches_regexp: [zzz]", "validation/body", 1},
      {"valid_status_codes: [302]\ncompression: gzip", "body/encoding", 0},
      {"valid_status_codes: [302]\ncompression: deflate", "ok", 0},
  };
  for (const auto& c : kCases) {
    auto probe = StartHttpProbe({.module = "follow_redirects: false\n" + std::string(c.more)});
    probe->Receive(To("/x"));
    EXPECT_EQ(OutcomeName(probe->outcome()), c.outcome) << c.more;
    EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 1);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 302);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpContentLength), 4);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), 0);
    EXPECT_EQ(FactOf(*probe, Fact::kFailedRegex), c.regex);
  }
  auto probe = StartHttpProbe({.module = "no_follow_redirects: true\nvalid_status_codes: [302]"});
  probe->Receive(To("/x"));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(HttpRedirectTest, NowhereToGo) {
  for (const char* location :
       {"ftp://h/", "http://", "http://h:99999/", "/%zz", "//", "mailto:a@b"}) {
    auto probe = StartHttpProbe({});
    probe->Receive(To(location));
    EXPECT_EQ(OutcomeName(probe->outcome()), "validation/redirect") << location;
    EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 0);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), 0);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpContentLength), 0);
    EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 0);
  }
}

TEST(HttpRedirectTest, ALaterHopThatFailsLeavesNoAnswer) {
  auto probe = StartHttpProbe({.target = "https://shop.example/"});
  probe->Receive(To("https://gone.example/"));
  probe->FailLeg(Outcome::kDnsNotFound, LegFailure::kResolve);
  EXPECT_EQ(OutcomeName(probe->outcome()), "dns/not_found");
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 0);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), 0);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpContentLength), 0);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpSsl), 0);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 1);
  EXPECT_EQ(FactOf(*probe, Fact::kIpProtocol), 4);  // of the first hop
  EXPECT_FALSE(probe->result().facts.Has(Fact::kCertExpiry));
  EXPECT_TRUE(probe->result().facts.Has(Fact::kHttpTransfer));
}

// Q4 and Q5: the logical name decides.
TEST(HttpRedirectTest, CredentialsStayWithTheHostAndBelow) {
  const std::string module =
      "basic_auth: {username: u, password: p}\nheaders: {Cookie: k=v, X-Plain: y}\n"
      "http_headers: {X-Secret: {secrets: [s]}, X-Open: {values: [o]}}";
  const struct {
    const char* location;
    bool kept;
  } kCases[] = {{"/relative", true},
                {"http://shop.example/", true},
                {"https://SHOP.example:8443/", true},
                {"http://eu.shop.example/", true},
                {"http://example/", false},
                {"http://evilshop.example/", false},
                {"http://shop.example.evil/", false},
                {"//192.0.2.1/", false}};
  for (const auto& c : kCases) {
    auto probe = StartHttpProbe({.module = module});
    const std::string request = Second(*probe, To(c.location));
    EXPECT_EQ(request.find("Authorization: Basic") != std::string::npos, c.kept) << c.location;
    EXPECT_EQ(request.find("X-Secret") != std::string::npos, c.kept) << c.location;
    EXPECT_EQ(request.find("Cookie: k=v") != std::string::npos, c.kept) << c.location;
    EXPECT_THAT(request, HasSubstr("X-Open: o"));
    EXPECT_THAT(request, HasSubstr("X-Plain: y"));
  }
}

TEST(HttpRedirectTest, TheHostHeaderIsTheLogicalName) {
  auto probe = StartHttpProbe({.target = "http://10.0.0.1/",
                               .module = "bearer_token: t\nheaders: {Host: 'shop.example:80'}"});
  EXPECT_THAT(Second(*probe, To("https://shop.example/")), HasSubstr("Authorization: Bearer t"));
  probe = StartHttpProbe(
      {.target = "http://10.0.0.1/", .module = "bearer_token: t\nheaders: {Host: shop.example}"});
  EXPECT_THAT(Second(*probe, To("http://10.0.0.1/x")), Not(HasSubstr("Authorization")));
}

TEST(HttpRedirectTest, TrustOnceLostDoesNotComeBack) {
  auto probe = StartHttpProbe({.module = "headers: {Authorization: secret}"});
  EXPECT_THAT(Second(*probe, To("http://other.example/")), Not(HasSubstr("secret")));
  EXPECT_THAT(Second(*probe, To("http://shop.example/")), Not(HasSubstr("secret")));
}

TEST(HttpRedirectTest, UserinfoOfTheTargetAndOfALocation) {
  auto probe = StartHttpProbe({.target = "http://u:p@shop.example/"});
  EXPECT_THAT(Second(*probe, To("/x")), HasSubstr("Authorization: Basic dTpw"));
  EXPECT_THAT(Second(*probe, To("http://other.example/")), Not(HasSubstr("Authorization")));
  EXPECT_THAT(Second(*probe, To("http://a:b@third.example/")),
              HasSubstr("Authorization: Basic YTpi"));
}

TEST(HttpRedirectTest, CookiesTravel) {
  auto probe =
      StartHttpProbe({.target = "https://shop.example/", .module = "headers: {Cookie: own=1}"});
  EXPECT_THAT(
      Second(*probe, To("/a", 302, "Set-Cookie: s=1; HttpOnly\r\nSet-Cookie: t=2; Secure\r\n")),
      HasSubstr("Cookie: own=1; s=1; t=2\r\n"));
  // An absolute redirect to the same name keeps them as well.
  EXPECT_THAT(Second(*probe, To("https://shop.example/b", 302, "Set-Cookie: s=3\r\n")),
              HasSubstr("Cookie: own=1; t=2; s=3\r\n"));
  EXPECT_THAT(Second(*probe, To("http://shop.example/c")), HasSubstr("Cookie: own=1; s=3\r\n"));
  EXPECT_THAT(Second(*probe, To("http://other.example/")), Not(HasSubstr("Cookie")));
}

TEST(HttpRedirectTest, OneByteAtATime) {
  auto probe = StartHttpProbe({});
  const std::string answer = "HTTP/1.1 100 Continue\r\n\r\n" + To("/x");
  for (const char c : answer) {
    if (probe->step().kind == Step::Kind::kOpen) break;
    probe->Receive(std::string_view(&c, 1));
  }
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  probe->Open();
  probe->ReceiveOneByOne(kOk);
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(probe->evidence().body, "ok");
  EXPECT_THAT(probe->evidence().head, StartsWith("HTTP/1.1 200"));
}

TEST(HttpRedirectTest, AFileThatVanishesOnTheWay) {
  FakeFiles files;
  files.contents["/token"] = "t";
  auto probe = StartHttpProbe({.module = "bearer_token_file: /token"}, &files);
  files.contents.clear();
  probe->Receive(To("/x"));
  EXPECT_EQ(OutcomeName(probe->outcome()), "prober/config");
  EXPECT_THAT(probe->evidence().detail, HasSubstr("/token"));
}

TEST(CookieJarTest, DomainsExpiryAndBounds) {
  CookieJar jar;
  jar.Set("a=1; Domain=.example.com", "www.example.com");
  jar.Set("b=2; domain=com", "www.example.com");
  jar.Set("c=3; Domain=other.com", "www.example.com");
  jar.Set("d=4", "www.example.com");
  jar.Set("=5", "www.example.com");
  jar.Set("e; Secure", "www.example.com");
  EXPECT_EQ(jar.For("www.example.com", true), "a=1; d=4; e=");
  EXPECT_EQ(jar.For("www.example.com", false), "a=1; d=4");
  EXPECT_EQ(jar.For("api.example.com", true), "a=1");
  EXPECT_EQ(jar.For("notexample.com", true), "");
  jar.Set("a=; Domain=example.com; Max-Age=0", "www.example.com");
  jar.Set("d=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "www.example.com");
  EXPECT_EQ(jar.For("www.example.com", false), "");
  for (int i = 0; i < 100; ++i) jar.Set("n" + std::to_string(i) + "=x", "h");
  jar.Set("big=" + std::string(5000, 'x'), "h");
  EXPECT_LT(jar.For("h", true).size(), 32u * 8);
}

}  // namespace
}  // namespace sonde
