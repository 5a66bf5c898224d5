#include "protocols/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "store/yaml_reader.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct NetworkRead {
  NetworkOptions options;
  Diagnostics diagnostics;
};

NetworkRead ReadNetwork(std::string_view yaml) {
  NetworkRead read;
  const YamlDocument document = ReadYaml(yaml, read.diagnostics);
  ConfigReader in(&document.root(), "m", read.diagnostics);
  ReadNetworkOptions(in, &read.options);
  in.Finish();
  return read;
}

TEST(NetworkOptions, DefaultsAreBlackboxExporters) {
  const NetworkRead read = ReadNetwork("{}");
  EXPECT_TRUE(read.diagnostics.ok());
  EXPECT_EQ(read.options, NetworkOptions{});
  EXPECT_EQ(read.options.preferred_family, IpFamily::kV6);
  EXPECT_TRUE(read.options.fallback);
}

TEST(NetworkOptions, ReadsEveryKey) {
  const NetworkRead read = ReadNetwork(R"(
preferred_ip_protocol: ip4
ip_protocol_fallback: false
source_ip_address: 192.0.2.7
source_interface: eth1
dscp: 46
close: reset
resolver:
  servers: [10.0.0.53, "10.0.0.54:5353", "[2001:db8::53]:54", "2001:db8::54"]
  cache: false
)");
  ASSERT_TRUE(read.diagnostics.ok()) << read.diagnostics.ToString("");
  const NetworkOptions& options = read.options;
  EXPECT_EQ(options.preferred_family, IpFamily::kV4);
  EXPECT_FALSE(options.fallback);
  EXPECT_EQ(options.source.Host(), "192.0.2.7");
  EXPECT_EQ(options.interface, "eth1");
  EXPECT_EQ(options.dscp, 46);
  EXPECT_EQ(options.close, NetworkOptions::Close::kReset);
  EXPECT_FALSE(options.resolver_cache);
  std::vector<std::string> servers;
  for (const Address& server : options.name_servers) servers.push_back(server.HostPort());
  EXPECT_THAT(servers, ElementsAre("10.0.0.53:53", "10.0.0.54:5353", "[2001:db8::53]:54",
                                   "[2001:db8::54]:53"));
}

TEST(NetworkOptions, AnyOtherPreferenceIsIpv4WithAWarning) {
  const NetworkRead read = ReadNetwork("preferred_ip_protocol: IP6");
  EXPECT_TRUE(read.diagnostics.ok());
  EXPECT_EQ(read.options.preferred_family, IpFamily::kV4);
  EXPECT_THAT(read.diagnostics.ToString(""), HasSubstr("means ip4"));
  EXPECT_EQ(ReadNetwork("preferred_ip_protocol: ''").options.preferred_family, IpFamily::kV6);
}

TEST(NetworkOptions, RefusesNonsense) {
  for (const char* yaml :
       {"dscp: 64", "dscp: -1", "close: politely", "source_interface: an-interface-name-too-long",
        "resolver: {servers: [dns.example]}", "resolver: {servers: ['10.0.0.53:0']}",
        "resolver: {serves: []}", "resolver: 10.0.0.53", "ip_protocol_fallback: maybe"}) {
    EXPECT_FALSE(ReadNetwork(yaml).diagnostics.ok()) << yaml;
  }
}

// As in blackbox_exporter the file loads, and the probe fails.
TEST(NetworkOptions, ASourceThatIsNoAddressFailsTheProbe) {
  const NetworkRead read = ReadNetwork("source_ip_address: nowhere");
  EXPECT_TRUE(read.diagnostics.ok());
  EXPECT_TRUE(read.options.bad_source);
  EXPECT_THAT(read.diagnostics.ToString(""), HasSubstr("'nowhere' is not an IP address"));
}

struct TlsRead {
  TlsProfile profile;
  std::vector<std::string> files;
  bool present = false;
  std::string errors;
};

TlsRead ReadTls(std::string_view yaml) {
  TlsRead read;
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(yaml, diagnostics);
  ConfigReader in(&document.root(), "m", diagnostics);
  read.present = ReadTlsConfig(in, "tls_config", &read.profile, &read.files);
  in.Finish();
  read.errors = diagnostics.ToString("");
  return read;
}

TEST(TlsConfig, AbsentIsDefault) {
  const TlsRead read = ReadTls("{}");
  EXPECT_FALSE(read.present);
  EXPECT_EQ(read.errors, "");
  EXPECT_EQ(read.profile, TlsProfile{});
}

