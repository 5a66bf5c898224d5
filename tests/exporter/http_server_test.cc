// The server over real sockets on port 0: what only sockets can show. Everything about requests,
// limits and time-outs stands in http_connection_test.cc.
#include "exporter/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <future>
#include <thread>

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A blocking client; reads give up after 20 s, which only a broken server reaches.
class Client {
 public:
  explicit Client(const Address& server, int receive_buffer = 0) {
    const bool v4 = server.family == IpFamily::kV4;
    fd_ = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (receive_buffer > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    if (v4) {
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_port = htons(server.port);
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
    } else {
      sockaddr_in6 name{};
      name.sin6_family = AF_INET6;
      name.sin6_port = htons(server.port);
      name.sin6_addr = in6addr_loopback;
      connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
    }
  }
  ~Client() {
    if (fd_ >= 0) close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // Up to `size` bytes, fewer at the end or an error.
  std::string Read(size_t size) {
    std::string out;
    while (out.size() < size) {
      char buffer[16384];
      const ssize_t got = recv(fd_, buffer, std::min(sizeof buffer, size - out.size()), 0);
      if (got < 0) failed_ = true;
      if (got <= 0) break;
      out.append(buffer, static_cast<size_t>(got));
    }
    return out;
  }
  std::string ReadAll() { return Read(std::string::npos); }
  std::string ReadHead() {
    std::string out;
    while (out.find("\r\n\r\n") == std::string::npos) {
      const std::string byte = Read(1);
      if (byte.empty()) break;
      out += byte;
    }
    return out;
  }
  void FinishSending() { shutdown(fd_, SHUT_WR); }
  void Reset() {
    const linger abort{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close(fd_);
    fd_ = -1;
  }
  bool failed() const { return failed_; }

 private:
  int fd_ = -1;
  bool connected_ = false;
  bool failed_ = false;
};

class Lines final : public BodySource {
 public:
  Lines(size_t total, std::atomic<size_t>* made, std::atomic<int>* alive)
      : left_(total), made_(made), alive_(alive) {
    ++*alive_;
  }
  ~Lines() override { --*alive_; }
  BodyStep Next(std::string& chunk) override {
    const size_t take = std::min(left_, kBodyChunk);
    chunk.append(take, 'x');
    left_ -= take;
    *made_ += take;
    return left_ == 0 ? BodyStep::kEnd : BodyStep::kMore;
  }

 private:
  size_t left_;
  std::atomic<size_t>* made_;
  std::atomic<int>* alive_;
};

class Broken final : public BodySource {
 public:
  BodyStep Next(std::string& chunk) override {
    chunk.append(kBodyChunk, 'x');
    return ++chunks_ == 20 ? BodyStep::kFail : BodyStep::kMore;
  }

 private:
  int chunks_ = 0;
};

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = ExporterLoop::Create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(*loop);
    options_.registry = &registry_;
    options_.sweep_interval = Duration{};
    options_.now = [this] { return Instant{clock_.load()}; };
  }

  Router MakeRouter() {
    Router router;
    Add(router, {"GET"}, "/hello", AnswerAtOnce([](const HttpRequest& request) {
          return HttpResponse::Text(200, "hello " + request.peer.Host() + "\n");
        }));
    Add(router, {"POST"}, "/size", AnswerAtOnce([](const HttpRequest& request) {
          return HttpResponse::Text(200, std::to_string(request.body.size()) + "\n");
        }));
    Add(router, {}, "/stream", AnswerAtOnce([this](const HttpRequest& request) {
          const auto size = std::stoul(request.QueryParam("size").value_or("0"));
          return HttpResponse::Stream("text/plain",
                                      std::make_unique<Lines>(size, &made_, &sources_));
        }));
    Add(router, {}, "/broken", AnswerAtOnce([](const HttpRequest&) {
          return HttpResponse::Stream("text/plain", std::make_unique<Broken>());
        }));
    Add(router, {}, "/worker", [this](const HttpRequest&, ResponseHandle handle) {
      auto shared = std::make_shared<ResponseHandle>(std::move(handle));
      auto text = std::make_shared<std::string>();
      ASSERT_TRUE(
          loop_->RunInWorker([text] { *text = "from a worker\n"; },
                             [shared, text] { shared->Send(HttpResponse::Text(200, *text)); }));
    });
    Add(router, {}, "/wait", [this](const HttpRequest&, ResponseHandle handle) {
      handle.OnDisconnect([this] {
        left_.set_value();
        held_.clear();
      });
      held_.push_back(std::move(handle));
      waiting_.set_value();
    });
    return router;
  }
  static void Add(Router& router, std::vector<std::string> methods, std::string pattern,
                  HttpHandler handler) {
    ASSERT_TRUE(router.Add({std::move(methods), std::move(pattern), std::move(handler), {}}).ok());
  }

  absl::Status Start(const std::vector<std::string>& addresses = {"127.0.0.1:0"}) {
    server_ = std::make_unique<HttpServer>(*loop_, MakeRouter(), std::move(options_));
    absl::Status status = server_->Start(addresses);
    if (!status.ok()) return status;
    bound_ = server_->bound();
    thread_ = std::thread([this] { loop_->Run(); });
    return status;
  }
  void TearDown() override {
    if (thread_.joinable()) {
      OnLoop([this] {
        held_.clear();
        server_.reset();
      });
      loop_->Stop();
      thread_.join();
    }
    server_.reset();
    loop_.reset();
    EXPECT_EQ(sources_, 0);
  }
  // Runs `f` on the loop and waits for it.
  void OnLoop(absl::AnyInvocable<void()> f) {
    std::promise<void> done;
    ASSERT_TRUE(loop_->Post([&] {
      f();
      done.set_value();
    }));
    done.get_future().wait();
  }
  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }
  // Turns the loop until `condition`, seen from it, holds.
  bool Eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    bool holds = false;
    while (!holds && std::chrono::steady_clock::now() < end) {
      OnLoop([&] { holds = condition(); });
    }
    return holds;
  }

  std::atomic<int64_t> clock_{1'000'000'000'000};
  HttpServerOptions options_;
  prometheus::Registry registry_;
  std::unique_ptr<ExporterLoop> loop_;
  std::unique_ptr<HttpServer> server_;
  std::vector<Address> bound_;
  std::thread thread_;
  std::vector<ResponseHandle> held_;  // loop thread
  std::promise<void> waiting_;
  std::promise<void> left_;
  std::atomic<size_t> made_{0};
  std::atomic<int> sources_{0};
};

