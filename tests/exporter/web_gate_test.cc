// What a request has to pass before anything else, as a client of a connection sees it.
#include "exporter/web_gate.h"

#include <gmock/gmock.h>

#include "tests/exporter/http_connection_fixture.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class HttpGateTest : public HttpConnectionTest {
 protected:
  // Of "right".
  static constexpr const char* kHash =
      "$2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";
  HttpGateTest() {
    auto config = std::make_shared<WebConfig>();
    config->users = WebUsers({{"ann", std::string(kHash)}});
    config->headers = {{"X-Frame-Options", "deny"}, {"X-Content-Type-Options", "nosniff"}};
    gate_.Set(config);
  }
  static std::string Get(const std::string& authorization, const std::string& path = "/hello") {
    return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" +
           (authorization.empty() ? "" : "Authorization: " + authorization + "\r\n") + "\r\n";
  }
  void RunJobs() {
    while (!jobs_.empty()) {
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      job.first();
      job.second();
    }
  }
  const std::string right_ = "Basic YW5uOnJpZ2h0";   // ann:right
  const std::string wrong_ = "Basic YW5uOndyb25n";   // ann:wrong
  const std::string nobody_ = "Basic ZXZlOnJpZ2h0";  // eve:right
};

TEST_F(HttpGateTest, WithoutAPassword) {
  for (const std::string authorization : {"", "Bearer x", "Basic", "Basic ????", "Basic YQ=="}) {
    for (const std::string path : {"/hello", "/none"}) {
      const std::string answer = Ask(Get(authorization, path));
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 401 Unauthorized\r\n")) << authorization;
      EXPECT_THAT(answer, HasSubstr("\r\nWWW-Authenticate: Basic\r\n"));
      EXPECT_EQ(BodyOf(answer), "Unauthorized\n");
    }
  }
  EXPECT_TRUE(jobs_.empty());  // nothing was worth a check
}

