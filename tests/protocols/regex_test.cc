#include "protocols/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::unique_ptr<const Regex> Make(std::string_view pattern) {
  std::string error;
  auto regex = Regex::Compile(pattern, &error);
  EXPECT_TRUE(regex) << error;
  return regex;
}

bool Matches(std::string_view pattern, std::string_view text) {
  return Make(pattern)->Match(0, text);
}

std::string ErrorOf(std::string_view pattern) {
  std::string error;
  EXPECT_EQ(Regex::Compile(pattern, &error), nullptr) << pattern;
  return error;
}

TEST(Regex, SearchesAnywhere) {
  EXPECT_TRUE(Matches("b", "abc"));
  EXPECT_FALSE(Matches("^b", "abc"));
  EXPECT_FALSE(Matches("b$", "abc"));
  EXPECT_TRUE(Matches("", ""));
}

TEST(Regex, AnchorsMeanTheTextAndDotStopsAtLines) {
  EXPECT_FALSE(Matches("^b", "a\nb"));
  EXPECT_TRUE(Matches("(?m)^b", "a\nb"));
  EXPECT_FALSE(Matches("a.b", "a\nb"));
  EXPECT_TRUE(Matches("(?s)a.b", "a\nb"));
}

TEST(Regex, PrefersTheLeftmostFirstAlternative) {
  Regex::Groups groups;
  ASSERT_TRUE(Make("a|ab")->Match(0, "xab", &groups));
  EXPECT_EQ(groups[0], "a");
}

TEST(Regex, HandsOutGroups) {
  const auto regex = Make("^(\\d+)-(?P<code>[a-z]+)(x)?$");
  Regex::Groups groups;
  ASSERT_TRUE(regex->Match(0, "12-ab", &groups));
  EXPECT_EQ(groups[1], "12");
  EXPECT_EQ(groups[2], "ab");
  EXPECT_EQ(groups[3], "");
  EXPECT_EQ(groups[4], "");
  EXPECT_EQ(regex->group_count(), 3u);
  EXPECT_EQ(groups[3].data(), nullptr);
  EXPECT_THAT(regex->GroupsNamed("code"), ElementsAre(2));
  EXPECT_THAT(regex->GroupsNamed("nope"), IsEmpty());
  EXPECT_THAT(Make("(?P<n>a)(b)(?P<n>c)")->GroupsNamed("n"), ElementsAre(1, 3));
}

TEST(Regex, GroupsBeyondTheLimitAreLeftOut) {
  std::string pattern;
  for (int i = 0; i < 40; ++i) pattern += "(a)";
  Regex::Groups groups;
  const std::string text(40, 'a');
  ASSERT_TRUE(Make(pattern)->Match(0, text, &groups));
  EXPECT_EQ(groups[Regex::kMaxGroups - 1], "a");
}

TEST(Regex, TakesGoGroupNames) {
  EXPECT_THAT(Make("(?<n>a)(?P<m>b)")->GroupsNamed("n"), ElementsAre(1));
  EXPECT_TRUE(Matches("[(?<]n", "?n"));      // a class is not a group
  EXPECT_TRUE(Matches("[]](?<n>a)", "]a"));  // nor does `]` end one it opens
  EXPECT_TRUE(Matches("\\(?<n>", "<n>"));
  EXPECT_TRUE(Matches("\\Q(?<n>\\E(?<n>a)", "(?<n>a"));
  EXPECT_TRUE(Matches("\\Q(?<n>", "(?<n>"));
}

TEST(Regex, ErrorsReadAsInBlackboxExporter) {
  EXPECT_THAT(ErrorOf(":["), StartsWith("\"Could not compile regular expression\" regexp=\":[\""));
  EXPECT_THAT(ErrorOf("a(?=b)"), HasSubstr("regexp=\"a(?=b)\""));
  EXPECT_THAT(ErrorOf("(a)\\1"), HasSubstr("\\1"));
  EXPECT_THAT(ErrorOf("a{1001}"), HasSubstr("Could not compile"));
  EXPECT_THAT(ErrorOf("a\\C"), HasSubstr("\\C"));
  EXPECT_TRUE(Matches("\\\\C", "\\C"));
}

TEST(Regex, PatternsThatNeedTooMuchMemoryAreErrors) {
  EXPECT_THAT(ErrorOf("((\\pL{100}){10}\\pN){1}\\pL{1000}"), HasSubstr("too large"));
}

// The automaton would need 2^20 states; RE2 goes on without it.
TEST(Regex, StaysLinearWhenItsAutomatonWouldNot) {
  const auto regex = Make("(?s)[ab]*a[ab]{20}$");
  std::string text;
  uint32_t x = 1;
  for (int i = 0; i < 20000; ++i) text += ((x = x * 1664525u + 1013904223u) >> 31) ? 'a' : 'b';
  text[text.size() - 21] = 'a';
  EXPECT_TRUE(regex->Match(0, text));
  text[text.size() - 21] = 'b';
  EXPECT_FALSE(regex->Match(0, text));
}

TEST(Regex, MatchesUtf8AsCharacters) {
  EXPECT_TRUE(Matches("^.$", "\xc3\xa9"));
  EXPECT_TRUE(Matches("^[\xc3\xa9]$", "\xc3\xa9"));
  EXPECT_TRUE(Matches("(?i)\xc3\x89", "\xc3\xa9"));
}

TEST(Regex, MatchesBytesThatAreNotUtf8) {
  EXPECT_TRUE(Matches("^a.b$",
                      "a\xff"
                      "b"));
  EXPECT_TRUE(Matches("^[^x]+$", "\xff\xfe"));
  EXPECT_TRUE(Matches("ok", "\xff ok"));
  Regex::Groups groups;
  ASSERT_TRUE(Make("^(.+) ok")->Match(0, "\xff\xfe ok", &groups));
  EXPECT_EQ(groups[1], "\xff\xfe");
  // No byte-wise form: stays UTF-8.
  EXPECT_TRUE(Matches("\\x{20ac}|ok", "\xff ok"));
}

TEST(Regex, KeepsOneCopyPerShard) {
  const auto regex = Make("a(b)");
  EXPECT_NE(&regex->For(0), &regex->For(1));
  EXPECT_EQ(&regex->For(1), &regex->For(1));
  EXPECT_TRUE(regex->For(31).ok());
  EXPECT_TRUE(regex->Match(1000, "ab"));
}

TEST(Regex, ThreadsMayMeetOnOneCopy) {
  const auto regex = Make("^(a+)b");
  std::vector<std::thread> threads;
  std::atomic<int> matched{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      Regex::Groups groups;
      for (int n = 0; n < 100; ++n) {
        if (regex->Match(static_cast<unsigned>(1 + i % 2), "aab", &groups) && groups[1] == "aa") {
          ++matched;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(matched, 800);
}

TEST(Utf8, KnowsWellFormedText) {
  for (const char* good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xc3"}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace sonde
