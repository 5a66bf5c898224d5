#include "exporter/text_escape.h"

#include <gtest/gtest.h>

#include <string>

namespace sonde {
namespace {

std::string Label(std::string_view value) {
  std::string out;
  AppendLabelValue(&out, value);
  return out;
}

std::string Html(std::string_view text) {
  std::string out;
  AppendHtml(&out, text);
  return out;
}

std::string Json(std::string_view text) {
  std::string out;
  AppendJson(&out, text);
  return out;
}

TEST(TextEscape, LabelValues) {
  EXPECT_EQ(Label(""), "");
  EXPECT_EQ(Label("plain {value}, é€𝄞"), "plain {value}, é€𝄞");
  EXPECT_EQ(Label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
  EXPECT_EQ(Label("\\n"), "\\\\n");
  EXPECT_EQ(Label(std::string_view("a\0b", 3)),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(Label("tab\tcr\r"), "tab\tcr\r");
}

TEST(TextEscape, TextThatNeedsNoEscapes) {
  std::string out;
  AppendUtf8(&out, std::string_view("a\"\\\n\r<\xff\0\xc3\xa9", 10));
  EXPECT_EQ(out, "a\"\\\n\r<\xEF\xBF\xBD\xEF\xBF\xBD\xc3\xa9");
}

TEST(TextEscape, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(Label("\xff"), bad);
  EXPECT_EQ(Label("a\x80z"), "a" + bad + "z");
  EXPECT_EQ(Label("\xc3"), bad);                                // cut short
  EXPECT_EQ(Label("\xe2\x82"), bad + bad);                      // cut short
  EXPECT_EQ(Label("\xc0\xaf"), bad + bad);                      // overlong
  EXPECT_EQ(Label("\xe0\x80\xaf"), bad + bad + bad);            // overlong
  EXPECT_EQ(Label("\xed\xa0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(Label("\xf4\x90\x80\x80"), bad + bad + bad + bad);  // above U+10FFFF
  EXPECT_EQ(Label("\xf5\x80\x80\x80"), bad + bad + bad + bad);
  EXPECT_EQ(Label("\xc3\""), bad + "\\\"");  // a quote is never swallowed
}

TEST(TextEscape, EveryByteInEveryPlaceGivesValidUtf8WithoutBareQuotes) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {'x', static_cast<char>(first), static_cast<char>(second), 'y'};
      const std::string out = Label(text);
      for (size_t i = 0; i < out.size();) {
        const size_t length = Utf8Length(std::string_view(out).substr(i));
        ASSERT_NE(length, 0u);
        ASSERT_NE(out[i], '\n');
        if (out[i] == '"') { ASSERT_EQ(out[i - 1], '\\'); }
        i += length;
      }
    }
  }
}

TEST(TextEscape, Help) {
  std::string text, open;
  AppendHelp(&text, "a \"b\" \\ c\nd\re", false);
  AppendHelp(&open, "a \"b\" \\ c\nd", true);
  EXPECT_EQ(text,
            "a \"b\" \\\\ c\\nd\xEF\xBF\xBD"
            "e");
  EXPECT_EQ(open, "a \\\"b\\\" \\\\ c\\nd");
}

TEST(TextEscape, HtmlLeavesNoMarkup) {
  EXPECT_EQ(Html("<script>alert('x')</script>"), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
  EXPECT_EQ(Html("\"&amp;"), "&quot;&amp;amp;");
  EXPECT_EQ(Html("a\x01"
                 "b\xff"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
}

TEST(TextEscape, Json) {
  EXPECT_EQ(Json("plain"), "\"plain\"");
  EXPECT_EQ(Json("a\"\\\n\x01</script>\x7f"), "\"a\\\"\\\\\\n\\u0001\\u003c/script>\\u007f\"");
}

}  // namespace
}  // namespace sonde
