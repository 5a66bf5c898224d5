#include "tools/farm/farm_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/yaml_reader.h"
#include "tools/farm/http_target.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;
using Kind = ListenerConfig::Kind;

FarmConfig ReadGood(std::string_view text) {
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(text, diagnostics);
  FarmConfig config = FarmConfig::Read(document.root(), diagnostics);
  EXPECT_EQ(diagnostics.ToString("farm.yml"), "");
  return config;
}

std::string ErrorsOf(std::string_view text) {
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(text, diagnostics);
  FarmConfig::Read(document.root(), diagnostics);
  return diagnostics.ToString("farm.yml");
}

TEST(FarmConfig, ReadsEverything) {
  const FarmConfig config = ReadGood(R"(
seed: 42
threads: 2
spin: true
certificates: /tmp/certs
idle: 10s
listeners:
  - kind: http
    port: 8000-8099
    delay: {uniform: [1ms, 20ms]}
    mix: {error: 1%, reset: 0.5}
    mix_per: target
    status: 404
    body_bytes: 1KB
    headers: {Server: farm}
  - {kind: https, port: 8443, address: 127.0.0.2, certificate: expired, tls_max: TLS12,
     tickets: true}
  - kind: tcp
    script: [{send: "hi\n"}, {expect: a, send: b}]
    delay: {lognormal: 10ms, sigma: 1, most: 1s}
  - {kind: control, port: 9900, delay: 5ms}
  - kind: dns
    port: 5353
    transport: udp
    mix: {nxdomain: 1%, wrong_id: 2%}
    zones:
      - {name: shop.test, ttl: 5, records: ["@ A 127.0.0.1", '@ TXT "a; b"']}
  - {kind: dot, port: 8853, certificate: wrong_name}
)");
  EXPECT_EQ(config.seed, 42u);
  EXPECT_EQ(config.threads, 2);
  EXPECT_TRUE(config.spin);
  EXPECT_EQ(config.certificates, "/tmp/certs");
  ASSERT_EQ(config.listeners.size(), 6u);
  const ListenerConfig& http = config.listeners[0];
  EXPECT_EQ(http.first_port, 8000);
  EXPECT_EQ(http.last_port, 8099);
  EXPECT_EQ(http.delay.kind, Delay::Kind::kUniform);
  EXPECT_EQ(http.delay.b, Milliseconds(20));
  EXPECT_EQ(http.mix.per, Mix::Per::kTarget);
  ASSERT_EQ(http.mix.shares.size(), 2u);
  EXPECT_EQ(http.mix.shares[1], std::make_pair(Behaviour::kReset, 0.5));
  EXPECT_EQ(http.body.size(), 1024u);
  EXPECT_EQ(config.listeners[1].certificate, "expired");
  EXPECT_TRUE(config.listeners[1].tickets);
  EXPECT_FALSE(config.listeners[0].tickets);
  EXPECT_EQ(config.listeners[2].service, ListenerConfig::Service::kScript);
  EXPECT_EQ(config.listeners[2].delay.most, Seconds(1));
  EXPECT_EQ(config.listeners[3].delay.a, Milliseconds(5));
  const ListenerConfig& dns = config.listeners[4];
  EXPECT_EQ(dns.transport, ListenerConfig::Transport::kUdp);
  EXPECT_TRUE(dns.wants_udp());
  EXPECT_FALSE(dns.wants_tcp());
  EXPECT_EQ(dns.mix.shares[1].first, Behaviour::kWrongId);
  ASSERT_EQ(dns.zones.size(), 1u);
  EXPECT_EQ(dns.zones[0].name, "shop.test");
  EXPECT_EQ(dns.zones[0].ttl, 5u);
  ASSERT_EQ(dns.zones[0].records.size(), 2u);
  EXPECT_EQ(dns.zones[0].records[1], "@ TXT \"a; b\"");
  EXPECT_EQ(config.listeners[5].certificate, "wrong_name");
  EXPECT_TRUE(config.listeners[5].has_tls());
}

