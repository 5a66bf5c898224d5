#include "tools/sonde/configuration.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "protocols/registry.h"

namespace sonde {
namespace {

std::vector<std::shared_ptr<const Task>> Tasks(const std::string& text) {
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("test");
  return file.tasks;
}

std::string Line(const std::string& name, const std::string& rest) {
  return "  - {name: " + name + ", " + rest + "}\n";
}

TEST(ConfigurationTest, OnlyWhatChangedIsInTheDelta) {
  Configuration configuration;
  const std::string a = Line("a", "type: tcp, target: \"127.0.0.1:1\"");
  const std::string b = Line("b", "type: tcp, target: \"127.0.0.1:2\"");
  TaskDelta delta = configuration.Replace(Tasks("tasks:\n" + a + b));
  ASSERT_EQ(delta.upserts.size(), 2u);
  const auto kept = delta.upserts[0].record;

  delta = configuration.Replace(Tasks("tasks:\n" + a + b));
  EXPECT_TRUE(delta.upserts.empty());
  EXPECT_TRUE(delta.removals.empty());

  delta = configuration.Replace(
      Tasks("tasks:\n" + Line("a", "type: tcp, target: \"127.0.0.1:1\", interval: 5s")));
  ASSERT_EQ(delta.upserts.size(), 1u);
  EXPECT_EQ(delta.upserts[0].record, kept);  // with its tally
  ASSERT_EQ(delta.removals.size(), 1u);
  EXPECT_EQ(delta.removals[0], TaskIdOf("b"));
  EXPECT_EQ(configuration.size(), 1u);
}

TEST(ConfigurationTest, ATaskOfAnotherTypeStartsAnew) {
  Configuration configuration;
  TaskDelta delta =
      configuration.Replace(Tasks("tasks:\n" + Line("a", "type: tcp, target: \"127.0.0.1:1\"")));
  const auto before = delta.upserts.at(0).record;
  delta = configuration.Replace(
      Tasks("tasks:\n" + Line("a", "type: http, target: \"http://127.0.0.1:1/\"")));
  ASSERT_EQ(delta.upserts.size(), 1u);
  EXPECT_NE(delta.upserts[0].record, before);
  EXPECT_TRUE(delta.removals.empty());  // an id stands in a delta once
}

TEST(ConfigurationTest, ABadFileIsToldWithEveryPlace) {
  const auto missing = LoadFile("/nonexistent/sonde.yml", nullptr);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.status().ToString().find("/nonexistent/sonde.yml"), std::string::npos);
}

}  // namespace
}  // namespace sonde
