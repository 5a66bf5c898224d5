#include "engine/loop/engine.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "tests/engine/loop/loop_harness.h"

namespace sonde {
namespace {

// ---- a protocol small enough to see through -----------------------------------------------------

struct TestModule : Module {
  bool wait_for_bytes = false;  // else an open connection is a pass
};

struct TestPlan : TargetPlan {
  std::string host;
  uint16_t port = 0;
};

class TestConversation final : public Conversation {
 public:
  explicit TestConversation(const Task& task)
      : module_(static_cast<const TestModule&>(*task.module)) {
    const auto& plan = static_cast<const TestPlan&>(*task.plan);
    leg_.host = plan.host;
    leg_.port = plan.port;
    leg_.scheme = "tcp";
    leg_.network = &module_.network;
  }
  Step Start(Instant) override { return Step::Open(leg_); }
  Step OnOpen(const Leg&, Instant, Output&) override {
    return module_.wait_for_bytes ? Step::More() : Step::Pass();
  }
  ReadStep OnBytes(Bytes in, Instant, Output&) override { return {in.size(), Step::Pass()}; }
  Step OnPeerClosed(PeerClose, Bytes, Instant, Output&) override {
    return Step::Fail(Outcome::kFirstByteClosed);
  }
  Outcome OnDeadline(Instant) override { return Outcome::kFirstByteTimeout; }
  void Report(struct Report&, Instant) override {}

