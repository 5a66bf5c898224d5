#include "exporter/http_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <functional>

#include "tests/exporter/http_connection_fixture.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Unzipped {
  std::string text;
  bool one_whole_member = false;
};

Unzipped Unzip(std::string_view bytes) {
  Unzipped out;
  z_stream stream{};
  inflateInit2(&stream, 16 + MAX_WBITS);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  char buffer[65536];
  int result = Z_OK;
  while (result == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    result = inflate(&stream, Z_NO_FLUSH);
    out.text.append(buffer, sizeof buffer - stream.avail_out);
  }
  out.one_whole_member = result == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  return out;
}

// The bytes of a chunked body; fails the test when it does not end properly.
std::string Unchunk(std::string_view bytes) {
  std::string body;
  ChunkedDecoder decoder;
  EXPECT_EQ(decoder.Feed(bytes, body, 1u << 30), ChunkedDecoder::Result::kDone);
  EXPECT_TRUE(bytes.empty());
  return body;
}

constexpr std::string_view kGet = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

TEST_F(HttpConnectionTest, AnswersWithLengthAndKeepsTheConnection) {
  const std::string answer = Ask(kGet);
  EXPECT_EQ(answer,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 7\r\n"
            "X-Content-Type-Options: nosniff\r\n\r\nhello \n");
  EXPECT_FALSE(transport_->shut);
  EXPECT_EQ(Ask(kGet), answer);
}

TEST_F(HttpConnectionTest, OneByteAtATimeIsTheSame) {
  const std::string_view bytes =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
  for (const char c : bytes) Send({&c, 1});
  DeliverAll();
  EXPECT_EQ(BodyOf(transport_->seen), "abc");
}

