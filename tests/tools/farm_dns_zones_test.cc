#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/farm/dns_zones.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Found = FarmDnsZones::Found;
using namespace std::string_literals;

const std::string kOrigin = "\4farm\4test\0"s;

std::string NameError(const std::string& text) {
  const auto name = FarmDnsNameFromText(text, kOrigin);
  return name.ok() ? "no error" : std::string(name.status().message());
}

TEST(DnsName, IsReadAsZoneFilesHaveIt) {
  const std::pair<std::string, std::string> cases[] = {
      {"@", kOrigin},
      {".", "\0"s},
      {"www", "\3www" + kOrigin},
      {"a.b", "\1a\1b" + kOrigin},
      {"Www.Example.", "\3Www\7Example\0"s},
      {"*", "\1*" + kOrigin},
      {"a\\.b", "\3a.b" + kOrigin},
      {"a\\000\\255", "\3a\0\xFF"s + kOrigin},
      {std::string(63, 'x'), "\x3F" + std::string(63, 'x') + kOrigin},
  };
  for (const auto& [text, wire] : cases) {
    const auto name = FarmDnsNameFromText(text, kOrigin);
    ASSERT_TRUE(name.ok()) << text << name.status();
    EXPECT_EQ(*name, wire) << text;
  }
  EXPECT_EQ(FarmDnsLowerCase("\3WwW\1*\0"s), "\3www\1*\0"s);
}

TEST(DnsName, SaysWhatIsWrong) {
  EXPECT_THAT(NameError(""), HasSubstr("no name"));
  EXPECT_THAT(NameError("a..b"), HasSubstr("empty label"));
  EXPECT_THAT(NameError(".a"), HasSubstr("empty label"));
  EXPECT_THAT(NameError(std::string(64, 'x')), HasSubstr("63 bytes"));
  EXPECT_THAT(NameError("a\\"), HasSubstr("bad escape"));
  EXPECT_THAT(NameError("a\\25"), HasSubstr("bad escape"));
  EXPECT_THAT(NameError("a\\256"), HasSubstr("bad escape"));
  std::string longest;  // 122 labels of two bytes, and the origin's 11
  for (int i = 0; i < 122; ++i) longest += (i == 0 ? "x" : ".x");
  EXPECT_EQ(NameError(longest), "no error");
  EXPECT_THAT(NameError(longest + ".x"), HasSubstr("255 bytes"));
}

class FarmDnsZonesTest : public ::testing::Test {
 protected:
  void Add(const std::vector<std::string>& lines, const std::string& zone = "farm.test") {
    const absl::Status status = zones_.AddZone(zone, 60, lines);
    EXPECT_TRUE(status.ok()) << status;
  }
  std::string ErrorOf(const std::string& line) {
    FarmDnsZones zones;
    return std::string(zones.AddZone("farm.test", 60, {line}).message());
  }
  FarmDnsZones::Result Find(const std::string& name) {
    wanted_ = *FarmDnsNameFromText(name, "\0"s);
    return zones_.Find(wanted_);
  }
  std::vector<std::string> Data(const std::string& name, uint16_t type) {
    const FarmDnsZones::Result at = Find(name);
    const FarmDnsRecordSet* const set = at.node == nullptr ? nullptr : at.node->Find(type);
    return set == nullptr ? std::vector<std::string>() : set->data;
  }
  FarmDnsZones zones_;
  std::string wanted_;
};

TEST_F(FarmDnsZonesTest, ReadsEveryTypeOfRecord) {
  Add({"@ SOA ns Host\\.Master 7 1 2 3 4", "@ 300 IN NS ns", "a A 192.0.2.1", "a IN A 192.0.2.2",
       "a AAAA 2001:db8::1", "a MX 10 Mail.example.", "a SRV 1 2 443 web",
       "a TXT \"two words\" plain \"\" \"q\\\"\\065\" ; a comment", "p PTR a", "c CNAME a",
       "t TYPE65280 \\# 4 0102 fF00", "t A \\# 4 7F000001", "t TYPE1 \\# 4 7F000002"});
  EXPECT_THAT(Data("a.farm.test", kDnsA), ElementsAre("\xC0\0\2\1"s, "\xC0\0\2\2"s));
  EXPECT_THAT(Data("a.farm.test", kDnsAaaa),
              ElementsAre("\x20\1\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\1"s));
  EXPECT_THAT(Data("a.farm.test", kDnsMx), ElementsAre("\0\x0A\4Mail\7example\0"s));
  EXPECT_THAT(Data("a.farm.test", kDnsSrv), ElementsAre("\0\1\0\2\1\xBB\3web"s + kOrigin));
  EXPECT_THAT(Data("a.farm.test", kDnsTxt), ElementsAre("\x09two words\5plain\0\3q\"A"s));
  EXPECT_THAT(Data("p.farm.test", kDnsPtr), ElementsAre("\1a" + kOrigin));
  EXPECT_THAT(Data("c.farm.test", kDnsCname), ElementsAre("\1a" + kOrigin));
  EXPECT_THAT(Data("t.farm.test", 65280), ElementsAre("\1\2\xFF\0"s));
  EXPECT_THAT(Data("t.farm.test", kDnsA), ElementsAre("\x7F\0\0\1"s, "\x7F\0\0\2"s));
  EXPECT_THAT(Data("farm.test", kDnsSoa),
              ElementsAre("\2ns" + kOrigin + "\x0BHost.Master" + kOrigin +
                          "\0\0\0\7\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4"s));
  EXPECT_EQ(Find("farm.test").node->Find(kDnsNs)->ttl, 300u);
  EXPECT_EQ(Find("farm.test").node->Find(kDnsSoa)->ttl, 60u);
}

