#include "exporter/probe_timeout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sonde {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ProbeTimeout, TheContractsTable) {
  const struct {
    double module;
    const char* header;
    double offset;
    double effective;
  } kRows[] = {
      {0, "15", 0.5, 14.5}, {0, "15", 0, 15},     {20, "15", 0.5, 14.5},  {20, "15", 0, 15},
      {5, "15", 0, 5},      {5, "15", 0.5, 5},    {10, "", 0.5, 10},      {10, "10", 0.5, 9.5},
      {9.5, "", 0.5, 9.5},  {9.5, "", 1, 9.5},    {0, "", 0.5, 119.5},    {0, "", 0, 120},
      {3, "0.3", 0.5, 3},   {3, "-1", 0.5, 3},    {0, "0.3", 0.5, 0},     {0, "0.5", 0.5, 0},
      {0, "-1", 0.5, 0},    {0, "0", 0.5, 119.5}, {0, "1e3", 0.5, 999.5}, {5, "Inf", 0.5, 5},
      {5, "-Inf", 0.5, 5},  {0, "1e5", 0, 1e5},
  };
  for (const auto& row : kRows) {
    const auto timeout =
        ProbeTimeout::Of(row.header, row.offset, Duration{static_cast<int64_t>(row.module * 1e9)});
    ASSERT_TRUE(timeout) << row.header;
    EXPECT_DOUBLE_EQ(timeout->seconds, row.effective) << row.module << " " << row.header;
    const double most = ProbeTimeout::kMost.seconds();
    EXPECT_DOUBLE_EQ(timeout->duration.seconds(), std::min(row.effective, most)) << row.header;
  }
}

TEST(ProbeTimeout, WhatIsNoTimeIsNone) {
  for (const char* header : {"NaN", "Inf", "+inf", "infinity", "1e300"}) {
    const auto timeout = ProbeTimeout::Of(header, 0.5, {});
    ASSERT_TRUE(timeout) << header;
    EXPECT_EQ(timeout->duration, Duration{}) << header;
  }
  EXPECT_TRUE(std::isnan(ProbeTimeout::Of("nan", 0.5, Seconds(5))->seconds));
}

TEST(ProbeTimeout, WhatIsNoNumber) {
  for (const char* header : {"0x10", "5s", "1,5", "abc", "1_000", "1e400", "--1", "+-1", "e5", ".",
                             "1e", "+", "1 2", "infx"}) {
    EXPECT_FALSE(ProbeTimeout::Of(header, 0.5, Seconds(5))) << header;
  }
}

TEST(ParseGoFloat, Numbers) {
  const struct {
    const char* text;
    double value;
  } kRows[] = {{"1.5", 1.5},  {"+.5", 0.5},         {"5.", 5}, {"-2", -2}, {"1E2", 100},
               {"1e-400", 0}, {"-inf", -kInfinity}, {"007", 7}};
  for (const auto& row : kRows) EXPECT_EQ(ParseGoFloat(row.text), row.value) << row.text;
}

}  // namespace
}  // namespace sonde
