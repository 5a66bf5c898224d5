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

// A reading of a file that did not change is not kept beside what is in force.
TEST(ConfigurationTest, EqualValuesAreShared) {
  Configuration configuration;
  const std::string a = Line("a", "type: tcp, target: \"127.0.0.1:1\"");
  const auto first = Tasks("tasks:\n" + a + Line("b", "type: tcp, target: \"127.0.0.1:2\""));
  configuration.Replace(first);
  auto again = Tasks("tasks:\n" + a + Line("b", "type: tcp, target: \"127.0.0.1:3\""));
  const auto changed = again[1];
  configuration.Replace(again);
  EXPECT_NE(again[0], first[0]);
  configuration.ShareValues(&again);
  EXPECT_EQ(again[0], first[0]);
  EXPECT_EQ(again[1], changed);
}

// The delta is in the file's order, whatever the ids are; a name that comes twice counts once.
TEST(ConfigurationTest, TheDeltaKeepsTheOrderOfTheFile) {
  Configuration configuration;
  std::string text = "tasks:\n";
  for (int i = 0; i < 100; ++i) {
    text += Line("t" + std::to_string(i), "type: tcp, target: \"127.0.0.1:1\"");
  }
  auto tasks = Tasks(text);
  tasks.push_back(Tasks("tasks:\n" + Line("t7", "type: icmp, target: 127.0.0.1")).front());
  const TaskDelta delta = configuration.Replace(tasks);
  ASSERT_EQ(delta.upserts.size(), 100u);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(delta.upserts[i].task, tasks[i]);
  EXPECT_EQ(configuration.size(), 100u);
  tasks.resize(10);
  const TaskDelta less = configuration.Replace(tasks);
  EXPECT_TRUE(less.upserts.empty());
  EXPECT_EQ(less.removals.size(), 90u);
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

// Last results and native histograms come and go with the file; what was counted stays.
TEST(ConfigurationTest, WhatIsKeptOfATaskChangesWithoutLosingItsCounts) {
  Configuration configuration;
  const auto load = [&](const std::string& metrics) {
    return configuration.Replace(Tasks("metrics: {" + metrics + "}\ntasks:\n" +
                                       Line("a", "type: tcp, target: \"127.0.0.1:1\"")));
  };
  const TaskDelta first = load("recent: false");
  Tally& tally = first.upserts.at(0).record->tally;
  const auto run = [&tally] {
    ProbeResult result;
    result.outcome = Outcome::kOk;
    result.duration = Milliseconds(3);
    result.latency_recorded = true;
    tally.Record(result, WallTime{1'790'000'000'000'000'000});
    std::vector<RecentRun> recent;
    tally.Recent(&recent);
    return recent.size();
  };
  EXPECT_EQ(run(), 0u);
  TaskDelta delta = load("recent: true, families: [core, native]");
  ASSERT_EQ(delta.upserts.size(), 1u);
  EXPECT_EQ(delta.upserts[0].record, first.upserts[0].record);
  EXPECT_TRUE(delta.upserts[0].task->metrics.recent);
  EXPECT_EQ(run(), 1u);
  NativeCounts native;
  ASSERT_TRUE(tally.Native(&native));
  EXPECT_EQ(native.count, 2u);
  delta = load("recent: false");
  EXPECT_FALSE(delta.upserts.at(0).task->metrics.recent);
  EXPECT_EQ(run(), 2u) << "kept, though not shown";
  delta = load("recent: false");
  EXPECT_TRUE(delta.upserts.empty());
  EXPECT_EQ(tally.counts().success, 3u);
}

TEST(ConfigurationTest, ABadFileIsToldWithEveryPlace) {
  const auto missing = LoadFile("/nonexistent/sonde.yml", {});
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.status().ToString().find("/nonexistent/sonde.yml"), std::string::npos);
}

}  // namespace
}  // namespace sonde