 private:
  const TestModule& module_;
  LegPlan leg_;
};

class TestProber final : public Prober {
 public:
  std::string_view name() const override { return "test"; }
  std::shared_ptr<Module> ParseModule(const ConfigNode*, const std::string&,
                                      Diagnostics&) const override {
    return std::make_shared<TestModule>();
  }
  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view, Mark, const ConfigNode*,
                                                const Module&, const std::string&,
                                                Diagnostics&) const override {
    return std::make_shared<TestPlan>();
  }
  Conversation* Make(void* place, const Task& task, const ConversationContext&) const override {
    return new (place) TestConversation(task);
  }
};

const TestProber kProber;

std::shared_ptr<Task> MakeTask(uint64_t id, const Address& to,
                               Duration interval = Milliseconds(100), bool wait_for_bytes = false) {
  auto module = std::make_shared<TestModule>();
  module->prober = &kProber;
  module->network.preferred_family = IpFamily::kV4;
  module->network.close = NetworkOptions::Close::kReset;  // leaves no port in TIME_WAIT
  module->wait_for_bytes = wait_for_bytes;
  auto plan = std::make_shared<TestPlan>();
  plan->host = to.Host();
  plan->port = to.port;
  plan->destination = to.HostPort();
  auto task = std::make_shared<Task>();
  task->id = id;
  task->name = "task-" + std::to_string(id);
  task->prober = &kProber;
  task->target = plan->destination;
  task->module = module;
  task->plan = plan;
  task->schedule = *Schedule::Every(interval);
  task->timeout = Seconds(5);
  task->version = 1;
  return task;
}

// ---- the other side -----------------------------------------------------------------------------

// Accepts and closes until it is told to stop.
class Acceptor {
 public:
  Acceptor() : listener_(Listen("127.0.0.1", 4096)), stop_(eventfd(0, EFD_CLOEXEC)) {
    address = NameOf(listener_.get());
    thread_ = std::thread([this] { Serve(); });
  }
  ~Acceptor() {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  Address address;

 private:
  void Serve() {
    pollfd waits[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    while (poll(waits, 2, -1) > 0 && waits[1].revents == 0) {
      CloseWithReset(Descriptor(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    }
  }
  Descriptor listener_, stop_;
  std::thread thread_;
};

// Counts what the shards tell it and wakes who waits.
class CountingSink : public ResultSink {
 public:
  void OnRun(const RunReport& report) override {
    {
      const std::lock_guard lock(mutex_);
      ++runs_;
      ++by_outcome_[report.result.outcome];
      ++by_task_[report.task.id];
      if (gone_.contains(report.task.id) && report.result.outcome != Outcome::kProberCancelled) {
        ++after_removal_;
      }
    }
    eventfd_write(told_.get(), 1);
  }
  // False: it did not come true in time.
  bool WaitFor(const std::function<bool(CountingSink&)>& come_true) {
    const Instant end = MonotonicNow() + kPatience;
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (come_true(*this)) return true;
      }
      if (MonotonicNow() > end) return false;
      pollfd waits{told_.get(), POLLIN, 0};
      eventfd_t count;
      if (poll(&waits, 1, 50) > 0) eventfd_read(told_.get(), &count);
    }
  }
  // Only under WaitFor, or after the engine stopped.
  uint64_t runs_ = 0, after_removal_ = 0;
  std::unordered_map<Outcome, uint64_t> by_outcome_;
  std::unordered_map<uint64_t, uint64_t> by_task_;
  std::unordered_set<uint64_t> gone_;  // removed, and the shards have heard of it

  std::mutex mutex_;

 private:
  Descriptor told_{eventfd(0, EFD_CLOEXEC)};
};

// An answer somebody waits for.
class Waited {
 public:
  std::function<void(Runner::Answer)> Callback() {
    return [this](Runner::Answer answer) {
      // Under the lock to the end: once the waiter has the answer, this object may go.
      const std::lock_guard lock(mutex_);
      answer_ = std::move(answer);
      ++calls_;
      eventfd_write(told_.get(), 1);
    };
  }
  std::optional<Runner::Answer> Wait() {
    pollfd waits{told_.get(), POLLIN, 0};
    if (poll(&waits, 1, static_cast<int>(kPatience.ns / 1'000'000)) != 1) return std::nullopt;
    const std::lock_guard lock(mutex_);
    return answer_;
  }
  int calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  std::mutex mutex_;
  std::optional<Runner::Answer> answer_;
  int calls_ = 0;
  Descriptor told_{eventfd(0, EFD_CLOEXEC)};
};

class EngineTest : public testing::Test {
 protected:
  EngineTest() { Start({}); }
  ~EngineTest() override { engine_.reset(); }

  void Start(EngineSettings settings, std::shared_ptr<const ProbePolicy> policy = nullptr) {
    engine_.reset();
    Engine::Options options;
    options.settings = settings;
    if (settings.shards == 0) options.settings.shards = 2;
    options.policy = std::move(policy);
    auto engine = Engine::Start(options, files_, &sink_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }
  void Upsert(std::vector<std::shared_ptr<Task>> tasks) {
    TaskDelta delta;
    for (auto& task : tasks) {
      auto& record = records_[task->id];
      if (!record) record = std::make_shared<TaskRecord>(task);
      delta.upserts.push_back({record, std::move(task)});
    }
    engine_->Apply(std::move(delta));
  }
  void Remove(std::vector<uint64_t> ids) {
    for (const uint64_t id : ids) records_.erase(id);
    engine_->Apply(TaskDelta{{}, std::move(ids)});
  }
  // What one run comes to; nullopt: it did not end in time.
  std::optional<Runner::Answer> RunOnce(const Address& to, const NetworkOptions& network) {
    auto module = std::make_shared<TestModule>();
    module->network = network;
    auto task = MakeTask(1, to);
    task->module = module;
    Waited done;
    engine_->RunNow(task, done.Callback());
    return done.Wait();
  }
  // Every snapshot must add up, at any moment.
  ShardStats Sum() {
    ShardStats sum;
    for (const ShardStats& shard : engine_->Snapshot()) {
      EXPECT_EQ(shard.started, shard.finished + shard.in_flight);
      sum.tasks += shard.tasks;
      sum.started += shard.started;
      sum.finished += shard.finished;
      sum.in_flight += shard.in_flight;
      sum.descriptors += shard.descriptors;
    }
    return sum;
  }
  // Everything posted so far was carried out.
  void Settle() {
    for (unsigned shard = 0; shard < engine_->shards(); ++shard) {
      uint64_t id = 1'000'000;
      while (engine_->ShardOf(id) != shard) ++id;
      Waited done;
      engine_->RunNow(MakeTask(id, acceptor_.address), done.Callback());
      ASSERT_TRUE(done.Wait());
    }
  }

  FileWatcher files_;
  CountingSink sink_;
  Acceptor acceptor_;
  std::unordered_map<uint64_t, std::shared_ptr<TaskRecord>> records_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, RunsNow) {
  Waited good, refused;
  engine_->RunNow(MakeTask(1, acceptor_.address), good.Callback());
  Descriptor listener = Listen();
  const Address gone = NameOf(listener.get());
  listener.Reset();
  engine_->RunNow(MakeTask(2, gone), refused.Callback());
  const auto answer = good.Wait();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result.outcome, Outcome::kOk);
  EXPECT_GT(answer->result.duration.ns, 0);
  ASSERT_TRUE(refused.Wait());
  EXPECT_EQ(refused.Wait()->result.outcome, Outcome::kConnectRefused);
}

// Not "no port left", not "refused by a firewall": the module is wrong.
TEST_F(EngineTest, ASourceAddressThatIsNotOursIsAMatterOfConfiguration) {
  NetworkOptions network;
  network.preferred_family = IpFamily::kV4;
  network.source = Local("192.0.2.1", 0);
  const auto answer = RunOnce(acceptor_.address, network);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result.outcome, Outcome::kProberConfig);
  EXPECT_GT(answer->result.duration.ns, 0);
}

// Its look-up and what else it did are part of its duration.
TEST_F(EngineTest, ARunThatFailsAtOnceTookTime) {
  NetworkOptions network;
  network.preferred_family = IpFamily::kV4;
  network.fallback = false;
  const auto answer = RunOnce(Local("::1", 80), network);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result.outcome, Outcome::kDnsNoAddress);
  EXPECT_GT(answer->result.duration.ns, 0);
}

TEST_F(EngineTest, DeadlinesExpireInTime) {
  Descriptor silent = Listen();
  auto task = MakeTask(1, NameOf(silent.get()), Seconds(1), true);
  task->timeout = Milliseconds(150);
  Waited done;
  engine_->RunNow(task, done.Callback());
  const auto answer = done.Wait();
  ASSERT_TRUE(answer);
  // On a loaded machine the loop itself may be late, and says so.
  EXPECT_TRUE(answer->result.outcome == Outcome::kFirstByteTimeout ||
              answer->result.outcome == Outcome::kProberLate)
      << OutcomeName(answer->result.outcome);
  EXPECT_GE(answer->result.duration, Milliseconds(150));
}

TEST_F(EngineTest, CancelledRunsAnswerOnce) {
  Descriptor silent = Listen();
  Waited done;
  const uint64_t run =
      engine_->RunNow(MakeTask(1, NameOf(silent.get()), Seconds(1), true), done.Callback());
  engine_->Cancel(run);
  engine_->Cancel(run + 1'000'000);  // nobody's
  ASSERT_TRUE(done.Wait());
  EXPECT_EQ(done.Wait()->result.outcome, Outcome::kProberCancelled);
  engine_->Stop();
  EXPECT_EQ(done.calls(), 1);
}

TEST_F(EngineTest, StoppingEndsEverythingThatRuns) {
  Descriptor silent = Listen();
  std::vector<std::unique_ptr<Waited>> all;
  for (uint64_t i = 0; i < 40; ++i) {
    all.push_back(std::make_unique<Waited>());
    engine_->RunNow(MakeTask(i + 1, NameOf(silent.get()), Seconds(1), true),
                    all.back()->Callback());
  }
  engine_->Stop();
  for (const auto& waited : all) {
    EXPECT_EQ(waited->calls(), 1);
    EXPECT_EQ(waited->Wait()->result.outcome, Outcome::kProberCancelled);
  }
  EXPECT_EQ(Sum().in_flight, 0u);
  EXPECT_EQ(Sum().descriptors, 0u);
  Waited late;
  engine_->RunNow(MakeTask(1, acceptor_.address), late.Callback());
  EXPECT_EQ(late.Wait()->result.outcome, Outcome::kProberCancelled);
  engine_->Stop();
}

TEST_F(EngineTest, ScheduledTasksRunAndTellTheSink) {
  Upsert({MakeTask(1, acceptor_.address), MakeTask(2, acceptor_.address)});
  EXPECT_TRUE(sink_.WaitFor(
      [](CountingSink& sink) { return sink.by_task_[1] >= 3 && sink.by_task_[2] >= 3; }));
  EXPECT_GE(records_[1]->tally.counts().success + records_[1]->tally.counts().inconclusive, 3u);
  EXPECT_EQ(Sum().tasks, 2u);
}

TEST_F(EngineTest, DisabledTasksRest) {
  auto task = MakeTask(1, acceptor_.address);
  task->enabled = false;
  Upsert({task, MakeTask(2, acceptor_.address)});
  EXPECT_TRUE(sink_.WaitFor([](CountingSink& sink) { return sink.by_task_[2] >= 3; }));
  const std::lock_guard lock(sink_.mutex_);
  EXPECT_EQ(sink_.by_task_[1], 0u);
}

TEST_F(EngineTest, ThePolicyIsHeard) {
  ConfigNode word{.kind = ConfigNode::Kind::kScalar, .text = "127.0.0.0/8"};
  ConfigNode list{.kind = ConfigNode::Kind::kSequence};
  list.items = {&word, 1};
  ConfigEntry deny{.key = "deny", .mark = {}, .value = list};
  ConfigNode block{.kind = ConfigNode::Kind::kMapping};
  block.entries = {&deny, 1};
  Diagnostics diagnostics;
  const auto policy =
      std::make_shared<const ProbePolicy>(ProbePolicy::Parse(&block, "policy", diagnostics));
  ASSERT_TRUE(diagnostics.ok());
  engine_->SetPolicy(policy);
  Waited done;
  engine_->RunNow(MakeTask(1, acceptor_.address), done.Callback());
  ASSERT_TRUE(done.Wait());
  EXPECT_EQ(done.Wait()->result.outcome, Outcome::kProberPolicy);
}

TEST_F(EngineTest, LimitsAreShared) {
  EngineSettings settings;
  settings.max_in_flight = 9;
  settings.max_handshakes = 0;
  settings.per_destination.rate = 10;
  const ShardLimits share = ShareOf(settings, 4);
  EXPECT_EQ(share.in_flight, 3u);
  EXPECT_EQ(share.handshakes, 0u);
  EXPECT_EQ(share.destination_in_flight, 0u);
  EXPECT_DOUBLE_EQ(share.destination_rate, 2.5);
}

// Thousands of tasks come, change and go while they run; the books balance at every look.
TEST_F(EngineTest, ChangesWhileRunning) {
  constexpr uint64_t kTasks = 2000;
  Waited side;
  std::vector<uint64_t> removed;
  for (uint64_t round = 0; round < 4; ++round) {
    std::vector<std::shared_ptr<Task>> tasks;
    for (uint64_t id = 1; id <= kTasks; ++id) {
      if (round > 0 && (id + round) % 3 != 0) continue;  // a third changes each round
      auto task = MakeTask(id, acceptor_.address, Milliseconds(500 + 100 * (id % 7)));
      task->version = round + 1;
      task->enabled = (id + round) % 5 != 0;
      tasks.push_back(std::move(task));
    }
    Upsert(std::move(tasks));
    std::vector<uint64_t> going;
    for (uint64_t id = 1; id <= kTasks; ++id) {
      if ((id * 7 + round) % 11 == 0 && records_.contains(id)) going.push_back(id);
    }
    Remove(going);
    removed.insert(removed.end(), going.begin(), going.end());
    engine_->RunNow(MakeTask(round + 1, acceptor_.address), side.Callback());
    const uint64_t goal = (round + 1) * 700;
    EXPECT_TRUE(sink_.WaitFor([&](CountingSink& sink) {
      Sum();
      return sink.runs_ >= goal;
    }));
  }
  Settle();
  EXPECT_EQ(Sum().tasks, records_.size());

  std::vector<uint64_t> rest;
  for (const auto& [id, record] : records_) rest.push_back(id);
  Remove(rest);
  Settle();
  {
    const std::lock_guard lock(sink_.mutex_);
    for (uint64_t id = 1; id <= kTasks; ++id) sink_.gone_.insert(id);
  }
  EXPECT_EQ(Sum().tasks, 0u);
  engine_->Stop();
  const ShardStats sum = Sum();
  EXPECT_EQ(sum.in_flight, 0u);
  EXPECT_EQ(sum.descriptors, 0u);
  EXPECT_EQ(sink_.after_removal_, 0u);
  // Run-now answers do not reach the sink: 4 here, 2 for each of the two Settle.
  EXPECT_EQ(sum.finished, sink_.runs_ + 4 + 4);
  for (const auto& [outcome, count] : sink_.by_outcome_) {
    EXPECT_NE(VerdictOf(outcome), Verdict::kFailed) << OutcomeName(outcome) << " " << count;
  }
}

TEST_F(EngineTest, TheHostsFileIsFollowed) {
  char path[] = "/tmp/sonde-hosts-XXXXXX";
  close(mkstemp(path));
  const auto write = [&](const char* text) {
    FILE* file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
  };
  write("127.0.0.1 farm.test\n");
  Engine::Options options;
  options.settings.shards = 2;
  options.hosts_file = path;
  engine_ = *Engine::Start(options, files_, &sink_);
  const auto outcome_of = [&](uint64_t id) {
    auto task = MakeTask(id, acceptor_.address);
    auto plan = std::make_shared<TestPlan>();
    plan->host = "farm.test";
    plan->port = acceptor_.address.port;
    plan->destination = "farm.test";
    task->plan = plan;
    auto module = std::make_shared<TestModule>();
    module->network.preferred_family = IpFamily::kV4;
    module->network.fallback = false;
    task->module = module;
    Waited done;
    engine_->RunNow(task, done.Callback());
    const auto answer = done.Wait();
    return answer ? answer->result.outcome : Outcome::kProberInternal;
  };
  EXPECT_EQ(outcome_of(1), Outcome::kOk);
  write("::1 farm.test   # moved\n");
  files_.Look();
  EXPECT_EQ(outcome_of(1), Outcome::kDnsNoAddress);
  EXPECT_EQ(outcome_of(2), Outcome::kDnsNoAddress);
  std::remove(path);
}

TEST_F(EngineTest, LoopsSayHowBusyTheyAre) {
  Upsert({MakeTask(1, acceptor_.address)});
  ASSERT_TRUE(sink_.WaitFor([&](CountingSink&) {
    const auto shards = engine_->Snapshot();
    return std::any_of(shards.begin(), shards.end(),
                       [](const ShardStats& shard) { return shard.loop_utilization > 0; });
  }));
  for (const ShardStats& shard : engine_->Snapshot()) {
    EXPECT_LE(shard.loop_utilization, 1.0);
    EXPECT_GT(shard.cpu_seconds, 0);
    EXPECT_GT(shard.turns, 0u);
  }
  engine_->Stop();  // its threads are gone, what they used is not
  for (const ShardStats& shard : engine_->Snapshot()) EXPECT_GT(shard.cpu_seconds, 0);
}

}  // namespace
}  // namespace sonde
