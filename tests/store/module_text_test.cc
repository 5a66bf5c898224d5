#include "store/module_text.h"

#include <gtest/gtest.h>

#include "store/yaml_reader.h"

namespace sonde {
namespace {

std::string TextOf(std::string_view yaml) {
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(yaml, diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("");
  return ModuleText(document.root());
}

TEST(ModuleText, EveryProbersDefaultsAreThere) {
  EXPECT_EQ(TextOf("{prober: tcp, timeout: 5s}"),
            "prober: tcp\ntimeout: 5s\n"
            "http:\n  ip_protocol_fallback: true\n  follow_redirects: true\n"
            "  enable_http2: true\n"
            "tcp:\n  ip_protocol_fallback: true\n"
            "icmp:\n  ip_protocol_fallback: true\n  ttl: 64\n"
            "dns:\n  ip_protocol_fallback: true\n  recursion_desired: true\n");
}

TEST(ModuleText, SecretsAreMasked) {
  const std::string text = TextOf(R"(
prober: http
http:
  basic_auth: {username: u, password: geheim}
  authorization: {credentials: geheim, credentials_file: /a/file}
  bearer_token: geheim
  oauth2: {client_id: me, client_secret: geheim, client_certificate_key: geheim, tls_config: {key: geheim}}
  tls_config: {key: geheim, cert: shown, key_file: /k}
  proxy_url: "http://u:geheim@proxy:3128/x"
  proxy_connect_header: {A: [geheim, geheim]}
  http_headers: {X-Token: {secrets: [geheim], values: [shown], files: [/f]}}
  headers: {password: shown, secrets-like: shown}
  body: shown
)");
  EXPECT_EQ(text.find("geheim"), std::string::npos) << text;
  for (const char* line :
       {"    password: <secret>\n", "    credentials: <secret>\n", "  bearer_token: <secret>\n",
        "    client_secret: <secret>\n", "    client_certificate_key: <secret>\n",
        "      key: <secret>\n", "    key: <secret>\n", "    key_file: /k\n",
        "  proxy_url: \"http://u:xxxxx@proxy:3128/x\"\n",
        "    A:\n    - <secret>\n    - <secret>\n", "      secrets:\n      - <secret>\n",
        "      values:\n      - shown\n", "  body: shown\n", "    password: shown\n",
        "    username: u\n", "    credentials_file: /a/file\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

// What is shown can be read again, and shows the same.
TEST(ModuleText, ReadsBack) {
  const std::string text = TextOf(R"(
prober: tcp
tcp:
  query_response:
  - expect: "^220 ([^ ]+) \\\"x\\\"$"
  - {send: "EHLO\r", starttls: yes}
  - {}
  -
  tls_config: {server_name: "on", min_version: "1"}
http: {no_follow_redirects: true, valid_status_codes: [200, 404], headers: {"a: b": "#x", A: "über"}}
unix: {query_response: []}
)");
  EXPECT_EQ(TextOf(text), text);
  EXPECT_NE(text.find("  follow_redirects: false\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("no_follow_redirects"), std::string::npos) << text;
}

TEST(YamlScalar, ReadsBackAsText) {
  for (const std::string& plain : {std::string("on"), std::string("12"), std::string(""),
                                   std::string("~"), std::string("a: b"), std::string("\x01\n\t"),
                                   std::string("- x"), std::string("\"q\\"), std::string("ü")}) {
    Diagnostics diagnostics;
    const std::string yaml = "k: " + YamlScalar(plain) + "\n";
    const YamlDocument document = ReadYaml(yaml, diagnostics);
    ASSERT_TRUE(diagnostics.ok()) << yaml;
    const ConfigNode* node = document.root().Find("k");
    ASSERT_NE(node, nullptr) << yaml;
    EXPECT_EQ(node->text, plain) << yaml;
    EXPECT_EQ(node->kind, ConfigNode::Kind::kScalar) << yaml;
  }
}

TEST(ModuleText, IsBounded) {
  std::string yaml = "prober: http\nhttp:\n  valid_http_versions:\n";
  for (int i = 0; i < 100'000; ++i) yaml += "  - " + std::string(20, 'x') + "\n";
  EXPECT_LT(TextOf(yaml).size(), size_t{1} << 21);
}

}  // namespace
}  // namespace sonde
