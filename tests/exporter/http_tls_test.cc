// TLS of the server without a socket: the client is OpenSSL over memory.
#include "exporter/http_tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <numeric>
#include <optional>
#include <set>

#include "tests/exporter/web_tls_files.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Socket final : public HttpTransport {
 public:
  void Write(std::string bytes) override { sent += bytes; }
  size_t pending() const override { return sent.size(); }
  void SetReading(bool on) override { reading = on; }
  void ShutdownWrite() override { shut = true; }
  void Close() override { closing = true; }
  void Reset() override { closing = reset = true; }

  std::string sent;  // and not yet taken by the client
  bool reading = true, shut = false, closing = false, reset = false;
};

class Events final : public HttpTransportEvents {
 public:
  void OnBytes(std::string_view bytes) override {
    received += bytes;
    ++events;
  }
  void OnEnd() override { ended = true; }
  void OnDrained() override { ++drained; }
  void OnClosed() override { closed = true; }

  std::string received;
  int events = 0, drained = 0;
  bool ended = false, closed = false;
};

struct ClientOptions {
  const Certificate* certificate = nullptr;
  int min_version = 0, max_version = 0;
  std::string ciphers, curves;
  std::string alpn;  // in wire form
  SSL_SESSION* session = nullptr;
};

class Client {
 public:
  explicit Client(const ClientOptions& options) {
    SSL_CTX_set_min_proto_version(context_.get(), options.min_version);
    SSL_CTX_set_max_proto_version(context_.get(), options.max_version);
    SSL_CTX_set_security_level(context_.get(), 0);
    if (!options.ciphers.empty()) SSL_CTX_set_cipher_list(context_.get(), options.ciphers.c_str());
    if (!options.curves.empty()) SSL_CTX_set1_groups_list(context_.get(), options.curves.c_str());
    if (options.certificate != nullptr) {
      SSL_CTX_use_certificate(context_.get(), options.certificate->x509());
      SSL_CTX_use_PrivateKey(context_.get(), options.certificate->key());
    }
    if (!options.alpn.empty()) {
      SSL_CTX_set_alpn_protos(context_.get(),
                              reinterpret_cast<const unsigned char*>(options.alpn.data()),
                              static_cast<unsigned>(options.alpn.size()));
    }
    ssl_.reset(SSL_new(context_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_connect_state(ssl_.get());
    if (options.session != nullptr) SSL_set_session(ssl_.get(), options.session);
    Turn();
  }
  void Feed(std::string_view bytes) {
    BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    Turn();
  }
  void Write(std::string_view plain) {
    SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
  }
  void Shutdown() { SSL_shutdown(ssl_.get()); }
  bool UpdateKey() {
    return SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1 &&
           SSL_do_handshake(ssl_.get()) == 1;
  }
  bool Renegotiate() {
    return SSL_renegotiate(ssl_.get()) == 1 && SSL_do_handshake(ssl_.get()) == 1;
  }
  std::string Take() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out_, &data);
    std::string bytes(data, static_cast<size_t>(size));
    BIO_reset(out_);
    return bytes;
  }
  SSL* ssl() { return ssl_.get(); }
  bool open() const { return SSL_is_init_finished(ssl_.get()) == 1; }

  std::string received;
  bool failed = false, ended = false;

