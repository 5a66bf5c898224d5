#include "tools/sonde/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocols/registry.h"
#include "store/task_file.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

Demand DemandOfText(std::string_view text) {
  Diagnostics diagnostics;
  const TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("fleet.yml");
  return DemandOf(file.tasks);
}

TEST(Node, Quotas) {
  EXPECT_EQ(QuotaCores("200000 100000"), 2);
  EXPECT_EQ(QuotaCores("50000 100000\n"), 0.5);
  for (const char* none : {"", "max 100000", "x", "100000", "100000 0", "-1 100000", "1e400 0"}) {
    EXPECT_EQ(QuotaCores(none), 0) << none;
  }
}

TEST(Node, LimitsOfThisOne) {
  EngineSettings settings;
  settings.shards = 3;
  settings.max_in_flight = 77;
  settings.max_descriptors = 5;
  const NodeLimits node = LimitsOf(settings);
  EXPECT_EQ(node.shards, 3);
  EXPECT_EQ(node.in_flight, 77);
  EXPECT_EQ(node.handshakes, 77);  // 2000, were there as many runs
  settings.max_handshakes = 7;
  EXPECT_EQ(LimitsOf(settings).handshakes, 7);
  settings.max_handshakes = 0;  // unlimited, but for the runs
  EXPECT_EQ(LimitsOf(settings).handshakes, 77);
  EXPECT_EQ(node.descriptors, 5);
  EXPECT_GT(node.cores, 0);
  EXPECT_GE(LimitsOf({}).shards, 1);
}

TEST(Node, WhatTasksAskFor) {
  const Demand demand = DemandOfText(R"(
tasks:
  - {name: a, type: http, target: "http://a.example/", interval: 500ms, timeout: 400ms}
  - {name: b, type: http, target: "https://b.example/", interval: 4s, timeout: 2s}
  - {name: c, type: icmp, target: 192.0.2.1, interval: 1s, timeout: 1s}
  - {name: d, type: tcp, target: "d.example:1", interval: 1s, enabled: false}
)");
  EXPECT_DOUBLE_EQ(demand.per_second[CostKind::kHttp], 2.25);
  EXPECT_DOUBLE_EQ(demand.per_second[CostKind::kHandshake], 0.25);
  EXPECT_DOUBLE_EQ(demand.per_second[CostKind::kIcmp], 1);
  EXPECT_DOUBLE_EQ(demand.per_second.runs(), 3.25);
  EXPECT_DOUBLE_EQ(demand.connections, 2.25);
  EXPECT_DOUBLE_EQ(demand.silent_in_flight, 2 * 0.4 + 0.25 * 2 + 1);
  EXPECT_DOUBLE_EQ(demand.silent_descriptors, 2 * 0.4 + 0.25 * 2);
  EXPECT_DOUBLE_EQ(demand.silent_handshakes, 0.25 * 2);
}

TEST(Node, ShortagesAreSaid) {
  Demand demand;
  demand.per_second[CostKind::kTcp] = 10;
  EXPECT_EQ(ShortageText(demand, NodeLimits()), "");
  demand.per_second[CostKind::kTcp] = 100'000;
  EXPECT_THAT(ShortageText(demand, NodeLimits()), HasSubstr("of 1 cores"));
  EXPECT_THAT(ShortageText(demand, {.shards = 99, .cores = 99, .in_flight = 100}),
              HasSubstr("asks for about 5000 of 100 runs in flight"));
}

}  // namespace
}  // namespace sonde
