#include "protocols/http_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocols/http_words.h"
#include "tests/protocols/http_probe.h"

namespace sonde {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::shared_ptr<const HttpModule> Parse(std::string_view yaml) {
  const ModuleText text = ReadModule(HttpProber(), yaml);
  EXPECT_NE(text.module, nullptr) << yaml << "\n" << text.errors();
  return std::static_pointer_cast<const HttpModule>(text.module);
}

std::string ErrorsOf(std::string_view yaml) {
  const ModuleText text = ReadModule(HttpProber(), yaml);
  EXPECT_EQ(text.module, nullptr) << yaml;
  return text.errors();
}

// Loads, but says something.
std::string WarningsOf(std::string_view yaml) {
  const ModuleText text = ReadModule(HttpProber(), yaml);
  EXPECT_NE(text.module, nullptr) << yaml << "\n" << text.errors();
  EXPECT_FALSE(text.diagnostics.all().empty()) << yaml;
  return text.errors();
}

TEST(HttpOptionsTest, Defaults) {
  const auto module = Parse("");
  EXPECT_EQ(module->method, "GET");
  EXPECT_TRUE(module->valid_status.Has(204));
  EXPECT_FALSE(module->valid_status.Has(301));
  EXPECT_TRUE(module->follow_redirects);
  EXPECT_TRUE(module->export_untrusted_certificates);
  EXPECT_EQ(module->network.preferred_family, IpFamily::kV6);
  EXPECT_TRUE(module->network.fallback);
  EXPECT_EQ(module->compression, Compression::kNone);
  EXPECT_EQ(module->header_size_limit, 256u * 1024);
  EXPECT_THAT(module->tls.alpn, ElementsAre("h2", "http/1.1"));
  EXPECT_THAT(module->files, IsEmpty());
  EXPECT_TRUE(module->refusal.empty());
}

// The keys of blackbox_exporter's own example file, and of its manual.
TEST(HttpOptionsTest, WholeBlock) {
  const ModuleText text = ReadModule(HttpProber(), R"(
valid_http_versions: ["HTTP/1.1", "HTTP/1.0"]
valid_status_codes: [200, 301]
method: POST
headers:
  Host: vhost.example
  Accept-Language: en-US
  origin: example.com
no_follow_redirects: false
fail_if_ssl: false
fail_if_not_ssl: true
fail_if_body_matches_regexp: ["Could not connect to database"]
fail_if_body_not_matches_regexp: ["Download the latest version here"]
fail_if_header_matches:
  - header: Set-Cookie
    allow_missing: true
    regexp: '.*'
fail_if_header_not_matches:
  - header: Access-Control-Allow-Origin
    regexp: '(\*|example\.com)'
tls_config: {insecure_skip_verify: true, ca_file: /ca.pem}
preferred_ip_protocol: ip4
ip_protocol_fallback: false
body: '{"a": 1}'
compression: gzip
body_size_limit: 1MB
basic_auth: {username: u, password_file: /pw}
enable_http2: true
skip_resolve_phase_with_proxy: true
http_headers: {X-Key: {values: [a], secrets: [b], files: [/c]}}
close: reset
)");
  ASSERT_NE(text.module, nullptr) << text.errors();
  const auto& module = static_cast<const HttpModule&>(*text.module);
  EXPECT_EQ(module.method, "POST");
  EXPECT_EQ(module.host, "vhost.example");
  EXPECT_EQ(module.headers.size(), 2u);
  EXPECT_EQ(module.FindHeader("ORIGIN")->value, "example.com");
  EXPECT_TRUE(module.valid_status.Has(301));
  EXPECT_FALSE(module.valid_status.Has(204));
  EXPECT_EQ(module.body_size_limit, 1u << 20);
  EXPECT_EQ(module.network.close, NetworkOptions::Close::kReset);
  EXPECT_FALSE(module.tls.verify);
  EXPECT_THAT(module.files, ElementsAre("/ca.pem", "/pw", "/c"));
  EXPECT_EQ(module.extra_headers.size(), 3u);
  EXPECT_TRUE(module.names_files);
  EXPECT_EQ(module.header_matches.at(0).name, "set-cookie");
  EXPECT_TRUE(module.header_matches.at(0).allow_missing);
  // Only the deprecated key is worth a word.
  ASSERT_EQ(text.diagnostics.all().size(), 1u) << text.errors();
  EXPECT_THAT(text.errors(), HasSubstr("no_follow_redirects"));
}

TEST(HttpOptionsTest, ErrorsNameTheKey) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"methode: GET", "did you mean 'method'"},
      {"method: \"GE\\rT\"", "CR, LF or NUL"},
      {"method: \"GET\\n\"", "CR, LF or NUL"},
      {"method: \"G\\0T\"", "CR, LF or NUL"},
      {"headers: {\"X\\r\\nY\": a}", "not a header name"},
      {"headers: {\"X Y\": a}", "not a header name"},
      {"headers: {\"\": a}", "not a header name"},
      {"headers: {X: \"a\\r\\nEvil: b\"}", "CR, LF"},
      {"headers: {X: \"a\\nb\"}", "CR, LF"},
      {"headers: {X: \"a\\0b\"}", "CR, LF"},
      {"headers: {Host: \"a b\"}", "not a host"},
      {"headers: {Host: \"a\\r\\nb\"}", "CR, LF"},
      {"bearer_token: \"a\\nb\"", "CR, LF"},
      {"authorization: {type: \"a\\nb\", credentials: x}", "CR, LF"},
      {"http_headers: {X: {values: [\"a\\nb\"]}}", "CR, LF"},
      {"body: a\nbody_file: b", "body and body_file both"},
      {"keep_alive: true\nenable_http2: true", "connections of HTTP/2 are not kept"},
      {"keep_alive: true\nkeep_alive_max_age: 0s", "longer than 0s"},
      {"valid_status_codes: [2x]", "not a status code"},
      {"body_size_limit: 10", "body_size_limit"},
      {"header_size_limit: 17MiB", "between"},
      {"fail_if_body_matches_regexp: ['(']", "Could not compile regular expression"},
      {"fail_if_body_not_matches_regexp: ['a{1001}']", "Could not compile regular expression"},
      {"fail_if_header_matches: [{regexp: a}]", "header name must be set"},
      {"fail_if_header_matches: [{header: a}]", "regexp must be set"},
      {"fail_if_header_not_matches: [{header: a, regexp: '('}]", "Could not compile"},
      {"fail_if_header_matches: [{header: a, regexp: b, missing: true}]", "unknown key"},
      {"bearer_token: a\nbearer_token_file: b", "at most one"},
      {"bearer_token: a\nbasic_auth: {username: u}", "at most one"},
      {"basic_auth: {username: u}\nauthorization: {credentials: c}", "at most one"},
      {"basic_auth: {password: p, password_file: f}", "at most one"},
      {"basic_auth: {username: p, username_file: f}", "at most one"},
      {"fail_if_body_json_matches_cel: ''", "Could not compile CEL program"},
      {"authorization: {credentials: p, credentials_file: f}", "at most one"},
      {"authorization: {type: Basic, credentials: p}", "use \"basic_auth\""},
      {"oauth2: {token_url: http://t}", "client_id"},
      {"oauth2: {client_id: a}", "token_url"},
      {"oauth2: {client_id: a, token_url: b, client_secret: c, client_secret_file: d}",
       "at most one"},
      {"oauth2: {client_id: a, token_url: b, nonsense: c}", "unknown key"},
      {"proxy_connect_header: {A: [b]}", "proxy_url or proxy_from_environment must"},
      {"proxy_from_environment: true\nproxy_url: http://p", "must not be configured"},
      {"proxy_from_environment: true\nno_proxy: x", "must not be configured"},
      {"no_proxy: x", "proxy_url must also"},
      {"http_headers: {Authorization: {values: [a]}}", "is not allowed"},
      {"http_headers: {user-agent: {values: [a]}}", "is not allowed"},
      {"valid_http_versions: [HTTP/3.0]", "enable_http3"},
      {"enable_http3: true\nvalid_http_versions: [HTTP/1.1]", "cannot be listed"},
      {"enable_http3: true", "enable_http2 must be set to false"},
      {"headers: {Accept-Encoding: deflate}\ncompression: gzip", "invalid configuration"},
      {"tls_config: {min_version: TLS9}", "unknown TLS version"},
  };
  for (const auto& [yaml, message] : kCases) {
    EXPECT_THAT(ErrorsOf(yaml), HasSubstr(std::string(message))) << yaml;
  }
}