constexpr std::string_view kHello = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
constexpr std::string_view kHelloAndClose =
    "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

TEST_F(HttpServerTest, AnswersOnEveryAddress) {
  ASSERT_TRUE(Start({"127.0.0.1:0", ":0"}).ok());
  ASSERT_EQ(bound_.size(), 2u);
  Address v4 = bound_[1];
  v4.family = IpFamily::kV4;
  for (const Address& address : {bound_[0], v4}) {
    Client client(address);
    ASSERT_TRUE(client.connected());
    ASSERT_TRUE(client.Send(kHelloAndClose));
    EXPECT_THAT(client.ReadAll(), HasSubstr("hello 127.0.0.1\n"));
  }
  if (bound_[1].family == IpFamily::kV6) {
    Client client(bound_[1]);
    if (client.connected()) {  // machines without ::1 exist
      ASSERT_TRUE(client.Send(kHelloAndClose));
      EXPECT_THAT(client.ReadAll(), HasSubstr("hello ::1\n"));
    }
  }
}

TEST_F(HttpServerTest, KeepAliveOneByteAtATimeAndPipelined) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  for (const char c : kHello) ASSERT_TRUE(client.Send({&c, 1}));
  EXPECT_THAT(client.ReadHead(), HasSubstr("Content-Length: 16\r\n"));
  EXPECT_EQ(client.Read(16), "hello 127.0.0.1\n");
  std::string many;
  for (int i = 0; i < 100; ++i) many += kHello;
  ASSERT_TRUE(client.Send(many + std::string(kHelloAndClose)));
  const std::string answers = client.ReadAll();
  size_t count = 0;
  for (size_t at = 0; (at = answers.find("hello 127", at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count, 101u);
  EXPECT_FALSE(client.failed());
}

TEST_F(HttpServerTest, ATakenAddressIsNamed) {
  ASSERT_TRUE(Start().ok());
  const std::string taken = "127.0.0.1:" + std::to_string(bound_[0].port);
  OnLoop([&] {
    HttpServer second(*loop_, Router(), HttpServerOptions());
    const absl::Status status = second.Start({"127.0.0.1:0", taken});
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(std::string(status.message()), HasSubstr(taken));
    EXPECT_TRUE(second.bound().empty());
  });
}

TEST_F(HttpServerTest, BadAddressesAreNamed) {
  for (const char* bad : {"9815", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:", "127.0.0.1:70000",
                          "::1:80", "[::1:80", "[x]:80", "vsock://:80", ""}) {
    HttpServer server(*loop_, Router(), HttpServerOptions());
    const absl::Status status = server.Start({bad});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad));
  }
}