 private:
  void Turn() {
    char buffer[16384];
    for (;;) {
      const int got = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (got > 0) {
        received.append(buffer, static_cast<size_t>(got));
        continue;
      }
      const int error = SSL_get_error(ssl_.get(), got);
      ended = ended || error == SSL_ERROR_ZERO_RETURN;
      failed = failed || (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN);
      return;
    }
  }
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{SSL_CTX_new(TLS_client_method()),
                                                             SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
};

class HttpTlsTest : public testing::Test {
 protected:
  void Open(const ClientOptions& client = {}, const std::string& more = "") {
    config_ = Files().Config(more);
    ASSERT_NE(config_, nullptr);
    OpenAgain(client);
  }
  void OpenAgain(const ClientOptions& client = {}) {
    socket_ = Socket();
    events_ = Events();
    tls_.emplace(config_->tls.get(), socket_, metrics_);
    tls_->Start(&events_);
    client_.emplace(client);
  }
  static WebTlsFiles& Files() {
    static WebTlsFiles files;
    return files;
  }
  // What either side has goes to the other, in pieces of `step`, until both are silent.
  void Exchange(size_t step = std::string::npos) {
    for (int turn = 0; turn < 100; ++turn) {
      const std::string up = client_->Take();
      const std::string down = std::exchange(socket_.sent, {});
      if (up.empty() && down.empty()) return;
      for (size_t at = 0; at < up.size() && !socket_.closing; at += std::min(step, up.size())) {
        tls_->OnBytes(std::string_view(up).substr(at, step));
      }
      if (!down.empty()) {
        client_->Feed(down);
        tls_->OnDrained();
      }
    }
    FAIL() << "they talk for ever";
  }
  // Whether a request gets through and its answer back.
  bool Serves() {
    Exchange();
    if (!client_->open() || client_->failed || socket_.closing) return false;
    client_->Write("ping");
    Exchange();
    if (events_.received != "ping") return false;
    tls_->Write("pong");
    Exchange();
    return client_->received == "pong";
  }
  std::string Failures() {
    const std::string text = prometheus::TextSerializer().Serialize(registry_.Collect());
    std::set<std::string> counted;
    for (size_t at = 0; (at = text.find("handshake_failures_total{reason=\"", at)) != text.npos;) {
      at += 33;
      const size_t end = text.find('"', at);
      const std::string count = text.substr(end + 3, text.find('\n', end) - end - 3);
      if (count != "0") counted.insert(text.substr(at, end - at) + " " + count + "\n");
    }
    return std::accumulate(counted.begin(), counted.end(), std::string());
  }

  prometheus::Registry registry_;
  HttpMetrics metrics_{&registry_};
  std::shared_ptr<WebConfig> config_;
  Socket socket_;
  Events events_;
  std::optional<TlsTransport> tls_;
  std::optional<Client> client_;
};

TEST_F(HttpTlsTest, Serves) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Open({.min_version = version, .max_version = version});
    EXPECT_TRUE(Serves()) << version;
    EXPECT_EQ(SSL_version(client_->ssl()), version);
  }
  EXPECT_EQ(Failures(), "");
}

TEST_F(HttpTlsTest, OneByteAtATime) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Open({.min_version = version, .max_version = version});
    Exchange(1);
    ASSERT_TRUE(client_->open());
    client_->Write("ping");
    Exchange(1);
    EXPECT_EQ(events_.received, "ping");
  }
}

TEST_F(HttpTlsTest, MuchBothWays) {
  Open();
  Exchange();
  const std::string much(1'000'000, 'x');
  tls_->Write(much);
  EXPECT_EQ(tls_->pending(), much.size());
  Exchange();
  EXPECT_EQ(client_->received, much);
  EXPECT_EQ(tls_->pending(), 0u);
  client_->Write(much);
  Exchange(1000);
  EXPECT_EQ(events_.received, much);
}

TEST_F(HttpTlsTest, DrainedIsOnlyTheConnectionsOwn) {
  Open();
  Exchange();
  EXPECT_EQ(events_.drained, 0);  // nothing of the handshake is
  tls_->Write("");
  tls_->OnDrained();
  EXPECT_EQ(events_.drained, 1);
  tls_->OnDrained();
  EXPECT_EQ(events_.drained, 1);
}

TEST_F(HttpTlsTest, FirstBytesMayComeWithTheHandshake) {
  Open({.min_version = TLS1_2_VERSION, .max_version = TLS1_2_VERSION});
  tls_->OnBytes(client_->Take());
  client_->Feed(std::exchange(socket_.sent, {}));
  const std::string last = client_->Take();  // key exchange and Finished
  tls_->OnBytes(last);
  client_->Feed(std::exchange(socket_.sent, {}));
  ASSERT_TRUE(client_->open());
  client_->Write("one");
  client_->Write("two");
  tls_->OnBytes(client_->Take());
  EXPECT_EQ(events_.received, "onetwo");
  EXPECT_EQ(events_.events, 1);
}

