#include "protocols/dns_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace sonde {
namespace {

using ::testing::HasSubstr;

std::string Wire(std::string_view text) {
  std::string wire, error;
  EXPECT_TRUE(ParseDnsName(text, &wire, &error)) << text << ": " << error;
  return wire;
}

std::string Fault(std::string_view text) {
  std::string wire, error;
  EXPECT_FALSE(ParseDnsName(text, &wire, &error)) << text;
  return error;
}

TEST(DnsQuery, Names) {
  EXPECT_EQ(Wire("www.Example"), std::string("\3www\7Example\0", 13));
  EXPECT_EQ(Wire("www.Example."), Wire("www.Example"));
  EXPECT_EQ(Wire("."), std::string(1, '\0'));
  EXPECT_EQ(Wire(""), std::string(1, '\0'));
  EXPECT_EQ(Wire("a\\.b.c"), std::string("\3a.b\1c\0", 7));
  EXPECT_EQ(Wire("a\\000\\255\\\\"), std::string("\4a\0\xff\\\0", 6));
  EXPECT_EQ(Wire("\xc3\xbc"), std::string("\2\xc3\xbc\0", 4));
  EXPECT_EQ(Wire("_443._tcp.x").size(), 13u);
}

TEST(DnsQuery, NamesThatAreNone) {
  for (const char* text : {"..", ".a", "a..b", "a.."}) {
    EXPECT_THAT(Fault(text), HasSubstr("empty")) << text;
  }
  for (const char* text : {"a\\", "\\25", "\\256", "\\2x5"}) {
    EXPECT_THAT(Fault(text), HasSubstr("backslash")) << text;
  }
  EXPECT_EQ(Wire(std::string(63, 'a')).size(), 65u);
  EXPECT_THAT(Fault(std::string(64, 'a')), HasSubstr("63 bytes"));
  std::string longest;
  for (int i = 0; i < 3; ++i) longest += std::string(63, 'a') + ".";
  EXPECT_EQ(Wire(longest + std::string(61, 'a')).size(), 255u);
  EXPECT_THAT(Fault(longest + std::string(62, 'a')), HasSubstr("255 bytes"));
}

TEST(DnsQuery, ReverseNames) {
  EXPECT_EQ(ReverseDnsName(*Address::ParseLiteral("192.0.2.70")), "70.2.0.192.in-addr.arpa.");
  EXPECT_EQ(ReverseDnsName(*Address::ParseLiteral("2001:db8::1f")),
            "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.");
}

TEST(DnsQuery, Messages) {
  const std::string question = DnsQuestion(Wire("a"), 28, 1);
  EXPECT_EQ(question, std::string("\1a\0\0\x1c\0\1", 7));
  EXPECT_EQ(DnsQueryAfterId({.question = question}),
            std::string("\1\0\0\1\0\0\0\0\0\0", 10) + question);
  EXPECT_EQ(DnsQueryAfterId({.question = question, .recursion_desired = false}),
            std::string("\0\0\0\1\0\0\0\0\0\0", 10) + question);
  EXPECT_EQ(DnsQueryAfterId({.question = question, .edns_size = 1232, .dnssec_ok = true}),
            std::string("\1\0\0\1\0\0\0\0\0\1", 10) + question +
                std::string("\0\0\x29\x04\xd0\0\0\x80\0\0\0", 11));
  EXPECT_EQ(DnsQueryAfterId({.question = question, .edns_size = 512}),
            std::string("\1\0\0\1\0\0\0\0\0\1", 10) + question +
                std::string("\0\0\x29\x02\0\0\0\0\0\0\0", 11));
}

}  // namespace
}  // namespace sonde
