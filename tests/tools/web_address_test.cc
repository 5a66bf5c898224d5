#include "tools/sonde/web_address.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

// blackbox_contract 14.7 and section 2.
TEST(WebAddress, ExternalUrls) {
  const struct {
    const char* url;
    const char* route_prefix;
    const char* prefix;
    const char* host;
  } kRows[] = {
      {"", "", "", ""},
      {"http://proxy.com/prometheus", "", "/prometheus", "proxy.com"},
      {"http://proxy.com/prometheus/", "", "/prometheus", "proxy.com"},
      {"http://alertmanager.company.com", "", "", "alertmanager.company.com"},
      {"https://double--dash.de", "", "", "double--dash.de"},
      {"http://proxy.com/a/b", "/", "", "proxy.com"},
      {"http://proxy.com/a/b", "x/y/", "/x/y", "proxy.com"},
      {"http://[::1]:9115/x", "", "/x", "::1"},
      {"", "x", "/x", ""},
      {"/only/a/path", "", "/only/a/path", ""},
  };
  for (const auto& row : kRows) {
    const auto address = WebAddress::Of(row.url, row.route_prefix, {"127.0.0.1:9115"});
    ASSERT_TRUE(address.ok()) << row.url << ": " << address.status();
    EXPECT_EQ(address->prefix, row.prefix) << row.url;
    EXPECT_EQ(address->host, row.host) << row.url;
  }
  const auto derived = WebAddress::Of("", "", {":9115"});
  EXPECT_TRUE(derived->url.starts_with("http://") && derived->url.ends_with(":9115"))
      << derived->url;
}

TEST(WebAddress, WhatIsNone) {
  for (const char* url : {"'https://url/x'", "'http://starts/with/quote", "ends/with/quote\"",
                          "http://a b/", "http://a/\n", "http:///x", "http://:80/"}) {
    EXPECT_FALSE(WebAddress::Of(url, "", {":9115"}).ok()) << url;
  }
}

}  // namespace
}  // namespace sonde
