// HTTP/2 as an http probe speaks it: good servers, bad ones, and what they may cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "protocols/http2_codec.h"
#include "protocols/http_conversation.h"
#include "tests/protocols/http2_frames.h"
#include "tests/protocols/http_probe.h"

namespace sonde {
namespace {

using namespace http2;  // NOLINT
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Lt;
using testing::Not;
using testing::Pair;

const std::string kTarget = "https://shop.example/health?a=b";

LegScript ByAlpn(std::string_view alpn) {
  LegScript script;
  script.facts.alpn = alpn;
  return script;
}

std::unique_ptr<ConversationDriver> StartHttp2(const std::string& module = "",
                                               const std::string& expect = "",
                                               const std::string& target = kTarget) {
  auto probe = MakeHttpProbe({target, module, expect});
  probe->Start();
  probe->Open(ByAlpn("h2"));
  return probe;
}

const std::string kHello = Answer("200", {{"server", "x"}, {"content-length", "5"}}, "hello");
// gzip of "hello", without a name or a time.
const std::string kGzipHello(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00"
    "\x00\x00",
    25);

constexpr double kAny = -2;  // depends on where reads end

// What an answer must come to, however its bytes arrive.
struct Case {
  const char* what;
  std::string module;
  std::string expect;
  std::string answer;
  Outcome outcome;
  int status = 200;
  double length = 0;  // body bytes
  double content_length = -1;
  const char* detail = "";  // the evidence's contains it
  bool closes = false;      // the peer's close_notify follows
};

std::vector<Case> Cases() {
  using O = Outcome;
  const std::string begin = Settings();
  const std::string ok = begin + Headers({{":status", "200"}});
  const std::string sized = begin + Headers({{":status", "200"}, {"content-length", "5"}});
  const auto head = [&](const Fields& fields) { return begin + Headers(fields, kEndStream); };
  return {
      // Good.
      {"sized", "", "body_contains: hello", kHello, O::kOk, 200, 5, 5},
      {"without a length", "", "", ok + Data("hello"), O::kOk, 200, 5, -1},
      {"in pieces", "", "body_contains: hello", ok + Data("hel", 0) + Data("lo", 0) + Data(""),
       O::kOk, 200, 5, -1},
      {"padded", "", "body_contains: hello",
       ok + Frame(NGHTTP2_DATA, kPadded | kEndStream, 1, std::string("\3hello\0\0\0", 9)), O::kOk,
       200, 5, -1},
      {"empty", "", "", Answer("200", {}, ""), O::kOk, 200, 0, 0},
      {"204", "", "", Answer("204", {}, ""), O::kOk, 204, 0, 0},
      {"304", "valid_status_codes: 304", "", Answer("304", {{"content-length", "5"}}, ""), O::kOk,
       304, 0, 5},
      {"HEAD", "method: HEAD", "", Answer("200", {{"content-length", "5"}}, ""), O::kOk, 200, 0, 5},
      {"HEAD whose stream does not end", "method: HEAD", "", sized, O::kOk, 200, 0, 5},
      {"interim answers", "", "",
       begin + Headers({{":status", "100"}}) + Headers({{":status", "103"}, {"link", "x"}}) +
           Headers({{":status", "200"}}) + Data("hello"),
       O::kOk, 200, 5, -1},
      {"trailers", "fail_if_header_not_matches: [{header: late, regexp: x}]", "",
       ok + Data("hello", 0) + Headers({{"late", "x"}}, kEndStream), O::kValidationHeader, 200, 5,
       -1, "header 'late' is missing"},
      {"blanks around a value", "fail_if_header_not_matches: [{header: A, regexp: '^b$'}]", "",
       head({{":status", "200"}, {"a", " b "}}), O::kOk, 200, 0, 0},
      {"continued head", "fail_if_header_not_matches: [{header: a, regexp: '^b$'}]", "",
       begin + Frame(NGHTTP2_HEADERS, kEndStream, 1, Block({{":status", "200"}})) +
           Frame(NGHTTP2_CONTINUATION, 0, 1, "") +
           Frame(NGHTTP2_CONTINUATION, kEndHeaders, 1, Block({{"a", "b"}})),
       O::kOk, 200, 0, 0},
      {"frames nobody needs", "", "",
       begin + Ping() + WindowUpdate(0, 1) + WindowUpdate(1, 1) +
           Frame(0x77, 0xff, 0, "what is this") +
           Frame(NGHTTP2_PRIORITY, 0, 1, std::string("\0\0\0\3\7", 5)) +
           Headers({{":status", "200"}}) + Settings() + Ping() + Data("hello"),
       O::kOk, 200, 5, -1},
      {"GOAWAY after this stream", "", "", begin + GoAway(1, NGHTTP2_NO_ERROR) + kHello.substr(9),
       O::kOk, 200, 5, 5},
      {"bytes after the end", "", "", kHello + "garbage, which nobody reads", O::kOk, 200, 5, 5},

      // The rules are HTTP's.
      {"status", "", "", Answer("503", {}, "sorry"), O::kValidationStatus, 503, 5, -1},
      {"header rule", "fail_if_header_matches: [{header: Server, regexp: x}]", "", kHello,
       O::kValidationHeader, 200, 5, 5, "header 'server' matches x"},
      {"body rule", "fail_if_body_matches_regexp: [ell]", "", kHello, O::kValidationBody, 200, 5,
       5},
      {"version", "valid_http_versions: [HTTP/1.1]", "", kHello, O::kValidationVersion, 200, 5, 5,
       "HTTP/2.0 is not expected"},
      {"version met", "valid_http_versions: [HTTP/2.0]", "", kHello, O::kOk, 200, 5, 5},
      {"TLS", "fail_if_ssl: true", "", kHello, O::kValidationTls, 200, 5, 5},
      {"gzip", "compression: gzip", "body_contains: hello", Answer("200", {}, kGzipHello), O::kOk,
       200, 5, -1},
      {"no gzip", "compression: gzip", "", kHello, O::kBodyEncoding, 200, 0, 5},
      {"at the limit", "body_size_limit: 5B", "", kHello, O::kOk, 200, 5, 5},
      {"over the limit", "body_size_limit: 4B", "", kHello, O::kBodyTooLarge, 200, 4, 5},
      {"redirect kept", "follow_redirects: false\nvalid_status_codes: 302", "",
       Answer("302", {{"location", "/x"}}, "moved"), O::kOk, 302, 0, -1},

      // No answer.
      {"closed at once", "", "", "", O::kFirstByteClosed, 0, 0, 0, "", true},
      {"closed after SETTINGS", "", "", begin, O::kFirstByteClosed, 0, 0, 0, "", true},
      {"closed in a head", "", "",
       begin + Frame(NGHTTP2_HEADERS, 0, 1, Block({{":status", "200"}})), O::kHeadersClosed, 0, 0,
       0, "", true},
      {"closed in a body", "", "", sized + Data("hel", 0), O::kBodyClosed, 200, 3, 5, "", true},
      {"a body without a length ends by END_STREAM only", "", "", ok + Data("hel", 0),
       O::kBodyClosed, 200, 3, -1, "", true},
      {"GOAWAY before the answer", "", "", begin + GoAway(0, NGHTTP2_NO_ERROR), O::kFirstByteClosed,
       0, 0, 0, "GOAWAY: NO_ERROR"},
      {"GOAWAY with a reason", "", "", begin + GoAway(0, NGHTTP2_ENHANCE_YOUR_CALM, "too\nmany"),
       O::kFirstByteClosed, 0, 0, 0, "GOAWAY: ENHANCE_YOUR_CALM \"too\\nmany\""},
      {"GOAWAY, then closed", "", "", sized + GoAway(1, NGHTTP2_INTERNAL_ERROR), O::kBodyClosed,
       200, 0, 5, "GOAWAY: INTERNAL_ERROR", true},
      {"reset before the answer", "", "", begin + Reset(NGHTTP2_REFUSED_STREAM), O::kFirstByteReset,
       0, 0, 0, "REFUSED_STREAM"},
      {"reset in the body", "", "", sized + Data("hel", 0) + Reset(NGHTTP2_INTERNAL_ERROR),
       O::kBodyReset, 200, 3, 5, "INTERNAL_ERROR"},
      {"reset after an interim answer", "", "",
       begin + Headers({{":status", "100"}}) + Reset(NGHTTP2_CANCEL), O::kHeadersReset, 0, 0, 0,
       "CANCEL"},
      {"reset with no error, unended", "", "", sized + Data("hel", 0) + Reset(NGHTTP2_NO_ERROR),
       O::kBodyReset, 200, 3, 5, "NO_ERROR"},

      // Not HTTP/2.
      {"HTTP/1.1", "", "", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
       O::kHeadersMalformed, 0, 0, 0},
      {"no SETTINGS first", "", "", Headers({{":status", "200"}}, kEndStream), O::kHeadersMalformed,
       0, 0, 0, "SETTINGS"},
      {"odd SETTINGS", "", "", Settings("12345"), O::kHeadersMalformed, 0, 0, 0,
       "FRAME_SIZE_ERROR"},
      {"SETTINGS on a stream", "", "", Frame(NGHTTP2_SETTINGS, 0, 1), O::kHeadersMalformed, 0, 0,
       0},
      {"short PING", "", "", begin + Frame(NGHTTP2_PING, 0, 0, "1234"), O::kHeadersMalformed, 0, 0,
       0, "FRAME_SIZE_ERROR"},
      {"window beyond its end", "", "", begin + WindowUpdate(0, 0x7fffffff), O::kHeadersMalformed,
       0, 0, 0, "FLOW_CONTROL_ERROR"},
      {"window by 0", "", "", begin + WindowUpdate(0, 0), O::kHeadersMalformed, 0, 0, 0},
      {"large frame", "", "", ok + Frame(NGHTTP2_DATA, 0, 1, "a", 16385), O::kBodyMalformed, 200, 0,
       -1, "FRAME_SIZE_ERROR"},
      {"body first", "", "", begin + Data("hello"), O::kHeadersMalformed, 0, 0, 0},
      {"another stream", "", "", begin + Frame(NGHTTP2_DATA, 0, 3, "a"), O::kHeadersMalformed, 0, 0,
       0},
      {"a stream of the server's", "", "",
       begin + Frame(NGHTTP2_HEADERS, kEndHeaders, 2, Block({{":status", "200"}})),
       O::kHeadersMalformed, 0, 0, 0},
      {"push", "", "",
       begin + Frame(NGHTTP2_PUSH_PROMISE, kEndHeaders, 1,
                     Number(2, 4) + Block({{":method", "GET"}, {":path", "/"}})),
       O::kHeadersMalformed, 0, 0, 0},
      {"CONTINUATION of nothing", "", "", begin + Frame(NGHTTP2_CONTINUATION, kEndHeaders, 1, ""),
       O::kHeadersMalformed, 0, 0, 0},
      {"a frame within a head", "", "",
       begin + Frame(NGHTTP2_HEADERS, 0, 1, Block({{":status", "200"}})) + Ping(),
       O::kHeadersMalformed, 0, 0, 0},
      {"no HPACK", "", "", begin + Frame(NGHTTP2_HEADERS, kEndHeaders, 1, "\xff\xff\xff\xff\xff"),
       O::kHeadersMalformed, 0, 0, 0, "COMPRESSION_ERROR"},
      {"table beyond ours", "", "",
       begin + Frame(NGHTTP2_HEADERS, kEndHeaders, 1, "\x3f\xff\xff\xff\x07"), O::kHeadersMalformed,
       0, 0, 0, "COMPRESSION_ERROR"},
      {"padding beyond the frame", "", "",
       ok + Frame(NGHTTP2_DATA, kPadded, 1, std::string("\xffhello", 6)), O::kBodyMalformed, 200, 0,
       -1},

      // No answer of HTTP.
      {"no status", "", "", head({{"server", "x"}}), O::kHeadersMalformed, 0, 0, 0},
      {"status 99", "", "", head({{":status", "099"}}), O::kHeadersMalformed, 0, 0, 0},
      {"status in words", "", "", head({{":status", "abc"}}), O::kHeadersMalformed, 0, 0, 0},
      {"status 101", "headers: {Accept: x}", "", head({{":status", "101"}}), O::kHeadersMalformed,
       0, 0, 0},
      {"two statuses", "", "", head({{":status", "200"}, {":status", "200"}}), O::kHeadersMalformed,
       0, 0, 0},
      {"status behind a field", "", "", head({{"a", "b"}, {":status", "200"}}),
       O::kHeadersMalformed, 0, 0, 0},
      {"an interim answer that ends all", "", "", head({{":status", "100"}}), O::kHeadersMalformed,
       0, 0, 0},
      {"upper case", "", "", head({{":status", "200"}, {"Server", "x"}}), O::kHeadersMalformed, 0,
       0, 0},
      {"blank in a name", "", "", head({{":status", "200"}, {"a b", "x"}}), O::kHeadersMalformed, 0,
       0, 0, "a b"},
      {"NUL in a value", "", "", head({{":status", "200"}, {"a", std::string("b\0c", 3)}}),
       O::kHeadersMalformed, 0, 0, 0, "header field \"a\""},
      {"line break in a value", "", "", head({{":status", "200"}, {"a", "b\r\nc: d"}}),
       O::kHeadersMalformed, 0, 0, 0},
      {"a field of HTTP/1.1", "", "", head({{":status", "200"}, {"connection", "close"}}),
       O::kHeadersMalformed, 0, 0, 0},
      {"a transfer coding", "", "", head({{":status", "200"}, {"transfer-encoding", "chunked"}}),
       O::kHeadersMalformed, 0, 0, 0},
      {"two lengths", "", "",
       head({{":status", "200"}, {"content-length", "0"}, {"content-length", "0"}}),
       O::kHeadersMalformed, 0, 0, 0},
      {"negative length", "", "", head({{":status", "200"}, {"content-length", "-1"}}),
       O::kHeadersMalformed, 0, 0, 0},
      {"huge length", "", "",
       head({{":status", "200"}, {"content-length", "99999999999999999999"}}), O::kHeadersMalformed,
       0, 0, 0},
      {"shorter than its length", "", "", sized + Data("hel"), O::kBodyMalformed, 200, 3, 5},
      {"longer than its length", "", "", sized + Data("hello!"), O::kBodyMalformed, 200, kAny, 5},
      {"a second head", "", "", sized + Headers({{":status", "200"}}), O::kBodyMalformed, 200, 0,
       5},
      {"head too large", "header_size_limit: 80B", "",
       head({{":status", "200"}, {"a", std::string(40, 'b')}}), O::kHeadersTooLarge, 0, 0, 0},
      {"head at the limit", "header_size_limit: 115B", "",  // 42 + 73
       head({{":status", "200"}, {"a", std::string(40, 'b')}}), O::kOk, 200, 0, 0},
      {"head beyond the limit by one", "header_size_limit: 114B", "",
       head({{":status", "200"}, {"a", std::string(40, 'b')}}), O::kHeadersTooLarge, 0, 0, 0},
      {"trailers too large", "header_size_limit: 115B", "",
       ok + Data("hello", 0) + Headers({{"a", std::string(42, 'b')}}, kEndStream),
       O::kHeadersTooLarge, 200, 5, -1},
  };
}

using Feeder = std::function<void(ConversationDriver&, const std::string&)>;

void Check(const Case& c, const std::string& how, const Feeder& feed) {
  SCOPED_TRACE(std::string(c.what) + ", " + how);
  auto probe = StartHttp2(c.module, c.expect);
  feed(*probe, c.answer);
  if (c.closes) {
    ASSERT_FALSE(probe->finished()) << OutcomeName(probe->outcome());
    probe->Close();
  }
  ASSERT_TRUE(probe->finished());
  EXPECT_EQ(OutcomeName(probe->outcome()), OutcomeName(c.outcome)) << probe->evidence().detail;
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), c.status);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), c.status == 0 ? 0 : 2);
  if (c.length != kAny) { EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), c.length); }
  EXPECT_EQ(FactOf(*probe, Fact::kHttpContentLength), c.content_length);
  EXPECT_THAT(probe->evidence().detail, HasSubstr(c.detail));
}