TEST(TlsConfig, ReadsEveryKey) {
  const TlsRead read = ReadTls(R"(
tls_config:
  ca_file: ca.pem
  cert: PEM1
  key_file: key.pem
  server_name: other.example
  insecure_skip_verify: true
  min_version: TLS10
  max_version: TLS12
)");
  EXPECT_TRUE(read.present);
  ASSERT_EQ(read.errors, "");
  EXPECT_EQ(read.profile.ca_file, "ca.pem");
  EXPECT_EQ(read.profile.cert_pem, "PEM1");
  EXPECT_EQ(read.profile.key_file, "key.pem");
  EXPECT_EQ(read.profile.server_name, "other.example");
  EXPECT_FALSE(read.profile.verify);
  EXPECT_EQ(read.profile.min_version, TlsProfile::Version::kTls10);
  EXPECT_EQ(read.profile.max_version, TlsProfile::Version::kTls12);
  EXPECT_THAT(read.files, ElementsAre("ca.pem", "key.pem"));
}

TEST(TlsConfig, LoadTimeChecks) {
  EXPECT_THAT(ReadTls("tls_config: {ca: a, ca_file: b}").errors, HasSubstr("at most one of ca"));
  EXPECT_THAT(ReadTls("tls_config: {ca_file: b, ca_ref: c}").errors, HasSubstr("at most one of"));
  EXPECT_THAT(ReadTls("tls_config: {cert: a}").errors, HasSubstr("key or key_file"));
  EXPECT_THAT(ReadTls("tls_config: {key_file: a}").errors, HasSubstr("cert or cert_file"));
  EXPECT_THAT(ReadTls("tls_config: {ca_ref: a}").errors, HasSubstr("no secret manager"));
  EXPECT_THAT(ReadTls("tls_config: {min_version: TLS9}").errors,
              HasSubstr("unknown TLS version: TLS9"));
  EXPECT_THAT(ReadTls("tls_config: {max_version: TLS11}").errors, HasSubstr("below min_version"));
  EXPECT_THAT(ReadTls("tls_config: {server: a}").errors, HasSubstr("unknown key"));
  EXPECT_FALSE(ReadTls("tls_config: {ca: a, ca_file: b}").present);
  EXPECT_EQ(ReadTls("tls_config: {cert: a, key: b}").errors, "");
  EXPECT_EQ(ReadTls("tls_config: {cert: a, key: b}").profile.fault, "");
  for (const char* fails : {"tls_config: {ca_ref: a}", "tls_config: {cert: a, key_ref: b}",
                            "tls_config: {max_version: TLS11}"}) {
    EXPECT_TRUE(ReadTls(fails).present) << fails;
    EXPECT_THAT(ReadTls(fails).errors, HasSubstr("warning: ")) << fails;
    EXPECT_NE(ReadTls(fails).profile.fault, "") << fails;
  }
}

TEST(TlsConfig, ResumesWhenAskedTo) {
  EXPECT_FALSE(ReadTls("tls_config: {}").profile.resumes());
  EXPECT_FALSE(ReadTls("tls_config: {full_handshake_every: 1}").profile.resumes());
  const auto read = ReadTls("tls_config: {full_handshake_every: 10, full_handshake_max_age: 5m}");
  EXPECT_EQ(read.errors, "");
  EXPECT_TRUE(read.profile.resumes());
  EXPECT_EQ(read.profile.full_handshake_every, 10);
  EXPECT_EQ(read.profile.full_handshake_max_age, Minutes(5));
  EXPECT_EQ(ReadTls("tls_config: {full_handshake_max_age: 7d}").errors, "");
  for (const char* bad :
       {"full_handshake_every: 0", "full_handshake_every: 1000001", "full_handshake_max_age: 0s",
        "full_handshake_max_age: -1s", "full_handshake_max_age: 169h"}) {
    EXPECT_THAT(ReadTls("tls_config: {" + std::string(bad) + "}").errors,
                HasSubstr("tls_config.full_handshake_"))
        << bad;
  }
}

std::string Parse(std::string_view text) {
  HostPort parts;
  std::string error;
  if (!ParseHostPort(text, &parts, &error)) return "error: " + error;
  return parts.host + " " + std::to_string(parts.port);
}

TEST(ParseHostPort, TakesNamesAddressesAndServices) {
  EXPECT_EQ(Parse("shop.example:80"), "shop.example 80");
  EXPECT_EQ(Parse("192.0.2.1:65535"), "192.0.2.1 65535");
  EXPECT_EQ(Parse("[2001:db8::1]:443"), "2001:db8::1 443");
  EXPECT_EQ(Parse("mail:smtp"), "mail 25");
  EXPECT_EQ(Parse("mail:SMTP"), "mail 25");
  EXPECT_EQ(Parse("db:postgresql"), "db 5432");
  EXPECT_EQ(Parse("a_b.example:00080"), "a_b.example 80");
}

