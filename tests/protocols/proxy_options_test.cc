#include "protocols/proxy_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "protocols/http_options.h"
#include "protocols/http_prober.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ProxyTest, Urls) {
  const struct {
    std::string_view url;
    Proxy::Kind kind;
    std::string_view authority, scheme;
  } kCases[] = {
      {"http://proxy.example:3128", Proxy::Kind::kHttp, "proxy.example:3128", "http"},
      {"HTTP://Proxy.example/path?x", Proxy::Kind::kHttp, "proxy.example:80", "http"},
      {"https://proxy.example", Proxy::Kind::kHttps, "proxy.example:443", "https"},
      {"https://proxy.example:80", Proxy::Kind::kHttps, "proxy.example:80", "https"},
      {"socks5://proxy.example", Proxy::Kind::kSocks5, "proxy.example:1080", "socks5"},
      {"socks5h://proxy.example:80", Proxy::Kind::kSocks5, "proxy.example:80", "socks5"},
      {"socks5://[2001:db8::1]", Proxy::Kind::kSocks5, "[2001:db8::1]:1080", "socks5"},
      {"socks5://[2001:db8::1]:9", Proxy::Kind::kSocks5, "[2001:db8::1]:9", "socks5"},
  };
  for (const auto& c : kCases) {
    const auto proxy = Proxy::Parse(c.url);
    ASSERT_TRUE(proxy.ok()) << c.url << proxy.status();
    EXPECT_EQ(proxy->kind, c.kind) << c.url;
    EXPECT_EQ(proxy->authority, c.authority) << c.url;
    EXPECT_EQ(proxy->scheme, c.scheme) << c.url;
    EXPECT_FALSE(proxy->has_userinfo);
    EXPECT_EQ(proxy->Authorization(), "");
  }
  const auto login = Proxy::Parse("http://user:p%40ss@proxy.example");
  EXPECT_EQ(login->username, "user");
  EXPECT_EQ(login->password, "p@ss");
  EXPECT_EQ(login->Authorization(), "Basic dXNlcjpwQHNz");
}

TEST(ProxyTest, BadUrlsNeverShowThePassword) {
  const std::string long_name(256, 'u');
  const struct {
    std::string url;
    bool loads;
  } kCases[] = {
      {"127.0.0.1:3128", false},
      {"http://u:geheim@proxy:99999", false},
      {"http://u:geheim@pro xy:1", false},
      {"http://u:%zz@proxy", false},
      {"ftp://u:geheim@proxy", true},
      {"proxy.example", true},
      {"proxy:3128", true},
      {"http:proxy", true},
      {"http://", true},
      {"socks5://:geheim@proxy", true},
      {"socks5://" + long_name + ":geheim@proxy", true},
      {"socks5://u:" + long_name + "@proxy", true},
  };
  for (const auto& c : kCases) {
    const auto proxy = Proxy::Parse(c.url);
    ASSERT_FALSE(proxy.ok()) << c.url;
    EXPECT_EQ(absl::IsUnimplemented(proxy.status()), c.loads) << c.url;
    EXPECT_THAT(std::string(proxy.status().message()), Not(HasSubstr("geheim")));
    const ModuleText module = ReadModule(HttpProber(), "proxy_url: '" + c.url + "'");
    EXPECT_EQ(module.module != nullptr, c.loads) << c.url;
    EXPECT_THAT(module.errors(), Not(HasSubstr("geheim")));
    if (!module.module) continue;
    const auto& http = static_cast<const HttpModule&>(*module.module);
    EXPECT_THAT(http.refusal, HasSubstr("proxy_url: ")) << c.url;
    EXPECT_EQ(http.unsupported, "");
  }
}

const HttpModule& Http(const ModuleText& module) {
  return static_cast<const HttpModule&>(*module.module);
}

