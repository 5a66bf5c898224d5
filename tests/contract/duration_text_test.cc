#include "engine/contract/duration_text.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace sonde {
namespace {

struct Good {
  const char* text;
  int64_t ns;
};

TEST(ParseDuration, WhatGoAccepts) {
  static constexpr Good kGood[] = {
      {"0", 0},
      {"+0", 0},
      {"-0", 0},
      {"0s", 0},
      {"5s", 5'000'000'000},
      {"+5s", 5'000'000'000},
      {"-5s", -5'000'000'000},
      {"30s", 30'000'000'000},
      {"5.0s", 5'000'000'000},
      {"5.6s", 5'600'000'000},
      {"5.s", 5'000'000'000},
      {".5s", 500'000'000},
      {"-.5s", -500'000'000},
      {"1.0s", 1'000'000'000},
      {"1.004s", 1'004'000'000},
      {"100.00100s", 100'001'000'000},
      {"10ns", 10},
      {"11us", 11'000},
      {"12\u00b5s", 12'000},
      {"12\u03bcs", 12'000},
      {"13ms", 13'000'000},
      {"14s", 14'000'000'000},
      {"15m", 900'000'000'000},
      {"16h", 57'600'000'000'000},
      {"3h30m", 12'600'000'000'000},
      {"10.5s4m", 250'500'000'000},
      {"-2m3.4s", -123'400'000'000},
      {"1h2m3s4ms5us6ns", 3'723'004'005'006},
      {"39h9m14.425s", 140'954'425'000'000},
      {"52763797000ns", 52'763'797'000},
      {"0.3333333333333333333h", 1'200'000'000'000},
      {"9007199254740993ns", 9'007'199'254'740'993},
      {"9223372036854775807ns", INT64_MAX},
      {"9223372036854775.807us", INT64_MAX},
      {"9223372036s854ms775us807ns", INT64_MAX},
      {"-9223372036854775808ns", INT64_MIN},
      {"-9223372036s854ms775us808ns", INT64_MIN},
      {"0.100000000000000000000h", 360'000'000'000},
      {"0.830103483285477580700h", 2'988'372'539'827},
  };
  for (const Good& good : kGood) {
    const auto got = ParseDuration(good.text);
    ASSERT_TRUE(got.has_value()) << good.text;
    EXPECT_EQ(got->ns, good.ns) << good.text;
  }
}

TEST(ParseDuration, WhatGoRefuses) {
  for (const char* text : {"",
                           "3",
                           "-",
                           "+",
                           "s",
                           ".",
                           "-.",
                           ".s",
                           "+.s",
                           "1d",
                           "1w",
                           "1y",
                           "5 s",
                           " 5s",
                           "5s ",
                           "5S",
                           "1e3s",
                           "--5s",
                           "+-5s",
                           "1.2.3s",
                           "1,5s",
                           "0x5s",
                           "5sec",
                           "1h30",
                           "\x85\x85",
                           "hello\xffs",
                           "9223372036854775808ns",
                           "9223372036854775.808us",
                           "9223372036854ms775us808ns",
                           "10000000h",
                           "99999999999999999999s",
                           "-9223372036854775809ns"}) {
    EXPECT_FALSE(ParseDuration(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseDuration(std::string_view("5s\0", 3)).has_value());
}

TEST(ParseDuration, DaysOnlyWhenAsked) {
  EXPECT_EQ(ParseDuration("1d", true), Hours(24));
  EXPECT_EQ(ParseDuration("1w2d3h", true), Hours(9 * 24 + 3));
  EXPECT_EQ(ParseDuration("0.5d", true), Hours(12));
  EXPECT_FALSE(ParseDuration("1y", true).has_value());
  EXPECT_FALSE(ParseDuration("106752d", true).has_value());  // beyond 64 bits of nanoseconds
}

TEST(FormatDuration, AsGoDoes) {
  struct Case {
    int64_t ns;
    const char* text;
  };
  static constexpr Case kCases[] = {{0, "0s"},
                                    {1, "1ns"},
                                    {1'100, "1.1\u00b5s"},
                                    {2'200'000, "2.2ms"},
                                    {300'000'000, "300ms"},
                                    {3'300'000'000, "3.3s"},
                                    {15'000'000'000, "15s"},
                                    {60'000'000'000, "1m0s"},
                                    {90'000'000'000, "1m30s"},
                                    {245'000'000'000, "4m5s"},
                                    {245'001'000'000, "4m5.001s"},
                                    {18'367'001'000'000, "5h6m7.001s"},
                                    {480'000'000'001, "8m0.000000001s"},
                                    {-1, "-1ns"},
                                    {-90'000'000'000, "-1m30s"},
                                    {INT64_MAX, "2562047h47m16.854775807s"},
                                    {INT64_MIN, "-2562047h47m16.854775808s"}};
  for (const Case& c : kCases) EXPECT_EQ(FormatDuration({c.ns}), c.text);
}

TEST(FormatDuration, ReadsBackAsItself) {
  uint64_t seed = 88172645463325252u;
  for (int i = 0; i < 20'000; ++i) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    // Below 2^53 ns: fractions are read through a double.
    const Duration duration{static_cast<int64_t>(seed >> (11 + i % 40))};
    EXPECT_EQ(ParseDuration(FormatDuration(duration)), duration) << FormatDuration(duration);
  }
}

}  // namespace
}  // namespace sonde