TEST_F(HttpTlsTest, PlainHttpIsToldSo) {
  for (const size_t step : {size_t{1}, size_t{1000}}) {
    for (const std::string request :
         {"GET / HTTP/1.1\r\n\r\n", "POST /x HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n",
          "OPTIONS * HTTP/1.1\r\n\r\n", "PUT / HTTP/1.1\r\n\r\n"}) {
      Open();
      for (size_t at = 0; at < request.size(); at += step) {
        tls_->OnBytes(std::string_view(request).substr(at, step));
      }
      EXPECT_EQ(socket_.sent,
                "HTTP/1.0 400 Bad Request\r\n\r\n"
                "Client sent an HTTP request to an HTTPS server.\n");
      EXPECT_TRUE(socket_.shut);
      EXPECT_FALSE(socket_.closing);  // the rest of the request is read, so that the answer arrives
      tls_->OnEnd();
      EXPECT_TRUE(socket_.closing);
      EXPECT_EQ(events_.events, 0);
    }
  }
  EXPECT_EQ(Failures(), "plain_http 10\n");
}

TEST_F(HttpTlsTest, GarbageIsNoHandshake) {
  for (const std::string& bytes :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string(300, '\0'), std::string(300, '\xff'),
        std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10),
        std::string("\x15\x03\x01\x00\x02\x02\x28", 7)}) {
    for (const size_t step : {size_t{1}, size_t{1000}}) {
      Open();
      for (size_t at = 0; at < bytes.size(); at += step) {
        tls_->OnBytes(std::string_view(bytes).substr(at, step));
      }
      EXPECT_TRUE(socket_.shut) << bytes;
      EXPECT_EQ(events_.events, 0);
      // It may go on as it likes, for a while.
      for (int i = 0; i < 100 && !socket_.closing; ++i) tls_->OnBytes(std::string(1024, 'x'));
      EXPECT_TRUE(socket_.closing);
    }
  }
  EXPECT_EQ(Failures(), "protocol 10\n");
}

TEST_F(HttpTlsTest, AHandshakeThatDoesNotEnd) {
  Open();
  tls_->OnBytes(client_->Take().substr(0, 20));
  tls_->Close();  // as the connection does when its time is up
  EXPECT_TRUE(socket_.closing);
  tls_->OnClosed();
  EXPECT_TRUE(events_.closed);
  EXPECT_EQ(Failures(), "timeout 1\n");
  Open();
  tls_->OnBytes(client_->Take().substr(0, 20));
  tls_->OnEnd();
  EXPECT_TRUE(socket_.closing);
  tls_->OnClosed();
  Open();
  tls_->OnClosed();  // a reset
  EXPECT_EQ(Failures(), "closed 2\ntimeout 1\n");
}

TEST_F(HttpTlsTest, OrderlyEnds) {
  Open();
  ASSERT_TRUE(Serves());
  client_->Write("last");
  client_->Shutdown();
  Exchange();
  EXPECT_EQ(events_.received, "pinglast");
  EXPECT_TRUE(events_.ended);
  tls_->Write("bye");  // an answer is still possible
  tls_->ShutdownWrite();
  EXPECT_TRUE(socket_.shut);
  Exchange();
  EXPECT_EQ(client_->received, "pongbye");
  EXPECT_TRUE(client_->ended);

  Open();
  ASSERT_TRUE(Serves());
  tls_->OnEnd();  // without close_notify
  EXPECT_TRUE(events_.ended);

  Open();
  ASSERT_TRUE(Serves());
  tls_->Close();
  EXPECT_TRUE(socket_.closing);
  client_->Feed(socket_.sent);
  EXPECT_TRUE(client_->ended);
}