TEST_F(FarmDnsZonesTest, SaysWhatIsWrongWithARecord) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "expected NAME TYPE DATA"},
      {"a", "expected NAME TYPE DATA"},
      {"a 60 IN", "expected NAME TYPE DATA"},
      {"a FOO x", "no type is called 'FOO'"},
      {"a TYPE0 \\# 0", "no type is called"},
      {"a TYPE65536 \\# 0", "no type is called"},
      {"a TYPE41 \\# 0", "no type is called"},
      {"a A", "none of type 'A'"},
      {"a A 1.2.3", "none of type 'A'"},
      {"a A ::1", "none of type 'A'"},
      {"a A 1.2.3.4 5", "none of type 'A'"},
      {"a AAAA 1.2.3.4", "none of type 'AAAA'"},
      {"a MX mail", "none of type 'MX'"},
      {"a MX 65536 mail", "none of type 'MX'"},
      {"a SOA ns h 1 2 3 4", "none of type 'SOA'"},
      {"a TXT \"open", "expected NAME TYPE DATA"},
      {"a TXT \"bad \\9\"", "none of type 'TXT'"},
      {"a TYPE9 x", "expected '\\# LENGTH HEX'"},
      {"a TYPE9 \\# 2 01", "expected '\\# LENGTH HEX'"},
      {"a TYPE9 \\# 1 0g", "expected '\\# LENGTH HEX'"},
      {"b.example. A 1.2.3.4", "the zone does not hold"},
      {"a\\004farm\\004test. A 1.2.3.4", "the zone does not hold"},
  };
  for (const auto& [line, said] : cases) EXPECT_THAT(ErrorOf(line), HasSubstr(said)) << line;
  EXPECT_EQ(ErrorOf("a TXT " + std::string(255, 'x')), "");
  EXPECT_THAT(ErrorOf("a TXT " + std::string(256, 'x')), HasSubstr("none of type 'TXT'"));
  Add({});
  EXPECT_THAT(std::string(zones_.AddZone("Farm.Test.", 1, {}).message()), HasSubstr("second zone"));
}

TEST_F(FarmDnsZonesTest, FindsNamesWildcardsAndNothing) {
  Add({"www A 192.0.2.1", "a.b.c A 192.0.2.2", "* A 192.0.2.9", "*.b.c TXT wild"});
  Add({"@ A 192.0.2.3"}, "sub.farm.test");
  EXPECT_EQ(Find("farm.test").found, Found::kName);
  EXPECT_EQ(Find("www.farm.test").found, Found::kName);
  EXPECT_THAT(Data("other.farm.test", kDnsA), ElementsAre("\xC0\0\2\x09"s));
  EXPECT_THAT(Data("x.y.other.farm.test", kDnsA), ElementsAre("\xC0\0\2\x09"s));
  // RFC 4592 section 2.2.1: names that are there, records or not, keep the wildcard out.
  EXPECT_EQ(Find("c.farm.test").found, Found::kName);
  EXPECT_THAT(Data("c.farm.test", kDnsA), ElementsAre());
  EXPECT_EQ(Find("x.c.farm.test").found, Found::kNothing);
  EXPECT_EQ(Find("x.www.farm.test").found, Found::kNothing);
  EXPECT_THAT(Data("x.b.c.farm.test", kDnsTxt), ElementsAre("\4wild"s));
  // The inner zone begins at its name.
  EXPECT_EQ(Find("x.sub.farm.test").found, Found::kNothing);
  EXPECT_EQ(Find("x.sub.farm.test").apex_name, "\3sub"s + kOrigin);
  EXPECT_EQ(Find("www.farm.test").apex_name, kOrigin);
  for (const char* foreign : {".", "test", "afarm.test", "example.org"}) {
    EXPECT_EQ(Find(foreign).found, Found::kForeign) << foreign;
  }
}

TEST_F(FarmDnsZonesTest, TheRootCanBeAZone) {
  Add({"* A 192.0.2.1"}, ".");
  EXPECT_EQ(Find(".").found, Found::kName);
  EXPECT_THAT(Data("any.name.at.all", kDnsA), ElementsAre("\xC0\0\2\1"s));
}

}  // namespace
}  // namespace sonde