TEST(Http2Answer, Whole) {
  for (const Case& c : Cases()) {
    Check(c, "whole", [](ConversationDriver& p, const std::string& a) { p.Receive(a); });
  }
}

TEST(Http2Answer, OneByteAtATime) {
  for (const Case& c : Cases()) {
    Check(c, "bytes", [](ConversationDriver& p, const std::string& a) { p.ReceiveOneByOne(a); });
  }
}

TEST(Http2Answer, AllSplitsInTwo) {
  for (const Case& c : Cases()) {
    for (size_t split = 1; split < c.answer.size(); ++split) {
      Check(c, "split at " + std::to_string(split),
            [split](ConversationDriver& p, const std::string& a) {
              p.Receive(a.substr(0, split));
              p.Receive(a.substr(split));
            });
    }
  }
}

TEST(Http2Answer, EvidenceShowsTheHead) {
  auto probe = StartHttp2();
  probe->Receive(kHello);
  EXPECT_EQ(probe->evidence().head, "HTTP/2 200\r\nserver: x\r\ncontent-length: 5\r\n\r\n");
  EXPECT_EQ(probe->evidence().body, "hello");
}

TEST(Http2Answer, TimeOutsAndResetsByPhase) {
  const struct {
    std::string bytes;
    Outcome reset, deadline;
  } kCases[] = {
      {"", Outcome::kFirstByteReset, Outcome::kFirstByteTimeout},
      {Settings() + Ping(), Outcome::kFirstByteReset, Outcome::kFirstByteTimeout},
      {Settings() + Frame(NGHTTP2_HEADERS, 0, 1, "", 100), Outcome::kHeadersReset,
       Outcome::kHeadersTimeout},
      {Settings() + Headers({{":status", "200"}}), Outcome::kBodyReset, Outcome::kBodyTimeout},
      {Settings() + Headers({{":status", "500"}}), Outcome::kValidationStatus,
       Outcome::kValidationStatus},
  };
  for (const auto& c : kCases) {
    auto probe = StartHttp2();
    if (!c.bytes.empty()) probe->Receive(c.bytes);
    probe->Close(PeerClose::kReset);
    EXPECT_EQ(OutcomeName(probe->outcome()), OutcomeName(c.reset));
    probe = StartHttp2();
    if (!c.bytes.empty()) probe->Receive(c.bytes);
    probe->Deadline();
    EXPECT_EQ(OutcomeName(probe->outcome()), OutcomeName(c.deadline));
  }
}

