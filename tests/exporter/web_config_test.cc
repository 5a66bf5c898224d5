// Web configuration files, good and bad: every rule at load time, with the place it names.
#include "exporter/web_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "store/yaml_reader.h"
#include "tests/support/fake_files.h"
#include "tests/support/test_certificates.h"

namespace sonde {
namespace {

using testing::HasSubstr;

constexpr std::string_view kHash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

class WebConfigTest : public testing::Test {
 protected:
  WebConfigTest() {
    const TestCertificates& certificates = TestCertificates::Get();
    files_.contents["dir/cert.pem"] = certificates.good.Pem();
    files_.contents["dir/key.pem"] = certificates.good.KeyPem();
    files_.contents["dir/other.pem"] = certificates.self_signed.KeyPem();
    files_.contents["dir/ca.pem"] = certificates.ca.Pem();
    files_.contents["/abs/ca.pem"] = certificates.ca.Pem() + certificates.other_ca.Pem();
    files_.contents["dir/empty.pem"] = "";
    files_.contents["dir/junk.pem"] =
        "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n";
    files_.contents["dir/locked.pem"] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
  }
  WebConfig Read(const std::string& text) {
    diagnostics_ = Diagnostics();
    const YamlDocument document = ReadYaml(text, diagnostics_);
    return ReadWebConfig(document.root(), "dir/", files_, diagnostics_);
  }
  std::string Findings(const std::string& text) {
    Read(text);
    return diagnostics_.ToString("web.yml");
  }