TEST(HttpOptionsTest, EveryErrorOfABlockIsReported) {
  const ModuleText text =
      ReadModule(HttpProber(), "a: 1\nb: 2\nmethod: \"\\n\"\nbody_size_limit: x");
  EXPECT_EQ(text.diagnostics.errors(), 4u) << text.errors();
}

TEST(HttpOptionsTest, WhatDoesNotWorkYetIsSaidAndRefused) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"oauth2: {client_id: a, client_secret: s, token_url: http://t}",
       "'oauth2' is not supported"},
      {"fail_if_body_json_matches_cel: 'body.a'", "'fail_if_body_json_matches_cel' is not"},
      {"fail_if_body_json_not_matches_cel: 'body.a'", "'fail_if_body_json_not_matches_cel' is not"},
      {"enable_http3: true\nenable_http2: false", "'enable_http3' is not supported"},
  };
  for (const auto& [yaml, message] : kCases) {
    EXPECT_THAT(WarningsOf(yaml), HasSubstr(std::string(message))) << yaml;
    auto probe = MakeHttpProbe({.module = std::string(yaml)});
    probe->Start();
    EXPECT_EQ(probe->outcome(), Outcome::kProberConfig) << yaml;
    EXPECT_THAT(probe->evidence().detail, HasSubstr(std::string(message)));
    EXPECT_FALSE(probe->result().facts.Has(Fact::kHttpResolve));
    EXPECT_EQ(FactOf(*probe, Fact::kHttpStatusCode), 0);
  }
}

