#include "protocols/template_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace sonde {
namespace {

using ::testing::HasSubstr;

std::string Expand(std::string_view pattern, std::string_view text, std::string_view form) {
  std::string error;
  const auto regex = Regex::Compile(pattern, &error);
  if (!regex) return error;
  TemplateText parsed;
  if (!TemplateText::Parse(form, *regex, &parsed, &error)) return error;
  Regex::Groups groups;
  if (!regex->Match(0, text, &groups)) return "no match";
  return parsed.Expand(groups);
}

TEST(TemplateText, ContractVectors) {
  EXPECT_EQ(Expand("^a$", "a", "b$$c $1 ${0}x ${nope}"), "b$c  ax ");
  constexpr std::string_view kSsh = "^SSH-2.0-([^ -]+)(?: (.*))?$";
  constexpr std::string_view kBanner = "SSH-2.0-OpenSSH_6.9p1 Debian-2";
  EXPECT_EQ(Expand(kSsh, kBanner, "got ${1} here"), "got OpenSSH_6.9p1 here");
  EXPECT_EQ(Expand(kSsh, kBanner, "${1} on ${2}"), "OpenSSH_6.9p1 on Debian-2");
}

TEST(TemplateText, NamesAreAsLongAsTheyCanBe) {
  EXPECT_EQ(Expand("(?P<a>x)(?P<ab>y)", "xy", "$ab-$a-$abc-${a}b"), "y-x--xb");
  EXPECT_EQ(Expand("(x)", "x", "$1x"), "");  // the group named "1x"
  EXPECT_EQ(Expand("(x)", "x", "$1-$1"), "x-x");
  EXPECT_EQ(Expand("(?P<n_1>x)", "x", "$n_1."), "x.");
  EXPECT_EQ(Expand("(?P<n>a)|(?P<n>b)", "b", "<$n>"), "<b>");  // the one that matched
}

TEST(TemplateText, NumbersAreGoNumbers) {
  EXPECT_EQ(Expand("(x)", "x", "a${01}b"), "ab");  // leading zeros make a name
  EXPECT_EQ(Expand("(x)", "x", "a$9b$999999999999"), "a");
  EXPECT_EQ(Expand("(x)", "x", "$0"), "x");
}

TEST(TemplateText, UnmatchedGroupsAreEmpty) {
  EXPECT_EQ(Expand("(a)|(b)", "b", "<$1><$2>"), "<><b>");
}

TEST(TemplateText, LoneDollarsStay) {
  EXPECT_EQ(Expand("x", "x", "$"), "$");
  EXPECT_EQ(Expand("x", "x", "a$ b"), "a$ b");
  EXPECT_EQ(Expand("x", "x", "$-$.$"), "$-$.$");
  EXPECT_EQ(Expand("x", "x", "${}"), "${}");
  EXPECT_EQ(Expand("x", "x", "${0"), "${0");
  EXPECT_EQ(Expand("x", "x", "${0 }"), "${0 }");
  EXPECT_EQ(Expand("x", "x", "$$0"), "$0");
  EXPECT_EQ(Expand("x", "x", "$$$0"), "$x");
  EXPECT_EQ(Expand("x", "x", "${$0}"), "${x}");
}

TEST(TemplateText, LettersOfEveryScriptAreNames) {
  EXPECT_EQ(Expand("x", "x", "a$\xc3\xa9-b"), "a-b");               // no such group
  EXPECT_EQ(Expand("x", "x", "a$\xe2\x82\xac"), "a$\xe2\x82\xac");  // a euro sign is no letter
  EXPECT_EQ(Expand("x", "x", std::string_view("a$\xff", 3)), std::string_view("a$\xff", 3));
}

TEST(TemplateText, KnowsWhenItIsConstant) {
  std::string error;
  const auto regex = Regex::Compile("(x)", &error);
  TemplateText text;
  ASSERT_NE(text.constant(), nullptr);
  EXPECT_EQ(*text.constant(), "");
  ASSERT_TRUE(TemplateText::Parse("a$$b$nope.c", *regex, &text, &error));
  ASSERT_NE(text.constant(), nullptr);
  EXPECT_EQ(*text.constant(), "a$b.c");
  ASSERT_TRUE(TemplateText::Parse("a$1", *regex, &text, &error));
  EXPECT_EQ(text.constant(), nullptr);
  ASSERT_TRUE(TemplateText::Parse("$1", *regex, &text, &error));
  EXPECT_EQ(text.constant(), nullptr);
}

TEST(TemplateText, GroupsBeyondTheLimitAreErrors) {
  std::string pattern;
  for (int i = 0; i < 40; ++i) pattern += "(a)";
  EXPECT_THAT(Expand(pattern, std::string(40, 'a'), "$35"), HasSubstr("at most 31"));
  EXPECT_EQ(Expand(pattern, std::string(40, 'a'), "$31 $41"), "a ");
}

}  // namespace
}  // namespace sonde
