#include "exporter/http_request_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sonde {
namespace {

using Event = HttpRequestParser::Event;

struct Parsed {
  std::vector<HttpRequest> requests;
  std::vector<bool> keep_alive;
  std::vector<std::string> hosts;
  int error = 0;
  std::string error_text;
  bool started = false;  // at the end
};

Parsed ParseInSteps(std::string_view bytes, size_t step, size_t max_body = 1000,
                    HttpRequestParser::Limits limits = {}) {
  HttpRequestParser parser(limits);
  Parsed out;
  for (size_t at = 0; at < bytes.size() && out.error == 0; at += step) {
    std::string_view in = bytes.substr(at, step);
    for (;;) {
      const Event event = parser.Feed(in);
      if (event == Event::kNeedMore) break;
      if (event == Event::kError) {
        out.error = parser.error_status();
        out.error_text = parser.error_text();
        break;
      }
      if (event == Event::kHead) {
        parser.set_max_body(max_body);
        out.keep_alive.push_back(parser.keep_alive());
        out.hosts.push_back(parser.host().host);
        continue;
      }
      out.requests.push_back(parser.TakeRequest());
    }
  }
  out.started = parser.started();
  return out;
}

Parsed Parse(std::string_view bytes) { return ParseInSteps(bytes, bytes.size()); }

TEST(HttpRequestParserTest, EverySplitGivesTheSameRequests) {
  const std::string_view bytes =
      "\r\nGET /a%20b?x=1 HTTP/1.1\r\nHost: localhost:9815\r\nX-Empty:\r\nAccept:  a , b \t\r\n\r\n"
      "POST /p HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\n\r\nhello"
      "PUT /q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
      "GET http://Name.Example/abs HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    const Parsed out = ParseInSteps(bytes, step);
    ASSERT_EQ(out.error, 0) << out.error_text;
    ASSERT_EQ(out.requests.size(), 4u) << step;
    EXPECT_EQ(out.requests[0].raw_path, "/a%20b");
    EXPECT_EQ(out.requests[0].path, "/a b");
    EXPECT_EQ(out.requests[0].query, "x=1");
    EXPECT_EQ(out.requests[0].Header("accept"), "a , b");
    EXPECT_EQ(out.requests[0].FindHeader("x-empty"), "");
    EXPECT_EQ(out.requests[1].method, "POST");
    EXPECT_EQ(out.requests[1].body, "hello");
    EXPECT_EQ(out.requests[2].body, "abc");
    EXPECT_EQ(out.requests[3].path, "/abs");
    EXPECT_EQ(out.requests[3].version_minor, 0);
    EXPECT_THAT(out.hosts, testing::ElementsAre("localhost", "::1", "h", "name.example"));
    EXPECT_THAT(out.keep_alive, testing::Each(true));
    EXPECT_FALSE(out.started);
  }
}

TEST(HttpRequestParserTest, KnowsWhetherARequestHasBegun) {
  EXPECT_FALSE(Parse("\r\n").started);
  EXPECT_TRUE(Parse("G").started);
  EXPECT_TRUE(Parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").started);
}

TEST(HttpRequestParserTest, KeepAliveFollowsVersionAndConnection) {
  const auto keeps = [](const std::string& version, const std::string& connection) -> bool {
    return Parse("GET / HTTP/" + version + "\r\nHost: a\r\n" + connection + "\r\n")
        .keep_alive.at(0);
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_FALSE(keeps("1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: x\r\nConnection: Close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: keep-alive\r\n"));
  EXPECT_FALSE(keeps("1.0", "Connection: keep-alive, close\r\n"));
}

TEST(HttpRequestParserTest, RefusesWhatParsersDisagreeAbout) {
  struct Case {
    std::string bytes;
    int status;
  };
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  const std::vector<Case> cases = {
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET / HTTP/1.1\rHost: a\r\n\r\n", 400},
      {head + "X: a\rb\r\n\r\n", 400},
      {head + "X: a\nY: b\r\n\r\n", 400},
      {head + "X: a\r\n folded\r\n\r\n", 400},
      {head + " X: a\r\n\r\n", 400},
      {head + "X : a\r\n\r\n", 400},
      {head + "X y: a\r\n\r\n", 400},
      {head + "X\r\n\r\n", 400},
      {head + ": a\r\n\r\n", 400},
      {head + "X: a" + std::string(1, '\0') + "b\r\n\r\n", 400},
      {head + "X: \x7f\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
      {"GET /\r\n\r\n", 505},
      {"\r\n\r\n\r\n\r\n\r\n", 400},
      {"\x16\x03\x01", 400},
      {post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
      {post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {post + "Content-Length: +1\r\n\r\n", 400},
      {post + "Content-Length: 1, 1\r\n\r\n", 400},
      {post + "Content-Length: -1\r\n\r\n", 400},
      {post + "Content-Length:\r\n\r\n", 400},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {post + "Content-Length: 1001\r\n\r\n", 413},
      {post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\nx", 413},
      {post + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400},
      {post + "Expect: 200-ok\r\n\r\n", 417},
  };
  for (const Case& c : cases) {
    for (const size_t step : {size_t{1}, size_t{3}, c.bytes.size()}) {
      const Parsed out = ParseInSteps(c.bytes, step);
      EXPECT_EQ(out.error, c.status) << c.bytes << "\n" << out.error_text;
      EXPECT_TRUE(out.requests.empty()) << c.bytes;
    }
  }
  // Refused, whatever the words for it.
  for (const char* coding : {"gzip", "chunked, chunked", "gzip, chunked", "identity", "xchunked",
                             "chunked\r\nTransfer-Encoding: chunked", ""}) {
    const Parsed out = Parse(post + "Transfer-Encoding: " + coding + "\r\n\r\n");
    EXPECT_TRUE(out.error == 400 || out.error == 501) << coding << out.error;
    EXPECT_TRUE(out.requests.empty());
  }
  EXPECT_NE(Parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").error, 0);
}

TEST(HttpRequestParserTest, LimitsAreExact) {
  const std::string line = "GET / HTTP/1.1\r\n";
  const std::string host = "Host: a\r\n";
  const auto padded = [&](size_t total) {
    const std::string fixed = line + host + "X: \r\n\r\n";
    return line + host + "X: " + std::string(total - fixed.size(), 'x') + "\r\n\r\n";
  };
  const HttpRequestParser::Limits limits{256, 5};
  EXPECT_EQ(ParseInSteps(padded(256), 1, 0, limits).requests.size(), 1u);
  EXPECT_EQ(ParseInSteps(padded(257), 1, 0, limits).error, 431);
  EXPECT_EQ(ParseInSteps("GET /" + std::string(300, 'x'), 1, 0, limits).error, 414);

  std::string headers = line + host;
  for (int i = 0; i < 4; ++i) headers += "X: y\r\n";
  EXPECT_EQ(ParseInSteps(headers + "\r\n", 1, 0, limits).requests.size(), 1u);
  EXPECT_EQ(ParseInSteps(headers + "X: y\r\n\r\n", 1, 0, limits).error, 431);

  EXPECT_EQ(
      Parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'b'))
          .requests.size(),
      1u);
}

TEST(HttpRequestParserTest, AnUpgradeIsNotTaken) {
  const Parsed out = Parse(
      "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
      "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(out.requests.size(), 2u);
}

}  // namespace
}  // namespace sonde