TEST(ParseHostPort, SaysWhatIsWrong) {
  EXPECT_THAT(Parse("shop.example"), HasSubstr("missing port in address"));
  EXPECT_THAT(Parse("[::1]"), HasSubstr("missing port in address"));
  EXPECT_THAT(Parse("[::1]80"), HasSubstr("missing port in address"));
  EXPECT_THAT(Parse("::1:80"), HasSubstr("too many colons in address"));
  EXPECT_THAT(Parse("a:b:80"), HasSubstr("too many colons in address"));
  EXPECT_THAT(Parse("[::1:80"), HasSubstr("missing ']'"));
  EXPECT_THAT(Parse("[shop.example]:80"), HasSubstr("no IPv6 address"));
  EXPECT_THAT(Parse(":80"), HasSubstr("host is missing"));
  EXPECT_THAT(Parse("[]:80"), HasSubstr("brackets"));
  EXPECT_THAT(Parse(""), HasSubstr("missing port"));
  for (const char* text : {"a:0", "a:65536", "a:", "a:-1", "a:80x", "a: 80", "a:no-such-service",
                           "a:999999999999999999999"}) {
    EXPECT_THAT(Parse(text), HasSubstr("unknown port")) << text;
  }
  for (const char* text : {"a b:80", "a\r\nb:80", "http://a:80", "user@a:80", "a\x7f:80"}) {
    EXPECT_THAT(Parse(text), HasSubstr("error")) << text;
  }
  EXPECT_THAT(Parse(std::string(300, 'a') + ":80"), HasSubstr("not a host name"));
}

TEST(ParseShare, TakesRatiosAndPercents) {
  for (const auto& [text, share] : {std::pair{"0", 0.0},
                                    {"1", 1.0},
                                    {"0.25", 0.25},
                                    {"0%", 0.0},
                                    {"20%", 0.2},
                                    {"12.5%", 0.125},
                                    {"100%", 1.0}}) {
    EXPECT_DOUBLE_EQ(ParseShare(text).value_or(-1), share) << text;
  }
  for (const char* text : {"", "%", "20", "1.01", "-0.1", "-1%", "101%", ".nan", ".nan%", ".inf",
                           "20 %", "20%%", "some"}) {
    EXPECT_FALSE(ParseShare(text)) << text;
  }
}

TEST(DestinationOf, IsOneSpelling) {
  EXPECT_EQ(DestinationOf("Shop.Example", 0), "shop.example");
  EXPECT_EQ(DestinationOf("2001:DB8::1", 0), "2001:db8::1");
  EXPECT_EQ(DestinationOf("Shop.Example", 80), "shop.example:80");
  EXPECT_EQ(DestinationOf("2001:DB8::1", 80), "[2001:db8::1]:80");
}

uint64_t HashOf(std::string_view yaml) {
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(yaml, diagnostics);
  EXPECT_TRUE(diagnostics.ok());
  return ContentHash().Add(&document.root()).value();
}

TEST(ContentHash, FollowsContentOnly) {
  EXPECT_EQ(HashOf("{a: 1, b: [x, y]}"), HashOf("b:\n- x\n- y\na: 1\n"));
  EXPECT_EQ(HashOf("{a: 1, b: null}"), HashOf("{a: 1}"));
  EXPECT_EQ(HashOf("{a: 1, b: {}}"), HashOf("{a: 1}"));
  EXPECT_EQ(HashOf("{}"), ContentHash().Add(nullptr).value());
  EXPECT_NE(HashOf("{a: 1}"), HashOf("{a: 2}"));
  EXPECT_NE(HashOf("{a: 1}"), HashOf("{a: '1'}"));
  EXPECT_NE(HashOf("{a: [x, y]}"), HashOf("{a: [y, x]}"));
  EXPECT_NE(HashOf("{a: [x, y]}"), HashOf("{a: [xy]}"));
  EXPECT_NE(HashOf("{a: []}"), HashOf("{a: ''}"));
}

TEST(ContentHash, PartsKeepTheirBorders) {
  EXPECT_NE(ContentHash().Add("ab").Add("c").value(), ContentHash().Add("a").Add("bc").value());
  EXPECT_NE(ContentHash().Add("").value(), ContentHash().value());
  EXPECT_EQ(ContentHash().Add("a").value(), ContentHash().Add("a").value());
}

}  // namespace
}  // namespace sonde