// SETTINGS and PING are no answer: the clock of `processing` runs until HEADERS come.
TEST(Http2Answer, Phases) {
  auto probe = MakeHttpProbe({.target = kTarget});
  probe->pause = Milliseconds(7);
  probe->Start();
  probe->Open(ByAlpn("h2"));
  probe->Receive(Settings());
  probe->Receive(Headers({{":status", "200"}}));
  probe->Receive(Data("hello"));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpProcessing), 0.014);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpTransfer), 0.007);
}

TEST(Http2Choice, FollowsAlpn) {
  const ModuleText on = ReadModule(HttpProber(), "");
  const ModuleText off = ReadModule(HttpProber(), "enable_http2: false");
  // Upgrades are HTTP/1.1's alone.
  const ModuleText upgrade = ReadModule(HttpProber(), "headers: {Upgrade: websocket}");
  const auto alpn = [](const ModuleText& text) {
    return static_cast<const HttpModule&>(*text.module).tls.alpn;
  };
  EXPECT_THAT(alpn(on), ElementsAre("h2", "http/1.1"));
  EXPECT_THAT(alpn(off), ElementsAre("http/1.1"));
  EXPECT_THAT(alpn(upgrade), ElementsAre("http/1.1"));
  for (const char* chosen : {"", "http/1.1"}) {
    auto probe = MakeHttpProbe({.target = kTarget});
    probe->Start();
    probe->Open(ByAlpn(chosen));
    EXPECT_THAT(probe->Sent(), HasSubstr("GET /health?a=b HTTP/1.1\r\n"));
    probe->Receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), 1.1);
  }
}