TEST_F(HttpServerTest, TheRealClockAndSweepWork) {
  options_.now = nullptr;
  options_.sweep_interval = Milliseconds(5);
  options_.head_timeout = Milliseconds(20);
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(client.Send("GET /hel"));
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 408 "));
}

TEST_F(HttpServerTest, ConnectionsAreLimitedInAllAndPerClient) {
  options_.max_connections = 4;
  options_.max_connections_per_client = 3;
  ASSERT_TRUE(Start().ok());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Client>(bound_[0]));
    ASSERT_TRUE(clients.back()->Send(kHello));
    EXPECT_THAT(clients.back()->ReadHead(), StartsWith("HTTP/1.1 200 "));
  }
  {
    Client refused(bound_[0]);
    EXPECT_THAT(refused.ReadAll(), StartsWith("HTTP/1.1 503 "));
  }
  EXPECT_THAT(Metrics(), HasSubstr("rejected_total{reason=\"client_connections\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("sonde_http_connections 3"));
  clients.pop_back();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 2; }));
  Client again(bound_[0]);
  ASSERT_TRUE(again.Send(kHelloAndClose));
  EXPECT_THAT(again.ReadAll(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, ARefusalReachesAClientThatIsStillSending) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(
      client.Send("POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n" +
                  std::string(300'000, 'x')));
  EXPECT_THAT(client.ReadHead(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, BodiesArriveWhole) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(
      client.Send("POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
                  "Connection: close\r\n\r\n" +
                  std::string(1'000'000, 'x')));
  EXPECT_THAT(client.ReadAll(), HasSubstr("\r\n\r\n1000000\n"));
}

TEST_F(HttpServerTest, WorkersAnswerLater) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(client.Send("GET /worker HTTP/1.0\r\n\r\n"));
  EXPECT_THAT(client.ReadAll(), HasSubstr("from a worker\n"));
}

TEST_F(HttpServerTest, AStreamIsWholeAndFast) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(client.Send("GET /stream?size=30000000 HTTP/1.0\r\n\r\n"));
  client.ReadHead();
  EXPECT_EQ(client.ReadAll().size(), 30'000'000u);
  EXPECT_FALSE(client.failed());
}

TEST_F(HttpServerTest, AGzipStreamIsOneMember) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(client.Send("GET /stream?size=5000000 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"));
  EXPECT_THAT(client.ReadHead(), HasSubstr("Content-Encoding: gzip"));
  const std::string body = client.ReadAll();
  z_stream stream{};
  ASSERT_EQ(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  std::string text(6'000'000, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  EXPECT_EQ(stream.avail_in, 0u);
  EXPECT_EQ(stream.total_out, 5'000'000u);
  inflateEnd(&stream);
}

TEST_F(HttpServerTest, AReaderThatStopsIsHeldBackThenCut) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0], 4096);
  ASSERT_TRUE(client.Send("GET /stream?size=200000000 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  client.ReadHead();
  // The kernel's buffers fill up, then nothing more is made.
  size_t last = 0;
  int still = 0;
  ASSERT_TRUE(Eventually([&] {
    const size_t now = made_.load();
    still = now == last ? still + 1 : 0;
    last = now;
    return still > 200;
  }));
  EXPECT_LT(last, 20'000'000u);
  EXPECT_EQ(sources_, 1);
  clock_ += Seconds(31).ns;
  OnLoop([&] { server_->CheckTimeouts(); });
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  EXPECT_EQ(sources_, 0);
  EXPECT_THAT(Metrics(), HasSubstr("cut_total{reason=\"slow_reader\"} 1"));
}

TEST_F(HttpServerTest, OthersAreServedBesideAStreamNobodyReads) {
  ASSERT_TRUE(Start().ok());
  Client slow(bound_[0], 4096);
  ASSERT_TRUE(slow.Send("GET /stream?size=200000000 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  slow.ReadHead();
  for (int i = 0; i < 20; ++i) {
    Client client(bound_[0]);
    ASSERT_TRUE(client.Send(kHelloAndClose));
    EXPECT_THAT(client.ReadAll(), HasSubstr("hello 127.0.0.1\n"));
  }
}

TEST_F(HttpServerTest, AHandlerIsToldOfAClientThatResets) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(client.Send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  waiting_.get_future().wait();
  client.Reset();
  left_.get_future().wait();
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  EXPECT_THAT(Metrics(), HasSubstr("path=\"/wait\",status=\"499\"} 1"));
}

TEST_F(HttpServerTest, AHandlerIsToldOfAClientThatCloses) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(client.Send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  waiting_.get_future().wait();
  client.FinishSending();
  left_.get_future().wait();
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 500 "));  // the dropped handle's word
}

TEST_F(HttpServerTest, ABrokenBodyEndedByTheConnectionIsAnErrorToItsReader) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0]);
  ASSERT_TRUE(client.Send("GET /broken HTTP/1.0\r\n\r\n"));
  client.ReadAll();
  EXPECT_TRUE(client.failed());
  EXPECT_THAT(Metrics(), HasSubstr("cut_total{reason=\"broken_body\"} 1"));
}

TEST_F(HttpServerTest, AClientThatResetsAStreamFreesIt) {
  ASSERT_TRUE(Start().ok());
  Client client(bound_[0], 4096);
  ASSERT_TRUE(client.Send("GET /stream?size=200000000 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  client.ReadHead();
  client.Reset();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  EXPECT_EQ(sources_, 0);
}

TEST_F(HttpServerTest, StopLetsAnswersFinish) {
  ASSERT_TRUE(Start().ok());
  Client idle(bound_[0]);
  ASSERT_TRUE(idle.Send(kHello));
  EXPECT_THAT(idle.ReadHead(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(idle.Read(16).size(), 16u);
  Client busy(bound_[0]);
  ASSERT_TRUE(busy.Send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  waiting_.get_future().wait();

  std::promise<void> stopped;
  OnLoop([&] { server_->Stop(Seconds(5), [&] { stopped.set_value(); }); });
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(Client(bound_[0]).connected());
  OnLoop([&] {
    held_.at(0).Send(HttpResponse::Text(200, "the last one\n"));
    held_.clear();
  });
  EXPECT_THAT(busy.ReadAll(), HasSubstr("the last one\n"));
  busy.FinishSending();
  stopped.get_future().wait();
}

TEST_F(HttpServerTest, StopCutsWhatTakesTooLong) {
  ASSERT_TRUE(Start().ok());
  Client busy(bound_[0]);
  ASSERT_TRUE(busy.Send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  waiting_.get_future().wait();
  std::promise<void> stopped;
  OnLoop([&] { server_->Stop(Seconds(5), [&] { stopped.set_value(); }); });
  clock_ += Seconds(6).ns;
  OnLoop([&] { server_->CheckTimeouts(); });
  stopped.get_future().wait();
  left_.get_future().wait();
  EXPECT_EQ(busy.ReadAll(), "");
}

TEST_F(HttpServerTest, StopWithNothingOpenAnswersToo) {
  ASSERT_TRUE(Start().ok());
  std::promise<void> stopped;
  OnLoop([&] { server_->Stop(Seconds(5), [&] { stopped.set_value(); }); });
  stopped.get_future().wait();
}

TEST_F(HttpServerTest, ManyClientsAreCountedExactly) {
  ASSERT_TRUE(Start().ok());
  constexpr int kClients = 8, kRequests = 50;
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      Client client(bound_[0]);
      for (int n = 0; n < kRequests; ++n) {
        ASSERT_TRUE(client.Send(kHello));
        ASSERT_FALSE(client.ReadHead().empty());
        ASSERT_EQ(client.Read(16), "hello 127.0.0.1\n");
      }
    });
  }
  for (std::thread& client : clients) client.join();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  EXPECT_THAT(Metrics(),
              HasSubstr("http_requests_total{method=\"GET\",path=\"/hello\",status=\"200\"} 400"));
  EXPECT_THAT(Metrics(), HasSubstr("http_request_duration_seconds_count{method=\"GET\",path="
                                   "\"/hello\"} 400"));
}

}  // namespace
}  // namespace sonde
