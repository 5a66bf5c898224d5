#include "protocols/http_conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "protocols/body_budget.h"
#include "tests/protocols/http_probe.h"

namespace sonde {
namespace {

using testing::HasSubstr;

// What an answer must come to, however its bytes arrive.
struct Case {
  const char* what;
  std::string module;
  std::string expect;
  std::string answer;
  bool closes = false;  // the peer's FIN follows
  Outcome outcome;
  int status = 200;
  double length = 0;  // body bytes
  double content_length = -1;
  bool regex = false;  // probe_failed_due_to_regex
  std::string target = "http://shop.example/health";
};

const std::string kHello =
    "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello";
const std::string kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: Location\r\n\r\n";

std::string Answer(std::string_view head, std::string_view body = "") {
  return "HTTP/1.1 " + std::string(head) + "\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

// gzip of "hello", without a name or a time.
const std::string kGzipHello(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00"
    "\x00\x00",
    25);

std::vector<Case> Cases() {
  using O = Outcome;
  return {
      // Framing.
      {"sized", "", "", kHello, false, O::kOk, 200, 5, 5},
      {"chunked", "", "", kChunked, false, O::kOk, 200, 5, -1},
      {"until close", "", "", "HTTP/1.0 200 OK\r\n\r\nhello", true, O::kOk, 200, 5, -1},
      {"empty", "", "", Answer("200 OK"), false, O::kOk, 200, 0, 0},
      {"no reason phrase", "", "", Answer("200"), false, O::kOk, 200, 0, 0},
      {"204", "", "", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", false, O::kOk, 204, 0, 0},
      {"304 with a length", "valid_status_codes: 304", "",
       "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, O::kOk, 304, 0, 0},
      {"HEAD", "method: HEAD", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, O::kOk,
       200, 0, 5},
      {"interim answers", "", "",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + kHello, false,
       O::kOk, 200, 5, 5},
      {"bytes after the end", "", "", kHello + "garbage", false, O::kOk, 200, 5, 5},
      {"101 asked for", "headers: {Upgrade: x}\nvalid_status_codes: 101", "",
       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x81\x05",
       false, O::kOk, 101, 0, 0},
      {"folded header", "", "", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", false,
       O::kOk, 200, 0, 0},

      // Malformed heads.
      {"garbage", "", "", "garbage\r\n\r\n", false, O::kHeadersMalformed, 0, 0, 0},
      {"another protocol", "", "", "SSH-2.0-OpenSSH_9.2\r\n", false, O::kHeadersMalformed, 0, 0, 0},
      {"HTTP/2.0", "", "", "HTTP/2.0 200 OK\r\n\r\n", false, O::kHeadersMalformed, 0, 0, 0},
      {"status 99", "", "", "HTTP/1.1 99 Low\r\n\r\n", false, O::kHeadersMalformed, 0, 0, 0},
      {"status 2000", "", "", "HTTP/1.1 2000 High\r\n\r\n", false, O::kHeadersMalformed, 0, 0, 0},
      {"blank in a name", "", "", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false, O::kHeadersMalformed,
       0, 0, 0},
      {"no colon", "", "", "HTTP/1.1 200 OK\r\nAbc\r\n\r\n", false, O::kHeadersMalformed, 0, 0, 0},
      {"NUL in a value", "", "", std::string("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", 28), false,
       O::kHeadersMalformed, 0, 0, 0},
      {"two lengths", "", "", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
       false, O::kHeadersMalformed, 0, 0, 0},
      {"huge length", "", "", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
       false, O::kHeadersMalformed, 0, 0, 0},
      {"negative length", "", "", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false,
       O::kHeadersMalformed, 0, 0, 0},
      {"length and chunked", "", "",
       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false,
       O::kHeadersMalformed, 0, 0, 0},
      {"gzip as transfer coding", "", "",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false,
       O::kHeadersMalformed, 0, 0, 0},
      {"101 unasked", "valid_status_codes: 101", "",
       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false,
       O::kHeadersMalformed, 0, 0, 0},

      // Malformed bodies.
      {"chunk size", "", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false,
       O::kBodyMalformed, 200, 0, -1},
      {"chunk size overflow", "", "",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", false,
       O::kBodyMalformed, 200, 0, -1},
      {"chunk end", "", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
       false, O::kBodyMalformed, 200, 1, -1},

      // Ends in the middle.
      {"closed before any byte", "", "", "", true, O::kFirstByteClosed, 0, 0, 0},
      {"closed in the head", "", "", "HTTP/1.1 200 OK\r\nA: b\r\n", true, O::kHeadersClosed, 0, 0,
       0},
      {"closed in the body", "", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true,
       O::kBodyClosed, 200, 3, 5},
      {"closed in chunks", "", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
       true, O::kBodyClosed, 200, 3, -1},
      {"closed after an interim answer", "", "", "HTTP/1.1 100 Continue\r\n\r\n", true,
       O::kHeadersClosed, 0, 0, 0},
      {"closed in a kept body", "fail_if_body_matches_regexp: [x]", "",
       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true, O::kBodyClosed, 200, 3, 5, true},

      // Status.
      {"500", "", "", Answer("500 Oops", "sorry"), false, O::kValidationStatus, 500, 5, 5},
      {"500 wanted", "valid_status_codes: [500]", "", Answer("500 Oops"), false, O::kOk, 500, 0, 0},
      {"class", "valid_status_codes: [4xx]", "", Answer("418 Teapot"), false, O::kOk, 418, 0, 0},
      {"range", "valid_status_codes: ['400-410']", "", Answer("411 Length"), false,
       O::kValidationStatus, 411, 0, 0},
      {"empty list is 2xx", "valid_status_codes: []", "", Answer("299 x"), false, O::kOk, 299, 0,
       0},
      {"expected status replaces the module's", "valid_status_codes: [200]", "status: 404",
       Answer("404 x"), false, O::kOk, 404, 0, 0},
      {"expected status replaces, the other way", "", "status: [404, 5xx]", Answer("200 x"), false,
       O::kValidationStatus, 200, 0, 0},
      {"bad status beats a broken body", "", "", "HTTP/1.1 500 x\r\nContent-Length: 5\r\n\r\nhel",
       true, O::kValidationStatus, 500, 3, 5},
      {"redirect without Location", "valid_status_codes: [302]", "", Answer("302 Found", "hello"),
       false, O::kOk, 302, 5, 5},

      // Body rules.
      {"contains", "", "body_contains: ell", kHello, false, O::kOk, 200, 5, 5},
      {"contains, chunked", "", "body_contains: hello", kChunked, false, O::kOk, 200, 5, -1},
      {"contains not", "", "body_contains: [ell, elk]", kHello, false, O::kValidationBody, 200, 5,
       5, true},
      {"matches", "", "body_matches: '^hel+o$'", kHello, false, O::kOk, 200, 5, 5},
      {"matches not", "", "body_matches: ['^x']", kHello, false, O::kValidationBody, 200, 5, 5,
       true},
      {"must not match", "", "body_not_matches: '(?i)HELLO'", kHello, false, O::kValidationBody,
       200, 5, 5, true},
      {"module and task together", "fail_if_body_matches_regexp: [ll]", "body_contains: hello",
       kHello, false, O::kValidationBody, 200, 5, 5, true},
      {"module: must match all", "fail_if_body_not_matches_regexp: [h, x]", "", kHello, false,
       O::kValidationBody, 200, 5, 5, true},
      {"module: matches all", "fail_if_body_not_matches_regexp: [h, o$]", "", kHello, false, O::kOk,
       200, 5, 5},
      {"rules on an empty body", "fail_if_body_not_matches_regexp: ['^$']", "", Answer("200 OK"),
       false, O::kOk, 200, 0, 0},
      {"rules are skipped after a bad status", "fail_if_body_matches_regexp: [hello]", "",
       Answer("500 x", "hello"), false, O::kValidationStatus, 500, 5, 5},

      // Header rules.
      {"header matches", "fail_if_header_matches: [{header: SERVER, regexp: x}]", "", kHello, false,
       O::kValidationHeader, 200, 5, 5, true},
      {"header does not match", "fail_if_header_matches: [{header: Server, regexp: y}]", "", kHello,
       false, O::kOk, 200, 5, 5},
      {"header missing", "fail_if_header_matches: [{header: Nope, regexp: y}]", "", kHello, false,
       O::kValidationHeader, 200, 5, 5, true},
      {"header missing, allowed",
       "fail_if_header_matches: [{header: Nope, regexp: y, allow_missing: true}]", "", kHello,
       false, O::kOk, 200, 5, 5},
      {"one of several values", "fail_if_header_not_matches: [{header: a, regexp: '^2$'}]", "",
       "HTTP/1.1 200 OK\r\nA: 1\r\na:  2 \t\r\nContent-Length: 0\r\n\r\n", false, O::kOk, 200, 0,
       0},
      {"none of several values", "fail_if_header_not_matches: [{header: a, regexp: '^3$'}]", "",
       "HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n", false, O::kValidationHeader,
       200, 0, 0, true},
      {"empty value is there", "fail_if_header_not_matches: [{header: a, regexp: '^$'}]", "",
       "HTTP/1.1 200 OK\r\nA:\r\nContent-Length: 0\r\n\r\n", false, O::kOk, 200, 0, 0},
      {"trailers are no headers", "fail_if_header_not_matches: [{header: trailer, regexp: L}]", "",
       kChunked, false, O::kValidationHeader, 200, 5, -1, true},
      {"header rules before body rules",
       "fail_if_header_matches: [{header: Server, regexp: x}]\n"
       "fail_if_body_matches_regexp: [hello]",
       "", kHello, false, O::kValidationHeader, 200, 5, 5, true},

      // Versions and TLS.
      {"version", "valid_http_versions: [HTTP/1.0]", "", kHello, false, O::kValidationVersion, 200,
       5, 5},
      {"version met", "valid_http_versions: [HTTP/1.1]", "", kHello, false, O::kOk, 200, 5, 5},
      {"version never met", "valid_http_versions: [HTTP/2]", "", kHello, false,
       O::kValidationVersion, 200, 5, 5},
      {"not TLS", "fail_if_not_ssl: true", "", kHello, false, O::kValidationTls, 200, 5, 5},
      {"not TLS wanted", "fail_if_ssl: true", "", kHello, false, O::kOk, 200, 5, 5},
      {"TLS", "fail_if_ssl: true", "", kHello, false, O::kValidationTls, 200, 5, 5, false,
       "https://shop.example/"},
      {"TLS wanted", "fail_if_not_ssl: true", "", kHello, false, O::kOk, 200, 5, 5, false,
       "https://shop.example/"},

      // Limits.
      {"at the limit", "body_size_limit: 5B", "", kHello, false, O::kOk, 200, 5, 5},
      {"over the limit", "body_size_limit: 4B", "", kHello, false, O::kBodyTooLarge, 200, 4, 5},
      {"over the limit, chunked", "body_size_limit: 4B", "", kChunked, false, O::kBodyTooLarge, 200,
       4, -1},
      {"over the limit with a rule", "body_size_limit: 4B\nfail_if_body_matches_regexp: [x]", "",
       kHello, false, O::kBodyTooLarge, 200, 4, 5, true},
      {"head too large", "header_size_limit: 40B", "", kHello, false, O::kHeadersTooLarge, 0, 0, 0},

      // Compression.
      {"gzip", "compression: GZIP", "body_contains: hello", Answer("200 OK", kGzipHello), false,
       O::kOk, 200, 5, 25},
      {"gzip of plain text", "compression: gzip", "", kHello, false, O::kBodyEncoding, 200, 0, 5},
      {"gzip of nothing", "compression: gzip", "", Answer("200 OK"), false, O::kBodyEncoding, 200,
       0, 0},
      {"half a gzip", "compression: gzip", "", Answer("200 OK", kGzipHello.substr(0, 20)), false,
       O::kBodyEncoding, 200, 5, 20},
      {"half a gzip with a rule", "compression: gzip\nfail_if_body_matches_regexp: [x]", "",
       Answer("200 OK", kGzipHello.substr(0, 20)), false, O::kBodyEncoding, 200, 5, 20, true},
      {"plain text and a rule on gzip", "compression: gzip\nfail_if_body_matches_regexp: [x]", "",
       kHello, false, O::kBodyEncoding, 200, 0, 5, false},
      {"less than gzip begins with, and a rule",
       "compression: gzip\nfail_if_body_matches_regexp: [x]", "",
       Answer("200 OK", kGzipHello.substr(0, 9)), false, O::kBodyEncoding, 200, 0, 9, false},
      {"limit counts decoded bytes", "compression: gzip\nbody_size_limit: 4B", "",
       Answer("200 OK", kGzipHello), false, O::kBodyTooLarge, 200, 4, 25},
      {"identity", "compression: identity", "", kHello, false, O::kOk, 200, 5, 5},
      {"unknown compression", "compression: zstd", "", kHello, false, O::kProberConfig, 200, 5, 5},
  };
}

using Feeder = std::function<void(ConversationDriver&, const std::string&)>;

void Check(const Case& c, const Feeder& feed, const std::string& how) {
  SCOPED_TRACE(std::string(c.what) + ", " + how);
  auto probe = StartHttpProbe({c.target, c.module, c.expect});
  feed(*probe, c.answer);
  if (c.closes) probe->Close();
  ASSERT_TRUE(probe->finished());
  EXPECT_EQ(OutcomeName(probe->outcome()), OutcomeName(c.outcome)) << probe->evidence().detail;
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), c.status);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), c.length);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpContentLength), c.content_length);
  EXPECT_EQ(FactOf(*probe, Fact::kFailedRegex), c.regex ? 1 : 0);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 0);
  EXPECT_FALSE(probe->step().reusable);
}