TEST(Http2Request, Get) {
  auto probe = StartHttp2(
      "headers: {X-Mine: ' one ', Host: 'other.example:8443', Connection: x,\n"
      "  Keep-Alive: '1', TE: gzip, Proxy-Connection: x}");
  const Said said = Understand(probe->Sent());
  EXPECT_TRUE(said.preface);
  EXPECT_TRUE(said.ended);
  EXPECT_THAT(said.settings, ElementsAre(Pair(NGHTTP2_SETTINGS_ENABLE_PUSH, 0),
                                         Pair(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4u << 20),
                                         Pair(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 256u * 1024)));
  EXPECT_THAT(said.fields,
              ElementsAre(Pair(":method", "GET"), Pair(":scheme", "https"),
                          Pair(":authority", "other.example:8443"), Pair(":path", "/health?a=b"),
                          Pair("user-agent", HasSubstr("sonde/")), Pair("x-mine", "one")));
  EXPECT_EQ(said.body, "");
}

TEST(Http2Request, PostAndItsAnswers) {
  auto probe = StartHttp2(
      "method: POST\nbody: a body\nheaders: {TE: trailers, User-Agent: ''}\n"
      "basic_auth: {username: u, password: p}");
  Said said = Understand(probe->Sent());
  EXPECT_EQ(said.body, "a body");
  EXPECT_TRUE(said.ended);
  EXPECT_THAT(said.fields,
              AllOf(Contains(Pair(":method", "POST")), Contains(Pair("content-length", "6")),
                    Contains(Pair("authorization", "Basic dTpw")), Contains(Pair("te", "trailers")),
                    Not(Contains(Key("user-agent")))));
  probe->Receive(Settings() + Ping() + Ping());
  said = Understand(probe->Sent());
  EXPECT_EQ(said.acks, 1u);
  EXPECT_EQ(said.pings, 2u);
}