TEST(FarmConfig, SaysWhatIsWrongAndWhere) {
  const std::string errors = ErrorsOf(R"(
sed: 1
listeners:
  - {kind: ftp, port: 70000, address: example}
  - {kind: http, mix: {eror: 1%, reset: 200%}, mix_per: day}
  - {kind: https, certificate: fine}
  - {kind: http, mix: {reset: 60%, error: 60%}, delay: {uniform: [5ms, 1ms]}}
  - {kind: dns, transport: sctp, zones: [{name: a.test, records: ["@ A x"]}, {ttl: 1}]}
)");
  for (const char* said :
       {"unknown key", "listeners[0].kind", "listeners[0].port", "listeners[0].address",
        "no behaviour is called 'eror'", "'200%' is not a share", "listeners[1].mix_per",
        "listeners[2].certificate", "come to more than 100%", "[least, most]",
        "listeners[4].transport",
        "listeners[4].zones[0].records: record '@ A x': the data are none of type 'A'",
        "listeners[4].zones[1].name"}) {
    EXPECT_THAT(errors, HasSubstr(said));
  }
}

TEST(FarmConfig, Flags) {
  std::string error;
  const auto range = FarmConfig::ReadFlag("http:8000-8010:silent", &error);
  ASSERT_TRUE(range) << error;
  EXPECT_EQ(range->last_port, 8010);
  EXPECT_EQ(range->mix.At(0.99), Behaviour::kSilent);
  EXPECT_EQ(FarmConfig::ReadFlag("https:0:expired", &error)->certificate, "expired");
  EXPECT_TRUE(FarmConfig::ReadFlag("https:0:tickets", &error)->tickets);
  EXPECT_FALSE(FarmConfig::ReadFlag("http:0:tickets", &error));
  EXPECT_EQ(FarmConfig::ReadFlag("tcp:25:smtp", &error)->service, ListenerConfig::Service::kSmtp);
  EXPECT_EQ(FarmConfig::ReadFlag("blackhole:81", &error)->kind, Kind::kBlackhole);
  EXPECT_EQ(FarmConfig::ReadFlag("dns:53:wrong_id", &error)->mix.At(0), Behaviour::kWrongId);
  EXPECT_EQ(FarmConfig::ReadFlag("dot:853:expired", &error)->certificate, "expired");
  for (const char* bad : {"", "http", "http:", "ftp:1", "http:1:nothing", "http:2-1", "http:99999",
                          "https:1:smtp", "http:1x"}) {
    EXPECT_FALSE(FarmConfig::ReadFlag(bad, &error)) << bad;
  }
}

TEST(FarmMix, SharesAreKept) {
  Mix mix;
  mix.shares = {{Behaviour::kError, 10}, {Behaviour::kReset, 5}};
  EXPECT_EQ(mix.At(0), Behaviour::kError);
  EXPECT_EQ(mix.At(0.0999), Behaviour::kError);
  EXPECT_EQ(mix.At(0.12), Behaviour::kReset);
  EXPECT_EQ(mix.At(0.16), Behaviour::kOk);
  EXPECT_EQ(mix.At(0.9999), Behaviour::kOk);
}

TEST(FarmDelay, DistributionsHaveTheirMeansAndBounds) {
  const auto mean_ms = [](const Delay& delay) {
    Random random(7);
    double sum = 0;
    for (int i = 0; i < 20'000; ++i) {
      const Duration drawn = delay.Draw(random);
      EXPECT_GE(drawn.ns, 0);
      EXPECT_LE(drawn, delay.most);
      sum += drawn.millis();
    }
    return sum / 20'000;
  };
  using K = Delay::Kind;
  EXPECT_EQ(mean_ms({K::kNone, {}, {}, 0}), 0);
  EXPECT_DOUBLE_EQ(mean_ms({K::kConstant, Milliseconds(5), {}, 0}), 5);
  EXPECT_NEAR(mean_ms({K::kUniform, Milliseconds(10), Milliseconds(30), 0}), 20, 0.5);
  EXPECT_NEAR(mean_ms({K::kExponential, Milliseconds(10), {}, 0}), 10, 0.5);
  // exp(sigma^2 / 2) times the median
  EXPECT_NEAR(mean_ms({K::kLognormal, Milliseconds(10), {}, 0.5}), 11.33, 0.5);
}

TEST(FarmRequest, EveryPrefixIsIncomplete) {
  const std::string whole = "GET /a HTTP/1.1\r\nHost: x\r\nconnection:  close \r\n\r\n";
  FarmRequest request;
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(ParseFarmRequest(whole.substr(0, i), &request), FarmParse::kMore) << i;
  }
  ASSERT_EQ(ParseFarmRequest(whole, &request), FarmParse::kGood);
  EXPECT_EQ(request.path, "/a");
  EXPECT_FALSE(request.keep_alive);
  EXPECT_EQ(request.size, whole.size());
}

}  // namespace
}  // namespace sonde
