// What a file's tasks will need: the arithmetic behind `sonde bench --plan`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "protocols/registry.h"
#include "tools/sonde/bench/capacity_report.h"

namespace sonde {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr WallTime kFrom{1'774'699'200'000'000'000};  // 2026-03-28T12:00:00Z

constexpr std::string_view kFleet = R"(
modules:
  quick: {prober: http, http: {close: reset}}
tasks:
  - {name: a, type: http, target: "http://a.example/", interval: 100ms, timeout: 5s}
  - {name: b, type: http, target: "http://a.example/", interval: 1s, timeout: 500ms}
  - {name: c, module: quick, target: "http://b.example/", interval: 100ms, timeout: 5s}
  - {name: d, type: http, target: "https://d.example/", interval: 10s, timeout: 2s}
  - {name: e, type: icmp, target: "192.0.2.1", interval: 1s, timeout: 1s}
  - {name: f, type: tcp, target: "f.example:25", cron: "0 */15 * * * *", timeout: 1s}
  - {name: off, type: tcp, target: "off.example:1", interval: 1s, enabled: false}
)";

TaskFile Fleet(std::string_view text = kFleet) {
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("fleet.yml");
  return file;
}

const CapacityDemand::Kind* Find(const CapacityDemand& demand, std::string_view name) {
  for (const auto& kind : demand.kinds) {
    if (kind.type->name == name) return &kind;
  }
  return nullptr;
}

const CapacityRow& Row(const CapacityPrediction& prediction, std::string_view name) {
  for (const CapacityRow& row : prediction.rows) {
    if (row.name == name) return row;
  }
  ADD_FAILURE() << name;
  return prediction.rows[0];
}