TEST(Http2Request, WaitsForTheWindow) {
  const std::string body(100'000, 'x');
  auto probe = StartHttp2("method: PUT\nbody: " + body);
  Said said = Understand(probe->Sent());
  EXPECT_EQ(said.body.size(), 65535u);
  EXPECT_FALSE(said.ended);
  probe->Receive(Settings() + WindowUpdate(0, 100'000) + WindowUpdate(1, 30'000));
  EXPECT_EQ(Understand(probe->Sent()).body.size(), 30'000u);
  probe->Receive(WindowUpdate(1, 30'000));
  said = Understand(probe->Sent());
  EXPECT_EQ(said.body.size(), 100'000u - 95'535u);
  EXPECT_TRUE(said.ended);
  probe->Receive(kHello.substr(9));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Http2Request, AWindowThatNeverOpens) {
  const std::string module = "method: PUT\nbody: " + std::string(100'000, 'x');
  const std::string closed = Settings(Setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0));
  auto probe = StartHttp2(module);
  probe->Receive(closed);
  probe->Deadline();
  EXPECT_EQ(OutcomeName(probe->outcome()), "send/timeout");
  probe = StartHttp2(module);
  probe->Receive(closed + Reset(NGHTTP2_CANCEL));
  EXPECT_EQ(OutcomeName(probe->outcome()), "send/reset");
  // An answer that does not wait for the request is one.
  probe = StartHttp2(module);
  probe->Receive(closed + Headers({{":status", "413"}}, kEndStream) + Reset(NGHTTP2_NO_ERROR));
  EXPECT_EQ(OutcomeName(probe->outcome()), "validation/status");
  EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 413);
}

TEST(Http2Request, RedirectsFromAndToHttp2) {
  auto probe = MakeHttpProbe({.target = "http://shop.example/"});
  probe->Start();
  probe->Open();
  probe->Sent();
  probe->Receive(
      "HTTP/1.1 302 Found\r\nLocation: https://shop.example/a\r\nSet-Cookie: c=d\r\n"
      "Content-Length: 0\r\n\r\n");
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  probe->Open(ByAlpn("h2"));
  EXPECT_THAT(
      Understand(probe->Sent()).fields,
      AllOf(Contains(Pair(":path", "/a")), Contains(Pair(":authority", "shop.example")),
            Contains(Pair("cookie", "c=d")), Contains(Pair("referer", "http://shop.example/"))));
  probe->Receive(Answer("307", {{"location", "/b"}}, "moved"));
  ASSERT_EQ(probe->step().kind, Step::Kind::kOpen);
  probe->Open(ByAlpn("h2"));  // on one leg this, on the next that
  EXPECT_THAT(Understand(probe->Sent()).fields, Contains(Pair(":path", "/b")));
  probe->Receive(Answer("302", {{"location", "/c"}}, ""));
  probe->Open(ByAlpn(""));
  EXPECT_THAT(probe->Sent(), HasSubstr("GET /c HTTP/1.1\r\n"));
  probe->Receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpRedirects), 3);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpVersion), 1.1);
}