  FakeFiles files_;
  Diagnostics diagnostics_;
};

constexpr const char* kPair = "cert_file: cert.pem, key_file: key.pem";
std::string Tls(const std::string& more) {
  return "tls_server_config: {" + std::string(kPair) + (more.empty() ? "" : ", ") + more + "}\n";
}

TEST_F(WebConfigTest, Good) {
  const std::string kFiles[] = {
      "{}",
      "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
      "tls_server_config: {}\n",
      "tls_server_config: {min_version: TLS13}\n",  // asks for nothing: plain HTTP
      "tls_server_config: {cert_file: '', key_file: ''}\n",
      Tls(""),
      Tls("client_auth_type: NoClientCert"),
      Tls("client_auth_type: RequestClientCert"),
      Tls("client_auth_type: RequireAnyClientCert"),
      Tls("client_auth_type: RequireClientCert"),
      Tls("client_auth_type: VerifyClientCertIfGiven"),
      Tls("client_auth_type: RequireAndVerifyClientCert"),
      Tls("client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"),
      Tls("client_auth_type: VerifyClientCertIfGiven, client_ca_file: /abs/ca.pem"),
      Tls("client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, "
          "client_allowed_sans: [a.example, 10.0.0.1]"),
      Tls("min_version: TLS10"),
      Tls("min_version: TLS11, max_version: TLS12"),
      Tls("max_version: TLS13, min_version: TLS13"),
      Tls("cipher_suites: []"),
      Tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]"),
      Tls("cipher_suites: [TLS_AES_256_GCM_SHA384]"),
      Tls("curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]"),
      Tls("prefer_server_cipher_suites: false"),
      "http_server_config: {http2: true}\n",
      "http_server_config: {http2: false, headers: {}}\n",
      "http_server_config: {headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff, "
      "X-XSS-Protection: '1', Strict-Transport-Security: max-age=1, "
      "Content-Security-Policy: 'default-src https:'}}\n",
      "http_server_config: {headers: {X-XSS-Protection: ''}}\n",
      "basic_auth_users: {}\n",
      "basic_auth_users: {ann: " + std::string(kHash) + ", '': " + std::string(kHash) + "}\n",
      "rate_limit: {}\n",
      "rate_limit: {interval: 0, burst: 0}\n",
      "rate_limit: {interval: 1s, burst: 20}\n",
      "rate_limit: {interval: 1000000, burst: 1}\n",  // Go's nanoseconds
      "rate_limit: {burst: 3}\n",
  };
  for (const std::string& text : kFiles) { EXPECT_EQ(Findings(text), "") << text; }
}

TEST_F(WebConfigTest, Bad) {
  struct Row {
    std::string text;
    const char* finding;
  };
  const Row kRows[] = {
      {"[]", "web.yml:1:1: "},
      {"x: 1\n", "web.yml:1:1: unknown key 'x'"},
      {"tls_server_confg: {}\n", "did you mean 'tls_server_config'?"},
      {"tls_server_config: x\n", "web.yml:1:20: tls_server_config: "},
      {"tls_server_config: {cert: 1, cert: 2}\n", "web.yml:1:30: "},
      {"tls_server_config:\n  cert_file: cert.pem\n", "key_file: is missing"},
      {"tls_server_config:\n  key_file: key.pem\n", "cert_file: is missing"},
      {"tls_server_config: {client_auth_type: NoClientCert}\n", "cert_file: is missing"},
      {"tls_server_config: {client_auth_type: RequestClientCert, client_ca_file: ca.pem}\n",
       "key_file: is missing"},
      {"tls_server_config:\n  cert_file: none.pem\n  key_file: key.pem\n",
       "web.yml:2:3: tls_server_config.cert_file: open 'dir/none.pem': No such file"},
      {"tls_server_config:\n  cert_file: cert.pem\n  key_file: none.pem\n",
       "web.yml:3:3: tls_server_config.key_file: open 'dir/none.pem': No such file"},
      {"tls_server_config: {cert_file: empty.pem, key_file: key.pem}\n",
       "tls_server_config.cert_file: holds no certificate"},
      {"tls_server_config: {cert_file: junk.pem, key_file: key.pem}\n",
       "tls_server_config.cert_file: holds no certificate"},
      {"tls_server_config: {cert_file: cert.pem, key_file: cert.pem}\n",
       "tls_server_config.key_file: holds no private key"},
      {"tls_server_config: {cert_file: cert.pem, key_file: locked.pem}\n",
       "tls_server_config.key_file: holds no private key"},
      {"tls_server_config: {cert_file: cert.pem, key_file: other.pem}\n",
       "tls_server_config.key_file: does not belong to the certificate"},
      {"tls_server_config: {cert: x, key: y}\n", "tls_server_config.cert: holds no certificate"},
      {Tls("client_auth_type: Sometimes"),
       "'Sometimes' is none of NoClientCert, RequestClientCert"},
      {Tls("client_auth_type: [a]"), "tls_server_config.client_auth_type: "},
      {Tls("client_ca_file: ca.pem"), "client_ca_file: needs a client_auth_type"},
      {Tls("client_ca_file: ca.pem, client_auth_type: NoClientCert"),
       "client_ca_file: needs a client_auth_type"},
      {Tls("client_ca: x"), "client_ca: needs a client_auth_type"},
      {Tls("client_ca_file: none.pem, client_auth_type: RequestClientCert"), "No such file"},
      {Tls("client_ca_file: key.pem, client_auth_type: RequestClientCert"), "holds no certificate"},
      {Tls("client_ca: junk, client_auth_type: RequestClientCert"),
       "tls_server_config.client_ca: holds no certificate"},
      {Tls("client_allowed_sans: x, client_auth_type: RequestClientCert"), "must be a list"},
      {Tls("client_allowed_sans: [], client_auth_type: RequestClientCert"), "is empty"},
      {Tls("min_version: TLS9"), "min_version: 'TLS9' is none of TLS10, TLS11, TLS12, TLS13"},
      {Tls("max_version: '1.2'"), "max_version: '1.2' is none of"},
      {Tls("min_version: TLS13, max_version: TLS12"), "max_version: is below min_version"},
      {Tls("max_version: TLS11"), "max_version: is below min_version"},
      {Tls("cipher_suites: [TLS_NONE]"), "cipher_suites: 'TLS_NONE' is none of TLS_ECDHE"},
      {Tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"), "'TLS_RSA_WITH_RC4_128_SHA' is none"},
      {Tls("cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]"), "is none of"},
      {Tls("cipher_suites: TLS_AES_128_GCM_SHA256"), "must be a list"},
      {Tls("cipher_suites: [TLS_AES_128_GCM_SHA256], max_version: TLS12"), "no suite of TLS 1.2"},
      {Tls("curve_preferences: [P-256]"), "curve_preferences: 'P-256' is none of CurveP256"},
      {Tls("prefer_server_cipher_suites: maybe"), "prefer_server_cipher_suites: "},
      {Tls("ca_file: x"), "tls_server_config: unknown key 'ca_file'"},
      {"tls_server_config: {min_version: TLS9}\n", "'TLS9' is none of"},  // read all the same
      {"http_server_config: {http2: maybe}\n", "http_server_config.http2: "},
      {"http_server_config: {http3: true}\n", "http_server_config: unknown key 'http3'"},
      {"http_server_config: {headers: [a]}\n", "headers: must be a mapping"},
      {"http_server_config:\n  headers:\n    Server: x\n",
       "web.yml:3:5: http_server_config.headers.Server: cannot be set, only Strict-Transport"},
      {"http_server_config: {headers: {x-frame-options: deny}}\n", "cannot be set"},
      {"http_server_config: {headers: {X-Frame-Options: DENY}}\n",
       "must be deny, sameorigin, not 'DENY'"},
      {"http_server_config: {headers: {X-Frame-Options: }}\n", "must be deny, sameorigin"},
      {"http_server_config: {headers: {X-Content-Type-Options: sniff}}\n", "must be nosniff"},
      {"http_server_config: {headers: {X-XSS-Protection: [a]}}\n", "must be text"},
      {"http_server_config: {headers: {X-XSS-Protection: \"a\\r\\nb: c\"}}\n", "control character"},
      {"basic_auth_users: [ann]\n", "basic_auth_users: must be a mapping"},
      {"basic_auth_users: {ann: secret}\n",
       "web.yml:1:20: basic_auth_users.ann: the password is no"},
      {"basic_auth_users: {ann: }\n", "basic_auth_users.ann: the password is no bcrypt hash"},
      {"basic_auth_users: {ann: [a]}\n", "must be text"},
      {"basic_auth_users: {ann: $2b$31$" + std::string(kHash.substr(7)) + "}\n", "costs too much"},
      {"basic_auth_users: {'a:b': " + std::string(kHash) + "}\n", "can never log in"},
      {"basic_auth_users: {a: " + std::string(kHash) + ", a: x}\n", "a"},
      {"rate_limit: 5\n", "rate_limit: must be a mapping"},
      {"rate_limit: {interval: soon}\n", "rate_limit.interval: "},
      {"rate_limit: {interval: -1s, burst: 1}\n", "rate_limit.interval: must be between"},
      {"rate_limit: {interval: -5, burst: 1}\n", "rate_limit.interval: "},
      {"rate_limit: {interval: 25h, burst: 1}\n", "rate_limit.interval: must be between"},
      {"rate_limit: {interval: 1s, burst: -1}\n", "rate_limit.burst: "},
      {"rate_limit: {interval: 1s, burst: 1.5}\n", "rate_limit.burst: "},
      {"rate_limit: {every: 1s}\n", "rate_limit: unknown key 'every'"},
  };
  for (const Row& row : kRows) {
    EXPECT_THAT(Findings(row.text), HasSubstr(row.finding)) << row.text;
    EXPECT_FALSE(diagnostics_.ok()) << row.text;
  }
}

TEST_F(WebConfigTest, NothingOfAPasswordIsSaid) {
  EXPECT_THAT(Findings("basic_auth_users: {ann: opensesame}\n"),
              testing::Not(HasSubstr("opensesame")));
}

TEST_F(WebConfigTest, EverythingWrongIsSaidAtOnce) {
  const std::string text = Findings(
      "tls_server_config: {cert_file: none.pem, min_version: x}\n"
      "http_server_config: {headers: {Server: x}}\n"
      "basic_auth_users: {ann: secret}\n"
      "rate_limit: {burst: x}\n");
  EXPECT_EQ(diagnostics_.errors(), 6u) << text;
}

TEST_F(WebConfigTest, Warnings) {
  for (const auto& [text, finding] : {
           std::pair{Tls("client_allowed_sans: [a]"), "changes nothing: client_auth_type asks"},
           std::pair{Tls("key: x"), "key: does not count beside key_file"},
           std::pair{std::string("rate_limit: {interval: 1s}\n"), "no request is ever answered"},
       }) {
    EXPECT_THAT(Findings(text), HasSubstr(finding)) << text;
    EXPECT_TRUE(diagnostics_.ok()) << text;
  }
}

TEST_F(WebConfigTest, Values) {
  const WebConfig config =
      Read(Tls("client_auth_type: RequireAndVerifyClientCert, client_ca_file: /abs/ca.pem") +
           "http_server_config: {headers: {X-Frame-Options: deny, X-XSS-Protection: ''}}\n"
           "basic_auth_users: {ann: " +
           std::string(kHash) +
           "}\n"
           "rate_limit: {interval: 100ms, burst: 7}\n");
  ASSERT_TRUE(diagnostics_.ok()) << diagnostics_.ToString("");
  EXPECT_NE(config.tls, nullptr);
  ASSERT_EQ(config.headers.size(), 1u);
  EXPECT_EQ(config.headers[0].name, "X-Frame-Options");
  EXPECT_EQ(config.headers[0].value, "deny");
  bool known = false;
  EXPECT_EQ(config.users.HashOf("ann", &known), kHash);
  EXPECT_DOUBLE_EQ(config.rate, 10);
  EXPECT_DOUBLE_EQ(config.burst, 7);
  EXPECT_EQ(config.files, (std::vector<std::string>{"/abs/ca.pem", "dir/cert.pem", "dir/key.pem"}));
}

TEST_F(WebConfigTest, PlainHttpWhereNothingAsksForTls) {
  EXPECT_EQ(Read("{}").tls, nullptr);
  EXPECT_EQ(Read("tls_server_config: {min_version: TLS13}\n").tls, nullptr);
}

TEST_F(WebConfigTest, InlineMaterial) {
  const TestCertificates& certificates = TestCertificates::Get();
  const auto block = [](const std::string& key, const std::string& pem) {
    std::string text = "  " + key + ": |\n";
    for (size_t at = 0; at < pem.size();) {
      const size_t end = std::min(pem.find('\n', at), pem.size());
      text += "    " + pem.substr(at, end - at) + "\n";
      at = end + 1;
    }
    return text;
  };
  const WebConfig config =
      Read("tls_server_config:\n" + block("cert", certificates.good.Pem()) +
           block("key", certificates.good.KeyPem()) + block("client_ca", certificates.ca.Pem()) +
           "  client_auth_type: RequireAndVerifyClientCert\n");
  EXPECT_EQ(diagnostics_.ToString(""), "");
  EXPECT_NE(config.tls, nullptr);
  EXPECT_TRUE(config.files.empty());
}

}  // namespace
}  // namespace sonde