TEST(ProxyOptionsTest, Keys) {
  EXPECT_EQ(Http(ReadModule(HttpProber(), "proxy_url: ''")).proxies, nullptr);
  EXPECT_EQ(Http(ReadModule(HttpProber(), "skip_resolve_phase_with_proxy: true")).proxies, nullptr);
  const ModuleText text = ReadModule(HttpProber(), R"(
proxy_url: http://proxy.example:3128
no_proxy: .internal
skip_resolve_phase_with_proxy: true
proxy_connect_header: {X-Token: [a, b], User-Agent: [mine]}
preferred_ip_protocol: ip4
ip_protocol_fallback: false
tls_config: {server_name: shop.example, insecure_skip_verify: true}
)");
  const ProxyOptions& options = *Http(text).proxies;
  EXPECT_TRUE(options.skip_resolve);
  EXPECT_EQ(options.connect_headers, "X-Token: a\r\nX-Token: b\r\nUser-Agent: mine\r\n");
  EXPECT_EQ(options.network.preferred_family, IpFamily::kV4);
  EXPECT_TRUE(options.network.fallback);
  EXPECT_EQ(options.other_family.preferred_family, IpFamily::kV6);
  EXPECT_FALSE(options.other_family.fallback);
  EXPECT_EQ(options.tls.server_name, "");
  EXPECT_FALSE(options.tls.verify);
  EXPECT_NE(options.For(*Url::Parse("http://shop.example/"), nullptr), nullptr);
  EXPECT_EQ(options.For(*Url::Parse("https://a.internal/"), nullptr), nullptr);
  EXPECT_EQ(options.For(*Url::Parse("https://localhost/"), nullptr), nullptr);

  // Without no_proxy there are no exceptions, not even loopback.
  const ModuleText all = ReadModule(HttpProber(), "proxy_url: socks5://proxy.example");
  EXPECT_NE(Http(all).proxies->For(*Url::Parse("https://localhost/"), nullptr), nullptr);
}

TEST(ProxyOptionsTest, ConnectHeaders) {
  const auto errors = [](const std::string& header) {
    return ReadModule(HttpProber(), "proxy_url: http://p\nproxy_connect_header: " + header)
        .errors();
  };
  EXPECT_THAT(errors("{'b d': [x]}"), HasSubstr("is not a header name"));
  EXPECT_THAT(errors("{X: [\"gehe\\nim\"]}"), HasSubstr("holds CR, LF"));
  EXPECT_THAT(errors("{X: [\"gehe\\nim\"]}"), Not(HasSubstr("gehe")));
  EXPECT_NE(errors("{X: plain}"), "");
  const ModuleText own =
      ReadModule(HttpProber(),
                 "proxy_url: http://p\n"
                 "proxy_connect_header: {Host: [x], A: [b], content-length: [y]}");
  ASSERT_NE(own.module, nullptr);
  EXPECT_EQ(Http(own).proxies->connect_headers, "A: b\r\n");
}

// The variables of a proxy as long as it lives.
class Environment {
 public:
  explicit Environment(std::initializer_list<std::pair<const char*, const char*>> set) {
    Clear();
    for (const auto& [name, value] : set) setenv(name, value, 1);
  }
  ~Environment() { Clear(); }

 private:
  static void Clear() {
    for (const char* name :
         {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}) {
      unsetenv(name);
    }
  }
};

TEST(ProxyOptionsTest, Environment) {
  const std::string text = "proxy_from_environment: true";
  const Url plain = *Url::Parse("http://shop.example/"), tls = *Url::Parse("https://shop.example/");
  {
    const Environment none({});
    const ModuleText module = ReadModule(HttpProber(), text);
    ASSERT_NE(Http(module).proxies, nullptr);
    EXPECT_EQ(Http(module).proxies->For(plain, nullptr), nullptr);
    EXPECT_EQ(Http(module).proxies->For(tls, nullptr), nullptr);
  }
  {
    const Environment both({{"http_proxy", "one:3128"},  // without a scheme it is http://
                            {"HTTPS_PROXY", "socks5://two"},
                            {"https_proxy", "http://three"},
                            {"no_proxy", "10.0.0.0/8"}});
    const ModuleText module = ReadModule(HttpProber(), text);
    const ProxyOptions& options = *Http(module).proxies;
    ASSERT_NE(options.For(plain, nullptr), nullptr);
    EXPECT_EQ(options.For(plain, nullptr)->authority, "one:3128");
    EXPECT_EQ(options.For(tls, nullptr)->authority, "two:1080");
    const Address inside = *Address::ParseLiteral("10.1.2.3");
    EXPECT_EQ(options.For(tls, &inside), nullptr);
    const Address loopback = *Address::ParseLiteral("127.0.0.1");
    EXPECT_EQ(options.For(tls, &loopback), nullptr);
  }
  {
    const Environment bad({{"HTTP_PROXY", "http://u:geheim@pro xy"}});
    const ModuleText module = ReadModule(HttpProber(), text);
    ASSERT_NE(module.module, nullptr);
    EXPECT_EQ(Http(module).proxies->For(plain, nullptr), nullptr);
  }
}

}  // namespace
}  // namespace sonde