TEST_F(HttpTlsTest, AnEndIsNotToldWhileNobodyReads) {
  Open();
  ASSERT_TRUE(Serves());
  tls_->SetReading(false);
  EXPECT_FALSE(socket_.reading);
  client_->Shutdown();
  Exchange();
  EXPECT_FALSE(events_.ended);
  tls_->SetReading(true);
  tls_->OnEnd();
  EXPECT_TRUE(events_.ended);
}

TEST_F(HttpTlsTest, ATurnedBitBreaksTheConnection) {
  Open();
  ASSERT_TRUE(Serves());
  client_->Write("more");
  std::string bytes = client_->Take();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  tls_->OnBytes(bytes);
  EXPECT_TRUE(socket_.closing);
  EXPECT_EQ(events_.received, "ping");
  tls_->Write("late");  // must not matter
  tls_->OnClosed();
  EXPECT_TRUE(events_.closed);
  EXPECT_EQ(Failures(), "");
}

// Whoever makes us talk without listening is cut.
TEST_F(HttpTlsTest, KeyUpdatesWithoutEnd) {
  Open({.min_version = TLS1_3_VERSION});
  ASSERT_TRUE(Serves());
  int updates = 0;
  while (updates < 10'000 && !socket_.closing && client_->UpdateKey()) {
    tls_->OnBytes(client_->Take());
    ++updates;
  }
  EXPECT_TRUE(socket_.reset);
  EXPECT_LT(socket_.sent.size(), TlsTransport::kMostOwnWords + 1024);
  EXPECT_GT(updates, 100);
}

TEST_F(HttpTlsTest, NoRenegotiation) {
  Open({.min_version = TLS1_2_VERSION, .max_version = TLS1_2_VERSION});
  ASSERT_TRUE(Serves());
  client_->Renegotiate();
  Exchange();
  EXPECT_EQ(events_.received, "ping");
  EXPECT_FALSE(client_->open());
}

struct CertificateCase {
  const char* type;
  bool none, good, stranger, expired;  // who is served
};
constexpr CertificateCase kCertificateCases[] = {
    {"NoClientCert", true, true, true, true},
    {"RequestClientCert", true, true, true, true},
    {"RequireAnyClientCert", false, true, true, true},
    {"RequireClientCert", false, true, true, true},
    {"VerifyClientCertIfGiven", true, true, false, false},
    {"RequireAndVerifyClientCert", false, true, false, false},
};

TEST_F(HttpTlsTest, ClientCertificates) {
  for (const CertificateCase& one : kCertificateCases) {
    const bool ca = std::string_view(one.type) != "NoClientCert";
    const std::string more =
        std::string("client_auth_type: ") + one.type + (ca ? ", client_ca_file: ca.pem" : "");
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      const std::pair<const Certificate*, bool> kClients[] = {{nullptr, one.none},
                                                              {&Files().client, one.good},
                                                              {&Files().stranger, one.stranger},
                                                              {&Files().expired, one.expired}};
      for (const auto& [certificate, served] : kClients) {
        Open({.certificate = certificate, .min_version = version, .max_version = version}, more);
        EXPECT_EQ(Serves(), served) << more;
        EXPECT_EQ(events_.received, served ? "ping" : "");
      }
    }
  }
  EXPECT_EQ(Failures(), "certificate 14\n");
}

TEST_F(HttpTlsTest, AllowedNamesOfClients) {
  const std::string kVerify =
      "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: ";
  const std::pair<const char*, bool> kRows[] = {
      {"[client.example]", true}, {"[other, 192.0.2.7]", true},
      {"['2001:db8::7']", true},  {"[client]", false},  // the common name does not count
      {"['*.example']", false},   {"[CLIENT.EXAMPLE]", false},
      {"[other.example]", false}, {"['2001:db8:0::7']", false},
  };
  for (const auto& [names, served] : kRows) {
    Open({.certificate = &Files().client}, kVerify + names);
    EXPECT_EQ(Serves(), served) << names;
  }
  // Who is only asked has to show one all the same.
  Open({}, "client_auth_type: RequestClientCert, client_allowed_sans: [client.example]");
  EXPECT_FALSE(Serves());
  Open({.certificate = &Files().stranger},
       "client_auth_type: RequestClientCert, client_allowed_sans: [client.example]");
  EXPECT_TRUE(Serves());
  Open({.certificate = &Files().server}, kVerify + "[client.example]");
  EXPECT_FALSE(Serves());
}