TEST(HttpAnswerTest, Whole) {
  for (const Case& c : Cases()) {
    Check(
        c, [](ConversationDriver& p, const std::string& a) { p.Receive(a); }, "whole");
  }
}

TEST(HttpAnswerTest, OneByteAtATime) {
  for (const Case& c : Cases()) {
    Check(
        c, [](ConversationDriver& p, const std::string& a) { p.ReceiveOneByOne(a); }, "bytes");
  }
}

TEST(HttpAnswerTest, AllSplitsInTwo) {
  for (const Case& c : Cases()) {
    for (size_t split = 1; split < c.answer.size(); ++split) {
      Check(
          c,
          [split](ConversationDriver& p, const std::string& a) {
            p.Receive(a.substr(0, split));
            p.Receive(a.substr(split));
          },
          "split at " + std::to_string(split));
    }
  }
}

TEST(HttpAnswerTest, ResetsByPhase) {
  const struct {
    std::string_view bytes;
    Outcome reset, truncated, deadline;
  } kCases[] = {
      {"", Outcome::kFirstByteReset, Outcome::kFirstByteClosed, Outcome::kFirstByteTimeout},
      {"HTTP/1.1 2", Outcome::kHeadersReset, Outcome::kHeadersClosed, Outcome::kHeadersTimeout},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Outcome::kBodyReset, Outcome::kBodyClosed,
       Outcome::kBodyTimeout},
      // Without close_notify, a body that ends with the connection is taken as it is.
      {"HTTP/1.1 200 OK\r\n\r\nabc", Outcome::kBodyReset, Outcome::kOk, Outcome::kBodyTimeout},
      {"HTTP/1.1 500 No\r\n\r\nabc", Outcome::kValidationStatus, Outcome::kValidationStatus,
       Outcome::kValidationStatus},
  };
  for (const auto& c : kCases) {
    const auto begin = [&c] {
      auto probe = StartHttpProbe({.target = "https://shop.example/"});
      if (!c.bytes.empty()) probe->Receive(c.bytes);
      return probe;
    };
    auto probe = begin();
    probe->Close(PeerClose::kReset);
    EXPECT_EQ(OutcomeName(probe->outcome()), OutcomeName(c.reset)) << c.bytes;
    probe = begin();
    probe->Close(PeerClose::kTruncated);
    EXPECT_EQ(OutcomeName(probe->outcome()), OutcomeName(c.truncated)) << c.bytes;
    probe = begin();
    probe->Deadline();
    EXPECT_EQ(OutcomeName(probe->outcome()), OutcomeName(c.deadline)) << c.bytes;
  }
}

