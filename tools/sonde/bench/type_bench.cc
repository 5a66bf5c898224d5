#include "tools/sonde/bench/type_bench.h"

#include <algorithm>
#include <cmath>

#include "tools/sonde/bench/process_watch.h"
#include "tools/sonde/bench/rate_search.h"
#include "tools/sonde/bench/text_table.h"

namespace sonde {
namespace {

constexpr double kFewestTasks = 20;     // so that rates below 80 a second are spread too
constexpr double kLongestInterval = 2;  // seconds, where fewer tasks make the rate
constexpr size_t kMostTasks = 500'000;
constexpr Duration kSettle = Milliseconds(100);  // beyond an interval, after tasks changed
constexpr double kFirstStep = 1.5, kNextStep = 1.1, kTolerance = 0.05;

double Millis(std::optional<Duration> time) { return time ? time->millis() : 0; }

}  // namespace

// As many tasks as make the rate with the usual interval; few tasks get a longer one.
absl::Status TypeBench::SetRate(double rate) {
  const double wanted = rate * options_.interval.seconds();
  const double fewest = std::clamp(std::round(rate * kLongestInterval), 1.0, kFewestTasks);
  const auto count =
      static_cast<size_t>(std::clamp(std::round(wanted), fewest, static_cast<double>(kMostTasks)));
  Duration interval = options_.interval;
  if (wanted < static_cast<double>(count)) {
    interval = {static_cast<int64_t>(static_cast<double>(count) / rate * 1e9)};
  }
  const auto schedule = Schedule::Every(interval);
  if (!schedule.ok()) return schedule.status();
  if (interval != interval_) tasks_.clear();
  interval_ = interval;
  tasks_.resize(std::min(count, tasks_.size()));
  while (tasks_.size() < count) {
    const size_t number = tasks_.size();
    auto task = maker_.Make(options_.name + "-" + std::to_string(number), options_.target(number),
                            *schedule);
    if (!task.ok()) return task.status();
    tasks_.push_back(*std::move(task));
  }
  return bench_.Replace(tasks_);
}

absl::StatusOr<BenchPoint> TypeBench::Try(double rate) {
  ++tries_;
  if (absl::Status status = SetRate(rate); !status.ok()) return status;
  if (!interruption_.Wait(interval_ + kSettle)) return absl::CancelledError("interrupted");
  const int64_t rounds = std::max<int64_t>(1, (options_.time.ns + interval_.ns / 2) / interval_.ns);
  auto point = bench_.Watch(interval_ * rounds, options_.timeout + kSettle);
  if (!point.ok()) return point;
  const auto broken = BrokenBound(*point, options_.bounds);
  options_.say(
      Printed("%s: %.0f/s %s, late %.2f ms (p99), %.1f us a probe, prober %.0f %%, farm %.0f %%",
              options_.name.c_str(), point->rate,
              broken ? ("breaks " + std::string(BoundName(*broken))).c_str() : "holds",
              Millis(point->recorded.lateness.Quantile(0.99)), point->microseconds_per_probe(),
              point->shard_busy * 100, point->farm_busy * 100));
  return point;
}

// Adds what held at the highest rate. An error: it was cut short.
absl::Status TypeBench::Search(double first, double step, TypeResult* result) {
  RateSearch::Options options;
  options.first = first;
  options.lowest = 1;
  options.highest = options_.max_rate;
  options.step = step;
  options.tolerance = kTolerance;
  RateSearch search(options);
  std::optional<BenchPoint> best, broke;
  std::optional<Bound> bound;
  absl::Status status;
  while (const auto rate = search.Next()) {
    if (BenchNow() > options_.deadline) {
      status = absl::DeadlineExceededError("time was up");
      break;
    }
    auto point = Try(*rate);
    if (!point.ok()) {
      status = point.status();
      break;
    }
    const auto broken = BrokenBound(*point, options_.bounds);
    if (broken) {
      broke = *std::move(point);
      bound = broken;
    } else if (!best || point->rate >= best->rate) {
      best = *std::move(point);
    }
    search.Add(!broken);
  }
  result->at_least = !status.ok() && result->held.empty() && best;
  if (best && (status.ok() || result->at_least)) result->held.push_back(*std::move(best));
  // What a search that was cut short met says less than a whole one did.
  if (broke && (status.ok() || !result->broke)) {
    result->broke = *std::move(broke);
    result->bound = bound;
  }
  if (status.ok() && search.broke() == 0) result->ceiling = true;
  return status;
}

TypeResult TypeBench::Run() {
  TypeResult result;
  result.name = options_.name;
  result.title = options_.title;
  // Warms up what is made once, and says about where to begin.
  double first = std::min(options_.first_rate, options_.max_rate);
  absl::Status status;
  auto point = Try(first);
  if (!point.ok()) {
    status = point.status();
  } else if (const auto broken = BrokenBound(*point, options_.bounds);
             broken && point->recorded.runs > 0 && point->recorded.passed() == 0) {
    status = absl::UnavailableError("no run passed, so that no other rate was tried");
    result.broke = *point;
    result.bound = broken;
  } else if (broken != Bound::kFailed) {
    const double cost = point->microseconds_per_probe();
    if (cost > 0) first = std::min(std::max(first, 0.6e6 / cost), options_.max_rate);
  }
  for (int i = 0; i < options_.repeats && status.ok() && !(i > 0 && result.held.empty()); ++i) {
    status = i == 0 ? Search(first, kFirstStep, &result)
                    : Search(result.held.back().rate, kNextStep, &result);
  }
  // Time was up before any other rate held: that one did.
  if (result.held.empty() && !status.ok() && point.ok() && !BrokenBound(*point, options_.bounds)) {
    result.held.push_back(*std::move(point));
    result.at_least = true;
  }
  result.complete = status.ok();
  result.tries = tries_;
  if (result.ceiling) {
    result.ended = "the highest rate allowed held";
  } else if (result.broke && result.bound) {
    result.ended = Printed("at %.0f/s: ", result.broke->rate) +
                   WhyBroken(*result.broke, options_.bounds, *result.bound);
  }
  if (!status.ok()) {
    result.ended += (result.ended.empty() ? "" : "; ") + std::string(status.message());
  }
  if (result.held.empty()) result.problem = result.ended;
  return result;
}

MemoryResult MeasureMemory(const Workbench::Options& options, const TaskMaker& maker,
                           const std::function<std::string(size_t)>& target,
                           const TaskMaker* silent,
                           const std::function<std::string(size_t)>& silent_target,
                           Interruption& interruption) {
  constexpr size_t kIdle = 5000, kInFlight = 500;
  const Schedule seldom = *Schedule::Every(Hours(1));
  const Schedule often = *Schedule::Every(Milliseconds(200));
  MemoryResult result;
  auto bench = Workbench::Start(options, interruption);
  if (!bench.ok()) return result;
  const auto make = [](const TaskMaker& of, const char* prefix, size_t count,
                       const std::function<std::string(size_t)>& where, const Schedule& schedule) {
    Workbench::Tasks tasks;
    for (size_t i = 0; i < count; ++i) {
      if (auto task = of.Make(prefix + std::to_string(i), where(i), schedule); task.ok()) {
        tasks.push_back(*std::move(task));
      }
    }
    return tasks;
  };
  const auto per = [](uint64_t before, uint64_t after, size_t count) {
    if (after <= before || count == 0) return std::optional<double>();
    return std::optional<double>(static_cast<double>(after - before) / static_cast<double>(count));
  };
  const uint64_t empty = HeapBytes();
  {
    const Workbench::Tasks tasks = make(maker, "idle-task-", kIdle, target, seldom);
    if (!(*bench)->Replace(tasks).ok()) return result;
    result.idle = per(empty, HeapBytes(), kIdle);
  }
  if (silent == nullptr) return result;
  const Workbench::Tasks waiting = make(*silent, "silent-", kInFlight, silent_target, seldom);
  const Workbench::Tasks running = make(*silent, "silent-", kInFlight, silent_target, often);
  if (!(*bench)->Replace(waiting).ok()) return result;
  const uint64_t rest = HeapBytes();
  if (!(*bench)->Replace(running).ok()) return result;
  // Until all are in flight, and those with a handshake are through with it.
  Workbench::Flight flight;
  for (int i = 0; i < 60 && (flight.runs < kInFlight || flight.handshakes > 0); ++i) {
    if (!interruption.Wait(Milliseconds(50))) return result;
    flight = (*bench)->flight();
  }
  result.in_flight = per(rest, HeapBytes(), flight.runs);
  return result;
}

}  // namespace sonde
