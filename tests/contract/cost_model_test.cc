#include "engine/contract/cost_model.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace sonde {
namespace {

constexpr CostKind kOf[] = {CostKind::kHttp, CostKind::kTcp, CostKind::kIcmp, CostKind::kHandshake};

// A machine with costs of its own.
struct Machine {
  double http = 150e-6, tcp = 80e-6, icmp = 5e-6, handshake = 2e-3;

  double Seconds(const Work& work) const {
    return work[CostKind::kHttp] * http + work[CostKind::kTcp] * tcp +
           work[CostKind::kIcmp] * icmp + work[CostKind::kHandshake] * handshake;
  }
};

Work Mix(double http, double tcp, double icmp, double handshakes) {
  Work work;
  const double counts[] = {http, tcp, icmp, handshakes};
  for (size_t i = 0; i < std::size(kOf); ++i) work[kOf[i]] = counts[i];
  return work;
}

TEST(CostModel, KindsByProber) {
  EXPECT_EQ(CostKindOf("dns"), CostKind::kDns);
  EXPECT_EQ(CostKindOf("tcp"), CostKind::kTcp);
  EXPECT_EQ(CostKindOf("grpc"), CostKind::kOther);
  EXPECT_EQ(CostKindOf("turn"), CostKind::kOther);
}

TEST(CostModel, OneKindIsLearnt) {
  const Machine machine;
  CostModel model;
  EXPECT_FALSE(model.measured());
  const double icmp = model.seconds(CostKind::kIcmp);
  for (int i = 0; i < 30; ++i) {
    const Work work = Mix(2000, 0, 0, 0);
    model.Observe(work, machine.Seconds(work), 1, 1);
  }
  EXPECT_TRUE(model.measured());
  EXPECT_NEAR(model.seconds(CostKind::kHttp), machine.http, machine.http * 0.01);
  // What was not seen moves with the machine: this one takes three times the default for http.
  EXPECT_NEAR(model.seconds(CostKind::kIcmp) / icmp, machine.http / 46e-6, 0.2);
}

TEST(CostModel, ChangingMixesTellKindsApart) {
  const Machine machine;
  CostModel model;
  std::mt19937 random(7);
  std::uniform_real_distribution<double> count(0, 2000);
  for (int i = 0; i < 3000; ++i) {
    const Work work = Mix(count(random), count(random), 10 * count(random), count(random) / 20);
    model.Observe(work, machine.Seconds(work), 1, 1);
  }
  EXPECT_NEAR(model.seconds(CostKind::kHttp), machine.http, machine.http * 0.1);
  EXPECT_NEAR(model.seconds(CostKind::kTcp), machine.tcp, machine.tcp * 0.1);
  EXPECT_NEAR(model.seconds(CostKind::kIcmp), machine.icmp, machine.icmp * 0.15);
  EXPECT_NEAR(model.seconds(CostKind::kHandshake), machine.handshake, machine.handshake * 0.1);
}

TEST(CostModel, AMixThatStaysIsPredicted) {
  const Machine machine;
  CostModel model;
  std::mt19937 random(11);
  std::normal_distribution<double> noise(1, 0.2);
  const Work work = Mix(1000, 500, 3000, 100);
  double sum = 0;
  for (int i = 0; i < 400; ++i) {
    model.Observe(work, machine.Seconds(work) * std::max(0.1, noise(random)), 1, 1);
    if (i < 200) continue;
    double seconds = 0;
    for (const CostKind kind : kOf) seconds += work[kind] * model.seconds(kind);
    sum += seconds / machine.Seconds(work) / 200;
  }
  EXPECT_NEAR(sum, 1, 0.1);
}

TEST(CostModel, WhatTeachesNothingChangesNothing) {
  CostModel model;
  const double http = model.seconds(CostKind::kHttp);
  model.Observe(Work(), 0.5, 1, 1);
  model.Observe(Mix(1000, 0, 0, 0), 0, 1, 1);
  model.Observe(Mix(1000, 0, 0, 0), -1, 1, 1);
  model.Observe(Mix(1000, 0, 0, 0), std::numeric_limits<double>::infinity(), 1, 1);
  model.Observe(Mix(1000, 0, 0, 0), std::numeric_limits<double>::quiet_NaN(), 1, 1);
  EXPECT_EQ(model.seconds(CostKind::kHttp), http);
  EXPECT_FALSE(model.measured());
}

TEST(CostModel, OneOddSecondIsNotBelievedWhole) {
  CostModel model;
  const double http = model.seconds(CostKind::kHttp);
  const Work work = Mix(1000, 0, 0, 0);
  for (int i = 0; i < 50; ++i) model.Observe(work, 1000 * http, 1, 1);
  model.Observe(work, 100, 1, 1);  // a hundred seconds within one
  EXPECT_LT(model.seconds(CostKind::kHttp), 1.6 * http);
  // A little work takes a little of a correction: the loop's own idling is most of it.
  CostModel idle;
  idle.Observe(Mix(1, 0, 0, 0), 1e-3, 1, 1);
  EXPECT_LT(idle.seconds(CostKind::kHttp), 1.1 * http);
}

TEST(CostModel, TurnsFollowTheMachine) {
  CostModel model;
  Work work = Mix(5000, 0, 0, 0);
  const double assumed = model.Cores(work, 1);
  work[CostKind::kTurn] = 0.1 * CostModel::Turns(5000, 1);
  for (int i = 0; i < 200; ++i) {
    const double seconds = 5000 * model.seconds(CostKind::kHttp) +
                           work[CostKind::kTurn] * model.seconds(CostKind::kTurn);
    model.Observe(work, seconds, 1, 1);
  }
  const double fewer = 0.9 * CostModel::Turns(5000, 1) * model.seconds(CostKind::kTurn);
  EXPECT_NEAR(model.Cores(work, 1), assumed - fewer, 0.01 * assumed);
}

TEST(CostModel, TurnsAreSharedAtLast) {
  EXPECT_EQ(CostModel::Turns(0, 1), 0);
  EXPECT_NEAR(CostModel::Turns(10, 1), 24, 0.1);
  EXPECT_LT(CostModel::Turns(1e6, 1), 12'001);
  EXPECT_GT(CostModel::Turns(1e6, 2), 12'001);
}

TEST(Headroom, TheFirstLimitCounts) {
  Demand demand;
  demand.per_second[CostKind::kHttp] = 1000;
  demand.connections = 1000;
  demand.silent_in_flight = 5000;
  demand.silent_descriptors = 5000;
  NodeLimits node{.shards = 1, .cores = 2, .in_flight = 8000, .descriptors = 4000};
  const CostModel costs;
  const Headroom headroom = HeadroomOf(costs, demand, node, {});
  EXPECT_EQ(headroom.first(), Headroom::Limit::kCpu);
  EXPECT_NEAR(headroom.use(Headroom::Limit::kInFlight).asked, 50, 1e-9);
  EXPECT_NEAR(headroom.use(Headroom::Limit::kCpu).asked, 0.046 + 0.012, 0.003);
  EXPECT_EQ(headroom.use(Headroom::Limit::kCpu).has, 1);  // one shard, whatever there is
  const Headroom slow = HeadroomOf(costs, demand, node, {.run = 3, .descriptor = 3});
  EXPECT_EQ(slow.first(), Headroom::Limit::kDescriptors);
  EXPECT_NEAR(slow.ratio(), 0.25, 1e-9);
  const Headroom silent = SilentHeadroomOf(costs, demand, node);
  EXPECT_NEAR(silent.ratio(), 1 - 5000.0 / 4000, 1e-9);
  node.other_cores = 1.5;  // the exporter's
  EXPECT_EQ(HeadroomOf(costs, demand, node, {}).use(Headroom::Limit::kCpu).has, 0.5);
  node.other_cores = 2.5;
  EXPECT_LT(HeadroomOf(costs, demand, node, {}).ratio(), 0);
  EXPECT_EQ(HeadroomOf(costs, Demand(), NodeLimits(), {}).ratio(), 1);
}

TEST(Headroom, WhatIsHeldLongIsHeldOften) {
  Demand demand;
  demand.per_second[CostKind::kIcmp] = 4000;
  demand.per_second[CostKind::kHttp] = 400;
  demand.per_second[CostKind::kHandshake] = 300;
  demand.per_second[CostKind::kResumption] = 100;
  demand.connections = 400;
  demand.silent_handshakes = 4000;
  const NodeLimits node{.shards = 4, .cores = 4, .handshakes = 1000};
  const HeldSeconds held{.run = 0.2, .descriptor = 2, .handshake = 1.5};
  const Headroom headroom = HeadroomOf(CostModel(), demand, node, held);
  EXPECT_NEAR(headroom.use(Headroom::Limit::kInFlight).asked, 880, 1e-9);
  EXPECT_NEAR(headroom.use(Headroom::Limit::kDescriptors).asked, 800, 1e-9);
  EXPECT_NEAR(headroom.use(Headroom::Limit::kHandshakes).asked, 600, 1e-9);
  EXPECT_EQ(headroom.first(), Headroom::Limit::kHandshakes);
  const Headroom silent = SilentHeadroomOf(CostModel(), demand, node);
  EXPECT_EQ(silent.use(Headroom::Limit::kHandshakes).asked, 4000);
  EXPECT_EQ(silent.first(), Headroom::Limit::kHandshakes);
}

}  // namespace
}  // namespace sonde