TEST_F(HttpGateTest, APasswordIsCheckedOffTheLoop) {
  EXPECT_EQ(Ask(Get(right_)), "");
  EXPECT_EQ(jobs_.size(), 1u);
  RunJobs();
  DeliverAll();
  EXPECT_THAT(transport_->seen, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(AskAnew(Get(right_)), StartsWith("HTTP/1.1 200 "));  // at once, on any connection
  EXPECT_THAT(Ask(Get(right_, "/none")), StartsWith("HTTP/1.1 404 "));
  for (const std::string& bad : {wrong_, nobody_}) {
    EXPECT_EQ(AskAnew(Get(bad)), "");
    RunJobs();
    DeliverAll();
    EXPECT_THAT(transport_->seen, StartsWith("HTTP/1.1 401 "));
    EXPECT_FALSE(transport_->shut);  // it may try again
  }
}

TEST_F(HttpGateTest, WhatComesMeanwhileWaits) {
  options_.max_pipelined = 1000;
  Send(Get(right_, "/hello?n=1"));
  Send(Get(right_, "/hello?n=2") + Get("", "/hello?n=3"));
  std::string many;
  for (int i = 0; i < 20; ++i) many += Get(right_);
  Send(many);
  EXPECT_FALSE(transport_->reading);
  EXPECT_EQ(transport_->queue, "");
  RunJobs();
  DeliverAll();
  EXPECT_TRUE(transport_->reading);
  const std::string& seen = transport_->seen;
  EXPECT_LT(seen.find("hello 1\n"), seen.find("hello 2\n"));
  EXPECT_LT(seen.find("hello 2\n"), seen.find("HTTP/1.1 401 "));
}

TEST_F(HttpGateTest, ABodyIsNotWantedBeforeThePassword) {
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n";
  EXPECT_EQ(Ask(head + "Authorization: " + right_ + "\r\n\r\n"), "");
  RunJobs();
  DeliverAll();
  EXPECT_EQ(transport_->seen, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(BodyOf(Ask("abc")), "abc");
  EXPECT_THAT(AskAnew(head + "\r\n"), StartsWith("HTTP/1.1 401 "));
  EXPECT_TRUE(transport_->shut);  // its body is not read

  AskAnew("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nAuthorization: " +
          wrong_ + "\r\n\r\na");
  Send("bc");
  RunJobs();
  DeliverAll();
  EXPECT_THAT(transport_->seen, StartsWith("HTTP/1.1 401 "));
  EXPECT_TRUE(transport_->shut);
}

TEST_F(HttpGateTest, AClientThatLeavesMeanwhile) {
  Send(Get(right_));
  connection_->OnClosed();
  RunJobs();
  EXPECT_EQ(transport_->queue, "");

  Open();
  Send(Get(wrong_));
  connection_.reset();
  RunJobs();

  // Who only stopped sending is still answered.
  Open();
  Send(Get(nobody_));
  connection_->OnEnd();
  RunJobs();
  DeliverAll();
  EXPECT_THAT(transport_->seen, StartsWith("HTTP/1.1 401 "));

  // Half a body is no request.
  Open();
  Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nAuthorization: " +
       std::string("Basic YW5uOm90aGVy") + "\r\n\r\na");
  connection_->OnEnd();
  RunJobs();
  DeliverAll();
  EXPECT_THAT(transport_->seen, StartsWith("HTTP/1.1 401 "));
}

TEST_F(HttpGateTest, TooManyPasswordsAtOnce) {
  std::vector<std::unique_ptr<FakeTransport>> transports;
  std::vector<std::unique_ptr<HttpConnection>> connections;
  for (const char* code :
       {"YTox", "YToy", "YToz", "YTo0", "YTo1", "YTo2", "YTo3", "YTo4", "YTo5"}) {
    transports.push_back(std::make_unique<FakeTransport>());
    connections.push_back(
        std::make_unique<HttpConnection>(service_, *transports.back(), Address()));
    connections.back()->OnBytes(Get(std::string("Basic ") + code));
  }
  EXPECT_EQ(transports.front()->queue, "");
  EXPECT_THAT(transports.back()->queue, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(transports.back()->queue, HasSubstr("\r\nRetry-After: 1\r\n"));
}

TEST_F(HttpGateTest, HeadersOfEveryAnswer) {
  for (const std::string& answer : {Ask(Get("")), AskAnew("nonsense\r\n\r\n")}) {
    EXPECT_THAT(answer, HasSubstr("\r\nX-Frame-Options: deny\r\n"));
    const size_t first = answer.find("X-Content-Type-Options: nosniff");
    EXPECT_NE(first, std::string::npos);
    EXPECT_EQ(answer.find("X-Content-Type-Options", first + 1), std::string::npos);  // once
  }
}

TEST_F(HttpGateTest, ALimitOnRequestsComesBeforeThePassword) {
  auto config = std::make_shared<WebConfig>();
  config->users = WebUsers({{"ann", std::string(kHash)}});
  config->rate = 1;
  config->burst = 2;
  gate_.Set(config);
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(Ask(Get(right_)), StartsWith("HTTP/1.1 429 Too Many Requests\r\n"));
  EXPECT_EQ(BodyOf(transport_->seen), "Too Many Requests\n");
  EXPECT_TRUE(jobs_.empty());
  now_ = now_ + Milliseconds(999);
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 429 "));
  now_ = now_ + Milliseconds(1);
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 429 "));
  gate_.Set(std::make_shared<WebConfig>(*config));  // the same limit: the bucket stays
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 429 "));
  auto none = std::make_shared<WebConfig>(*config);
  none->burst = 0;
  gate_.Set(none);
  now_ = now_ + Seconds(100);
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 429 "));
}

TEST_F(HttpGateTest, AConfigurationThatCannotBeRead) {
  AskAnew(Get(right_));
  RunJobs();
  gate_.Set(nullptr);
  for (const std::string& authorization : {std::string(), right_}) {
    const std::string answer = AskAnew(Get(authorization));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
    EXPECT_EQ(BodyOf(answer), "Internal Server Error\n");
  }
  gate_.Set(std::make_shared<WebConfig>());
  EXPECT_THAT(Ask(Get("")), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpGateTest, NoTimeOutWhileAPasswordIsChecked) {
  Send(Get(right_));
  now_ = now_ + Seconds(1000);
  connection_->CheckTimeouts(now_);
  EXPECT_FALSE(transport_->closing);
  connection_->Drain();
  EXPECT_FALSE(transport_->closing);
  RunJobs();
  DeliverAll();
  EXPECT_THAT(transport_->seen, StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace sonde