TEST(HttpAnswerTest, RulesOnABodyThatNeverEndsHaveFailed) {
  auto probe = StartHttpProbe({.module = "fail_if_body_matches_regexp: [x]"});
  probe->Receive("HTTP/1.1 200 OK\r\n\r\nabc");
  probe->Deadline();
  EXPECT_EQ(probe->outcome(), Outcome::kBodyTimeout);
  EXPECT_EQ(FactOf(*probe, Fact::kFailedRegex), 1);
}

TEST(HttpAnswerTest, VersionAndLastModified) {
  auto probe = StartHttpProbe({});
  probe->Receive("HTTP/1.0 200 OK\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
  probe->Close();
  EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), 1);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpLastModified), 784111777);
  probe = StartHttpProbe({});
  probe->Receive("HTTP/1.1 200 OK\r\nLast-Modified: yesterday\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), 1.1);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpLastModified), std::nullopt);
}

TEST(HttpAnswerTest, EndlessHeadsAreCutOff) {
  // One long header, many short ones, many interim answers: all count alike.
  for (const std::string& piece :
       {std::string("a"), std::string("A: b\r\n"), std::string("\r\n\r\n"),
        std::string("X: c\r\n\r\nHTTP/1.1 100 Continue\r\n")}) {
    auto probe = StartHttpProbe({});
    probe->Receive(piece == "\r\n\r\n" ? "" : "HTTP/1.1 100 OK\r\nAbc: d");
    if (piece != "a" && piece != "\r\n\r\n") probe->Receive("\r\n");
    size_t given = 0;
    while (!probe->finished() && given < (1u << 20)) {
      probe->Receive(piece + (piece == "a" ? std::string(1000, 'a') : ""));
      given += piece.size();
    }
    EXPECT_EQ(OutcomeName(probe->outcome()), "headers/too_large") << piece;
  }
}

