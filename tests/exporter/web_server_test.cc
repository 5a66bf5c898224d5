// What --web.config.file asks for, over real sockets, with a real worker: what only they can show.
// The rest stands in http_connection_test.cc and http_tls_test.cc.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "exporter/http_server.h"
#include "tests/exporter/web_tls_files.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Of "right", with the least cost there is.
constexpr const char* kUsers =
    "basic_auth_users: {ann: $2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC}\n";
constexpr const char* kRight = "YW5uOnJpZ2h0";   // ann:right
constexpr const char* kWrong = "YW5uOndyb25n";   // ann:wrong
constexpr const char* kNobody = "ZXZlOnJpZ2h0";  // eve:right

std::string Get(const std::string& code) {
  return "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
         (code.empty() ? "" : "Authorization: Basic " + code + "\r\n") + "\r\n";
}

// Blocks; reads give up after 20 s, which only a broken server reaches.
class Client {
 public:
  explicit Client(const Address& server) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(server.port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool Handshake(const Certificate* certificate = nullptr) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (certificate != nullptr) {
      SSL_CTX_use_certificate(context_.get(), certificate->x509());
      SSL_CTX_use_PrivateKey(context_.get(), certificate->key());
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), fd_);
    return SSL_connect(ssl_.get()) == 1;
  }
  // Digest of the certificate the server showed.
  std::string Shown() const {
    const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(ssl_.get()),
                                                            X509_free);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (shown == nullptr || X509_digest(shown.get(), EVP_sha256(), digest, &size) != 1) return {};
    return {reinterpret_cast<char*>(digest), size};
  }
  void Send(const std::string& bytes) {
    const int size = static_cast<int>(bytes.size());
    if (ssl_ != nullptr) {
      SSL_write(ssl_.get(), bytes.data(), size);
    } else {
      EXPECT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), size);
    }
  }
  std::string ReadAll() {
    std::string all;
    char buffer[16384];
    for (;;) {
      const auto got = ssl_ != nullptr ? SSL_read(ssl_.get(), buffer, sizeof buffer)
                                       : recv(fd_, buffer, sizeof buffer, 0);
      if (got <= 0) return all;
      all.append(buffer, static_cast<size_t>(got));
    }
  }
  std::string Ask(const std::string& request) {
    Send(request);
    return ReadAll();
  }

 private:
  int fd_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
};

class WebServerTest : public testing::Test {
 protected:
  void Start(const std::string& more, const std::string& rest = "", bool tls = true) {
    auto loop = ExporterLoop::Create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(*loop);
    Router router;
    ASSERT_TRUE(router
                    .Add({{"GET"},
                          "/-/healthy",
                          AnswerAtOnce([this](const HttpRequest&) {
                            ++served_;
                            return HttpResponse::Text(200, "Healthy");
                          }),
                          {}})
                    .ok());
    HttpServerOptions options;
    options.sweep_interval = Duration{};
    options.now = [] { return Instant{1'000'000'000'000}; };
    server_ = std::make_unique<HttpServer>(*loop_, std::move(router), std::move(options));
    auto config = files_.Config(more, rest);
    ASSERT_NE(config, nullptr);
    if (!tls) config->tls = nullptr;
    server_->SetWeb(config);
    ASSERT_TRUE(server_->Start(std::vector<std::string>{"127.0.0.1:0", "127.0.0.1:0"}).ok());
    bound_ = server_->bound();
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void TearDown() override {
    if (thread_.joinable()) {
      OnLoop([this] { server_.reset(); });
      loop_->Stop();
      thread_.join();
    }
    server_.reset();
    loop_.reset();
  }
  void OnLoop(absl::AnyInvocable<void()> f) {
    std::promise<void> done;
    ASSERT_TRUE(loop_->Post([&] {
      f();
      done.set_value();
    }));
    done.get_future().wait();
  }
  std::string AskOverTls(const Certificate* certificate, const std::string& code = "") {
    Client client(bound_[0]);
    if (!client.Handshake(certificate)) return "no handshake";
    return client.Ask(Get(code));
  }

  WebTlsFiles files_;
  std::unique_ptr<ExporterLoop> loop_;
  std::unique_ptr<HttpServer> server_;
  std::vector<Address> bound_;
  std::thread thread_;
  std::atomic<int> served_{0};
};

TEST_F(WebServerTest, TlsOnEveryAddress) {
  Start("");
  ASSERT_EQ(bound_.size(), 2u);
  for (const Address& address : bound_) {
    Client client(address);
    ASSERT_TRUE(client.Handshake());
    EXPECT_THAT(client.Ask(Get("")), StartsWith("HTTP/1.1 200 OK\r\n"));
    Client plain(address);
    EXPECT_EQ(plain.Ask(Get("")),
              "HTTP/1.0 400 Bad Request\r\n\r\n"
              "Client sent an HTTP request to an HTTPS server.\n");
  }
}

TEST_F(WebServerTest, ClientCertificates) {
  Start(
      "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, "
      "client_allowed_sans: [client.example]");
  EXPECT_THAT(AskOverTls(&files_.client), HasSubstr("Healthy"));
  const Certificate* const kBad[] = {nullptr, &files_.stranger, &files_.expired, &files_.server};
  for (const Certificate* bad : kBad) {
    EXPECT_THAT(AskOverTls(bad), testing::Not(HasSubstr("Healthy")));
  }
  EXPECT_EQ(served_, 1);
}

TEST_F(WebServerTest, PasswordsOverTls) {
  Start("", kUsers);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(AskOverTls(nullptr, kRight), HasSubstr("Healthy"));
    for (const char* code : {"", kWrong, kNobody}) {
      EXPECT_THAT(AskOverTls(nullptr, code), StartsWith("HTTP/1.1 401 ")) << code;
    }
  }
  EXPECT_EQ(served_, 3);
}

