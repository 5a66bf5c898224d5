#include "tools/farm/farm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/tools/farm_client.h"

namespace sonde {
namespace {

using End = FarmClient::End;
using Kind = ListenerConfig::Kind;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kShort = 100;  // ms: how long silence is listened to

std::unique_ptr<Farm> StartOne(const ListenerConfig& listener, int threads = 1) {
  FarmConfig config;
  config.threads = threads;
  config.listeners = {listener};
  auto farm = Farm::Start(config);
  EXPECT_TRUE(farm.ok()) << farm.status();
  return farm.ok() ? std::move(*farm) : nullptr;
}

ListenerConfig Http(Behaviour behaviour = Behaviour::kOk) {
  ListenerConfig listener;
  if (behaviour != Behaviour::kOk) listener.mix.shares = {{behaviour, 100}};
  return listener;
}

ListenerConfig Tcp(ListenerConfig::Service service, Behaviour behaviour = Behaviour::kOk) {
  ListenerConfig listener = Http(behaviour);
  listener.kind = Kind::kTcp;
  listener.service = service;
  return listener;
}

std::string BodyOf(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "(no body)" : answer.substr(end + 4);
}

TEST(FarmHttp, AnswersOnEveryLoopbackAddressAndKeepsTheConnection) {
  const auto farm = StartOne(Http());
  for (const char* address : {"127.0.0.1", "127.1.2.3", "127.255.255.254"}) {
    FarmClient client(farm->Ports(0)[0], address);
    ASSERT_TRUE(client.connected()) << address;
    for (int i = 0; i < 3; ++i) {
      client.Forget();
      EXPECT_THAT(client.Get("/").ReadUntil("ok\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
    }
    client.Forget();
    EXPECT_THAT(client.Get("/", true).ReadAll(), HasSubstr("Connection: close\r\n"));
    EXPECT_EQ(client.end(), End::kClosed);
  }
}

TEST(FarmHttp, TakesRequestsInPiecesAndManyAtOnce) {
  const auto farm = StartOne(Http());
  FarmClient slow(farm->Ports(0)[0]);
  const std::string request =
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
  for (const char c : request) slow.Send(std::string(1, c));
  EXPECT_EQ(BodyOf(slow.ReadAll()), "ok\n");

  FarmClient pipelining(farm->Ports(0)[0]);
  std::string many;
  constexpr size_t kMany = 5000;
  for (size_t i = 0; i < kMany; ++i) many += "HEAD / HTTP/1.1\r\n\r\n";
  pipelining.Send(many);
  const std::string one =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n";
  EXPECT_EQ(pipelining.ReadAtLeast(kMany * one.size()).size(), kMany * one.size());
}

TEST(FarmHttp, RefusesWhatIsNoRequest) {
  const auto farm = StartOne(Http());
  for (const std::string& said :
       {std::string("HELO\r\n\r\n"), std::string("GET / SPDY/3\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nnonsense\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"),
        "GET / HTTP/1.1\r\nX: " + std::string(70'000, 'x')}) {
    FarmClient client(farm->Ports(0)[0]);
    EXPECT_THAT(client.Send(said).ReadUntil("request\n"), StartsWith("HTTP/1.1 400"));
  }
}

TEST(FarmHttp, MisbehavesAsAsked) {
  const struct {
    Behaviour behaviour;
    End end;
    std::string has;      // in what was sent
    std::string has_not;  // empty: anything goes
  } cases[] = {
      {Behaviour::kError, End::kClosed, "HTTP/1.1 500 ", "ok"},
      {Behaviour::kReset, End::kReset, "", "HTTP"},
      {Behaviour::kSilent, End::kTimeout, "", "HTTP"},
      {Behaviour::kClosed, End::kClosed, "", "HTTP"},
      {Behaviour::kGarbage, End::kClosed, "\x01", "HTTP/1.1"},
      {Behaviour::kTruncated, End::kClosed, "Content-Length: 10\r\n\r\n01234", "5"},
      {Behaviour::kResetBody, End::kReset, "Content-Length: 10\r\n\r\n01234", "5"},
      {Behaviour::kStall, End::kTimeout, "Content-Length: 10\r\n\r\n01234", "5"},
      {Behaviour::kStallHeaders, End::kTimeout, "HTTP/1.1 200", "Content-Length"},
      {Behaviour::kHalfClose, End::kClosed, "\r\n\r\n0123456789", "Content-Length"},
      {Behaviour::kChunked, End::kClosed,
       "chunked\r\n\r\n3\r\n012\r\n3\r\n345\r\n3\r\n678\r\n1\r\n9\r\n0\r\n\r\n", "Content-Length"},
      {Behaviour::kRedirect, End::kClosed, "302 Found\r\nLocation: /\r\n", "0123"},
      {Behaviour::kRedirectLoop, End::kClosed, "Location: /do/redirect_loop\r\n", "0123"},
      {Behaviour::kHugeHeaders, End::kClosed, "X-Filler-1023: x", "0123"},
      {Behaviour::kDrip, End::kClosed, "\r\n\r\n0123456789", ""},
      {Behaviour::kSlowBody, End::kClosed, "\r\n\r\n0123456789", ""},
  };
  ListenerConfig listener = Http();
  listener.body = "0123456789";
  const auto farm = StartOne(listener);
  for (const auto& c : cases) {
    const std::string word(BehaviourName(c.behaviour));
    FarmClient client(farm->Ports(0)[0], "127.0.0.1", c.end == End::kTimeout ? kShort : 5000);
    const std::string got = client.Get("/do/" + word, true).ReadAll();
    EXPECT_EQ(client.end(), c.end) << word;
    EXPECT_THAT(got, HasSubstr(c.has)) << word;
    if (!c.has_not.empty()) { EXPECT_THAT(got, ::testing::Not(HasSubstr(c.has_not))) << word; }
    if (c.behaviour == Behaviour::kDrip) { EXPECT_GT(client.reads(), 10u); }
  }
}

TEST(FarmHttp, EveryBehaviourWorksAsAMixAndIsCounted) {
  for (size_t i = 0; i < kBehaviourCount; ++i) {
    const auto behaviour = static_cast<Behaviour>(i);
    ListenerConfig listener = Http(behaviour);
    listener.large_bytes = 100'000;
    listener.pace = Microseconds(100);
    const auto farm = StartOne(listener);
    FarmClient client(farm->Ports(0)[0], "127.0.0.1", kShort);
    client.Get("/", true).ReadAll();
    EXPECT_THAT(farm->StatsJson(),
                HasSubstr("\"" + std::string(BehaviourName(behaviour)) + "\":1"));
  }
}

TEST(FarmHttp, RefusesAtTheDoor) {
  const auto farm = StartOne(Http(Behaviour::kRefuse));
  FarmClient client(farm->Ports(0)[0]);
  client.ReadAll();
  EXPECT_EQ(client.end(), End::kReset);
}

TEST(FarmHttp, PathsAskForStatusDelayBytesAndRedirects) {
  const auto farm = StartOne(Http());
  const auto get = [&](const std::string& path) {
    FarmClient client(farm->Ports(0)[0]);
    return client.Get(path, true).ReadAll();
  };
  EXPECT_THAT(get("/status/503"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(get("/status/204"), EndsWith("204 No Content\r\n\r\n"));
  EXPECT_EQ(BodyOf(get("/bytes/200000")).size(), 200'000u);
  EXPECT_THAT(get("/redirect/2"), HasSubstr("Location: /redirect/1\r\n"));
  EXPECT_THAT(get("/redirect/1"), HasSubstr("Location: /\r\n"));
  EXPECT_THAT(BodyOf(get("/echo?x")), StartsWith("GET /echo?x HTTP/1.1\r\nHost: farm.test\r\n"));
  EXPECT_EQ(BodyOf(get("/nothing/in/particular")), "ok\n");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(BodyOf(get("/delay/30ms")), "ok\n");
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(30));
}

TEST(FarmHttp, AnswersToHeadHaveNoBody) {
  const auto farm = StartOne(Http());
  for (const char* path : {"/", "/do/error", "/do/chunked", "/status/404", "/bytes/9", "/echo"}) {
    FarmClient client(farm->Ports(0)[0]);
    EXPECT_EQ(BodyOf(client.Get(path, true, "HEAD").ReadAll()), "") << path;
  }
}

TEST(FarmHttp, ALargeBodyArrivesWhole) {
  ListenerConfig listener = Http(Behaviour::kLarge);
  listener.large_bytes = 8 * 1024 * 1024;
  const auto farm = StartOne(listener);
  FarmClient client(farm->Ports(0)[0]);
  EXPECT_EQ(BodyOf(client.Get("/", true).ReadAll()).size(), 8u * 1024 * 1024);
}

TEST(FarmHttp, TheSameSeedGivesTheSameDay) {
  const auto day = [] {
    ListenerConfig listener = Http();
    listener.mix.shares = {{Behaviour::kError, 30}, {Behaviour::kRedirect, 20}};
    const auto farm = StartOne(listener);
    std::string statuses;
    FarmClient client(farm->Ports(0)[0]);
    for (int i = 0; i < 200; ++i) {
      client.Forget();
      client.Get("/").ReadUntil("\r\n\r\n");
      statuses += client.got().substr(9, 1);
      const std::string& got = client.got();
      client.ReadAtLeast(got.find("\r\n\r\n") + 4 +
                         (statuses.back() == '2'   ? 3u
                          : statuses.back() == '5' ? 18u
                                                   : 0u));
    }
    return statuses;
  };
  const std::string first = day();
  EXPECT_EQ(first, day());
  EXPECT_NEAR(static_cast<double>(std::count(first.begin(), first.end(), '5')), 60, 30);
  EXPECT_NEAR(static_cast<double>(std::count(first.begin(), first.end(), '3')), 40, 25);
}

TEST(FarmHttp, MixesPerTargetAreThePropertyOfAnAddress) {
  ListenerConfig listener = Http();
  listener.mix.shares = {{Behaviour::kError, 50}};
  listener.mix.per = Mix::Per::kTarget;
  const auto farm = StartOne(listener);
  int bad = 0;
  for (int i = 1; i <= 40; ++i) {
    const std::string address = "127.0.7." + std::to_string(i);
    std::string first;
    for (int again = 0; again < 3; ++again) {
      FarmClient client(farm->Ports(0)[0], address);
      const std::string status = client.Get("/", true).ReadAll().substr(9, 3);
      if (again == 0) first = status;
      EXPECT_EQ(status, first) << address;
    }
    bad += first == "500";
  }
  EXPECT_GT(bad, 5);
  EXPECT_LT(bad, 35);
}

TEST(FarmHttp, SeveralThreadsShareAPort) {
  const auto farm = StartOne(Http(), 3);
  for (int i = 0; i < 60; ++i) {
    FarmClient client(farm->Ports(0)[0]);
    EXPECT_EQ(BodyOf(client.Get("/", true).ReadAll()), "ok\n");
  }
  EXPECT_THAT(farm->StatsJson(), HasSubstr("\"answers\":60"));
}

TEST(FarmControl, OverridesAndNumbers) {
  FarmConfig config;
  config.listeners.resize(2);
  config.listeners[1].kind = Kind::kControl;
  auto farm = Farm::Start(config);
  ASSERT_TRUE(farm.ok()) << farm.status();
  const uint16_t target = (*farm)->Ports(0)[0], control = (*farm)->Ports(1)[0];
  const auto get = [](uint16_t port, const std::string& path) {
    FarmClient client(port);
    return client.Get(path, true).ReadAll();
  };
  const std::string set = "/farm-set?port=" + std::to_string(target) + "&behaviour=";
  EXPECT_THAT(get(target, "/"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(get(control, set + "error"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(get(target, "/"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(get(control, set + "mix"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(get(target, "/"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(get(control, set + "nonsense"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(get(control, "/farm-set?port=1&behaviour=error"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(get(control, "/other"), StartsWith("HTTP/1.1 404"));
  const std::string stats = BodyOf(get(control, "/farm-stats"));
  EXPECT_THAT(stats, HasSubstr("\"error\":1"));
  EXPECT_THAT(stats, HasSubstr("\"ok\":2"));
}

TEST(FarmPorts, RefusedIsRefusedAndABlackholeTakesForEver) {
  ListenerConfig refused = Http(), blackhole = Http();
  refused.kind = Kind::kRefused;
  blackhole.kind = Kind::kBlackhole;
  FarmConfig config;
  config.listeners = {refused, blackhole};
  auto farm = Farm::Start(config);
  ASSERT_TRUE(farm.ok()) << farm.status();
  FarmClient nobody((*farm)->Ports(0)[0], "127.9.9.9");
  EXPECT_EQ(nobody.error(), ECONNREFUSED);
  FarmClient nowhere((*farm)->Ports(1)[0], "127.9.9.9", kShort);
  EXPECT_FALSE(nowhere.connected());
  EXPECT_EQ(nowhere.error(), EINPROGRESS) << "a connect that met SO_SNDTIMEO";
}

TEST(FarmPorts, ABusyPortIsAnError) {
  const auto farm = StartOne(Http());
  FarmConfig config;
  config.listeners = {Http()};
  config.listeners[0].first_port = config.listeners[0].last_port = farm->Ports(0)[0];
  const auto second = Farm::Start(config);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("Address already in use"));
}

TEST(FarmTcp, BannerEchoAndDiscard) {
  const auto banner = StartOne(Tcp(ListenerConfig::Service::kBanner));
  EXPECT_EQ(FarmClient(banner->Ports(0)[0]).ReadUntil("\n"), "hello\r\n");
  const auto echo = StartOne(Tcp(ListenerConfig::Service::kEcho));
  EXPECT_EQ(FarmClient(echo->Ports(0)[0]).Send("abc").ReadAtLeast(3), "abc");
  const auto discard = StartOne(Tcp(ListenerConfig::Service::kDiscard));
  FarmClient client(discard->Ports(0)[0]);
  client.Send("abc").HalfClose();
  EXPECT_EQ(client.ReadAll(), "");
  EXPECT_EQ(client.end(), End::kClosed);
}

TEST(FarmTcp, Misbehaves) {
  const struct {
    Behaviour behaviour;
    End end;
    size_t least, most;  // bytes said
  } cases[] = {
      {Behaviour::kRefuse, End::kReset, 0, 0},   {Behaviour::kReset, End::kReset, 0, 0},
      {Behaviour::kSilent, End::kTimeout, 0, 0}, {Behaviour::kClosed, End::kClosed, 0, 0},
      {Behaviour::kError, End::kClosed, 7, 7},   {Behaviour::kGarbage, End::kClosed, 256, 256},
      {Behaviour::kDrip, End::kTimeout, 7, 7}};
  for (const auto& c : cases) {
    const auto farm = StartOne(Tcp(ListenerConfig::Service::kBanner, c.behaviour));
    FarmClient client(farm->Ports(0)[0], "127.0.0.1", c.end == End::kTimeout ? kShort : 5000);
    client.ReadAll();
    EXPECT_EQ(client.end(), c.end) << BehaviourName(c.behaviour);
    EXPECT_GE(client.got().size(), c.least) << BehaviourName(c.behaviour);
    EXPECT_LE(client.got().size(), c.most) << BehaviourName(c.behaviour);
  }
}

TEST(FarmTcp, SmtpDialogue) {
  const auto farm = StartOne(Tcp(ListenerConfig::Service::kSmtp));
  FarmClient client(farm->Ports(0)[0]);
  EXPECT_THAT(client.ReadUntil("\r\n"), StartsWith("220 "));
  EXPECT_THAT(client.Send("EHLO me\r\n").ReadUntil("250 SIZE"), HasSubstr("250-STARTTLS\r\n"));
  client.Forget();
  EXPECT_THAT(client.Send("BOGUS\r\n").ReadUntil("\r\n"), StartsWith("500 "));
  client.Forget();
  client.Send("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nquit\r\n.\r\nQUIT\r\n").ReadAll();
  EXPECT_THAT(client.got(), HasSubstr("354 "));
  EXPECT_THAT(client.got(), HasSubstr("queued"));
  EXPECT_THAT(client.got(), EndsWith("221 2.0.0 bye\r\n"));
  EXPECT_EQ(client.end(), End::kClosed);
}

TEST(FarmTcp, RedisInlineAndArrays) {
  const auto farm = StartOne(Tcp(ListenerConfig::Service::kRedis));
  FarmClient client(farm->Ports(0)[0]);
  EXPECT_EQ(client.Send("PING\r\n").ReadAtLeast(7), "+PONG\r\n");
  client.Forget();
  for (const char c : std::string_view("*1\r\n$4\r\nping\r\n")) client.Send(std::string(1, c));
  EXPECT_EQ(client.ReadAtLeast(7), "+PONG\r\n");
  client.Forget();
  EXPECT_EQ(client.Send("*2\r\n$3\r\nGET\r\n$1\r\nx\r\n").ReadAtLeast(5), "$-1\r\n");
  client.Forget();
  EXPECT_THAT(client.Send("*100000\r\n").ReadAll(), StartsWith("-ERR Protocol"));
}

TEST(FarmTcp, AScriptIsFollowedToTheLetter) {
  ListenerConfig listener = Tcp(ListenerConfig::Service::kScript);
  listener.script = {{"", "who?\r\n"}, {"I am ", "welcome\r\n"}, {"bye", "bye\r\n"}};
  const auto farm = StartOne(listener);
  FarmClient good(farm->Ports(0)[0]);
  EXPECT_EQ(good.Send("I am me\r\nbye\r\n").ReadAll(), "who?\r\nwelcome\r\nbye\r\n");
  FarmClient bad(farm->Ports(0)[0]);
  EXPECT_EQ(bad.Send("what?\r\n").ReadAll(), "who?\r\n");
  EXPECT_EQ(bad.end(), End::kClosed);
}

TEST(FarmTcp, ALineWithoutAnEndEndsTheConnection) {
  const auto farm = StartOne(Tcp(ListenerConfig::Service::kSmtp));
  FarmClient client(farm->Ports(0)[0]);
  client.Send(std::string(200'000, 'x')).ReadAll();
  EXPECT_NE(client.end(), End::kTimeout);
}

// A TLS client over a connected socket; what verifying came to.
struct TlsResult {
  bool shaken = false;
  long verify = -1;
  std::string answer;
};

TlsResult TalkTls(FarmClient& client, const std::string& ca_pem, const std::string& request) {
  TlsResult result;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                            SSL_CTX_free);
  BIO* bio = BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size()));
  X509* ca = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), ca);
  X509_free(ca);
  BIO_free(bio);
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
  X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), "127.0.0.1");
  SSL_set_fd(ssl.get(), client.fd());
  result.shaken = SSL_connect(ssl.get()) == 1;
  result.verify = SSL_get_verify_result(ssl.get());
  if (!result.shaken) return result;
  SSL_write(ssl.get(), request.data(), static_cast<int>(request.size()));
  char bytes[4096];
  for (int size; (size = SSL_read(ssl.get(), bytes, sizeof(bytes))) > 0;) {
    result.answer.append(bytes, static_cast<size_t>(size));
  }
  return result;
}

TEST(FarmTls, EveryCertificateIsWrongInItsOwnWay) {
  const struct {
    const char* certificate;
    long verify;
  } cases[] = {{"good", X509_V_OK},
               {"expired", X509_V_ERR_CERT_HAS_EXPIRED},
               {"not_yet_valid", X509_V_ERR_CERT_NOT_YET_VALID},
               {"self_signed", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
               {"wrong_name", X509_V_ERR_IP_ADDRESS_MISMATCH},
               {"untrusted", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY}};
  const auto directory =
      std::filesystem::temp_directory_path() / ("farm-test-" + std::to_string(getpid()));
  for (const auto& c : cases) {
    FarmConfig config;
    config.certificates = directory;
    config.listeners.resize(1);
    config.listeners[0].kind = Kind::kHttps;
    config.listeners[0].certificate = c.certificate;
    auto farm = Farm::Start(config);
    ASSERT_TRUE(farm.ok()) << farm.status();
    std::ifstream in(directory / "ca.pem");
    const std::string ca((std::istreambuf_iterator<char>(in)), {});
    EXPECT_EQ(ca, (*farm)->CaPem());
    FarmClient client((*farm)->Ports(0)[0]);
    const TlsResult result =
        TalkTls(client, ca, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(result.shaken) << c.certificate;
    EXPECT_EQ(result.verify, c.verify)
        << c.certificate << ": " << X509_verify_cert_error_string(result.verify);
    EXPECT_EQ(BodyOf(result.answer), "ok\n");
  }
  std::filesystem::remove_all(directory);
}

TEST(FarmTls, LargeAndDrippingBodies) {
  ListenerConfig listener = Http();
  listener.kind = Kind::kHttps;
  listener.large_bytes = 3 * 1024 * 1024;
  listener.pace = Microseconds(50);
  const auto farm = StartOne(listener);
  const auto body = [&](const std::string& path) {
    FarmClient client(farm->Ports(0)[0]);
    return BodyOf(TalkTls(client, farm->CaPem(),
                          "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                      .answer);
  };
  EXPECT_EQ(body("/do/large").size(), 3u * 1024 * 1024);
  EXPECT_EQ(body("/do/drip"), "ok\n");
}

TEST(FarmTls, StartTlsInSmtp) {
  const auto farm = StartOne(Tcp(ListenerConfig::Service::kSmtp));
  FarmClient client(farm->Ports(0)[0]);
  client.ReadUntil("\r\n");
  client.Send("STARTTLS\r\n").ReadUntil("start TLS\r\n");
  const TlsResult result = TalkTls(client, farm->CaPem(), "EHLO me\r\nQUIT\r\n");
  EXPECT_EQ(result.verify, X509_V_OK);
  EXPECT_EQ(result.answer, "250-farm.test\r\n250 SIZE 1000000\r\n221 2.0.0 bye\r\n");
}

TEST(FarmTls, PlainTextOnATlsPortEndsTheConnection) {
  ListenerConfig listener = Http();
  listener.kind = Kind::kHttps;
  const auto farm = StartOne(listener);
  FarmClient client(farm->Ports(0)[0]);
  client.Get("/").ReadAll();
  EXPECT_NE(client.end(), End::kTimeout);
}

TEST(FarmIdle, ConnectionsNothingHappensOnAreClosed) {
  FarmConfig config;
  config.idle = Milliseconds(10);
  config.listeners = {Http()};
  auto farm = Farm::Start(config);
  ASSERT_TRUE(farm.ok());
  FarmClient client((*farm)->Ports(0)[0]);
  client.ReadAll();
  EXPECT_EQ(client.end(), End::kClosed);
  EXPECT_THAT((*farm)->StatsJson(), HasSubstr("\"idle_closed\":1"));
}

}  // namespace
}  // namespace sonde
