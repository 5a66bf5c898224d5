// What docs/configuration.md shows must load, with the probers there are. Runs in the source
// folder.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/label_name.h"
#include "protocols/registry.h"
#include "store/task_file.h"

namespace sonde {
namespace {

constexpr size_t kLimit = 1 << 20;

std::vector<std::string> YamlBlocks(std::string_view text) {
  constexpr std::string_view kOpen = "```yaml\n", kClose = "```";
  std::vector<std::string> blocks;
  for (size_t at = text.find(kOpen); at != std::string_view::npos; at = text.find(kOpen, at)) {
    at += kOpen.size();
    const size_t end = text.find(kClose, at);
    blocks.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return blocks;
}

TEST(ConfigurationDocs, ExamplesLoad) {
  const auto text = ReadFileBounded("docs/configuration.md", kLimit);
  ASSERT_TRUE(text.ok()) << text.status();
  const std::vector<std::string> blocks = YamlBlocks(*text);
  ASSERT_GE(blocks.size(), 4u);
  size_t tasks = 0;
  for (const std::string& block : blocks) {
    Diagnostics diagnostics;
    // A block of list entries alone shows tasks.
    const std::string file = block.starts_with("- ") ? "tasks:\n" + block : block;
    tasks += ReadTaskFile(file, SchemaProbers(), diagnostics).tasks.size();
    EXPECT_EQ(diagnostics.ToString(""), "") << file;
  }
  EXPECT_GE(tasks, 5u);
}

TEST(ConfigurationDocs, ReservedLabelsAreReserved) {
  const auto text = ReadFileBounded("docs/configuration.md", kLimit);
  ASSERT_TRUE(text.ok()) << text.status();
  const size_t from = text->find("reserved:\n\n");
  ASSERT_NE(from, std::string::npos);
  const size_t end = text->find("\n\n", from + 11);
  std::string word;
  size_t words = 0;
  for (const char c : text->substr(from + 11, end - from - 10)) {
    if (c != ' ' && c != '\n') {
      word += c;
    } else if (!word.empty()) {
      EXPECT_TRUE(IsReservedLabel(word)) << word;
      word.clear();
      ++words;
    }
  }
  EXPECT_EQ(words, 22u);
}

// A blackbox.yml with probers that are not there yet loads, warned about.
TEST(ConfigurationDocs, ABlackboxFileLoads) {
  const auto text = ReadFileBounded("tests/corpus/fuzz_task_file/blackbox", kLimit);
  ASSERT_TRUE(text.ok()) << text.status();
  Diagnostics diagnostics;
  const TaskFile file = ReadTaskFile(*text, SchemaProbers(), diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("");
  EXPECT_EQ(file.modules.count("http_2xx"), 1u);
  EXPECT_EQ(file.modules.count("pop3s_banner"), 1u);
  EXPECT_EQ(file.modules.size() + file.unusable_modules.size(), 7u);
  EXPECT_TRUE(file.tasks.empty());
}

}  // namespace
}  // namespace sonde
