// The table of `sonde bench`'s types: every row makes tasks, and its own tasks are known again.
#include <gtest/gtest.h>

#include <set>

#include "engine/contract/cost_model.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "tools/farm/farm_config.h"
#include "tools/sonde/bench/task_maker.h"

namespace sonde {
namespace {

TEST(BenchTypes, EveryRowMakesTasksItKnowsAgain) {
  for (const BenchType& type : BenchTypes()) {
    EXPECT_EQ(FindBenchType(type.name), &type);
    const auto maker = TaskMaker::ForFarm(type, type.options, "/tmp/ca.pem", Seconds(1));
    ASSERT_TRUE(maker.ok()) << type.name << ": " << maker.status();
    const auto task =
        maker->Make("a", FarmTarget(type, 7, 8080), *Schedule::Every(Milliseconds(250)));
    ASSERT_TRUE(task.ok()) << type.name << ": " << task.status();
    EXPECT_EQ(BenchTypeOf(**task), &type) << type.name;
    EXPECT_EQ((*task)->timeout, Seconds(1));
    EXPECT_EQ((*task)->plan->needs_descriptor, type.stream);
    EXPECT_EQ((*task)->plan->needs_handshake, type.handshake);
    if (type.stream) {
      EXPECT_EQ((*task)->module->network.close, NetworkOptions::Close::kReset) << type.name;
    }
    if (type.silent_options.empty()) continue;
    EXPECT_TRUE(TaskMaker::ForFarm(type, type.silent_options, "", Seconds(5)).ok()) << type.name;
  }
  EXPECT_EQ(FindBenchType("gopher"), nullptr);
}

TEST(BenchTypes, KeptConnectionsAndResumedSessionsAreWhatTheEngineTakesThemFor) {
  for (const BenchType& type : BenchTypes()) {
    const auto maker = TaskMaker::ForFarm(type, type.options, "/tmp/ca.pem", Seconds(1));
    ASSERT_TRUE(maker.ok()) << type.name << ": " << maker.status();
    const auto task =
        maker->Make("a", FarmTarget(type, 7, 8080), *Schedule::Every(Milliseconds(250)));
    ASSERT_TRUE(task.ok()) << type.name << ": " << task.status();
    const Openings openings = OpeningsOf(**task);
    EXPECT_EQ(openings.kept, type.keeps) << type.name;
    EXPECT_EQ(openings.connections > 0.5, type.stream && !type.keeps) << type.name;
    EXPECT_EQ(openings.full + openings.resumed > 0, type.handshake) << type.name;
    EXPECT_EQ(openings.resumed > openings.full, type.resumes) << type.name;
  }
}

TEST(BenchTypes, ListenersAreTheFarms) {
  for (const BenchType& type : BenchTypes()) {
    for (const std::string_view listener : {type.listener, type.silent_listener}) {
      std::string error;
      if (listener.empty()) continue;
      EXPECT_TRUE(FarmConfig::ReadFlag(listener, &error)) << type.name << ": " << error;
    }
  }
}

TEST(FarmAddress, TargetsHaveAddressesOfTheirOwn) {
  std::set<std::string> seen;
  for (size_t i = 0; i < 200'000; ++i) {
    const std::string address = FarmAddress(i);
    ASSERT_TRUE(seen.insert(address).second) << address;
    ASSERT_TRUE(address.starts_with("127."));
    ASSERT_FALSE(address.starts_with("127.0."));
  }
}

TEST(TaskMaker, TasksShareTheirModule) {
  const BenchType& type = *FindBenchType("http");
  const auto maker = TaskMaker::ForFarm(type, type.options, "", Seconds(1));
  ASSERT_TRUE(maker.ok());
  const auto every = *Schedule::Every(Seconds(1));
  const auto a = maker->Make("a", FarmTarget(type, 0, 80), every);
  const auto b = maker->Make("b", FarmTarget(type, 1, 80), every);
  const auto a_again = maker->Make("a", FarmTarget(type, 0, 80), *Schedule::Every(Seconds(2)));
  ASSERT_TRUE(a.ok() && b.ok() && a_again.ok());
  EXPECT_EQ((*a)->module, (*b)->module);
  EXPECT_NE((*a)->id, (*b)->id);
  EXPECT_NE((*a)->plan->destination, (*b)->plan->destination);
  EXPECT_EQ((*a)->id, (*a_again)->id);
  EXPECT_NE((*a)->version, (*a_again)->version);  // the engine sees the change
}

TEST(TaskMaker, WhatIsWrongIsSaid) {
  const auto bad = TaskMaker::Of("{name: a, type: http, target: 'http://a/', http: {no: 1}}", "");
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.status().message().find("no"), absl::string_view::npos);
  EXPECT_FALSE(TaskMaker::Of("{name: a, type: http, target: 'http://a/'}", "/none.yml").ok());
}

}  // namespace
}  // namespace sonde
