// An HTTPS probe through an HTTPS proxy: TLS to the proxy, and the target's inside it, through
// slots and legs as they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocols/http_prober.h"
#include "tests/support/module_text.h"
#include "tests/support/sim_world.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TlsServerOptions Serving(const Certificate& certificate) {
  TlsServerOptions options;
  options.chain = {certificate};
  return options;
}

// Ends the outer TLS, grants one CONNECT and is the target from then on.
class TlsProxy : public SimPeer {
 public:
  explicit TlsProxy(const Certificate& target) : inner(Serving(target)) {}

  void OnBytes(SimConnection& connection, std::string_view bytes) override {
    Say(connection, outer.Feed(bytes));
    const std::string said = outer.received().substr(taken_);
    if (!tunnel && said.ends_with("\r\n\r\n")) {
      connect = said;
      taken_ += said.size();
      tunnel = true;
      std::string granted = outer.Write("HTTP/1.1 200 Connection established\r\n\r\n");
      if (ends_at_once) granted += outer.Shutdown();
      Say(connection, granted);
    } else if (tunnel) {
      taken_ += said.size();
      const std::string flight = inner.Feed(said);
      if (!flight.empty()) Say(connection, outer.Write(flight));
      if (!answered && inner.received().ends_with("\r\n\r\n")) Reply(connection);
    }
  }

  void Reply(SimConnection& connection) {
    answered = true;
    const std::string_view text = cut ? kOk.substr(0, 20) : kOk;
    Say(connection, outer.Write(inner.Write(text)));
    if (cut) Say(connection, outer.Shutdown());
  }

  void Say(SimConnection& connection, const std::string& bytes) {
    if (bytes.empty()) return;
    if (one_by_one) {
      connection.SendEachByte(bytes, Microseconds(10));
    } else {
      connection.Send(bytes, Milliseconds(1));
    }
  }

  bool one_by_one = false, cut = false, ends_at_once = false;
  bool tunnel = false, answered = false;
  std::string connect;
  TlsServer outer{Serving(TestCertificates::Get().ip)};
  TlsServer inner;

 private:
  size_t taken_ = 0;
};

SimRun Probe(const std::shared_ptr<TlsProxy>& proxy) {
  std::string module = "proxy_url: https://192.0.2.7\ntls_config:\n  ca: |\n";
  std::string pem = TestCertificates::Get().ca.Pem();
  for (size_t at = 0; at < pem.size();) {
    const size_t end = pem.find('\n', at) + 1;
    module += "    " + pem.substr(at, end - at);
    at = end;
  }
  const ModuleText read = ReadModule(HttpProber(), module);
  EXPECT_NE(read.module, nullptr) << read.errors();
  auto task = std::make_shared<Task>();
  task->id = 1;
  task->name = "shop";
  task->prober = &HttpProber();
  task->target = "https://good.test/";
  task->module = read.module;
  task->plan = ReadTarget(HttpProber(), task->target, *read.module).plan;
  task->schedule = Schedule::Every(Seconds(60)).value();
  task->timeout = Seconds(5);

  SimWorld::Options options;
  options.wall = kTestNow;
  SimWorld world(options);
  world.network().AddName("good.test", {.addresses = {*Address::ParseLiteral("10.0.0.1")}});
  world.network().AddPeer("192.0.2.7:443", proxy);
  world.Add(task);
  EXPECT_TRUE(world.RunToNext(Seconds(120)));
  return world.runs.back();
}

TEST(TlsInTls, TheWholeWay) {
  for (const bool one_by_one : {false, true}) {
    const auto proxy = std::make_shared<TlsProxy>(TestCertificates::Get().good);
    proxy->one_by_one = one_by_one;
    const SimRun run = Probe(proxy);
    EXPECT_EQ(OutcomeName(run.result.outcome), "ok") << run.evidence.detail;
    EXPECT_THAT(proxy->connect, StartsWith("CONNECT 10.0.0.1:443 HTTP/1.1\r\n"));
    EXPECT_EQ(proxy->inner.server_name(), "good.test");
    EXPECT_EQ(proxy->outer.server_name(), "");
    EXPECT_THAT(proxy->inner.received(), StartsWith("GET / HTTP/1.1\r\nHost: good.test\r\n"));
    EXPECT_TRUE(proxy->inner.ended());
    EXPECT_TRUE(proxy->outer.ended());
    EXPECT_EQ(run.result.facts.Get(Fact::kHttpSsl), 1);
    EXPECT_TRUE(run.result.facts.Has(Fact::kCertExpiry));
  }
}

TEST(TlsInTls, TheTargetsCertificateIsTheTargets) {
  const auto proxy = std::make_shared<TlsProxy>(TestCertificates::Get().expired);
  const SimRun run = Probe(proxy);
  EXPECT_TRUE(proxy->tunnel);
  EXPECT_EQ(OutcomeName(run.result.outcome), "tls/expired");
  EXPECT_TRUE(run.result.facts.Has(Fact::kCertExpiry));
}

TEST(TlsInTls, TheProxyEndsWithinTheAnswer) {
  const auto proxy = std::make_shared<TlsProxy>(TestCertificates::Get().good);
  proxy->cut = true;
  EXPECT_EQ(OutcomeName(Probe(proxy).result.outcome), "headers/closed");
}

// The connection stays open: nothing else would tell.
TEST(TlsInTls, TheProxyEndsWithTheBytesThatGrantTheTunnel) {
  const auto proxy = std::make_shared<TlsProxy>(TestCertificates::Get().good);
  proxy->ends_at_once = true;
  const SimRun run = Probe(proxy);
  EXPECT_EQ(OutcomeName(run.result.outcome), "tls/closed");
  EXPECT_LT(run.result.duration, Seconds(1));
}

}  // namespace
}  // namespace sonde