// With both workers held up no password can be checked, and the loop serves all the same: it is
// never the loop that checks.
TEST_F(WebServerTest, ABurstOfWrongPasswordsHoldsUpNobodyElse) {
  Start("", kUsers, /*tls=*/false);
  EXPECT_THAT(Client(bound_[0]).Ask(Get(kRight)), HasSubstr("Healthy"));
  std::promise<void> let_go;
  const std::shared_future<void> held(let_go.get_future());
  OnLoop([&] {
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(loop_->RunInWorker([held] { held.wait(); }, [] {}));
  });
  std::vector<std::unique_ptr<Client>> burst;
  for (int i = 0; i < 100; ++i) {
    burst.push_back(std::make_unique<Client>(bound_[0]));
    burst.back()->Send(Get(i % 2 == 0 ? kWrong : kNobody));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Client(bound_[0]).Ask(Get(kRight)), HasSubstr("Healthy"));
  }
  EXPECT_EQ(served_, 21);
  let_go.set_value();
  for (const auto& client : burst) EXPECT_THAT(client->ReadAll(), StartsWith("HTTP/1.1 401 "));
  EXPECT_EQ(served_, 21);
}

TEST_F(WebServerTest, AServerMayGoWhileAPasswordIsChecked) {
  Start("", kUsers, /*tls=*/false);
  std::promise<void> let_go;
  const std::shared_future<void> held(let_go.get_future());
  OnLoop([&] {
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(loop_->RunInWorker([held] { held.wait(); }, [] {}));
  });
  Client client(bound_[0]);
  client.Send(Get(kRight));
  size_t open = 0;
  while (open == 0) OnLoop([&] { open = server_->connections(); });
  OnLoop([this] { server_.reset(); });
  let_go.set_value();
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(WebServerTest, AnotherConfigurationIsForTheNextConnection) {
  Start("", kUsers);
  Client before(bound_[0]);
  ASSERT_TRUE(before.Handshake());
  const std::string old = before.Shown();
  const Certificate renewed = Certificate::SignedBy(files_.ca, ForEver("renewed"));
  files_.files.contents["cert.pem"] = renewed.Pem();
  files_.files.contents["key.pem"] = renewed.KeyPem();
  const auto next = files_.Config();
  ASSERT_NE(next, nullptr);
  OnLoop([&] { server_->SetWeb(next); });
  EXPECT_THAT(before.Ask(Get("")), HasSubstr("Healthy"));  // users are gone, its TLS is not
  Client after(bound_[0]);
  ASSERT_TRUE(after.Handshake());
  EXPECT_NE(after.Shown(), old);
  EXPECT_THAT(after.Ask(Get("")), HasSubstr("Healthy"));

  // One that cannot be read: the certificate stays, so that clients read why.
  OnLoop([&] { server_->SetWeb(nullptr); });
  EXPECT_THAT(AskOverTls(nullptr), StartsWith("HTTP/1.1 500 "));
  // TLS is never switched off under a client.
  OnLoop([&] { server_->SetWeb(std::make_shared<WebConfig>()); });
  EXPECT_THAT(AskOverTls(nullptr), HasSubstr("Healthy"));
}

TEST_F(WebServerTest, TlsIsNotSwitchedOnWhileItRuns) {
  Start("", "", /*tls=*/false);
  const auto next = files_.Config();
  OnLoop([&] { server_->SetWeb(next); });
  EXPECT_THAT(Client(bound_[0]).Ask(Get("")), HasSubstr("Healthy"));
}

TEST_F(WebServerTest, OneLimitForAllClients) {
  Start("", "rate_limit: {interval: 1h, burst: 50}\n");
  std::vector<std::thread> clients;
  std::atomic<int> good{0}, refused{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int j = 0; j < 10; ++j) {
        const std::string answer = AskOverTls(nullptr);
        if (answer.starts_with("HTTP/1.1 200 ")) ++good;
        if (answer.starts_with("HTTP/1.1 429 ")) ++refused;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 50);
  EXPECT_EQ(refused, 30);
}

}  // namespace
}  // namespace sonde
