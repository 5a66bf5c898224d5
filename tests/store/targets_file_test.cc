#include "store/targets_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "store/task_file.h"
#include "tests/store/fake_prober.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

const FakeProber kHttp("http");
const FakeProber kTcp("tcp");
const std::array<const Prober*, 2> kProbers = {&kHttp, &kTcp};

struct Loaded {
  std::vector<std::shared_ptr<const Task>> tasks;
  std::string messages;
};

Loaded Load(const std::vector<std::string>& texts) {
  Diagnostics diagnostics;
  const TaskFile config =
      ReadTaskFile("modules: {http_2xx: {prober: http, timeout: 3s}, tcp: {prober: tcp}}", kProbers,
                   diagnostics);
  const ProberList probers{kProbers};
  ModuleSet modules;
  modules.good = config.modules;
  TaskReader tasks(probers, modules, diagnostics);
  TargetsReader reader({"http_2xx", "30s"}, tasks, diagnostics);
  for (const std::string& text : texts) reader.Read(text);
  return {reader.TakeTasks(), diagnostics.ToString("")};
}

TEST(TargetsReader, YamlAndJson) {
  const Loaded loaded = Load({R"(
- targets: ["a:1", "b:2"]
  labels: {team: web, __meta_x: dropped, application: shop}
- targets: ["a:1"]
  labels: {__param_module: tcp, module: ignored, __scrape_interval__: 5s, __scrape_timeout__: 2s}
)",
                              R"([{"targets": ["c:3"],
	"labels": {"module": "tcp", "job": "x"}}, {"targets": []}])"});
  EXPECT_EQ(loaded.messages, "");
  ASSERT_EQ(loaded.tasks.size(), 4u);
  const Task& first = *loaded.tasks[0];
  EXPECT_EQ(first.name, "http_2xx a:1");
  EXPECT_EQ(first.target, "a:1");
  EXPECT_EQ(first.prober, &kHttp);
  EXPECT_EQ(first.application, "shop");
  EXPECT_EQ(first.timeout, Seconds(3));
  EXPECT_EQ(first.schedule.ToString(), "30s");
  const std::vector<std::pair<std::string, std::string>> team = {{"team", "web"}};
  EXPECT_EQ(first.labels, team);
  EXPECT_EQ(loaded.tasks[1]->name, "http_2xx b:2");
  const Task& tcp = *loaded.tasks[2];
  EXPECT_EQ(tcp.name, "tcp a:1");
  EXPECT_EQ(tcp.prober, &kTcp);
  EXPECT_EQ(tcp.schedule.ToString(), "5s");
  EXPECT_EQ(tcp.timeout, Seconds(2));
  const std::vector<std::pair<std::string, std::string>> job = {{"job", "x"}, {"module", "tcp"}};
  EXPECT_EQ(loaded.tasks[3]->labels, job);
}

TEST(TargetsReader, NothingIsNoError) {
  for (const char* text : {"[]", "- targets: []", "- labels: {a: b}", "null"}) {
    EXPECT_EQ(Load({text}).messages, "") << text;
    EXPECT_TRUE(Load({text}).tasks.empty()) << text;
  }
}

TEST(TargetsReader, WhatIsWrongIsSaid) {
  const struct {
    const char* text;
    const char* message;
  } kRows[] = {
      {"targets: [a:1]", "must be a list"},
      {"- a:1", "must be a mapping"},
      {"- {target: ['a:1']}", "unknown key 'target'"},
      {"- {targets: 'a:1'}", "must be a list"},
      {"- {targets: [{}]}", "[0].targets[0]: must be text"},
      {"- {targets: ['nocolon']}", "no port"},
      {"- {targets: ['a:1', 'a:1']}", "already used"},
      {"- {targets: ['a:1'], labels: {module: nix}}", "there is no module 'nix'"},
      {"- {targets: ['a:1'], labels: {phase: x}}", "is reserved"},
      {"- {targets: ['a:1'], labels: {__scrape_interval__: often}}", "interval"},
      {"- {targets: ['']}", "must not be empty"},
      {"- {targets: [a", ""},
      {"", "empty"},
  };
  for (const auto& row : kRows) {
    const Loaded loaded = Load({row.text});
    EXPECT_NE(loaded.messages, "") << row.text;
    EXPECT_THAT(loaded.messages, HasSubstr(row.message)) << row.text;
  }
  EXPECT_EQ(Load({"- targets: ['a:1', 'bad', 'c:3']"}).tasks.size(), 2u);
  EXPECT_THAT(Load({"- targets: ['a:1']", "- targets: ['a:1']"}).messages,
              HasSubstr("already used"));
}

}  // namespace
}  // namespace sonde