TEST(HttpOptionsTest, SilentKeys) {
  for (const char* yaml :
       {"enable_http2: true", "enable_http2: false", "proxy_url: ''", "enable_http3: false",
        "follow_redirects: false", "compression: identity"}) {
    const ModuleText text = ReadModule(HttpProber(), yaml);
    ASSERT_NE(text.module, nullptr) << text.errors();
    EXPECT_TRUE(text.diagnostics.all().empty()) << text.errors();
    EXPECT_TRUE(static_cast<const HttpModule&>(*text.module).refusal.empty());
  }
}

TEST(HttpOptionsTest, OddKeysAreWarnedAbout) {
  EXPECT_THAT(WarningsOf("method: 'G T'"), HasSubstr("not a method"));
  EXPECT_THAT(WarningsOf("method: CONNECT"), HasSubstr("CONNECT"));
  EXPECT_THAT(WarningsOf("basic_auth: {password_ref: p}"), HasSubstr("no secret manager"));
  EXPECT_THAT(WarningsOf("compression: zstd"), HasSubstr("not a compression"));
  EXPECT_THAT(WarningsOf("valid_http_versions: [HTTP/2]"), HasSubstr("never met"));
  EXPECT_THAT(WarningsOf("headers: {Content-Length: 5}"), HasSubstr("not sent"));
  EXPECT_THAT(WarningsOf("preferred_ip_protocol: anything"), HasSubstr("ip4"));
  EXPECT_THAT(WarningsOf("method: POST\nkeep_alive: true"), HasSubstr("not be sent twice"));
  EXPECT_THAT(WarningsOf("keep_alive: true\nproxy_url: http://p:1"), HasSubstr("not kept"));
}

TEST(HttpOptionsTest, KeepAliveIsForHttp1AndWhatMayBeSentTwice) {
  const auto read = [](std::string_view yaml) {
    const ModuleText text = ReadModule(HttpProber(), yaml);
    EXPECT_TRUE(text.module) << yaml << ": " << text.errors();
    const auto& module = static_cast<const HttpModule&>(*text.module);
    return std::pair(module.keep, module.tls.alpn.size());
  };
  EXPECT_EQ(read(""), std::pair(Duration{}, size_t{2}));
  EXPECT_EQ(read("keep_alive: false"), std::pair(Duration{}, size_t{2}));
  EXPECT_EQ(read("keep_alive: true"), std::pair(HttpModule::kDefaultKeep, size_t{1}));
  EXPECT_EQ(read("keep_alive: true\nkeep_alive_max_age: 10s"), std::pair(Seconds(10), size_t{1}));
  EXPECT_EQ(read("keep_alive: true\nmethod: PUT"), std::pair(HttpModule::kDefaultKeep, size_t{1}));
  EXPECT_EQ(read("keep_alive: true\nmethod: PATCH"), std::pair(Duration{}, size_t{2}));
  EXPECT_EQ(read("keep_alive: true\nproxy_url: http://p:1"), std::pair(Duration{}, size_t{2}));
  EXPECT_EQ(read("keep_alive: true\nenable_http2: false"),
            std::pair(HttpModule::kDefaultKeep, size_t{1}));
}