TEST_F(HttpTlsTest, VersionsSuitesAndCurves) {
  struct Row {
    std::string more;
    ClientOptions client;
    bool served;
  };
  const std::string kOnly = "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]";
  const Row kRows[] = {
      {"", {.max_version = TLS1_1_VERSION}, false},
      {"min_version: TLS10", {.max_version = TLS1_VERSION}, true},
      {"min_version: TLS11", {.max_version = TLS1_1_VERSION}, true},
      {"min_version: TLS11", {.max_version = TLS1_VERSION}, false},
      {"min_version: TLS13", {.max_version = TLS1_2_VERSION}, false},
      {"max_version: TLS12", {.min_version = TLS1_3_VERSION}, false},
      {"max_version: TLS12", {}, true},
      {kOnly, {.max_version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"}, true},
      {kOnly, {.max_version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"}, false},
      {kOnly, {.min_version = TLS1_3_VERSION}, true},  // 1.3's own are always there
      {"cipher_suites: [TLS_AES_128_GCM_SHA256]", {.max_version = TLS1_2_VERSION}, false},
      {"", {.max_version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES256-CCM"}, false},
      {"curve_preferences: [CurveP384]", {.curves = "P-384"}, true},
      {"curve_preferences: [CurveP384]", {.curves = "X25519"}, false},
      {"", {.curves = "X448"}, false},
      {"", {.alpn = "\x02h2\x08http/1.1"}, true},
      {"", {.alpn = "\x02h2"}, false},
  };
  for (const Row& row : kRows) {
    Open(row.client, row.more);
    EXPECT_EQ(Serves(), row.served) << row.more << " row " << (&row - kRows);
  }
  EXPECT_EQ(Failures(), "version 10\n");
}

TEST_F(HttpTlsTest, WhosePreferenceCounts) {
  const std::string both =
      "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "
      "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]";
  const ClientOptions client{.max_version = TLS1_2_VERSION,
                             .ciphers =
                                 "ECDHE-ECDSA-AES128-GCM-SHA256:"
                                 "ECDHE-ECDSA-AES256-GCM-SHA384"};
  Open(client, both);
  ASSERT_TRUE(Serves());
  EXPECT_STREQ(SSL_get_cipher_name(client_->ssl()), "ECDHE-ECDSA-AES256-GCM-SHA384");
  Open(client, both + ", prefer_server_cipher_suites: false");
  ASSERT_TRUE(Serves());
  EXPECT_STREQ(SSL_get_cipher_name(client_->ssl()), "ECDHE-ECDSA-AES128-GCM-SHA256");
}

TEST_F(HttpTlsTest, HttpIsNegotiated) {
  Open({.alpn = "\x02h2\x08http/1.1"});
  ASSERT_TRUE(Serves());
  const unsigned char* alpn = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(client_->ssl(), &alpn, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(alpn), size), "http/1.1");
}

// A client comes back by its ticket, and not past a configuration that has changed meanwhile.
TEST_F(HttpTlsTest, Tickets) {
  const std::string verify = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem";
  Open({.certificate = &Files().client}, verify);
  ASSERT_TRUE(Serves());
  const std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(
      SSL_get1_session(client_->ssl()), SSL_SESSION_free);
  ASSERT_TRUE(SSL_SESSION_is_resumable(session.get()));
  // A connection that goes without this takes its session with it.
  SSL_set_shutdown(client_->ssl(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  OpenAgain({.session = session.get()});
  EXPECT_TRUE(Serves());
  EXPECT_EQ(SSL_session_reused(client_->ssl()), 1);
  Open({.session = session.get()}, verify);
  EXPECT_FALSE(Serves());
}

}  // namespace
}  // namespace sonde
