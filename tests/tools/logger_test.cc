#include "tools/sonde/logger.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sonde {
namespace {

TEST(LoggerTest, LogfmtQuotesWhatNeedsIt) {
  EXPECT_EQ(LogfmtFields(LogLevel::kWarn, "run failed", {{"task", "shop"}, {"detail", ""}}),
            R"(level=warn msg="run failed" task=shop detail="")");
}

// What a target or a peer says cannot forge a line or a field.
TEST(LoggerTest, HostileValuesStayInTheirField) {
  const std::string line =
      LogfmtFields(LogLevel::kInfo, "x", {{"body", "a\nlevel=error msg=\"owned\" b=\x01\xff"}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\x01'), std::string::npos);
  EXPECT_NE(line.find(R"(body="a\nlevel=error msg=\"owned\" b=\u0001)"), std::string::npos) << line;
}

TEST(LoggerTest, JsonIsJson) {
  const auto json = nlohmann::json::parse(
      "{" + JsonFields(LogLevel::kError, "a \"b\"\n", {{"target", "x\xff\x02y"}}) + "}");
  EXPECT_EQ(json["level"], "error");
  EXPECT_EQ(json["msg"], "a \"b\"\n");
  EXPECT_EQ(json["target"], "x\xEF\xBF\xBD\x02y");
}

TEST(LoggerTest, BadWordsAreErrorsThatNameTheFlag) {
  EXPECT_FALSE(MakeLogger("loud", "logfmt").ok());
  const auto bad = MakeLogger("info", "xml");
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.status().ToString().find("--log.format"), std::string::npos);
  ASSERT_TRUE(MakeLogger("debug", "json").ok());
}

}  // namespace
}  // namespace sonde
