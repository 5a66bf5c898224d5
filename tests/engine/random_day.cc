// A seeded random day: thousands of tasks of both protocols in a world that delays, refuses,
// resets, falls silent, splits, garbles and fails to resolve; tasks come, change and go, the clock
// steps, the process stands still. Nothing is expected of any single run; the invariants of the
// design are checked in every turn (SimWorld) and at the end (here).
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/sim_world.h"

namespace sonde {
namespace {

struct Plan {
  uint64_t seed = 0;
  int tasks = 10'000;
  int hours = 24;
};

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "invariant broken: %s\n", what);
  std::abort();
}

using Random = std::mt19937_64;

uint64_t Below(Random& random, uint64_t limit) { return random() % limit; }
bool OneIn(Random& random, uint64_t n) { return Below(random, n) == 0; }

constexpr const char* kAnswers[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nhello to the end",
    "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.9:80/next\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
    "HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
    "220 mail.test ESMTP\r\n250 OK\r\n",
    "+PONG\r\n",
    "\x16\x03\x01 nonsense",
    "",
};

// Does something else on every connection.
class Moody : public SimPeer {
 public:
  explicit Moody(Random& random) : random_(random) {}

  std::optional<Answer> OnConnect() override {
    constexpr int kErrors[] = {ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT};
    const Duration delay = Microseconds(static_cast<int64_t>(Below(random_, 50'000)));
    if (OneIn(random_, 20)) return std::nullopt;
    if (OneIn(random_, 10)) return Answer{kErrors[Below(random_, 5)], delay};
    return Answer{0, delay};
  }
  void OnAccepted(SimConnection& connection) override {
    if (OneIn(random_, 20)) connection.Reset(Delay());
    if (OneIn(random_, 3)) Speak(connection);
  }
  void OnBytes(SimConnection& connection, std::string_view) override { Speak(connection); }

 private:
  Duration Delay() { return Microseconds(static_cast<int64_t>(Below(random_, 200'000))); }
  void Speak(SimConnection& connection) {
    const std::string text = kAnswers[Below(random_, std::size(kAnswers))];
    if (OneIn(random_, 8)) {
      connection.SendEachByte(text, Microseconds(100), Delay());
    } else {
      const size_t cut = text.empty() ? 0 : Below(random_, text.size());
      connection.Send(text.substr(0, cut), Delay());
      connection.Send(text.substr(cut), Delay());
    }
    if (OneIn(random_, 4)) connection.End(Delay());
    // Long after: between two runs.
    if (OneIn(random_, 20)) connection.End(Seconds(static_cast<int64_t>(Below(random_, 300))));
    if (OneIn(random_, 40))
      connection.Send("?", Seconds(static_cast<int64_t>(Below(random_, 300))));
    if (OneIn(random_, 12)) connection.Reset(Delay());
  }
  Random& random_;
};

std::string TaskLine(Random& random, int number, int revision) {
  constexpr const char* kIntervals[] = {"2m", "5m", "10m", "30m", "1h"};
  constexpr const char* kCrons[] = {"*/5 * * * *", "30 */10 * * * *", "0 3 * * *"};
  constexpr const char* kDialogues[] = {
      "", ", tcp: {query_response: [{expect: \"^220\", send: \"QUIT\\r\"}, {expect: \"^250\"}]}",
      ", tcp: {query_response: [{send: PING}, {expect: PONG}]}"};
  const std::string host = OneIn(random, 3) ? "host" + std::to_string(Below(random, 200)) + ".test"
                                            : "10.0.0." + std::to_string(1 + Below(random, 200));
  const bool http = OneIn(random, 2);
  std::string line = "  - {name: task" + std::to_string(number) + ", type: ";
  line += http ? "http, target: \"http://" + host + ":80/r" + std::to_string(revision) + "\""
               : "tcp, target: \"" + host + ":80\"" + kDialogues[Below(random, 3)];
  line += OneIn(random, 4) ? std::string(", cron: \"") + kCrons[Below(random, 3)] + "\""
                           : std::string(", interval: ") + kIntervals[Below(random, 5)];
  line += ", timeout: " + std::to_string(1 + Below(random, 10)) + "s";
  if (http && OneIn(random, 3)) line += ", http: {keep_alive: true}";
  if (OneIn(random, 20)) line += ", enabled: false";
  return line + "}\n";
}

std::shared_ptr<const Task> MakeTask(Random& random, int number, int revision) {
  Diagnostics diagnostics;
  const TaskFile file =
      ReadTaskFile("tasks:\n" + TaskLine(random, number, revision), Probers(), diagnostics);
  if (!diagnostics.ok()) std::fprintf(stderr, "%s", diagnostics.ToString("task").c_str());
  Require(file.tasks.size() == 1, "the day's tasks are well formed");
  return file.tasks.front();
}

class Day {
 public:
  explicit Day(const Plan& plan) : plan_(plan), random_(plan.seed), world_(Options(plan)) {}

  void Live() {
    world_.network().AddPeer("*", std::make_shared<Moody>(random_));
    AddNames();
    for (int i = 0; i < plan_.tasks; ++i) Add(i);
    world_.on_run = [this](const RunReport& report) { Check(report); };
    for (int minute = 0; minute < plan_.hours * 60; ++minute) {
      Trouble();
      world_.RunFor(Minutes(1));
    }
    End();
  }

 private:
  struct Living {
    std::shared_ptr<TaskRecord> record;
    WallTime last_due;
  };

  static SimWorld::Options Options(const Plan& plan) {
    SimWorld::Options options;
    options.seed = plan.seed;
    options.keep_runs = false;
    options.limits = UsualLimits();
    return options;
  }

  static ShardLimits UsualLimits() {
    ShardLimits limits;
    limits.in_flight = 300;
    limits.destination_in_flight = 20;
    limits.destination_rate = 50;
    return limits;
  }

  // Limits of a reload: smaller, larger, switched off, nearly shut.
  ShardLimits OtherLimits() {
    constexpr size_t kInFlight[] = {1, 20, 300, 5'000};
    constexpr size_t kThere[] = {0, 1, 20, 1'000};
    constexpr double kRates[] = {0, 0.01, 1, 50};
    ShardLimits limits;
    limits.in_flight = kInFlight[Below(random_, 4)];
    limits.handshakes = Below(random_, 3);
    limits.destination_in_flight = kThere[Below(random_, 4)];
    limits.destination_rate = kRates[Below(random_, 4)];
    limits.descriptors_reserve = OneIn(random_, 3) ? 19'995 : 0;
    return limits;
  }

  void AddNames() {
    constexpr Outcome kFailures[] = {Outcome::kDnsNotFound, Outcome::kDnsServerFailure,
                                     Outcome::kDnsRefused, Outcome::kDnsMalformed};
    for (int i = 0; i < 200; ++i) {
      SimName name;
      name.delay = Microseconds(static_cast<int64_t>(Below(random_, 30'000)));
      name.addresses.push_back(*Address::ParseLiteral("10.0.1." + std::to_string(i + 1)));
      if (OneIn(random_, 8)) name.outcome = kFailures[Below(random_, 4)];
      if (OneIn(random_, 30)) name.silent = true;
      world_.network().AddName("host" + std::to_string(i) + ".test", name);
    }
  }

  void Add(int number) {
    auto task = MakeTask(random_, number, 0);
    const uint64_t id = task->id;
    tasks_[id] = {world_.Add(std::move(task)), {}};
  }

  // A few things a minute that must not confuse anybody.
  void Trouble() {
    for (int i = 0; i < 3; ++i) {
      const int number = static_cast<int>(Below(random_, static_cast<uint64_t>(plan_.tasks)));
      auto task = MakeTask(random_, number, static_cast<int>(Below(random_, 100)));
      const auto found = tasks_.find(task->id);
      if (found == tasks_.end()) {
        Add(number);
      } else if (OneIn(random_, 3)) {
        world_.shard().Remove(task->id);
        tasks_.erase(found);
      } else {
        found->second.last_due = {};  // a new schedule has slots of its own
        world_.Replace(found->second.record, std::move(task));
      }
    }
    for (uint64_t i = Below(random_, 4); i > 0; --i) RunNow();
    if (OneIn(random_, 15)) Switch();
    // What an hour under strange limits did must be over soon after it.
    if (OneIn(random_, 40)) world_.shard().SetLimits(OtherLimits());
    if (OneIn(random_, 10)) world_.shard().SetLimits(UsualLimits());
    if (OneIn(random_, 30)) {
      world_.StandStill(Milliseconds(static_cast<int64_t>(Below(random_, 20'000))));
    }
    if (OneIn(random_, 120)) {
      world_.StepClock(Milliseconds(static_cast<int64_t>(Below(random_, 7'200'000)) - 3'600'000));
      stepped_at_ = world_.now();
      for (auto& [id, living] : tasks_) living.last_due = {};
    }
    if (OneIn(random_, 10)) world_.network().FailConnects(EADDRNOTAVAIL, 5);
    if (OneIn(random_, 15)) world_.network().FailConnects(EMFILE, 5);
  }

  // Some are cancelled: waiting, resolving, connecting, or when they are long over.
  void RunNow() {
    const uint64_t run = ++asked_;
    const int number = static_cast<int>(Below(random_, static_cast<uint64_t>(plan_.tasks)));
    world_.shard().RunNow(run, MakeTask(random_, number, 0), [this, run](Runner::Answer answer) {
      Require(answered_.insert(run).second, "a run is answered once");
      Require(answer.result.facts.Has(Fact::kSuccess), "every answer says how it went");
    });
    if (OneIn(random_, 3)) world_.shard().CancelRun(1 + Below(random_, asked_));
    if (OneIn(random_, 6)) world_.RunFor(Milliseconds(static_cast<int64_t>(Below(random_, 100))));
    if (OneIn(random_, 3)) world_.shard().CancelRun(run);
  }

  // A few hundred tasks at once off and on again, whatever they are doing.
  void Switch() {
    std::vector<std::shared_ptr<TaskRecord>> some;
    for (auto& [id, living] : tasks_) {
      if (living.record->task->enabled && OneIn(random_, 20)) some.push_back(living.record);
    }
    for (const bool enabled : {false, true}) {
      for (const auto& record : some) {
        auto task = std::make_shared<Task>(*record->task);
        task->enabled = enabled;
        task->version += 1;
        record->task = task;
        world_.shard().Apply({record, std::move(task)});
      }
      world_.RunFor(Milliseconds(static_cast<int64_t>(Below(random_, 5'000))));
    }
  }

  void Check(const RunReport& report) {
    ++runs_;
    ++outcomes_[report.result.outcome];
    const auto found = tasks_.find(report.task.id);
    const bool cancelled = report.result.outcome == Outcome::kProberCancelled;
    Require(found != tasks_.end() || cancelled, "a removed task is heard of as cancelled only");
    if (found == tasks_.end()) return;
    Living& living = found->second;
    // Times of before and after a step of the clock cannot be compared.
    const Instant due_at =
        world_.now() - report.result.duration - (report.result.started - report.result.due);
    if (due_at <= stepped_at_) return;
    Require(report.result.due > living.last_due, "no slot runs twice");
    living.last_due = report.result.due;
    Require(report.result.duration.ns >= 0, "no run ends before it starts");
    // A stand-still may delay the end, nothing else may.
    Require(report.result.duration <= report.task.timeout + Seconds(21), "every run ends in time");
    Require(report.result.started.ns + 1'000'000 >= report.result.due.ns || cancelled,
            "no run starts before its slot");
    Require(report.result.facts.Has(Fact::kSuccess), "every run says how it went");
  }

  void End() {
    // Whatever limits there were: nobody waits for good.
    world_.shard().SetLimits(UsualLimits());
    world_.RunFor(Minutes(2));
    Require(world_.shard().waiting() < 300, "queues drain");
    Require(world_.shard().in_flight() < 300, "runs end");
    for (uint64_t run = 1; run <= asked_; ++run) world_.shard().CancelRun(run);
    Require(answered_.size() == asked_, "every run that was asked for is answered");
    for (const auto& [id, living] : tasks_) {
      const Tally& tally = living.record->tally;
      const Tally::Counts counts = tally.counts();
      std::vector<Tally::Reason> reasons;
      tally.Reasons(&reasons);
      uint64_t reasoned = 0;
      for (const Tally::Reason& reason : reasons) reasoned += reason.count;
      Require(reasoned == counts.failed + counts.inconclusive, "every failure has one reason");
      Require(tally.latency().count <= counts.success, "latencies are those of passed runs");
    }
    const ShardStats stats = world_.shard().Stats();
    Require(stats.connections_reused > 0 && stats.connections_retried > 0,
            "connections outlive runs, and end as they are used");
    Require(runs_ <= stats.finished && stats.finished <= runs_ + asked_,
            "every finished run was reported");
    std::printf(
        "seed %llu: %llu runs, %zu outcomes, %llu skipped, %llu blocked\n",
        static_cast<unsigned long long>(plan_.seed), static_cast<unsigned long long>(runs_),
        outcomes_.size(),
        static_cast<unsigned long long>(stats.skipped[0] + stats.skipped[1] + stats.skipped[2]),
        static_cast<unsigned long long>(stats.blocked[0] + stats.blocked[1]));
    Require(runs_ > 0 && outcomes_.size() > 15, "the day was eventful");
  }

  Plan plan_;
  Random random_;
  std::map<uint64_t, Living> tasks_;
  std::map<Outcome, uint64_t> outcomes_;
  uint64_t runs_ = 0;
  uint64_t asked_ = 0;
  std::set<uint64_t> answered_;
  Instant stepped_at_;
  SimWorld world_;
};

}  // namespace
}  // namespace sonde

int main(int argc, char** argv) {
  sonde::Plan plan;
  plan.seed = std::random_device{}();
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--seed") plan.seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--tasks") plan.tasks = std::atoi(argv[i + 1]);
    if (flag == "--hours") plan.hours = std::atoi(argv[i + 1]);
  }
  std::printf("seed %llu\n", static_cast<unsigned long long>(plan.seed));
  std::fflush(stdout);
  sonde::Day(plan).Live();
  return 0;
}
