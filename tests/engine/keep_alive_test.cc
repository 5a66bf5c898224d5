// Connections that outlive a run: who may have them, and when they go (ADR 041). Plays show what a
// run over one comes to (tests/plays/http*_keep_alive*.play).
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/sim_world.h"

namespace sonde {
namespace {

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Answers each request at once, or as its path wants it.
class Server : public SimPeer {
 public:
  std::optional<Answer> OnConnect() override {
    ++connects;
    return Answer{};
  }
  void OnBytes(SimConnection& connection, std::string_view request) override {
    newest = &connection;
    if (request.find("GET /away") == 0) {
      connection.Send(
          "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.2/\r\nContent-Length: 0\r\n\r\n",
          Milliseconds(1));
    } else {
      connection.Send(std::string(kOk), Milliseconds(1));
    }
  }
  int connects = 0;
  SimConnection* newest = nullptr;
};

class KeepAliveTest : public testing::Test {
 protected:
  void SetUp() override { Make({}); }

  void Make(const SimWorld::Options& options) {
    world_ = std::make_unique<SimWorld>(options);
    here_ = there_ = nullptr;
    AddServer("10.0.0.1:80", &here_);
    AddServer("10.0.0.2:80", &there_);
  }
  void AddServer(const std::string& where, std::shared_ptr<Server>* server) {
    *server = std::make_shared<Server>();
    world_->network().AddPeer(where, *server);
  }

  static std::shared_ptr<const Task> TaskOf(const std::string& options = "keep_alive: true",
                                            const std::string& path = "/",
                                            const std::string& more = "",
                                            const std::string& name = "shop") {
    Diagnostics diagnostics;
    const TaskFile file = ReadTaskFile("tasks: [{name: " + name +
                                           ", type: http, interval: 10s, timeout: 2s, target: "
                                           "\"http://10.0.0.1" +
                                           path + "\", http: {" + options + "}" + more + "}]",
                                       Probers(), diagnostics);
    EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("tasks");
    return file.tasks.front();
  }

  void Runs(int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(world_->RunToNext(Minutes(1)));
    world_->RunFor(Milliseconds(0));
  }
  ShardStats Stats() { return world_->shard().Stats(); }
  uint64_t Closed(IdleEnd why) { return Stats().connections_closed[static_cast<size_t>(why)]; }
  double Reused() {
    return world_->runs.back().result.facts.Get(Fact::kHttpConnectionReused).value_or(-1);
  }

