#include "exporter/headroom_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "exporter/self_metrics.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

class Lines : public Logger {
 public:
  bool Enabled(LogLevel) const override { return true; }
  void Log(LogLevel, std::string_view message, std::span<const LogField> fields) override {
    std::string line(message);
    for (const auto& [key, value] : fields) line.append(" ").append(key).append("=").append(value);
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

// A shard that has done `runs` http runs in all, at `cost` seconds each.
ShardStats Shard(uint64_t runs, double cost, uint64_t in_flight = 0) {
  ShardStats shard;
  shard.types = {{"http", {runs, 0, 0}}};
  shard.started = runs + in_flight;
  shard.finished = runs;
  shard.in_flight = in_flight;
  shard.cpu_seconds = static_cast<double>(runs) * cost;
  return shard;
}

class HeadroomWatchTest : public testing::Test {
 protected:
  // `seconds` of 1000 runs a second.
  void Run(int seconds, double cost, uint64_t in_flight = 0, double other = 0) {
    for (int i = 0; i < seconds; ++i) {
      runs_ += 1000;
      now_ = now_ + Seconds(1);
      ShardStats shard = Shard(runs_, cost, in_flight);
      cpu_ += 1000 * cost;
      shard.cpu_seconds = cpu_;
      shard.turns = runs_ * 2;
      other_ += other;
      watch_.Observe({&shard, 1}, cpu_ + other_, now_);
    }
  }
  static Demand Https(double rate) {
    Demand demand;
    demand.per_second[CostKind::kHttp] = rate;
    demand.connections = rate;
    return demand;
  }
  std::string Page() const {
    std::string text;
    Exposition out(Format::kText, &text);
    self_.Write(out);
    return text;
  }

  SelfMetrics self_{BuildInfo{}};
  Lines log_;
  HeadroomWatch watch_{self_.registry(), log_};
  const NodeLimits node_{.shards = 1, .cores = 2, .in_flight = 8000, .descriptors = 8000};
  uint64_t runs_ = 0;
  double cpu_ = 0, other_ = 0;
  Instant now_{1};
};

TEST_F(HeadroomWatchTest, FollowsWhatIsMeasured) {
  EXPECT_THAT(Page(), HasSubstr("sonde_headroom_ratio 1\n"));
  watch_.Plan(Https(1000), node_);
  const double assumed = watch_.headroom().ratio();
  EXPECT_GT(assumed, 0.9);
  Run(60, 500e-6);
  EXPECT_NEAR(watch_.headroom().ratio(), 0.5, 0.01);
  EXPECT_EQ(watch_.headroom().first(), Headroom::Limit::kCpu);
  EXPECT_THAT(Page(), HasSubstr("sonde_capacity_use_ratio{limit=\"cpu\"} 0."));
  EXPECT_THAT(Page(), HasSubstr("sonde_probe_cost_seconds{kind=\"http\"} 0.0004"));
  EXPECT_TRUE(log_.lines.empty());
}

TEST_F(HeadroomWatchTest, RunsThatTakeLongFillPlaces) {
  watch_.Plan(Https(1000), node_);
  Run(60, 10e-6, 4000);  // four seconds each
  EXPECT_EQ(watch_.headroom().first(), Headroom::Limit::kInFlight);
  EXPECT_NEAR(watch_.headroom().ratio(), 0.5, 0.01);
}

// Pings are over at once; the few connections beside them are held for long.
TEST_F(HeadroomWatchTest, DescriptorsAreOfThoseThatHoldThem) {
  Demand demand;
  demand.per_second[CostKind::kIcmp] = 900;
  demand.per_second[CostKind::kHttp] = 100;
  demand.per_second[CostKind::kHandshake] = 100;
  demand.connections = 100;
  NodeLimits node = node_;
  node.descriptors = 1000;
  node.handshakes = 300;
  watch_.Plan(demand, node);
  for (int i = 0; i < 60; ++i) {
    ShardStats shard;
    const auto seconds = static_cast<uint64_t>(i);
    shard.types = {{"icmp", {900 * seconds, 0, 0}}, {"http", {100 * seconds, 0, 0}}};
    shard.finished = 1000 * seconds;
    shard.started = shard.finished + 500;
    shard.in_flight = shard.descriptors = 500;  // http: five seconds each
    shard.handshakes_full = 100 * seconds;
    shard.handshakes_in_progress = 200;
    shard.cpu_seconds = 0.01 * i;
    watch_.Observe({&shard, 1}, shard.cpu_seconds, now_ = now_ + Seconds(1));
  }
  const Headroom& headroom = watch_.headroom();
  EXPECT_NEAR(headroom.use(Headroom::Limit::kInFlight).asked, 500, 5);
  EXPECT_NEAR(headroom.use(Headroom::Limit::kDescriptors).asked, 500, 5);
  EXPECT_NEAR(headroom.use(Headroom::Limit::kHandshakes).asked, 200, 2);
  EXPECT_EQ(headroom.first(), Headroom::Limit::kHandshakes);
}

TEST_F(HeadroomWatchTest, MakesAsManySeriesAsItSays) {
  const auto samples = [](const std::string& page) {
    size_t count = 0;
    for (size_t at = 0; at < page.size(); at = page.find('\n', at) + 1) count += page[at] != '#';
    return count;
  };
  SelfMetrics without{BuildInfo{}};
  std::string text;
  Exposition out(Format::kText, &text);
  without.Write(out);
  EXPECT_EQ(samples(Page()), samples(text) + HeadroomWatch::kSeries);
}

TEST_F(HeadroomWatchTest, OtherThreadsTakeTheirShare) {
  watch_.Plan(Https(1000), node_);
  Run(60, 250e-6, 0, 1.5);
  EXPECT_NEAR(watch_.headroom().use(Headroom::Limit::kCpu).has, 0.5, 0.01);
  watch_.Plan(Https(1000), node_);  // a reload forgets nothing
  EXPECT_NEAR(watch_.headroom().use(Headroom::Limit::kCpu).has, 0.5, 0.01);
}

TEST_F(HeadroomWatchTest, WarnsOnceOfWhatItCannotCarry) {
  watch_.Plan(Https(100'000), node_);
  ASSERT_EQ(log_.lines.size(), 1u);
  EXPECT_THAT(log_.lines[0], HasSubstr("limit=cpu"));
  EXPECT_THAT(log_.lines[0], HasSubstr("has=1.00"));
  EXPECT_THAT(log_.lines[0], HasSubstr("costs=assumed"));
  Run(5, 46e-6);
  EXPECT_EQ(log_.lines.size(), 1u);
  EXPECT_LT(watch_.headroom().ratio(), 0);
  watch_.Plan(Https(1000), node_);
  EXPECT_EQ(log_.lines.size(), 1u);
  Run(60, 2e-3);  // they turn out dear: two seconds of work a second
  EXPECT_EQ(log_.lines.size(), 2u);
  EXPECT_THAT(log_.lines[1], HasSubstr("costs=measured"));
}

TEST_F(HeadroomWatchTest, AStandStillIsNoLesson) {
  watch_.Plan(Https(1000), node_);
  Run(30, 100e-6);
  const double before = watch_.headroom().ratio();
  ShardStats shard = Shard(runs_, 0);
  shard.cpu_seconds = cpu_;
  watch_.Observe({&shard, 1}, cpu_, now_);               // no time has passed
  watch_.Observe({&shard, 1}, cpu_, now_ + Seconds(5));  // nothing was done
  EXPECT_NEAR(watch_.headroom().ratio(), before, 1e-9);
}

}  // namespace
}  // namespace sonde
