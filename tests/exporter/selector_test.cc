#include "exporter/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::array<std::string_view, 4> kOps = {"=", "!=", "=~", "!~"};

// `name=value;...` of what was understood, or the error.
std::string Understood(std::string_view text) {
  const auto selector = ParseSelector(text);
  if (!selector.ok()) return std::string(selector.status().message());
  std::string out;
  for (const LabelMatcher& matcher : *selector) {
    out += matcher.name() + std::string(kOps[static_cast<size_t>(matcher.op())]) + matcher.value() +
           ";";
  }
  return out;
}

TEST(Selector, Understands) {
  const struct {
    std::string_view text, understood;
  } kRows[] = {
      {"up", "__name__=up;"},
      {"  up  ", "__name__=up;"},
      {":a:b_1", "__name__=:a:b_1;"},
      {"up{}", "__name__=up;"},
      {"up { } # {", "__name__=up;"},
      {"up{a=\"b\"}", "__name__=up;a=b;"},
      {"up{a=\"b\",}", "__name__=up;a=b;"},
      {"up{a='b', c!=`d`,e=~\"f.*\",g!~\"h|i\"}", "__name__=up;a=b;c!=d;e=~f.*;g!~h|i;"},
      {"{__name__=~\"a|b\"}", "__name__=~a|b;"},
      {"{__name__=\"a\",__name__=~\"a.*\"}", "__name__=a;__name__=~a.*;"},
      {"{\"up\"}", "__name__=up;"},
      {"{\"up\",a=\"b\"}", "__name__=up;a=b;"},
      {"{'a'=\"b\"}", "a=b;"},
      {"{a\t=\n\"b\" # comment }\n , c = 'd' }", "a=b;c=d;"},
      {"up{a=\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\"}", "__name__=up;a=\a\b\f\n\r\t\v\\\";"},
      {"up{a='\\'\"'}", "__name__=up;a='\";"},
      {"up{a=\"\\x41\\101\\u00e9\\U0001F600\"}", "__name__=up;a=AA\xc3\xa9\xf0\x9f\x98\x80;"},
      {"up{a=\"\\xff\\377\"}", "__name__=up;a=\xff\xff;"},
      {"up{a=`\\n\n\"'`}", "__name__=up;a=\\n\n\"';"},
      {"{a!=\"\"}", "a!=;"},
      {"{a=~\".*\",b=~\".+\"}", "a=~.*;b=~.+;"},
      {"sum", "__name__=sum;"},
      {"up{sum=\"x\"}", "__name__=up;sum=x;"},
  };
  for (const auto& row : kRows) EXPECT_EQ(Understood(row.text), row.understood) << row.text;
}

