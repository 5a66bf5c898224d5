#include "protocols/proxy_tunnel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sonde {
namespace {

using State = ProxyTunnel::State;
using testing::HasSubstr;
using testing::StartsWith;

// What a peer says, one piece after the other, to a tunnel asked for `host`.
struct Talk {
  explicit Talk(std::string_view url, std::string_view host = "192.0.2.7", uint16_t port = 443,
                std::string_view lines = "")
      : proxy(*Proxy::Parse(url)) {
    options.connect_headers = lines;
    tunnel.Begin(options, proxy, host, port, out);
    Keep();
  }

  // Like the engine, which gives again what was not taken.
  void Say(std::string_view bytes) {
    unread.append(bytes);
    while (tunnel.state() == State::kAsking && !unread.empty()) {
      const std::vector<uint8_t> given(unread.begin(), unread.end());
      const size_t used = tunnel.Take(given, out);
      ASSERT_LE(used, given.size());
      unread.erase(0, used);
      Keep();
      if (used == 0) break;
    }
  }
  void SayInPieces(std::string_view bytes, size_t piece) {
    for (size_t at = 0; at < bytes.size(); at += piece) Say(bytes.substr(at, piece));
  }
  void Keep() {
    sent += AsText(out.pending());
    out.Consume(out.pending().size());
  }

  BufferPool buffers;
  Output out{buffers};
  ProxyOptions options;
  Proxy proxy;
  ProxyTunnel tunnel;
  std::string sent, unread;
};

std::string Raw(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text += static_cast<char>(byte);
  return text;
}

TEST(ProxyTunnelTest, ConnectRequest) {
  Talk plain("http://proxy.example:3128");
  EXPECT_THAT(plain.sent, StartsWith("CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n"
                                     "User-Agent: sonde/"));
  EXPECT_THAT(plain.sent, testing::EndsWith("\r\n\r\n"));
  EXPECT_THAT(plain.sent, testing::Not(HasSubstr("Proxy-Authorization")));
  EXPECT_EQ(Talk("http://u:p%40ss@proxy.example", "2001:db8::1", 8443,
                 "User-Agent: mine\r\nX-Token: a\r\nX-Token: b\r\n")
                .sent,
            "CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n"
            "User-Agent: mine\r\nX-Token: a\r\nX-Token: b\r\n"
            "Proxy-Authorization: Basic dTpwQHNz\r\n\r\n");
  EXPECT_THAT(
      Talk("http://u:p@proxy.example", "shop.example", 443, "proxy-authorization: Bearer x\r\n")
          .sent,
      testing::Not(HasSubstr("Basic")));
}

struct Answer {
  std::string text;
  State state;
  Outcome outcome = Outcome::kOk;
  std::string_view detail = "";
};

void Check(std::string_view url, const Answer& answer) {
  for (size_t piece = 1; piece <= answer.text.size(); ++piece) {
    Talk talk(url);
    talk.SayInPieces(answer.text, piece);
    ASSERT_EQ(talk.tunnel.state(), answer.state) << answer.text << " by " << piece;
    EXPECT_EQ(OutcomeName(talk.tunnel.outcome()), OutcomeName(answer.outcome)) << answer.text;
    EXPECT_THAT(talk.tunnel.detail(), HasSubstr(answer.detail)) << answer.text;
  }
}

TEST(ProxyTunnelTest, ConnectAnswers) {
  const Answer kAnswers[] = {
      {"HTTP/1.1 200 Connection established\r\n\r\n", State::kOpen},
      {"HTTP/1.0 200 OK\r\nVia: x\r\nContent-Length: 5\r\n\r\n", State::kOpen},
      {"HTTP/1.1 204 Fine\r\n\r\n", State::kOpen},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", State::kOpen},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
       State::kOpen},
      {"HTTP/1.1 200 OK\r\nVia: x\r\n", State::kAsking},
      {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", State::kFailed,
       Outcome::kConnectProxyAuth, "proxy p.example:80: it answered 407 "},
      {"HTTP/1.1 401 Unauthorized\r\n\r\n", State::kFailed, Outcome::kConnectProxyAuth, "401 "},
      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\n", State::kFailed,
       Outcome::kConnectProxyRefused, "403 "},
      {"HTTP/1.1 502 Bad Gateway\r\n\r\n", State::kFailed, Outcome::kConnectProxyRefused,
       "Bad Gateway"},
      {"HTTP/1.1 301 Moved\r\nLocation: http://other/\r\n\r\n", State::kFailed,
       Outcome::kConnectProxyRefused, "301"},
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
       State::kFailed, Outcome::kConnectProxyAnswer, "HTTP/1.x"},
      {"SSH-2.0-OpenSSH_9.2\r\n", State::kFailed, Outcome::kConnectProxyAnswer, "speak HTTP"},
      {"HTTP/2.0 200 OK\r\n\r\n", State::kFailed, Outcome::kConnectProxyAnswer, ""},
      {Raw({0x15, 3, 1, 0, 2, 2, 70}), State::kFailed, Outcome::kConnectProxyAnswer, "speak HTTP"},
  };
  for (const Answer& answer : kAnswers) Check("http://p.example", answer);
}

