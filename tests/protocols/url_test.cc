#include "protocols/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sonde {
namespace {

using testing::HasSubstr;

struct Good {
  std::string_view target, scheme, host, authority, path_and_query;
  uint16_t port;
};

TEST(UrlTest, TargetsAreTakenApart) {
  const Good kGood[] = {
      {"shop.example", "http", "shop.example", "shop.example", "/", 80},
      {"shop.example:8080/a?b=c", "http", "shop.example", "shop.example:8080", "/a?b=c", 8080},
      {"HTTP://Shop.Example", "http", "shop.example", "Shop.Example", "/", 80},
      {"hTTpS://shop.example/x#fragment", "https", "shop.example", "shop.example", "/x", 443},
      {"https://shop.example:443", "https", "shop.example", "shop.example:443", "/", 443},
      {"http://shop.example:/", "http", "shop.example", "shop.example:", "/", 80},
      {"http://[2001:DB8::1]:8080/", "http", "2001:db8::1", "[2001:DB8::1]:8080", "/", 8080},
      {"[::1]/x", "http", "::1", "[::1]", "/x", 80},
      {"http://[fe80::1%25eth0]/", "http", "fe80::1%eth0", "[fe80::1]", "/", 80},
      {"http://192.0.2.1?x", "http", "192.0.2.1", "192.0.2.1", "/?x", 80},
      {"http://b\xc3\xbc"
       "cher.example/",
       "http",
       "b\xc3\xbc"
       "cher.example",
       "b\xc3\xbc"
       "cher.example",
       "/", 80},
      {"http://a_b.example/", "http", "a_b.example", "a_b.example", "/", 80},
      {"http://h/a b/\xc3\xa9?c d", "http", "h", "h", "/a%20b/%C3%A9?c%20d", 80},
      {"http://h/%41%2f\"<>", "http", "h", "h", "/%41%2f%22%3C%3E", 80},
      {"http://h/a?b?c#d?e", "http", "h", "h", "/a?b?c", 80},
      {"ftp://h/x", "http", "ftp", "ftp:", "//h/x", 80},
  };
  for (const Good& good : kGood) {
    const auto url = Url::ParseTarget(good.target);
    ASSERT_TRUE(url.ok()) << good.target << ": " << url.status();
    EXPECT_EQ(url->scheme, good.scheme) << good.target;
    EXPECT_EQ(url->host, good.host) << good.target;
    EXPECT_EQ(url->authority, good.authority) << good.target;
    EXPECT_EQ(url->Target(), good.path_and_query) << good.target;
    EXPECT_EQ(url->port, good.port) << good.target;
  }
}

TEST(UrlTest, BadTargetsSayWhatIsWrong) {
  const std::pair<std::string_view, std::string_view> kBad[] = {
      {"", "no host"},
      {"http://", "no host"},
      {"http:///path", "no host"},
      {"http://:80/", "no host"},
      {"http://h:port/", "invalid port"},
      {"http://h:0/", "invalid port"},
      {"http://h:65536/", "invalid port"},
      {"http://h:99999999999999999999/", "invalid port"},
      {"http://h:80:90/", "invalid port"},
      {"http://h/%zz", "invalid URL escape"},
      {"http://h/%4", "invalid URL escape"},
      {"http://h/%", "invalid URL escape"},
      {"http://u%zz@h/", "invalid URL escape"},
      {"http://a b/", "invalid character"},
      {"http://a\\b/", "invalid character"},
      {"http://[::1/", "missing ']'"},
      {"http://[::1]x/", "invalid host"},
      {"http://[192.0.2.1]/", "invalid IPv6"},
      {"http://[::1%25]/", "invalid IPv6 zone"},
      {"http://h/a\rb", "control character"},
      {"http://h/a\nb", "control character"},
      {std::string_view("http://h/a\0b", 12), "control character"},
      {"http://h\t/", "control character"},
      {"http://h/\x7f", "control character"},
  };
  for (const auto& [target, message] : kBad) {
    const auto url = Url::ParseTarget(target);
    ASSERT_FALSE(url.ok()) << target;
    EXPECT_THAT(std::string(url.status().message()), HasSubstr(std::string(message))) << target;
  }
  EXPECT_FALSE(Url::ParseTarget("http://h/" + std::string(20000, 'a')).ok());
}

TEST(UrlTest, UserinfoIsDecodedAndKeptOutOfTheText) {
  const auto url = Url::ParseTarget("http://us%40er:p%3Aa%20s@h:81/x");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(url->has_userinfo);
  EXPECT_EQ(url->username, "us@er");
  EXPECT_EQ(url->password, "p:a s");
  EXPECT_EQ(url->authority, "h:81");
  EXPECT_EQ(url->Text(), "http://h:81/x");
  EXPECT_EQ(Url::ParseTarget("http://name@h/")->username, "name");
  EXPECT_EQ(Url::ParseTarget("http://a@b@h/")->host, "h");
}

TEST(UrlTest, ReferencesAreResolved) {
  const Url base = *Url::Parse("https://user:secret@a.example:444/b/c/d?q");
  const struct {
    std::string_view reference, text;
    bool absolute;
  } kCases[] = {
      {"g", "https://a.example:444/b/c/g", false},
      {"./g", "https://a.example:444/b/c/g", false},
      {"g/", "https://a.example:444/b/c/g/", false},
      {"/g", "https://a.example:444/g", false},
      {"?y", "https://a.example:444/b/c/d?y", false},
      {"g?y#z", "https://a.example:444/b/c/g?y", false},
      {"#z", "https://a.example:444/b/c/d?q", false},
      {"", "https://a.example:444/b/c/d?q", false},
      {".", "https://a.example:444/b/c/", false},
      {"..", "https://a.example:444/b/", false},
      {"../g", "https://a.example:444/b/g", false},
      {"../../../../g", "https://a.example:444/g", false},
      {"g;x=1/../y", "https://a.example:444/b/c/y", false},
      {"g y", "https://a.example:444/b/c/g%20y", false},
      {"//other.example/x", "https://other.example/x", true},
      {"http://other.example", "http://other.example/", true},
      {"HTTP://other.example/a/../b", "http://other.example/a/../b", true},
  };
  for (const auto& c : kCases) {
    bool absolute = !c.absolute;
    const auto url = base.Resolve(c.reference, &absolute);
    ASSERT_TRUE(url.ok()) << c.reference << url.status();
    EXPECT_EQ(url->Text(), c.text) << c.reference;
    EXPECT_EQ(absolute, c.absolute) << c.reference;
    EXPECT_FALSE(url->has_userinfo) << c.reference;
  }
  for (const std::string_view bad :
       {"ftp://h/", "mailto:x@y", "http://", "/%zz", "http:/x", "a\nb"}) {
    bool absolute = false;
    EXPECT_FALSE(base.Resolve(bad, &absolute).ok()) << bad;
  }
}

TEST(UrlTest, WordsAreComparedWithoutCase) {
  EXPECT_TRUE(EqualsIgnoreCase("Content-LENGTH", "content-length"));
  EXPECT_FALSE(EqualsIgnoreCase("a", "ab"));
  EXPECT_FALSE(EqualsIgnoreCase("a", "b"));
  EXPECT_EQ(PercentDecode("a%2fb%20"), "a/b ");
  EXPECT_EQ(PercentDecode("%2"), std::nullopt);
}

}  // namespace
}  // namespace sonde