// ---- what a peer may cost -----------------------------------------------------------------------

struct Flood {
  const char* what;
  std::string first;  // after SETTINGS
  std::string piece;  // again and again
  const char* outcome;
};

std::vector<Flood> Floods() {
  const std::string head = Headers({{":status", "200"}});
  const std::string begun = Frame(NGHTTP2_HEADERS, 0, 1, Block({{":status", "200"}}));
  // One field of 4000 bytes in the table, then a byte for each time it is there (RFC 7541 4.1).
  const std::string bomb = Block({{":status", "200"}}) +
                           Block({{"bomb", std::string(4000, 'x')}}, true) +
                           std::string(12'000, '\xbe');
  return {
      {"SETTINGS", "", Settings(), "headers/malformed"},
      {"acknowledgements", "", Frame(NGHTTP2_SETTINGS, kAck, 0), "headers/malformed"},
      {"PING", "", Ping(), "headers/malformed"},
      {"PING in the body", head, Ping(), "body/malformed"},
      {"PRIORITY", "", Frame(NGHTTP2_PRIORITY, 0, 1, std::string("\0\0\0\3\7", 5)),
       "headers/malformed"},
      {"windows", "", WindowUpdate(0, 1), "headers/malformed"},
      {"unknown frames", "", Frame(0x55, 0, 0, "x"), "headers/malformed"},
      {"empty DATA", head, Data("", 0), "body/malformed"},
      {"padding alone", head, Frame(NGHTTP2_DATA, kPadded, 1, std::string("\2\0\0", 3)),
       "body/malformed"},
      {"interim answers", "", Headers({{":status", "103"}}), "headers/too_large"},
      {"empty CONTINUATION", begun, Frame(NGHTTP2_CONTINUATION, 0, 1), "headers/too_large"},
      {"CONTINUATION", begun, Frame(NGHTTP2_CONTINUATION, 0, 1, Block({{"a", "b"}})),
       "headers/too_large"},
      {"large CONTINUATION", begun,
       Frame(NGHTTP2_CONTINUATION, 0, 1, Block({{"a", std::string(16'000, 'b')}})),
       "headers/too_large"},
      {"a bomb of fields", Frame(NGHTTP2_HEADERS, 0, 1, bomb), Ping(), "headers/too_large"},
      {"a long field",
       Frame(NGHTTP2_HEADERS, 0, 1,
             Block({{":status", "200"}}) + std::string(1, '\0') + Word("a") + Length(60'000)),
       Frame(NGHTTP2_CONTINUATION, 0, 1, std::string(1000, 'x')), "headers/too_large"},
      {"resets of other streams", "", Reset(NGHTTP2_CANCEL, 3), "headers/malformed"},
      {"GOAWAYs", "", GoAway(1, 0), "headers/malformed"},
  };
}

TEST(Http2Limits, FloodsEnd) {
  constexpr size_t kMost = 2 << 20;
  for (const Flood& flood : Floods()) {
    for (const size_t each : {size_t{1}, size_t{64}}) {
      SCOPED_TRACE(flood.what);
      auto probe = StartHttp2();
      probe->Receive(Settings() + flood.first);
      std::string piece;
      for (size_t i = 0; i < each; ++i) piece += flood.piece;
      size_t given = 0;
      while (!probe->finished() && given < kMost) {
        probe->Receive(piece);
        given += piece.size();
      }
      ASSERT_TRUE(probe->finished());
      EXPECT_EQ(OutcomeName(probe->outcome()), flood.outcome) << probe->evidence().detail;
      EXPECT_LE(probe->Sent().size(), 64u * 1024);
    }
  }
}

// A patient server is not cut off: as many frames as a large body takes.
TEST(Http2Limits, ManyFramesThatBringSomethingAreFine) {
  auto probe = StartHttp2();
  probe->Receive(Settings() + Headers({{":status", "200"}}));
  for (int i = 0; i < 5000; ++i) probe->Receive(Data("x", 0));
  probe->Receive(Data(""));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), 5000);
}

TEST(Http2Limits, ALargeBodyGetsItsWindow) {
  auto probe = StartHttp2();
  probe->Receive(Settings() + Frame(NGHTTP2_SETTINGS, kAck, 0) + Headers({{":status", "200"}}));
  const std::string frame = Data(std::string(16'384, 'x'), 0);
  for (int i = 0; i < 1024; ++i) probe->Receive(frame);
  probe->Receive(Data(""));
  EXPECT_EQ(OutcomeName(probe->outcome()), "ok") << probe->evidence().detail;
  EXPECT_EQ(FactOf(*probe, Fact::kHttpBodyLength), 16 << 20);
  EXPECT_LE(probe->Sent().size(), 1024u);
}

// The codec by itself: how much of the heap a probe in flight takes of the library.
class Meter {
 public:
  Meter(const std::string& module, std::string_view request)
      : text_(ReadModule(HttpProber(), module)),
        module_(static_cast<const HttpModule&>(*text_.module)),
        answer_(module_, buffers_),
        out_(buffers_),
        codec_(module_.header_size_limit) {
    EXPECT_TRUE(codec_.Send(request, out_));
  }
  HttpCodec::Event Read(std::string_view text) {
    Bytes in = AsBytes(text);
    while (true) {
      const HttpCodec::Event event = codec_.Read(&in, answer_, out_);
      if (event == HttpCodec::Event::kBegun) answer_.BeginHead();
      if (event == HttpCodec::Event::kHead) answer_.body.Begin({});
      if (event != HttpCodec::Event::kBegun && event != HttpCodec::Event::kHead) return event;
    }
  }
  size_t peak() const { return codec_.memory().peak(); }
  const Http2Codec& codec() const { return codec_; }

 private:
  ModuleText text_;
  const HttpModule& module_;
  BufferPool buffers_;
  HttpAnswer answer_;
  Output out_;
  Http2Codec codec_;
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n";

TEST(Http2Limits, MemoryOfAPlainProbe) {
  Meter meter("", kGet);
  EXPECT_EQ(meter.Read(kHello), HttpCodec::Event::kEnd);
  std::printf("a session takes %zu bytes, a codec %zu\n", meter.peak(), sizeof(Http2Codec));
  EXPECT_THAT(meter.peak(), AllOf(Lt(32u * 1024), testing::Gt(1024u)));
}

TEST(Http2Limits, MemoryOfHostilePeers) {
  for (const Flood& flood : Floods()) {
    Meter meter("", kGet);
    HttpCodec::Event event = meter.Read(Settings() + flood.first);
    for (size_t i = 0; i < 4000 && event == HttpCodec::Event::kMore; ++i) {
      event = meter.Read(flood.piece);
    }
    EXPECT_EQ(event, HttpCodec::Event::kBroken) << flood.what;
    EXPECT_THAT(meter.peak(), Lt(Http2Memory::kLimit / 2)) << flood.what;
    EXPECT_NE(meter.codec().failure(), HttpCodec::Failure::kMemory) << flood.what;
  }
}

TEST(Http2Limits, MemoryIsBoundedByCountingIt) {
  Http2Memory memory;
  memory.Allow(100);
  const nghttp2_mem hooks = memory.Hooks();
  void* a = hooks.malloc(60, hooks.mem_user_data);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(hooks.malloc(41, hooks.mem_user_data), nullptr);
  EXPECT_EQ(hooks.realloc(a, 101, hooks.mem_user_data), nullptr);
  a = hooks.realloc(a, 100, hooks.mem_user_data);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(memory.used(), 100u);
  EXPECT_EQ(hooks.calloc(1, 1, hooks.mem_user_data), nullptr);
  hooks.free(a, hooks.mem_user_data);
  EXPECT_EQ(hooks.calloc(SIZE_MAX / 2, 3, hooks.mem_user_data), nullptr);
  void* b = hooks.calloc(10, 10, hooks.mem_user_data);
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(static_cast<char*>(b)[99], 0);
  hooks.free(b, hooks.mem_user_data);
  hooks.free(nullptr, hooks.mem_user_data);
  EXPECT_EQ(memory.used(), 0u);
  EXPECT_EQ(memory.peak(), 100u);
}

}  // namespace
}  // namespace sonde
