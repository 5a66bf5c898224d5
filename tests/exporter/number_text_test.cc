#include "exporter/number_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

namespace sonde {
namespace {

template <typename Number>
std::string Text(Number value) {
  char buffer[kNumberBytes];
  return {buffer, WriteNumber(buffer, value)};
}

TEST(NumberText, WholeNumbersArePlainDigits) {
  EXPECT_EQ(Text(0.0), "0");
  EXPECT_EQ(Text(1.0), "1");
  EXPECT_EQ(Text(100000.0), "100000");
  EXPECT_EQ(Text(1795193360.0), "1795193360");
  EXPECT_EQ(Text(-1.0), "-1");
  EXPECT_EQ(Text(-62135596800.0), "-62135596800");
  EXPECT_EQ(Text(9007199254740991.0), "9007199254740991");
  EXPECT_EQ(Text(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
}

TEST(NumberText, MultiplesOfANanosecondArePlainDecimals) {
  EXPECT_EQ(Text(0.1), "0.1");
  EXPECT_EQ(Text(0.000000001), "0.000000001");
  EXPECT_EQ(Text(0.001250332), "0.001250332");
  EXPECT_EQ(Text(12.000000001), "12.000000001");
  EXPECT_EQ(Text(999999.999999999), "999999.999999999");
}

TEST(NumberText, TheRestIsShortestDigits) {
  EXPECT_EQ(Text(1795193360.38), "1795193360.38");
  EXPECT_EQ(Text(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(Text(1e300), "1e+300");
  EXPECT_EQ(Text(-0.25), "-0.25");
  EXPECT_EQ(Text(5e-324), "5e-324");
}

TEST(NumberText, SpecialValuesAsPrometheusSpellsThem) {
  EXPECT_EQ(Text(std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(Text(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(Text(-std::numeric_limits<double>::infinity()), "-Inf");
}

TEST(NumberText, ReadsBackToTheSameDoubleAndFits) {
  std::mt19937_64 random(20261120);
  for (int i = 0; i < 300'000; ++i) {
    double value = 0;
    const uint64_t bits = random();
    switch (i % 4) {
      case 0:
        std::memcpy(&value, &bits, sizeof value);
        break;
      case 1:
        value = static_cast<double>(bits % 1'000'000'000'000'000) / 1e9;
        break;
      case 2:
        value = static_cast<double>(bits % 4'000'000'000) / 1000;
        break;
      default:
        value = std::ldexp(static_cast<double>(bits >> 11), -40);
        break;
    }
    if (std::isnan(value)) continue;
    const std::string text = Text(value);
    ASSERT_LE(text.size(), kNumberBytes);
    ASSERT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
    ASSERT_LE(Text(value).size(), 24u + 1u) << text;
  }
}

TEST(NumberText, GoNumbersAreGosBytes) {
  EXPECT_EQ(GoNumber(0), "0");
  EXPECT_EQ(GoNumber(100000), "100000");
  EXPECT_EQ(GoNumber(1e6), "1e+06");
  EXPECT_EQ(GoNumber(1234567), "1.234567e+06");
  EXPECT_EQ(GoNumber(1795193360.38), "1.79519336038e+09");
  EXPECT_EQ(GoNumber(0.0001), "0.0001");
  EXPECT_EQ(GoNumber(0.00001), "1e-05");
  EXPECT_EQ(GoNumber(0.00025), "0.00025");
  EXPECT_EQ(GoNumber(-12.5), "-12.5");
  EXPECT_EQ(GoNumber(120), "120");
  EXPECT_EQ(GoNumber(1e100), "1e+100");
  EXPECT_EQ(GoNumber(-std::numeric_limits<double>::infinity()), "-Inf");
}

TEST(NumberText, BoundsAreCanonicalInOpenMetrics) {
  EXPECT_EQ(BoundText(1, false), "1");
  EXPECT_EQ(BoundText(1, true), "1.0");
  EXPECT_EQ(BoundText(10, true), "10.0");
  EXPECT_EQ(BoundText(0.25, true), "0.25");
  EXPECT_EQ(BoundText(1e6, true), "1e+06");
  EXPECT_EQ(BoundText(std::numeric_limits<double>::infinity(), true), "+Inf");
}

}  // namespace
}  // namespace sonde