TEST(HttpAnswerTest, KeptBodiesAreBoundedPerProbe) {
  BodyBudget::Global().SetLimits(1000, BodyBudget::kDefaultPerProcess);
  for (const bool keep : {true, false}) {
    auto probe = StartHttpProbe({.expect = keep ? "body_contains: x" : ""});
    probe->Receive("HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 11 && !probe->finished(); ++i) probe->Receive(std::string(100, 'a'));
    EXPECT_EQ(probe->finished(), keep);
    EXPECT_EQ(OutcomeName(probe->outcome()), keep ? "body/too_large" : "prober/internal");
  }
  BodyBudget::Global().SetLimits(BodyBudget::kDefaultPerProbe, BodyBudget::kDefaultPerProcess);
}

TEST(HttpAnswerTest, KeptBodiesAreBoundedPerProcess) {
  BodyBudget& budget = BodyBudget::Global();
  budget.SetLimits(BodyBudget::kDefaultPerProbe, 1000);
  {
    auto first = StartHttpProbe({.expect = "body_contains: x"});
    first->Receive("HTTP/1.1 200 OK\r\n\r\n" + std::string(900, 'a'));
    auto second = StartHttpProbe({.expect = "body_contains: x"});
    second->Receive("HTTP/1.1 200 OK\r\n\r\n" + std::string(200, 'a'));
    EXPECT_EQ(OutcomeName(second->outcome()), "prober/memory");
    EXPECT_FALSE(first->finished());
    EXPECT_EQ(budget.used(), 900u);
  }
  EXPECT_EQ(budget.used(), 0u);
  budget.SetLimits(BodyBudget::kDefaultPerProbe, BodyBudget::kDefaultPerProcess);
}

TEST(HttpAnswerTest, EvidenceIsTheBeginningOfBoth) {
  auto probe = StartHttpProbe({});
  const std::string head =
      "HTTP/1.1 500 Oops\r\nA: " + std::string(2000, 'a') + "\r\nContent-Length: 600\r\n\r\n";
  probe->ReceiveOneByOne(head + std::string(600, 'b'));
  EXPECT_EQ(probe->evidence().head, head.substr(0, Evidence::kHeadLimit));
  EXPECT_EQ(probe->evidence().body, std::string(Evidence::kBodyLimit, 'b'));
  EXPECT_EQ(probe->evidence().url, "");
  EXPECT_EQ(probe->evidence().peer.HostPort(), "192.0.2.1:80");
  EXPECT_THAT(probe->evidence().detail, HasSubstr("500"));
}

TEST(HttpAnswerTest, EvidenceShowsWhatWasNotHttp) {
  auto probe = StartHttpProbe({});
  probe->Receive("SSH-2.0-OpenSSH_9.2\r\n");
  EXPECT_EQ(probe->evidence().head, "SSH-2.0-OpenSSH_9.2\r\n");
  EXPECT_THAT(probe->evidence().detail, HasSubstr("HTTP/"));
}

TEST(HttpAnswerTest, EvidenceOfACompressedBodyIsReadable) {
  auto probe = StartHttpProbe({.module = "compression: gzip", .expect = "status: 404"});
  probe->Receive(Answer("200 OK", kGzipHello));
  EXPECT_EQ(probe->evidence().body, "hello");
}

TEST(HttpAnswerTest, DetailsSayWhichRule) {
  auto probe =
      StartHttpProbe({.module = "fail_if_header_matches: [{header: Server, regexp: '^x'}]"});
  probe->Receive(kHello);
  EXPECT_EQ(probe->evidence().detail, "header 'server' matches ^x");
  probe = StartHttpProbe({.expect = "body_contains: needle"});
  probe->Receive(kHello);
  EXPECT_EQ(probe->evidence().detail, "the body does not contain needle");
}

TEST(HttpAnswerTest, ABombIsCutOff) {
  // 128 MiB of '0' in 211 bytes of brotli: one read decodes at most the limit.
  const std::string bomb(
      "\xcb\xff\xff\x3f\xf8\x25\x60\xe2\xb1\x40\x20\xf7\xfe\x8f\xff\xff\x7f\xf0\x4b\x00\xc4\x61\x11"
      "\x80\xee\xfd\x1f\xff\xff\xff\xe0\x97\x00\x88\xc3\x02\x00\xdd\xfb\x3f\xfe\xff\xff\xc1\x2f\x01"
      "\x10\x87\x05\x00\xba\xf7\x7f\xfc\xff\xff\x83\x5f\x02\x20\x0e\x0b\x00\x74\xef\xff\xf8\xff\xff"
      "\x07\xbf\x04\x40\x1c\x16\x00\xe8\xde\xff\xf1\xff\xff\x0f\x7e\x09\x80\x38\x2c\x00\xd0\xbd\xff"
      "\xe3\xff\xff\x1f\xfc\x12\x00\x71\x58\x00\xa0\x7b\xff\xc7\xff\xff\x3f\xf8\x25\x00\xe2\xb0\x00"
      "\x40\xf7\xfe\x8f\xff\xff\x7f\xf0\x4b\x00\xc4\x61\x01\x80\xee\xfd\x1f\xff\xff\xff\xe0\x97\x00"
      "\x88\xc3\x02\x00\xdd\xfb\x3f\xfe\xff\xff\xc1\x2f\x01\x10\x87\x05\x00\xba\xf7\x7f\xfc\xff\xff"
      "\x83\x5f\x02\x20\x0e\x0b\x00\x74\xef\xff\xf8\xff\xff\x07\xbf\x04\x40\x1c\x16\x00\xe8\xde\xff"
      "\xf1\xff\xff\x0f\x7e\x09\x80\x38\x2c\x00\xd0\xbd\xff\xcb\xff\xff\x3f\xfc\x12\x00\x71\x58\x00"
      "\xa0\x7b\xff\x07",
      211);
  auto probe = StartHttpProbe({.module = "compression: br"});
  probe->Receive(Answer("200 OK", bomb));
  EXPECT_EQ(OutcomeName(probe->outcome()), "body/too_large");
  EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), static_cast<double>(BodyBudget::kDecompressed));
}

