#include "engine/contract/scalar_text.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>

namespace sonde {
namespace {

TEST(ScalarText, Bools) {
  for (const char* text : {"true", "True", "TRUE", "yes", "Yes", "on", "ON", "y", "Y"}) {
    EXPECT_EQ(ParseBoolWord(text), true) << text;
  }
  for (const char* text : {"false", "False", "FALSE", "no", "NO", "off", "Off", "n"}) {
    EXPECT_EQ(ParseBoolWord(text), false) << text;
  }
  for (const char* text : {"", "tRue", "1", "0", "t", "yess", "oN"}) {
    EXPECT_EQ(ParseBoolWord(text), std::nullopt) << text;
  }
}

TEST(ScalarText, Nulls) {
  for (const char* text : {"", "~", "null", "Null", "NULL"}) EXPECT_TRUE(IsNullWord(text)) << text;
  for (const char* text : {"nULL", "nil", "none", "~~"}) EXPECT_FALSE(IsNullWord(text)) << text;
}

TEST(ScalarText, Integers) {
  struct Case {
    const char* text;
    int64_t value;
  };
  static constexpr Case kGood[] = {{"0", 0},
                                   {"-0", 0},
                                   {"+12", 12},
                                   {"-7", -7},
                                   {"1_000_000", 1'000'000},
                                   {"0x1F", 31},
                                   {"-0x10", -16},
                                   {"0o17", 15},
                                   {"017", 15},
                                   {"0b101", 5},
                                   {"2e2", 200},
                                   {"5.0", 5},
                                   {"9223372036854775807", INT64_MAX},
                                   {"-9223372036854775808", INT64_MIN}};
  for (const Case& c : kGood) EXPECT_EQ(ParseInteger(c.text), c.value) << c.text;
  for (const char* text : {"",
                           "-",
                           "+",
                           "x",
                           "5s",
                           "1.5",
                           "08",
                           "0x",
                           "0xg",
                           "--1",
                           "_1",
                           "1_",
                           "1e400",
                           "1e19",
                           "9223372036854775808",
                           "-9223372036854775809",
                           " 1",
                           "inf",
                           "nan",
                           "1:30",
                           "0X",
                           "12a"}) {
    EXPECT_EQ(ParseInteger(text), std::nullopt) << text;
  }
}

TEST(ScalarText, Reals) {
  EXPECT_EQ(ParseReal("1.5"), 1.5);
  EXPECT_EQ(ParseReal("-1e-3"), -0.001);
  EXPECT_EQ(ParseReal(".5"), 0.5);
  EXPECT_EQ(ParseReal("7"), 7.0);
  EXPECT_EQ(ParseReal("-.inf"), -HUGE_VAL);
  EXPECT_EQ(ParseReal(".INF"), HUGE_VAL);
  EXPECT_TRUE(std::isnan(ParseReal(".nan").value_or(0)));
  for (const char* text : {"", ".", "-", "inf", "nan", "infinity", "1.2.3", "--1", "+-1", "1e",
                           "0x1p3", "1.5s", "e5", ".e5"}) {
    EXPECT_EQ(ParseReal(text), std::nullopt) << text;
  }
}

TEST(ScalarText, SizesArePowersOf1024) {
  struct Case {
    const char* text;
    int64_t value;
  };
  static constexpr Case kGood[] = {{"0", 0},
                                   {"1B", 1},
                                   {"10KB", 10'240},
                                   {"10KiB", 10'240},
                                   {"1.5MiB", 1'572'864},
                                   {"1.5MB", 1'572'864},
                                   {"1GB", 1'073'741'824},
                                   {"1KB512B", 1'536},
                                   {".5KB", 512},
                                   {"7EiB", 8'070'450'532'247'928'832},
                                   {"-1B", 0},
                                   {"-5MB", 0}};
  for (const Case& c : kGood) EXPECT_EQ(ParseSize(c.text), c.value) << c.text;
  for (const char* text : {"", "1", "1024", "-", "KB", "1kb", "1Kb", "1K", "1 KB", "1KB ", "8EB",
                           "1e3B", "1..5KB", ".KB", "99999999999999999999EB"}) {
    EXPECT_EQ(ParseSize(text), std::nullopt) << text;
  }
}

TEST(ScalarText, QuoteKeepsMessagesOnOneLine) {
  EXPECT_EQ(Quote("a b"), "'a b'");
  EXPECT_EQ(Quote("a\nb\x01"), "'a\\x0ab\\x01'");
  EXPECT_EQ(Quote("gr\u00fcn"), "'gr\u00fcn'");
  EXPECT_EQ(Quote("\xff"), "'\\xff'");
  EXPECT_EQ(Quote(std::string(200, 'x')), "'" + std::string(80, 'x') + "...'");
  // Not cut within a character.
  EXPECT_EQ(Quote(std::string(79, 'x') + "\u00fc\u00fc"), "'" + std::string(79, 'x') + "...'");
}

TEST(ScalarText, Suggestions) {
  static constexpr std::array<std::string_view, 4> kKeys = {"interval", "timeout", "type", "name"};
  EXPECT_EQ(Suggestion("intervall", kKeys), " (did you mean 'interval'?)");
  EXPECT_EQ(Suggestion("Timeout", kKeys), " (did you mean 'timeout'?)");
  EXPECT_EQ(Suggestion("tpye", kKeys), " (did you mean 'type'?)");
  EXPECT_EQ(Suggestion("typ", kKeys), " (did you mean 'type'?)");
  EXPECT_EQ(Suggestion("xyz", kKeys), "");
  EXPECT_EQ(Suggestion("", kKeys), "");
  EXPECT_EQ(Suggestion(std::string(100'000, 'a'), kKeys), "");
}

TEST(ScalarText, Utf8) {
  for (const char* text : {"", "abc", "\u00e9", "\u20ac", "\U0001f600", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  for (const char* text : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xc3",
                           "\xe2\x82", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                           "\xff", "a\xc3(", "\xf0\x9f\x98"}) {
    EXPECT_FALSE(IsUtf8(text));
  }
}

}  // namespace
}  // namespace sonde