  std::unique_ptr<SimWorld> world_;
  std::shared_ptr<Server> here_, there_;
};

TEST_F(KeepAliveTest, IsOffByDefault) {
  world_->Add(TaskOf("follow_redirects: true"));
  Runs(3);
  EXPECT_EQ(here_->connects, 3);
  EXPECT_EQ(Stats().connections_idle, 0u);
  EXPECT_EQ(Reused(), -1);  // the series is not there
}

TEST_F(KeepAliveTest, EveryRunButTheFirstReuses) {
  world_->Add(TaskOf());
  Runs(5);
  EXPECT_EQ(here_->connects, 1);
  EXPECT_EQ(Stats().connections_reused, 4u);
  EXPECT_EQ(Stats().connections_idle, 1u);
  EXPECT_EQ(Reused(), 1);
}

TEST_F(KeepAliveTest, TasksDoNotShare) {
  world_->Add(TaskOf("keep_alive: true", "/", "", "one"));
  world_->Add(TaskOf("keep_alive: true", "/", "", "two"));
  Runs(6);
  EXPECT_EQ(here_->connects, 2);
  EXPECT_EQ(Stats().connections_idle, 2u);
}

TEST_F(KeepAliveTest, AChangedTaskBeginsAnew) {
  const auto record = world_->Add(TaskOf());
  Runs(2);
  world_->Replace(record, TaskOf("keep_alive: true, header_size_limit: 1KiB"));
  EXPECT_EQ(Stats().connections_idle, 0u);
  EXPECT_EQ(Closed(IdleEnd::kChanged), 1u);
  Runs(2);
  EXPECT_EQ(here_->connects, 2);
  EXPECT_EQ(Reused(), 1);
}

TEST_F(KeepAliveTest, ARunInFlightLeavesNothingToAChangedTask) {
  const auto record = world_->Add(TaskOf());
  Runs(2);
  while (world_->shard().in_flight() == 0) world_->RunUntil(world_->shard().NextWake());
  world_->Replace(record, TaskOf("keep_alive: true, header_size_limit: 1KiB"));
  Runs(2);  // the one in flight, and the first of the changed task
  EXPECT_EQ(Reused(), 0);
  EXPECT_EQ(Closed(IdleEnd::kChanged), 1u);
}

TEST_F(KeepAliveTest, TheSameTaskReadAgainGoesOn) {
  const auto record = world_->Add(TaskOf());
  Runs(1);
  world_->Replace(record, TaskOf());
  Runs(1);
  EXPECT_EQ(here_->connects, 1);
}

TEST_F(KeepAliveTest, GoesWithTheTask) {
  const auto disabled = world_->Add(TaskOf("keep_alive: true", "/", "", "one"));
  const auto removed = world_->Add(TaskOf("keep_alive: true", "/", "", "two"));
  Runs(2);
  EXPECT_EQ(world_->network().open_streams(), 2u);
  world_->Replace(disabled, TaskOf("keep_alive: true", "/", ", enabled: false", "one"));
  EXPECT_EQ(world_->network().open_streams(), 1u);
  world_->shard().Remove(removed->task->id);
  EXPECT_EQ(world_->network().open_streams(), 0u);
  world_->RunFor(Milliseconds(200));  // counters are told at the end of a turn
  EXPECT_EQ(Closed(IdleEnd::kChanged), 2u);
}

TEST_F(KeepAliveTest, RunsOnRequestHaveTheirOwn) {
  const auto task = TaskOf();
  world_->Add(task);
  Runs(1);
  bool answered = false;
  world_->shard().RunNow(1, task, [&](Runner::Answer answer) {
    answered = true;
    EXPECT_EQ(answer.result.outcome, Outcome::kOk);
    EXPECT_EQ(answer.result.legs, 1);
  });
  world_->RunFor(Milliseconds(100));
  EXPECT_TRUE(answered);
  EXPECT_EQ(here_->connects, 2);
  EXPECT_EQ(Stats().connections_idle, 1u);
  Runs(1);
  EXPECT_EQ(here_->connects, 2);
}

TEST_F(KeepAliveTest, EndsWithItsAge) {
  world_->Add(TaskOf("keep_alive: true, keep_alive_max_age: 25s"));
  Runs(3);  // at 0, 10 and 20 s
  EXPECT_EQ(here_->connects, 1);
  Runs(1);
  EXPECT_EQ(here_->connects, 2);
  EXPECT_EQ(Closed(IdleEnd::kAge), 1u);
}

TEST_F(KeepAliveTest, EndsWhenNoRunComes) {
  Diagnostics diagnostics;
  const TaskFile file = ReadTaskFile(
      "tasks: [{name: seldom, type: http, interval: 1h, target: \"http://10.0.0.1/\", "
      "http: {keep_alive: true}}]",
      Probers(), diagnostics);
  world_->Add(file.tasks.front());
  ASSERT_TRUE(world_->RunToNext(Hours(1)));
  world_->RunFor(IdleConnections::kLongest - Milliseconds(10));
  EXPECT_EQ(world_->network().open_streams(), 1u);
  world_->RunFor(Milliseconds(200));
  EXPECT_EQ(world_->network().open_streams(), 0u);
  EXPECT_EQ(Closed(IdleEnd::kAge), 1u);
}

TEST_F(KeepAliveTest, GivesWayToRunsThatNeedADescriptor) {
  SimWorld::Options options;
  options.limits.descriptors_reserve = 2;
  Make(options);
  world_->network().descriptors = 4;  // two at a time
  for (const char* name : {"one", "two", "three"}) {
    world_->Add(TaskOf("keep_alive: true", "/", "", name));
  }
  Runs(9);
  for (const SimRun& run : world_->runs) EXPECT_EQ(run.result.outcome, Outcome::kOk);
  EXPECT_GT(Closed(IdleEnd::kDescriptors), 0u);
  EXPECT_EQ(Stats().blocked[static_cast<size_t>(BlockReason::kDescriptors)], 0u);
}

TEST_F(KeepAliveTest, WhoHasAConnectionNeedsNoDescriptor) {
  world_->Add(TaskOf());
  Runs(1);
  ShardLimits limits;
  limits.descriptors_reserve = world_->network().descriptors;
  world_->shard().SetLimits(limits);
  Runs(2);
  EXPECT_EQ(here_->connects, 1);
  EXPECT_EQ(Stats().blocked[static_cast<size_t>(BlockReason::kDescriptors)], 0u);
}

// Also about the address of a name that is not looked up any more.
TEST_F(KeepAliveTest, ThePolicyIsAskedAgain) {
  SimName name;
  name.addresses.push_back(*Address::ParseLiteral("10.0.0.1"));
  world_->network().AddName("shop.test", name);
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(
      "policy: {deny: [10.0.0.0/8]}\n"
      "tasks: [{name: shop, type: http, interval: 10s, target: \"http://shop.test/\", "
      "http: {keep_alive: true}}]\n",
      Probers(), diagnostics);
  ASSERT_TRUE(diagnostics.ok()) << diagnostics.ToString("policy");
  world_->Add(file.tasks.front());
  Runs(2);
  EXPECT_EQ(Reused(), 1);
  world_->shard().SetPolicy(std::make_shared<ProbePolicy>(std::move(file.policy)));
  Runs(1);
  EXPECT_EQ(world_->runs.back().result.outcome, Outcome::kProberPolicy);
  EXPECT_EQ(world_->network().open_streams(), 0u);
}

// The last leg is kept, for whichever leg of the next run goes there.
TEST_F(KeepAliveTest, TheLastLegIsKept) {
  world_->Add(TaskOf("keep_alive: true", "/away"));
  Runs(3);
  EXPECT_EQ(world_->runs.back().result.outcome, Outcome::kOk);
  EXPECT_EQ(world_->runs.back().result.legs, 1);
  EXPECT_EQ(here_->connects, 3);
  EXPECT_EQ(there_->connects, 1);
  EXPECT_EQ(Reused(), 1);
  EXPECT_EQ(Stats().connections_idle, 1u);
}

// Every connection that was kept was taken, closed, or is there still.
TEST_F(KeepAliveTest, TheCountersAddUp) {
  world_->Add(TaskOf("keep_alive: true", "/", "", "one"));
  world_->Add(TaskOf("keep_alive: true", "/", "", "two"));
  Runs(4);
  here_->newest->End();
  world_->RunFor(Milliseconds(1));
  Runs(4);
  const ShardStats stats = Stats();
  uint64_t closed = 0;
  for (const uint64_t count : stats.connections_closed) closed += count;
  EXPECT_EQ(closed, 1u);
  // Eight runs went well and left a connection each.
  EXPECT_EQ(stats.connections_reused + closed + stats.connections_idle, 8u);
}

}  // namespace
}  // namespace sonde