TEST(ProxyTunnelTest, WhatFollowsTheAnswerIsLeft) {
  Talk http("http://proxy.example");
  http.Say("HTTP/1.1 200 OK\r\n\r\nmore");
  EXPECT_EQ(http.tunnel.state(), State::kOpen);
  EXPECT_EQ(http.unread, "more");
  Talk socks("socks5://proxy.example");
  socks.Say(Raw({5, 0, 5, 0, 0, 1, 1, 2, 3, 4, 0, 80}) + "more");
  EXPECT_EQ(socks.tunnel.state(), State::kOpen);
  EXPECT_EQ(socks.unread, "more");
}

TEST(ProxyTunnelTest, HeadsAreBounded) {
  const std::string line = "X: " + std::string(95, 'a') + "\r\n";
  std::string head = "HTTP/1.1 200 OK\r\n";
  while (head.size() + 200 < ProxyTunnel::kMaxHead) head += line;
  const auto filled = [&](size_t size) {
    return head + "X: " + std::string(size - head.size() - 7, 'a') + "\r\n\r\n";
  };
  for (const size_t piece : {size_t{1}, size_t{1000}, size_t{1} << 20}) {
    Talk fits("http://proxy.example");
    fits.SayInPieces(filled(ProxyTunnel::kMaxHead), piece);
    EXPECT_EQ(fits.tunnel.state(), State::kOpen);
    Talk exceeds("http://proxy.example");
    exceeds.SayInPieces(filled(ProxyTunnel::kMaxHead + 1), piece);
    EXPECT_EQ(OutcomeName(exceeds.tunnel.outcome()), "connect/proxy_answer");
    EXPECT_THAT(exceeds.tunnel.detail(), HasSubstr("exceeds 16 KiB"));
  }
  // Interim answers without end.
  Talk interim("http://proxy.example");
  for (int i = 0; i < 1000; ++i) interim.Say("HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(OutcomeName(interim.tunnel.outcome()), "connect/proxy_answer");
  // A reason without end is kept in part.
  Talk reason("http://proxy.example");
  reason.SayInPieces("HTTP/1.1 502 " + std::string(5000, 'x') + "\x1b[0m\r\n\r\n", 7);
  EXPECT_EQ(OutcomeName(reason.tunnel.outcome()), "connect/proxy_refused");
  EXPECT_LT(reason.tunnel.detail().size(), 400u);
}

TEST(ProxyTunnelTest, SocksRequests) {
  Talk plain("socks5://proxy.example");
  EXPECT_EQ(plain.sent, Raw({5, 1, 0}));
  plain.Say(Raw({5, 0}));
  EXPECT_EQ(plain.sent, Raw({5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 7, 1, 0xbb}));
  Talk v6("socks5h://proxy.example", "2001:db8::1", 80);
  v6.Say(Raw({5, 0}));
  EXPECT_EQ(v6.sent.substr(3),
            Raw({5, 1, 0, 4, 0x20, 1, 0xd, 0xb8}) + std::string(11, '\0') + Raw({1, 0, 80}));
  Talk name("socks5://proxy.example", "shop.example", 80);
  name.Say(Raw({5, 0}));
  EXPECT_EQ(name.sent.substr(3), Raw({5, 1, 0, 3, 12}) + "shop.example" + Raw({0, 80}));

  const std::string longest(255, 'n');
  EXPECT_EQ(Talk("socks5://proxy.example", longest).tunnel.state(), State::kAsking);
  Talk too_long("socks5://proxy.example", longest + "n");
  EXPECT_EQ(too_long.sent, "");
  EXPECT_EQ(OutcomeName(too_long.tunnel.outcome()), "validation/target");
}

TEST(ProxyTunnelTest, SocksLogin) {
  for (const size_t piece : {size_t{1}, size_t{2}}) {
    Talk login("socks5://user:secret@proxy.example");
    EXPECT_EQ(login.sent, Raw({5, 2, 0, 2}));
    login.SayInPieces(Raw({5, 2}), piece);
    EXPECT_EQ(login.sent.substr(4), Raw({1, 4}) + "user" + Raw({6}) + "secret");
    login.sent.clear();
    login.SayInPieces(Raw({1, 0}), piece);
    EXPECT_EQ(login.sent, Raw({5, 1, 0, 1, 192, 0, 2, 7, 1, 0xbb}));
  }
  Talk unasked("socks5://user:secret@proxy.example");
  unasked.Say(Raw({5, 0}));
  EXPECT_THAT(unasked.sent, testing::Not(HasSubstr("secret")));
  EXPECT_THAT(unasked.sent, testing::EndsWith(Raw({192, 0, 2, 7, 1, 0xbb})));
}

TEST(ProxyTunnelTest, SocksAnswers) {
  const std::string method = Raw({5, 0});
  const Answer kAnswers[] = {
      {method + Raw({5, 0, 0, 1, 1, 2, 3, 4, 0, 80}), State::kOpen},
      {method + Raw({5, 0, 0, 4}) + std::string(18, 'x'), State::kOpen},
      {method + Raw({5, 0, 0, 3, 5}) + "named" + Raw({0, 1}), State::kOpen},
      {method + Raw({5, 0, 0, 3, 0, 0, 1}), State::kOpen},
      {method + Raw({5, 0, 0, 3, 255}) + std::string(257, 'n'), State::kOpen},
      {method + Raw({5, 0, 0, 3, 255}) + std::string(256, 'n'), State::kAsking},
      {Raw({5}), State::kAsking},
      {method + Raw({5, 0, 0, 1}), State::kAsking},
      {Raw({4, 0}), State::kFailed, Outcome::kConnectProxyAnswer, "does not speak SOCKS5"},
      {"HTTP/1.1 400 Bad Request\r\n", State::kFailed, Outcome::kConnectProxyAnswer, "SOCKS5"},
      {Raw({5, 0xff}), State::kFailed, Outcome::kConnectProxyAuth, "wants a login"},
      {Raw({5, 2}), State::kFailed, Outcome::kConnectProxyAnswer, "not offered"},
      {Raw({5, 1}), State::kFailed, Outcome::kConnectProxyAnswer, "not offered"},
      {method + Raw({4, 0}), State::kFailed, Outcome::kConnectProxyAnswer, "another version"},
      {method + Raw({5, 0, 0, 2, 0}), State::kFailed, Outcome::kConnectProxyAnswer, "known type"},
      {method + Raw({5, 9}), State::kFailed, Outcome::kConnectProxyAnswer, "reply 9"},
      {method + Raw({5, 255}), State::kFailed, Outcome::kConnectProxyAnswer, "reply 255"},
      {method + Raw({5, 1}), State::kFailed, Outcome::kConnectProxyRefused, "general failure"},
      {method + Raw({5, 2}), State::kFailed, Outcome::kConnectProxyRefused, "rules"},
      {method + Raw({5, 3}), State::kFailed, Outcome::kConnectNetworkUnreachable, "network"},
      {method + Raw({5, 4}), State::kFailed, Outcome::kConnectHostUnreachable, "host"},
      {method + Raw({5, 5}), State::kFailed, Outcome::kConnectRefused, "refused"},
      {method + Raw({5, 6}), State::kFailed, Outcome::kConnectTtlExceeded, "TTL"},
      {method + Raw({5, 7}), State::kFailed, Outcome::kConnectProxyRefused, "command"},
      {method + Raw({5, 8}), State::kFailed, Outcome::kConnectProxyRefused, "address type"},
  };
  for (const Answer& answer : kAnswers) Check("socks5://p.example", answer);

  const std::string login = Raw({5, 2});
  const Answer kLogins[] = {
      {login + Raw({1, 0, 5, 0, 0, 1, 1, 2, 3, 4, 0, 80}), State::kOpen},
      {login + Raw({1, 1}), State::kFailed, Outcome::kConnectProxyAuth, "refused user name"},
      {login + Raw({5, 0}), State::kFailed, Outcome::kConnectProxyAnswer, "another version"},
      {Raw({5, 0xff}), State::kFailed, Outcome::kConnectProxyAuth, "neither"},
  };
  for (const Answer& answer : kLogins) Check("socks5://u:p@p.example", answer);
}

TEST(ProxyTunnelTest, Closed) {
  for (const std::string_view url : {"http://proxy.example", "socks5://proxy.example"}) {
    for (const PeerClose how : {PeerClose::kEnd, PeerClose::kTruncated, PeerClose::kReset}) {
      Talk talk(url);
      talk.tunnel.Closed(how);
      EXPECT_EQ(OutcomeName(talk.tunnel.outcome()), "connect/proxy_closed");
      EXPECT_THAT(talk.tunnel.detail(), HasSubstr(how == PeerClose::kReset ? "reset" : "closed"));
    }
  }
}

}  // namespace
}  // namespace sonde
