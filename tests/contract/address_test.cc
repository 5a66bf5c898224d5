#include "engine/contract/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace sonde {
namespace {

// What inet_pton says of a text without a zone.
bool IsLiteral(const std::string& text, std::array<uint8_t, 16>* bytes, IpFamily* family) {
  bytes->fill(0);
  *family = IpFamily::kV4;
  if (inet_pton(AF_INET, text.c_str(), bytes->data()) == 1) return true;
  *family = IpFamily::kV6;
  return inet_pton(AF_INET6, text.c_str(), bytes->data()) == 1;
}

void ExpectAsInetPton(const std::string& text) {
  std::array<uint8_t, 16> bytes;
  IpFamily family;
  const bool literal = IsLiteral(text, &bytes, &family);
  const auto address = Address::ParseLiteral(text, 53);
  ASSERT_EQ(address.has_value(), literal) << text;
  if (!literal) return;
  EXPECT_EQ(address->family, family) << text;
  EXPECT_EQ(address->bytes, bytes) << text;
  EXPECT_EQ(address->port, 53) << text;
  EXPECT_EQ(address->scope, 0u) << text;
}

TEST(AddressTest, LiteralsAreThoseOfInetPton) {
  for (const char* text : {"0.0.0.0",
                           "127.0.0.1",
                           "255.255.255.255",
                           "256.0.0.1",
                           "1.2.3",
                           "1.2.3.4.5",
                           "1.2.3.",
                           ".1.2.3",
                           "1..2.3",
                           "01.2.3.4",
                           "1.2.3.00",
                           "1.2.3.0",
                           "1.2.3.4 ",
                           " 1.2.3.4",
                           "1.2.3.-4",
                           "1.2.3.+4",
                           "0x1.2.3.4",
                           "1.2.3.1000",
                           "1.2.3.999",
                           "1",
                           "",
                           "host",
                           "1.2.3.4:80",
                           "::",
                           "::1",
                           "2001:db8::1",
                           "::ffff:1.2.3.4",
                           "::ffff:1.2.3.256",
                           "1::2::3",
                           "fe80::1",
                           ":",
                           "1:",
                           "12345::"}) {
    ExpectAsInetPton(text);
  }
}

TEST(AddressTest, LiteralsAreThoseOfInetPtonWhateverIsGiven) {
  constexpr char kLetters[] = "0123456789.";
  std::mt19937 random(7);
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    const size_t length = 7 + random() % 9;
    for (size_t k = 0; k < length; ++k) text += kLetters[random() % (random() % 3 ? 3 : 11)];
    for (size_t k = 1; k < 4; ++k) text[k * length / 4] = '.';
    ExpectAsInetPton(text);
  }
}

TEST(AddressTest, ZonesBelongToIpv6) {
  EXPECT_FALSE(Address::ParseLiteral("127.0.0.1%1"));
  const auto zoned = Address::ParseLiteral("fe80::1%3");
  ASSERT_TRUE(zoned);
  EXPECT_EQ(zoned->scope, 3u);
  EXPECT_FALSE(Address::ParseLiteral("fe80::1%no-such-interface"));
  EXPECT_FALSE(Address::ParseLiteral(std::string_view("1.2.3.4\0", 8)));
}

}  // namespace
}  // namespace sonde