// blackbox_contract 14.4.
TEST(HttpOptionsTest, CompressionAgainstAcceptEncoding) {
  const struct {
    std::string_view compression, accept;
    bool good;
  } kCases[] = {
      {"gzip", "gzip", true},
      {"gzip", "gzip;q=1.0", true},
      {"gzip", "gzip, compress", true},
      {"gzip", "compress, gzip", true},
      {"br", "gzip, compress", false},
      {"br", "gzip, compress, *", true},
      {"br", "gzip, compress, *;q=0.1", true},
      {"br", "gzip, compress, br;q=0.0", false},
      {"br", "gzip, compress, *;q=0.0", false},
      {"br", "gzip;q=1.0, compress;q=0.5, br;q=0.1, *;q=0.0", true},
      {"br", "br;q=0.1 ,  *;q=0.0,gzip; q=1.0 , compress;q=0.5", true},
      {"gzip", "deflate", false},
      {"gzip", "*;q=0.0", false},
      {"gzip", "gzip;q=nonsense", false},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(AcceptEncodingAllows(c.accept, c.compression), c.good) << c.compression << c.accept;
  }
  EXPECT_NE(Parse("compression: gzip"), nullptr);
  EXPECT_NE(Parse("headers: {Accept-Encoding: gzip}"), nullptr);
  EXPECT_NE(Parse("headers: {Accept-Encoding: ''}\ncompression: br"), nullptr);
}

TEST(HttpOptionsTest, TheHashFollowsTheContent) {
  EXPECT_EQ(Parse("method: GET\nbody: a")->content_hash,
            Parse("body: a\nmethod: GET")->content_hash);
  EXPECT_NE(Parse("method: GET")->content_hash, Parse("method: PUT")->content_hash);
  EXPECT_EQ(Parse("")->content_hash, Parse("{}")->content_hash);
}

TEST(HttpTargetTest, DestinationAndHandshake) {
  const auto module = Parse("");
  const auto plan = ReadTarget(HttpProber(), "https://Shop.Example/x", *module).plan;
  ASSERT_NE(plan, nullptr);
  EXPECT_EQ(plan->destination, "shop.example:443");
  EXPECT_TRUE(plan->needs_handshake);
  const auto plain = ReadTarget(HttpProber(), "[::1]:81", *module).plan;
  EXPECT_EQ(plain->destination, "[::1]:81");
  EXPECT_FALSE(plain->needs_handshake);
}

TEST(HttpTargetTest, BadTargetsAndExpectations) {
  const auto module = Parse("");
  const std::tuple<std::string_view, std::string_view, std::string_view> kCases[] = {
      {"http://h:x/", "", "task.target: invalid port"},
      {std::string_view("h\0x", 3), "", "control character"},
      {"h", "status: 2x", "not a status code"},
      {"h", "status: []", "no status code"},
      {"h", "body_matches: '('", "Could not compile"},
      {"h", "stauts: 200", "did you mean 'status'"},
      {"h", "body_contains: {a: b}", "body_contains"},
  };
  for (const auto& [target, expect, message] : kCases) {
    const TargetText text = ReadTarget(HttpProber(), target, *module, expect);
    EXPECT_EQ(text.plan, nullptr) << target << expect;
    EXPECT_THAT(text.errors(), HasSubstr(std::string(message))) << target << expect;
  }
  EXPECT_THAT(ReadTarget(HttpProber(), "ftp://h/", *module).errors(), HasSubstr("'ftp'"));
  EXPECT_EQ(ReadTarget(HttpProber(), "http://h//x", *module).errors(), "");
}

}  // namespace
}  // namespace sonde