// What of an answer leaves its connection good for another.
TEST(HttpConversationTest, Reusable) {
  const struct {
    std::string_view answer;
    bool reusable;
    std::string module = "";
  } kCases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
      {"HTTP/1.1 204 None\r\n\r\n", true},
      {"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", true},
      {"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", true},
      {"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, "method: HEAD"},
      {"HTTP/1.1 200 OK\r\n\r\n", true, "method: HEAD"},
      {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", true,
       "follow_redirects: false"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, CLOSE\r\n\r\nok", false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok?", false},
      {"HTTP/1.1 204 None\r\n\r\n?", false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n?", false},
      {"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false,
       "headers: {Upgrade: x, Connection: upgrade}"},
      {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nno", false,
       "follow_redirects: false"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "body_size_limit: 1B"},
      {"HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n", false},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.answer);
    auto probe = StartHttpProbe({.module = "keep_alive: true\n" + c.module});
    probe->Receive(c.answer);
    ASSERT_TRUE(probe->finished());
    EXPECT_EQ(probe->step().reusable, c.reusable);
    auto alone = StartHttpProbe({.module = c.module});
    alone->Receive(c.answer);
    EXPECT_FALSE(alone->step().reusable);
  }
  auto closed = StartHttpProbe({.module = "keep_alive: true"});
  closed->Receive("HTTP/1.1 200 OK\r\n\r\nok");
  closed->Close();
  EXPECT_EQ(closed->outcome(), Outcome::kOk);
  EXPECT_FALSE(closed->step().reusable);
}

TEST(HttpConversationTest, Size) { EXPECT_LE(sizeof(HttpConversation), 736u); }

}  // namespace
}  // namespace sonde