TEST(Selector, SaysWhereItIsWrong) {
  const struct {
    std::string_view text, error;
  } kRows[] = {
      {"", "1:1: parse error: unexpected end of input, expected a metric name or '{'"},
      {"  ", "1:3: parse error: unexpected end of input"},
      {"foo;bar", "1:4: parse error: unexpected character ';', expected the end of the selector"},
      {"1up", "1:1: parse error: unexpected character '1'"},
      {"\xc3\xa9", "1:1: parse error: unexpected character '\xc3\xa9'"},
      {"{,}", "1:2: parse error: unexpected character ',', expected a label name or '}'"},
      {"up{a=\"b\",,}", "1:10: parse error: unexpected character ','"},
      {"up{job=\"x\"", "1:11: parse error: unexpected end of input, expected ',' or '}'"},
      {"up{job=x}", "1:8: parse error: unexpected character 'x', expected a string"},
      {"up{job == \"x\"}", "1:9: parse error: unexpected character '='"},
      {"up{job}", "1:7: parse error: unexpected character '}', expected '=', '!=', '=~' or '!~'"},
      {"up{a:b=\"c\"}", "1:5: parse error: unexpected character ':'"},
      {"up{1a=\"b\"}", "1:4: parse error: unexpected character '1'"},
      {"up{a=\"b\" c=\"d\"}", "1:10: parse error: unexpected character 'c'"},
      {"up[5m]", "1:3: parse error: unexpected character '['"},
      {"up offset 5m", "1:4: parse error: unexpected character 'o'"},
      {"sum(up)", "1:4: parse error: unexpected character '('"},
      {"up{a=\"b\n\"}", "1:6: parse error: unterminated quoted string"},
      {"up{a='b", "1:6: parse error: unterminated quoted string"},
      {"up{a=`b", "1:6: parse error: unterminated quoted string"},
      {"up{\n a=\"\\q\"}", "2:5: parse error: unknown escape sequence"},
      {"up{a=\"\\'\"}", "1:7: parse error: unknown escape sequence"},
      {"up{a=\"\\x4\"}", "1:7: parse error: escape sequence with too few digits"},
      {"up{a=\"\\u12", "1:7: parse error: escape sequence with too few digits"},
      {"up{a=\"\\400\"}", "1:7: parse error: escape sequence is no valid code point"},
      {"up{a=\"\\ud800\"}", "1:7: parse error: escape sequence is no valid code point"},
      {"up{a=\"\\U00110000\"}", "1:7: parse error: escape sequence is no valid code point"},
      {"up{a=\"\\", "1:7: parse error: escape sequence not terminated"},
      {"up{a=~\"(\"}", "1:7: parse error: error parsing regexp: missing "},
      {"up{a=~\"(?=x)\"}", "1:7: parse error: error parsing regexp"},
      {"up{a=~\"\\xff\"}", "1:7: parse error: error parsing regexp: "},
      {"up{__name__=\"a\"}", "1:4: parse error: metric name must not be set twice"},
      {"up{\"a\"}", "1:4: parse error: metric name must not be set twice"},
      {"{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
      {" {a=\"\"}", "1:2: parse error: vector selector must contain at least one"},
      {"{a=~\".*\",b!=\"c\",d!~\"e\"}", "1:1: parse error: vector selector must contain at least"},
  };
  for (const auto& row : kRows) {
    EXPECT_THAT(Understood(row.text), StartsWith(std::string(row.error))) << row.text;
  }
}

TEST(Selector, EveryBeginningIsReadOrRefused) {
  const std::string whole = "up{a=\"\\x41\\n\",b=~'c.*', d!~`e` } # end";
  for (size_t end = 0; end <= whole.size(); ++end) {
    const auto selector = ParseSelector(std::string_view(whole).substr(0, end));
    EXPECT_EQ(selector.ok(), (end > 0 && end < 3) || end >= whole.rfind('}') + 1) << end;
  }
}

TEST(Selector, MatchesWholeValues) {
  const auto matches = [](std::string_view text, std::string_view value) {
    const auto selector = ParseSelector(text);
    EXPECT_TRUE(selector.ok()) << text;
    return selector.ok() && selector->back().Matches(value);
  };
  EXPECT_TRUE(matches("x{a=\"b\"}", "b"));
  EXPECT_FALSE(matches("x{a=\"b\"}", "bb"));
  EXPECT_TRUE(matches("x{a!=\"b\"}", ""));
  EXPECT_FALSE(matches("x{a!=\"b\"}", "b"));
  EXPECT_TRUE(matches("x{a=~\"b|cd\"}", "cd"));
  EXPECT_FALSE(matches("x{a=~\"b|cd\"}", "bd"));
  EXPECT_FALSE(matches("x{a=~\"b\"}", "xbx"));
  EXPECT_TRUE(matches("x{a=~\"b.*\"}", "b\nc"));
  EXPECT_TRUE(matches("x{a=~\"\"}", ""));
  EXPECT_TRUE(matches("x{a!~\"b+\"}", ""));
  EXPECT_FALSE(matches("x{a!~\"b+\"}", "bbb"));
  EXPECT_TRUE(matches("x{a=~\"(?i)SHOP\"}", "shop"));
  EXPECT_TRUE(matches("x{a=~\".\"}", "\xc3\xa9"));
}

std::string Repeated(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST(Selector, IsBounded) {
  const std::string frame = "up{a=\"\"}";
  const std::string longest =
      "up{a=\"" + std::string(SelectorLimits::kBytes - frame.size(), 'x') + "\"}";
  EXPECT_TRUE(ParseSelector(longest).ok());
  EXPECT_THAT(Understood(longest + " "), HasSubstr("longer than"));
  const size_t most = SelectorLimits::kMatchers;
  EXPECT_TRUE(ParseSelector("{" + Repeated("a=\"b\",", most) + "}").ok());
  EXPECT_THAT(Understood("{" + Repeated("a=\"b\",", most + 1) + "}"),
              HasSubstr("more than 256 matchers"));
  // What would take too much memory is refused, what takes long to match is not.
  EXPECT_THAT(Understood("{a=~\"((x{1,100}){1,100}){1,10}\"}"), HasSubstr("error parsing regexp"));
  const auto slow = ParseSelector("{a=~\"(x+x+)+y\"}");
  ASSERT_TRUE(slow.ok());
  EXPECT_FALSE(slow->front().Matches(std::string(8192, 'x')));
  EXPECT_GT(ParseSelector("{a=~\"x{1000}\"}")->front().cost(),
            ParseSelector("{a=\"x\"}")->front().cost());
}

TEST(Selectors, OfOneRequest) {
  EXPECT_TRUE(ParseSelectors({})->empty());
  const auto two = ParseSelectors({"up", "{a=\"b\",c=\"d\"}"});
  ASSERT_TRUE(two.ok());
  EXPECT_EQ((*two)[0].size(), 1u);
  EXPECT_EQ((*two)[1].size(), 2u);
  EXPECT_EQ(ParseSelectors({"up", "a b"}).status().message(),
            "match[] 'a b': 1:3: parse error: unexpected character 'b', expected the end of the "
            "selector");
  using Texts = std::vector<std::string>;
  EXPECT_TRUE(ParseSelectors(Texts(SelectorLimits::kSelectors, "up")).ok());
  EXPECT_THAT(
      std::string(ParseSelectors(Texts(SelectorLimits::kSelectors + 1, "up")).status().message()),
      HasSubstr("more than 128 selectors"));
  const std::string many = "{" + Repeated("a=\"b\",", SelectorLimits::kMatchers) + "}";
  EXPECT_TRUE(ParseSelectors({many}).ok());
  EXPECT_THAT(std::string(ParseSelectors({many, "up"}).status().message()),
              HasSubstr("more than 256 matchers"));
  const std::string regexes = "{" + Repeated("a=~\"b+\",", SelectorLimits::kRegexes) + "}";
  EXPECT_TRUE(ParseSelectors({regexes, "up"}).ok());
  EXPECT_THAT(std::string(ParseSelectors({regexes, "{a!~\"b\",b=\"c\"}"}).status().message()),
              HasSubstr("more than 64 regular expressions"));
}

// The limit holds for what a request compiles, before it is compiled.
TEST(Selectors, LargeExpressionsShareALimit) {
  const std::string large = "a=~\"(b?c){300}d\"";
  ASSERT_TRUE(ParseSelectors({"{" + large + "}"}).ok());
  EXPECT_THAT(
      std::string(ParseSelectors({"{" + Repeated(large + ",", 60) + "}"}).status().message()),
      HasSubstr("too large together"));
  EXPECT_FALSE(ParseSelector("{a=~\"((b?c){100}){100}\"}").ok());
}

}  // namespace
}  // namespace sonde