TEST(CapacityDemand, CountsKindsRatesAndWhatStaysInFlight) {
  const TaskFile file = Fleet();
  const CapacityDemand demand = DemandOf(file, kFrom);
  EXPECT_EQ(demand.tasks, 7u);
  ASSERT_EQ(demand.kinds.size(), 4u);
  const auto* http = Find(demand, "http");
  ASSERT_NE(http, nullptr);
  EXPECT_EQ(http->tasks.size(), 3u);
  EXPECT_DOUBLE_EQ(http->rate, 21);
  EXPECT_DOUBLE_EQ(http->silent_in_flight, 1 + 0.5 + 1);  // a task runs once at a time
  EXPECT_DOUBLE_EQ(Find(demand, "https")->rate, 0.1);
  EXPECT_DOUBLE_EQ(Find(demand, "https")->silent_in_flight, 0.2);
  EXPECT_DOUBLE_EQ(Find(demand, "icmp")->rate, 1);
  EXPECT_DOUBLE_EQ(Find(demand, "tcp")->rate, 96.0 / 86'400);
  EXPECT_NEAR(demand.rate, 22.1 + 96.0 / 86'400, 1e-9);
  EXPECT_GE(demand.peak_rate, demand.rate - 1);
}

TEST(CapacityDemand, PortsGoByDestinationAndOnlyWithFin) {
  const TaskFile file = Fleet();
  const CapacityDemand demand = DemandOf(file, kFrom);
  EXPECT_EQ(demand.busiest, file.tasks[0]->plan->destination);
  EXPECT_DOUBLE_EQ(demand.busiest_closes, 11);
}

// Runs that share a connection open one in five minutes, and hold it between them.
constexpr std::string_view kKept = R"(
modules:
  kept: {prober: http, http: {keep_alive: true}}
  resumed: {prober: http, http: {close: reset, tls_config: {full_handshake_every: 100}}}
tasks:
  - {name: a, module: kept, target: "http://a.example/", interval: 10s}
  - {name: b, module: kept, target: "https://a.example/", interval: 10s}
  - {name: c, module: kept, target: "https://a.example/", interval: 20s}
  - {name: d, module: kept, target: "https://d.example/", interval: 10m}
  - {name: e, module: resumed, target: "https://e.example/", interval: 10s}
)";

TEST(CapacityDemand, KeptConnectionsAreHeldAndSeldomOpened) {
  const TaskFile file = Fleet(kKept);
  const CapacityDemand demand = DemandOf(file, kFrom);
  ASSERT_NE(Find(demand, "http-kept"), nullptr);
  ASSERT_NE(Find(demand, "https-kept"), nullptr);
  EXPECT_EQ(Find(demand, "https-kept")->tasks.size(), 2u);
  EXPECT_EQ(Find(demand, "https")->tasks.size(), 1u);  // so far apart that none is kept
  EXPECT_EQ(Find(demand, "https-resumed")->tasks.size(), 1u);
  EXPECT_EQ(demand.busiest, file.tasks[1]->plan->destination);
  EXPECT_DOUBLE_EQ(demand.busiest_closes, 2.0 / 300);
  const Work work = WorkOf(demand, 1);
  EXPECT_DOUBLE_EQ(work[CostKind::kHandshake], 1.0 / 600);
  EXPECT_DOUBLE_EQ(work[CostKind::kResumption], 0.1);

  Rehearsal rehearsal;
  rehearsal.kinds.assign(demand.kinds.size(), {50, 0, 20'000});
  const CapacityPrediction near = Predict(demand, rehearsal, {}, {}, {}, {});
  EXPECT_DOUBLE_EQ(Row(near, "descriptors").need, 3);
  EXPECT_DOUBLE_EQ(Row(near, "handshakes").need, 0);
  EXPECT_DOUBLE_EQ(Row(near, "memory_bytes").need, 2 * 20'000);  // TLS waits with its connection
  EXPECT_DOUBLE_EQ(*Row(near, "handshakes").silent, 0.5 + 0.25 + 5.0 / 600 + 0.5);
}

TEST(CapacityDemand, WhatEndsWithResetKeepsASocketForEachDestination) {
  const CapacityDemand demand = DemandOf(Fleet(R"(
tasks:
  - {name: a, type: tcp, target: "a.example:25", interval: 1s, tcp: {close: reset}}
  - {name: same, type: tcp, target: "a.example:25", interval: 1s, tcp: {half_open: true}}
  - {name: b, type: tcp, target: "b.example:25", interval: 2s, tcp: {close: reset}}
  - {name: dscp, type: tcp, target: "c.example:25", interval: 1s, tcp: {close: reset, dscp: 8}}
  - {name: fin, type: tcp, target: "d.example:25", interval: 1s}
  - {name: dns, type: dns, target: "e.example", interval: 1s}
)"),
                                         kFrom);
  EXPECT_EQ(demand.spare_peers, 2);
  EXPECT_EQ(demand.half_open_peers, 1);
  EXPECT_DOUBLE_EQ(Find(demand, "tcp")->rate, 3.5);
  EXPECT_DOUBLE_EQ(Find(demand, "tcp")->fresh_rate, 2);
}

class Prediction : public ::testing::Test {
 protected:
  Prediction() : file_(Fleet()), demand_(DemandOf(file_, kFrom)) {
    rehearsal_.kinds.resize(demand_.kinds.size());
    for (auto& kind : rehearsal_.kinds) kind = {50, 0.001, 2'000};
    Cost(100);
    rehearsal_.loopback_bytes = 1'000;
    rehearsal_.base_bytes = 20e6;
    rehearsal_.task_bytes = 1e6;
    machine_.memory_bytes = 1e9;
    machine_.ports = 28'232;
    node_.cores = 4;
    node_.descriptors = 20'000;
  }
  // Ten seconds of these tasks took so much processor a probe.
  void Cost(double microseconds) {
    const Work done = WorkOf(demand_, 10);
    for (int i = 0; i < 200; ++i) {
      rehearsal_.costs.Observe(done, done.runs() * microseconds / 1e6, 10, 1);
    }
  }
  CapacityPrediction Of(Duration round_trip = Milliseconds(10)) {
    return Predict(demand_, rehearsal_, settings_, node_, machine_, round_trip);
  }

  TaskFile file_;
  CapacityDemand demand_;
  Rehearsal rehearsal_;
  EngineSettings settings_;
  NodeLimits node_;
  Machine machine_;
};

TEST_F(Prediction, EachResource) {
  const CapacityPrediction found = Of();
  EXPECT_NEAR(Row(found, "processor_cores").need, 22.1e-4, 2e-5);
  EXPECT_EQ(Row(found, "processor_cores").limit, 1.0);  // one shard
  // By Little's law; http takes two round trips, https three, icmp one.
  const double http = 21 * 0.021, https = 0.1 * 0.031, icmp = 0.011;
  EXPECT_NEAR(Row(found, "in_flight").need, http + https + icmp, 1e-3);
  EXPECT_NEAR(Row(found, "descriptors").need, http + https, 1e-3);
  EXPECT_NEAR(*Row(found, "descriptors").silent, 2.5 + 0.2, 0.01);
  EXPECT_EQ(Row(found, "descriptors").limit, 20'000.0);
  EXPECT_NEAR(Row(found, "handshakes").need, https, 1e-6);
  EXPECT_NEAR(Row(found, "memory_bytes").need, 21e6 + 2'000 * (http + https + icmp), 10);
  EXPECT_DOUBLE_EQ(Row(found, "ports").need, 11 * 60);
  EXPECT_NEAR(Row(found, "bytes_per_second").need, 22'100, 10);
  EXPECT_EQ(Row(found, "bytes_per_second").limit, std::nullopt);
}

TEST_F(Prediction, SparesAreThoseThatNoRunHas) {
  demand_.spare_peers = 100;
  for (auto& kind : demand_.kinds) kind.fresh_rate = kind.rate;
  const double streams = Row(Of(), "descriptors").need;
  EXPECT_DOUBLE_EQ(Row(Of(), "spare_sockets").need, 100);  // runs have sockets of their own: FIN
  for (auto& kind : demand_.kinds) kind.fresh_rate = 0;
  EXPECT_DOUBLE_EQ(Row(Of(), "spare_sockets").need, 100 - streams);
  EXPECT_NEAR(*Row(Of(), "spare_sockets").silent, 100 - 2.7, 0.1);
  node_.descriptors = 150;
  EXPECT_DOUBLE_EQ(Row(Of(), "spare_sockets").need, 75 - streams);
  settings_.io = EngineSettings::Io::kUring;
  EXPECT_EQ(Row(Of(), "spare_sockets").need, 0);
  demand_.half_open_peers = 10;
  EXPECT_DOUBLE_EQ(Row(Of(), "spare_sockets").need, 10 - streams);
}

TEST_F(Prediction, SettingsOfTheFileAreLimits) {
  EXPECT_EQ(Row(Of(), "handshakes").limit, 2000.0);
  settings_.max_handshakes = 0;  // unlimited
  node_.in_flight = 50;
  const CapacityPrediction found = Of();
  EXPECT_EQ(Row(found, "in_flight").limit, 50.0);
  EXPECT_EQ(Row(found, "handshakes").limit, std::nullopt);
}

TEST_F(Prediction, TheFirstLimitIsTheNearest) {
  CapacityPrediction found = Of();
  EXPECT_EQ(FirstLimitOf(found, false).row->name, "ports");
  EXPECT_NEAR(FirstLimitOf(found, false).times, 28'232.0 / 660, 1e-9);
  node_.in_flight = 2;  // enough while targets answer
  found = Of();
  EXPECT_EQ(FirstLimitOf(found, false).row->name, "in_flight");
  EXPECT_GT(FirstLimitOf(found, false).times, 1);
  EXPECT_EQ(FirstLimitOf(found, true).row->name, "in_flight");
  EXPECT_LT(FirstLimitOf(found, true).times, 1);
  Cost(1e6);
  found = Of();
  EXPECT_EQ(FirstLimitOf(found, false).row->name, "processor_cores");
}

TEST_F(Prediction, TextAndJsonSayTheSame) {
  CapacityReport report;
  report.file = "fleet.yml";
  report.machine = machine_;
  report.shards = 1;
  report.round_trip = Milliseconds(10);
  report.demand = demand_;
  report.rehearsal = rehearsal_;
  report.prediction = Of();
  EXPECT_THAT(CapacityText(report), HasSubstr("First limit: ports to the busiest destination, "
                                              "at 42.8 times these tasks."));
  EXPECT_THAT(CapacityText(report), HasSubstr("HTTP, new connection"));
  const json whole = json::parse(CapacityJson(report));
  EXPECT_EQ(whole["first_limit"]["resource"], "ports");
  EXPECT_EQ(whole["resources"]["ports"]["need"], 660.0);
  EXPECT_EQ(whole["kinds"].size(), 4u);
  EXPECT_EQ(whole["check"], nullptr);
  double cores = 0;
  for (const json& kind : whole["kinds"]) cores += kind["cores"].get<double>();
  EXPECT_NEAR(cores, whole["resources"]["processor_cores"]["need"].get<double>(), 1e-9);
  report.check = CapacityCheck{};
  report.check->predicted_cores = 0.11;
  report.check->cores = 0.1;
  EXPECT_THAT(CapacityText(report), HasSubstr("+10 %"));
  EXPECT_EQ(json::parse(CapacityJson(report))["check"]["processor_cores"]["took"], 0.1);
}

TEST(CapacityDemand, AFileWithoutTasksNeedsNothing) {
  const TaskFile file = Fleet("modules: {}\n");
  CapacityReport report;
  report.demand = DemandOf(file, kFrom);
  EXPECT_TRUE(report.demand.kinds.empty());
  report.prediction = Predict(report.demand, {}, {}, {}, {}, {});
  EXPECT_THAT(CapacityText(report), HasSubstr("No task is enabled"));
}

}  // namespace
}  // namespace sonde