TEST_F(HttpConnectionTest, PipelinedRequestsAreAnsweredInOrder) {
  std::string bytes;
  for (int i = 0; i < 50; ++i) {
    bytes += "GET /hello?n=" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  }
  const std::string answer = Ask(bytes);
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = answer.find("hello " + std::to_string(i) + "\n", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_TRUE(transport_->reading);
}

TEST_F(HttpConnectionTest, ReadingAheadIsBounded) {
  options_.max_pipelined = 1000;
  Send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(transport_->reading);
  std::string many;
  for (int i = 0; i < 50; ++i) many += kGet;
  Send(many);
  EXPECT_FALSE(transport_->reading);
  ASSERT_EQ(held_.size(), 1u);
  held_[0].Send(HttpResponse::Text(200, "at last\n"));
  DeliverAll();
  EXPECT_TRUE(transport_->reading);
  size_t answers = 0;
  for (size_t at = 0; (at = transport_->seen.find("HTTP/1.1 200", at)) != std::string::npos; ++at) {
    ++answers;
  }
  EXPECT_EQ(answers, 51u);
}

TEST_F(HttpConnectionTest, HeadHasTheHeadersOfGetAndNoBody) {
  const std::string answer = Ask("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_EQ(BodyOf(answer), "");
  EXPECT_EQ(BodyOf(Ask(kGet)), "hello \n");

  total_ = 1000;
  const std::string streamed = Ask("HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(streamed, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(BodyOf(streamed), "");
  EXPECT_EQ(made_, 0u);
}

TEST_F(HttpConnectionTest, VersionsAndClosing) {
  EXPECT_THAT(AskAnew("GET /hello HTTP/1.0\r\n\r\n"), HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(transport_->shut);
  connection_->OnEnd();
  EXPECT_TRUE(transport_->closing);

  EXPECT_THAT(AskAnew("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
              HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_FALSE(transport_->shut);

  EXPECT_THAT(AskAnew("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
              HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(transport_->shut);
}

TEST_F(HttpConnectionTest, TheLastRequestOfAConnectionSaysSo) {
  options_.max_requests = 2;
  EXPECT_THAT(Ask(kGet), Not(HasSubstr("Connection: close")));
  EXPECT_THAT(Ask(kGet), HasSubstr("Connection: close"));
}

TEST_F(HttpConnectionTest, ExpectContinue) {
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n";
  EXPECT_EQ(Ask(head + "Content-Length: 3\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(BodyOf(Ask("abc")), "abc");
  // Nobody is invited to send what will be refused, and nobody who sent it already.
  EXPECT_THAT(AskAnew(head + "Content-Length: 101\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(AskAnew(head + "Content-Length: 3\r\n\r\nabc"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(AskAnew("POST /none HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                      "Content-Length: 3\r\n\r\n"),
              StartsWith("HTTP/1.1 404 "));
}

TEST_F(HttpConnectionTest, BodiesBeyondTheRoutesLimitAreRefused) {
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
  const std::string full(100, 'x');
  EXPECT_EQ(BodyOf(AskAnew(head + "Content-Length: 100\r\n\r\n" + full)), full);
  const std::string refused = AskAnew(head + "Transfer-Encoding: chunked\r\n\r\n65\r\nx");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(refused, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(Metrics(), HasSubstr("path=\"/echo\",status=\"413\"} 1"));
}

TEST_F(HttpConnectionTest, UnknownPathsAndMethods) {
  const std::string missing = Ask("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(missing, StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(missing, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  const std::string refused = Ask("DELETE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(refused, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_FALSE(transport_->shut);  // no body was left unread
  EXPECT_THAT(AskAnew("POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"),
              HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(Metrics(), HasSubstr("{method=\"GET\",path=\"other\",status=\"404\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("{method=\"DELETE\",path=\"/hello\",status=\"405\"} 1"));
}

TEST_F(HttpConnectionTest, HostIsCheckedAndTheRefusalNamesTheFlag) {
  const auto ask = [&](const std::string& host) {
    return AskAnew("GET /hello HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  };
  for (const char* good : {"localhost:9815", "127.0.0.1", "[::1]:1", "listed.example"}) {
    EXPECT_THAT(ask(good), StartsWith("HTTP/1.1 200 ")) << good;
  }
  const std::string refused = ask("evil.example");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 421 "));
  EXPECT_THAT(refused, HasSubstr("--web.allowed-hosts"));
  // The target's authority counts, not the header beside it (RFC 9112 section 3.2.2).
  EXPECT_THAT(AskAnew("GET http://evil.example/hello HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              StartsWith("HTTP/1.1 421 "));
  EXPECT_THAT(AskAnew("GET http://localhost/hello HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpConnectionTest, OriginIsCheckedWhereSomethingChanges) {
  const auto ask = [&](const std::string& method, const std::string& origin) {
    return AskAnew(method + " HTTP/1.1\r\nHost: 127.0.0.1:9815\r\nOrigin: " + origin +
                   "\r\nContent-Length: 0\r\n\r\n");
  };
  EXPECT_THAT(ask("POST /echo", "http://127.0.0.1:9815"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask("POST /echo", "http://evil.example"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask("POST /echo", "null"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask("GET /hello", "http://evil.example"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpConnectionTest, GarbageIsRefusedOnceAndCounted) {
  const std::string answer = Ask("\x16\x03\x01 garbage");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(transport_->shut);
  EXPECT_EQ(Ask("more garbage\r\n\r\n"), "");
  EXPECT_THAT(Metrics(), HasSubstr("{method=\"other\",path=\"other\",status=\"400\"} 1"));
  // What came before garbage is answered; its route does not stick to the garbage.
  EXPECT_THAT(AskAnew(std::string(kGet) + "GET /a b c\r\n\r\n"), HasSubstr("hello \n"));
  EXPECT_THAT(transport_->seen, HasSubstr("HTTP/1.1 400 "));
  EXPECT_THAT(Metrics(), HasSubstr("path=\"other\",status=\"400\"} 2"));
}

TEST_F(HttpConnectionTest, HandlersCannotSplitAnAnswer) {
  Add({}, "/split", AnswerAtOnce([](const HttpRequest&) {
        HttpResponse response = HttpResponse::Text(200, "x");
        response.headers = {{"X-Good", "1"},
                            {"X-Bad", "1\r\nSet-Cookie: a"},
                            {"X Bad", "1"},
                            {"Content-Length", "99"}};
        response.content_type = "text/plain\r\nX-Evil: 1";
        return response;
      }));
  const std::string answer = Ask("GET /split HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(answer,
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Content-Type-Options: nosniff\r\n"
            "X-Good: 1\r\n\r\nx");
}

TEST_F(HttpConnectionTest, BigBodiesAreCompressedOnlyWhenWanted) {
  const std::string gzip = "GET /big HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
  big_ = 1024;
  EXPECT_THAT(Ask(gzip), Not(HasSubstr("Content-Encoding")));
  big_ = 1025;
  const std::string small = Ask(gzip);
  EXPECT_THAT(small, HasSubstr("Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"));
  EXPECT_THAT(small, HasSubstr("Content-Length: "));  // it was ready at once
  EXPECT_TRUE(Unzip(BodyOf(small)).one_whole_member);
  EXPECT_EQ(Unzip(BodyOf(small)).text, std::string(big_, 'b'));
  const std::string plain = Ask("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(plain, Not(HasSubstr("Content-Encoding")));
  EXPECT_THAT(plain, HasSubstr("Vary: Accept-Encoding\r\n"));
  big_ = 3'000'000;
  EXPECT_EQ(Unzip(Unchunk(BodyOf(Ask(gzip)))).text, std::string(big_, 'b'));
  const std::string identity = Ask("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(identity, HasSubstr("Content-Length: 3000000\r\n"));
  EXPECT_EQ(BodyOf(identity).size(), big_);
}

TEST_F(HttpConnectionTest, StreamsAreChunkedOneMemberAndNeverWhole) {
  total_ = 20'000'000;
  const std::string plain = Ask("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(plain, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(Unchunk(BodyOf(plain)).size(), total_);
  EXPECT_LT(transport_->max_queue, 200'000u);

  made_ = 0;
  const std::string gzip =
      Ask("GET /stream HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
  const Unzipped body = Unzip(Unchunk(BodyOf(gzip)));
  EXPECT_TRUE(body.one_whole_member);
  EXPECT_EQ(body.text.size(), total_);

  made_ = 0;
  const std::string old = AskAnew("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(old, Not(HasSubstr("chunked")));
  EXPECT_THAT(old, HasSubstr("Connection: close\r\n"));
  EXPECT_EQ(BodyOf(old).size(), total_);
  EXPECT_TRUE(transport_->shut);

  made_ = 0;
  total_ = 500;  // short enough to be known whole before the head is sent
  EXPECT_THAT(AskAnew("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              HasSubstr("Content-Length: 500\r\n"));
}

TEST_F(HttpConnectionTest, AReaderThatStopsHoldsOneSlice) {
  total_ = 100'000'000;
  Send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  for (int i = 0; i < 20; ++i) Deliver(std::string::npos);
  const size_t made = made_;
  EXPECT_GT(made, 1'000'000u);
  for (int i = 0; i < 100; ++i) Deliver(0);
  EXPECT_EQ(made_, made);
  EXPECT_LE(transport_->pending(), 200'000u);
}

TEST_F(HttpConnectionTest, ASlowReaderIsCutOffAndASteadyOneIsNot) {
  total_ = 100'000'000;
  Send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  for (int i = 0; i < 100; ++i) {  // 20 KiB every 25 s
    Deliver(20 * 1024);
    now_ = now_ + Seconds(25);
    connection_->CheckTimeouts(now_);
    ASSERT_FALSE(transport_->closing) << i;
  }
  int seconds = 0;  // a byte at a time is no progress
  for (; seconds <= 31 && !transport_->closing; ++seconds) {
    Deliver(1);
    now_ = now_ + Seconds(1);
    connection_->CheckTimeouts(now_);
  }
  EXPECT_GE(seconds, 5);  // the last progress was at most 25 s ago
  EXPECT_TRUE(transport_->closing);
  connection_->OnClosed();
  EXPECT_THAT(Metrics(), HasSubstr("cut_total{reason=\"slow_reader\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("path=\"/stream\",status=\"200\"} 1"));
}

TEST_F(HttpConnectionTest, TimeoutsOfARequest) {
  now_ = now_ + Seconds(9);
  Send("GET /hel");  // the clock of the head begins with its first byte
  now_ = now_ + Seconds(9);
  Send("l");
  connection_->CheckTimeouts(now_);
  EXPECT_EQ(transport_->queue, "");
  now_ = now_ + Seconds(2);
  connection_->CheckTimeouts(now_);
  EXPECT_THAT(transport_->queue, StartsWith("HTTP/1.1 408 "));
  DeliverAll();
  EXPECT_TRUE(transport_->shut);
  now_ = now_ + Seconds(3);
  connection_->CheckTimeouts(now_);  // a client that does not close back
  EXPECT_TRUE(transport_->closing);

  Open();
  Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n");
  for (int i = 0; i < 29; ++i) {
    Send("x");
    now_ = now_ + Seconds(1);
    connection_->CheckTimeouts(now_);
    ASSERT_EQ(transport_->queue, "");
  }
  now_ = now_ + Seconds(2);
  connection_->CheckTimeouts(now_);
  EXPECT_THAT(transport_->queue, StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(Metrics(), HasSubstr("cut_total{reason=\"head_timeout\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("cut_total{reason=\"body_timeout\"} 1"));
}

TEST_F(HttpConnectionTest, IdleConnectionsGo) {
  now_ = now_ + Seconds(11);
  connection_->CheckTimeouts(now_);
  EXPECT_TRUE(transport_->closing);  // connected and said nothing

  Open();
  Ask(kGet);
  now_ = now_ + Seconds(119);
  connection_->CheckTimeouts(now_);
  EXPECT_FALSE(transport_->closing);
  Ask(kGet);
  now_ = now_ + Seconds(121);
  connection_->CheckTimeouts(now_);
  EXPECT_TRUE(transport_->closing);
}

TEST_F(HttpConnectionTest, LingeringIsBoundedInBytes) {
  Ask("garbage\r\n\r\n");
  ASSERT_TRUE(transport_->shut);
  const std::string flood(64 * 1024, 'x');
  for (int i = 0; i < 16; ++i) Send(flood);
  EXPECT_FALSE(transport_->closing);
  Send(flood);
  EXPECT_TRUE(transport_->closing);
}

TEST_F(HttpConnectionTest, AnAnswerMayComeLater) {
  Send("GET /later?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_EQ(held_.size(), 1u);
  EXPECT_EQ(transport_->queue, "");
  EXPECT_TRUE(held_[0].connected());
  EXPECT_EQ(held_[0].request().query, "x=1");
  now_ = now_ + Seconds(1000);
  connection_->CheckTimeouts(now_);
  EXPECT_FALSE(transport_->closing);  // the handler's time is the handler's
  held_[0].Send(HttpResponse::Text(200, "now\n"));
  EXPECT_FALSE(held_[0]);
  DeliverAll();
  EXPECT_EQ(BodyOf(transport_->seen), "now\n");
  EXPECT_EQ(disconnects_, 0);
  EXPECT_EQ(BodyOf(Ask(kGet)), "hello \n");
}

TEST_F(HttpConnectionTest, ADroppedHandleAnswersForItself) {
  EXPECT_THAT(Ask("GET /dropped HTTP/1.1\r\nHost: localhost\r\n\r\n"), StartsWith("HTTP/1.1 500 "));
}

TEST_F(HttpConnectionTest, TheHandlerIsToldWhenTheClientLeaves) {
  Send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  connection_->OnClosed();
  EXPECT_EQ(disconnects_, 1);
  EXPECT_FALSE(held_.at(0).connected());
  held_[0].Send(HttpResponse::Text(200, "too late"));
  EXPECT_EQ(transport_->queue, "");
  EXPECT_THAT(Metrics(), HasSubstr("path=\"/later\",status=\"499\"} 1"));
  connection_.reset();
  EXPECT_EQ(disconnects_, 1);
}

TEST_F(HttpConnectionTest, AHalfClosedClientIsToldAndStillAnswered) {
  Send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  connection_->OnEnd();
  EXPECT_EQ(disconnects_, 1);
  EXPECT_FALSE(held_.at(0).connected());
  held_[0].Send(HttpResponse::Text(200, "still\n"));
  DeliverAll();
  EXPECT_THAT(transport_->seen, HasSubstr("Connection: close"));
  EXPECT_EQ(BodyOf(transport_->seen), "still\n");
  EXPECT_TRUE(transport_->closing);
}

TEST_F(HttpConnectionTest, TheConnectionMayGoBeforeTheHandle) {
  Send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ResponseHandle handle = std::move(held_.at(0));
  connection_.reset();
  EXPECT_EQ(handle.request().path, "/later");
  handle.Send(HttpResponse::Text(200, "nobody"));
}

TEST_F(HttpConnectionTest, EventStreamsWaitForTheirSource) {
  script_.steps = {{BodyStep::kMore, "data: 1\n\n"}};
  Send("GET /script HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
  DeliverAll();
  EXPECT_THAT(transport_->seen, HasSubstr("text/event-stream"));
  EXPECT_THAT(transport_->seen, HasSubstr("\r\n\r\n9\r\ndata: 1\n\n\r\n"));
  transport_->seen.clear();
  ASSERT_NE(script_.source, nullptr);
  script_.source->Wake();  // nothing new: nothing is sent
  DeliverAll();
  EXPECT_EQ(transport_->seen, "");
  script_.steps = {{BodyStep::kLater, "data: 2\n\n"}};
  script_.source->Wake();
  EXPECT_EQ(transport_->queue, "9\r\ndata: 2\n\n\r\n");
  script_.steps = {{BodyStep::kEnd, "data: 3\n\n"}};
  script_.source->Wake();  // while the last event is still on its way
  DeliverAll();
  EXPECT_EQ(transport_->seen, "9\r\ndata: 2\n\n\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n");
  EXPECT_TRUE(script_.destroyed);
  now_ = now_ + Seconds(100);
  EXPECT_EQ(BodyOf(Ask(kGet)), "hello \n");
}

TEST_F(HttpConnectionTest, AnEventStreamEndsWithItsClient) {
  Send("GET /script HTTP/1.1\r\nHost: localhost\r\n\r\n");
  DeliverAll();
  EXPECT_THAT(transport_->seen, StartsWith("HTTP/1.1 200 OK\r\n"));  // the head does not wait
  connection_->OnEnd();
  EXPECT_TRUE(transport_->closing);
  connection_->OnClosed();
  EXPECT_TRUE(script_.destroyed);
}

TEST_F(HttpConnectionTest, ABrokenBodyIsNeverPassedOffAsWhole) {
  script_.steps = {{BodyStep::kFail, "part"}};
  const std::string early = Ask("GET /script HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(early, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(early, Not(HasSubstr("part\r\n")));

  script_.steps = {{BodyStep::kMore, std::string(70'000, 'x')}, {BodyStep::kFail, ""}};
  const std::string late = AskAnew("GET /script HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(late, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(late, Not(HasSubstr("\r\n0\r\n")));
  EXPECT_TRUE(transport_->closing);
  EXPECT_TRUE(transport_->reset);  // an orderly end would pass for the end of the body
  EXPECT_FALSE(transport_->shut);
}

TEST_F(HttpConnectionTest, AllBodiesTogetherAreBounded) {
  options_.max_body_total = 150;
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n";
  FakeTransport other_transport;
  HttpConnection other(service_, other_transport, Address());
  other.OnBytes(head + std::string(90, 'x'));
  EXPECT_EQ(service_.body_bytes, 90u);
  Send(head + std::string(61, 'x'));
  EXPECT_THAT(transport_->queue, StartsWith("HTTP/1.1 503 "));
  DeliverAll();
  EXPECT_EQ(service_.body_bytes, 90u);
  other.OnClosed();
  EXPECT_EQ(service_.body_bytes, 0u);
  EXPECT_THAT(AskAnew(head + std::string(100, 'x')), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(service_.body_bytes, 0u);
}

TEST_F(HttpConnectionTest, CompressionIsRationed) {
  options_.max_gzip = 1;
  const std::string gzip =
      "GET /stream HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
  total_ = 10'000'000;
  FakeTransport other_transport;
  HttpConnection other(service_, other_transport, Address());
  other.OnBytes(gzip);
  EXPECT_THAT(other_transport.queue, HasSubstr("Content-Encoding: gzip"));
  made_ = 0;
  const std::string plain = Ask(gzip);
  EXPECT_THAT(plain, Not(HasSubstr("Content-Encoding")));
  EXPECT_EQ(Unchunk(BodyOf(plain)).size(), total_);
  other.OnClosed();
  EXPECT_EQ(service_.gzips, 0u);
  made_ = 0;
  EXPECT_THAT(Ask(gzip), HasSubstr("Content-Encoding: gzip"));
  EXPECT_EQ(service_.gzips, 0u);
}

TEST_F(HttpConnectionTest, ASourceThatOnlySaysMoreDoesNotHoldTheLoop) {
  for (int i = 0; i < 2000; ++i) script_.steps.push_back({BodyStep::kMore, ""});
  Send("GET /script HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_GE(script_.steps.size(), 1998u);  // what makes nothing is asked once a turn
  DeliverAll();
  EXPECT_TRUE(script_.steps.empty());
}

TEST_F(HttpConnectionTest, DrainingFinishesWhatIsInFlight) {
  Send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  service_.draining = true;
  connection_->Drain();
  EXPECT_FALSE(transport_->closing);
  held_.at(0).Send(HttpResponse::Text(200, "last\n"));
  DeliverAll();
  EXPECT_THAT(transport_->seen, HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(transport_->closing);  // nobody waits for the client's end now

  Open();
  connection_->Drain();
  EXPECT_TRUE(transport_->closing);
}

TEST_F(HttpConnectionTest, DurationsAreMeasuredFromTheHead) {
  Send("POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n");
  now_ = now_ + Milliseconds(400);
  Send("x");
  now_ = now_ + Milliseconds(200);
  held_.at(0).Send(HttpResponse::Text(200, "x"));
  now_ = now_ + Milliseconds(300);
  DeliverAll();
  const std::string text = Metrics();
  EXPECT_THAT(text,
              HasSubstr("http_request_duration_seconds_sum{method=\"POST\",path=\"/later\"} 0.9"));
  EXPECT_THAT(text, HasSubstr("path=\"/later\",le=\"0.7\"} 0"));
  EXPECT_THAT(text, HasSubstr("path=\"/later\",le=\"1\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("http_requests_total{method=\"POST\",path=\"/later\",status=\"200\"} 1"));
}

TEST_F(HttpConnectionTest, UnknownMethodsShareOneLabel) {
  Ask("PURGE /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  Ask("REPORT /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(Metrics(), HasSubstr("{method=\"other\",path=\"/big\",status=\"200\"} 2"));
}

}  // namespace
}  // namespace sonde
