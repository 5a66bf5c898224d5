#include "exporter/label_text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "exporter/exposition.h"

namespace sonde {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

Labels LabelsOf(std::string_view block) {
  Labels labels;
  for (LabelReader label(block); label.Next();) {
    EXPECT_EQ(label.written().substr(0, label.name().size()), label.name());
    labels.emplace_back(label.name(), label.value());
  }
  return labels;
}

TEST(LabelReader, ReadsWhatIsWritten) {
  const Labels labels = {{"a", ""}, {"b", "x,y=\"z\""}, {"c", "back\\slash\nline"}, {"d", "{}"}};
  std::string block;
  for (const auto& [name, value] : labels) AppendLabel(&block, name, value);
  EXPECT_EQ(LabelsOf(block), labels);
  EXPECT_EQ(LabelsOf("," + block + ","), labels);
  std::string again;
  for (LabelReader label(block); label.Next();) again.append(",").append(label.written());
  EXPECT_EQ(again, "," + block);
  EXPECT_TRUE(HasLabel(block, "a"));
  EXPECT_TRUE(HasLabel(block, "d"));
  EXPECT_FALSE(HasLabel(block, "x"));
  EXPECT_FALSE(HasLabel("", ""));
}

TEST(LabelReader, EndsAtWhatIsNoLabel) {
  for (const std::string& text :
       {std::string(), std::string(","), std::string("a"), std::string("a="), std::string("}")}) {
    EXPECT_TRUE(LabelsOf(text).empty()) << text;
  }
  const std::string whole = "a=\"1\",b=\"2\\\"3\"";
  for (size_t end = 0; end <= whole.size(); ++end) LabelsOf(whole.substr(0, end));
}

}  // namespace
}  // namespace sonde
