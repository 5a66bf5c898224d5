#include "tools/sonde/bench/rehearsal.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include "engine/contract/duration_text.h"
#include "store/module_text.h"
#include "tools/sonde/bench/process_watch.h"
#include "tools/sonde/bench/text_table.h"
#include "tools/sonde/bench/type_bench.h"

namespace sonde {
namespace {

constexpr double kInterval = 2;     // seconds: each task of a rehearsal runs in its warm-up
constexpr double kFewestRate = 20;  // a second: below, there is nothing to measure
constexpr int kHalvings = 8;
constexpr Duration kTimeout = Seconds(1);

Duration InSeconds(double seconds) { return {static_cast<int64_t>(seconds * 1e9)}; }

std::vector<size_t> All(size_t count) {
  std::vector<size_t> all(count);
  for (size_t i = 0; i < count; ++i) all[i] = i;
  return all;
}

// `policy:` names what may be probed: that is not the farm.
std::string WithoutPolicy(const std::string& settings) {
  std::string kept;
  bool keep = true;
  for (size_t at = 0; at < settings.size();) {
    const size_t end = std::min(settings.find('\n', at), settings.size() - 1) + 1;
    const std::string_view line = std::string_view(settings).substr(at, end - at);
    if (line[0] != ' ' && line[0] != '-') keep = !line.starts_with("policy:");
    if (keep) kept += line;
    at = end;
  }
  return kept;
}

std::string ModuleName(const BenchType& type, bool fin) {
  return "farm_" + std::string(type.name) + (fin ? "_fin" : "");
}

std::string TaskLine(const Task& task, const BenchType& type, size_t number, int port,
                     Duration interval) {
  std::string line = "- {name: " + YamlScalar(task.name) +
                     ", module: " + ModuleName(type, !LeavesSpare(task)) + ", target: '" +
                     FarmTarget(type, number, port) + "', interval: " + FormatDuration(interval) +
                     ", timeout: " + FormatDuration(task.timeout);
  if (!task.application.empty()) line += ", application: " + YamlScalar(task.application);
  if (!task.labels.empty()) {
    std::string labels;
    for (const auto& [name, value] : task.labels) {
      labels += (labels.empty() ? "" : ", ") + name + ": " + YamlScalar(value);
    }
    line += ", labels: {" + labels + "}";
  }
  return line + (task.enabled ? "}\n" : ", enabled: false}\n");
}

}  // namespace

absl::StatusOr<double> TaskBytes(const TaskFile& file, double read_bytes,
                                 Interruption& interruption) {
  Workbench::Options options;
  options.settings = file.engine;
  options.settings.shards = 1;
  auto bench = Workbench::Start(options, interruption);
  if (!bench.ok()) return bench.status();
  Workbench::Tasks still;
  for (const auto& task : file.tasks) {
    auto copy = std::make_shared<Task>(*task);
    copy->enabled = false;
    still.push_back(std::move(copy));
  }
  const uint64_t heap = HeapBytes();
  if (absl::Status status = (*bench)->Replace(still); !status.ok()) return status;
  return read_bytes + static_cast<double>(HeapBytes()) - static_cast<double>(heap);
}

absl::StatusOr<double> ServeBytes(Interruption& interruption) {
  constexpr std::string_view kNothing = "tasks: []\n";
  std::string path = (std::filesystem::temp_directory_path() / "sonde-bench-XXXXXX").string();
  const int file = mkstemp(path.data());
  if (file < 0) return absl::ErrnoToStatus(errno, path);
  const bool written = write(file, kNothing.data(), kNothing.size()) > 0;
  close(file);
  if (!written) return absl::UnavailableError("cannot write " + path);
  ChildProcess::Options child;
  child.words = {ProgramBeside("sonde"), "serve", "--config.file=" + path,
                 "--web.listen-address=127.0.0.1:0"};
  child.ready = "configuration loaded";
  auto serve = ChildProcess::Start(child, interruption);
  std::filesystem::remove(path);
  if (!serve.ok()) return serve.status();
  if (!interruption.Wait(Milliseconds(300))) return absl::CancelledError("interrupted");
  return static_cast<double>(ResidentBytes((*serve)->pid()));
}

Rehearser::Rehearser(const CapacityDemand& demand, FarmProcess& farm,
                     const Workbench::Options& options, Duration time, Progress& progress,
                     Interruption& interruption)
    : demand_(demand),
      farm_(farm),
      options_(options),
      time_(time),
      progress_(progress),
      interruption_(interruption) {}

absl::StatusOr<TaskMaker> Rehearser::Maker(const BenchType& type, std::string_view options) const {
  return TaskMaker::ForFarm(type, options, farm_.authority(), kTimeout);
}

// These kinds at `share` of their rates, each as tasks with an interval of two seconds.
absl::StatusOr<BenchPoint> Rehearser::Try(const std::vector<size_t>& kinds, double share) {
  double rate = 0;
  for (const size_t i : kinds) rate += demand_.kinds[i].rate * share;
  const double faster = rate > 0 ? std::max(1.0, kFewestRate / rate) : 1;
  Workbench::Tasks tasks;
  Workbench::Options options = options_;
  for (const size_t i : kinds) {
    const CapacityDemand::Kind& kind = demand_.kinds[i];
    const auto reset = Maker(*kind.type, kind.type->options);
    const auto fin = Maker(*kind.type, WithFin(kind.type->options));
    if (!reset.ok()) return reset.status();
    if (!fin.ok()) return fin.status();
    options.files.insert(options.files.end(), reset->files().begin(), reset->files().end());
    const double its_rate = kind.rate * share * faster;
    if (its_rate <= 0) continue;
    const double count = std::max(1.0, std::round(its_rate * kInterval));
    const auto schedule = Schedule::Every(
        std::clamp(InSeconds(count / its_rate), Schedule::kShortest, Schedule::kLongest));
    if (!schedule.ok()) return schedule.status();
    const double fins = std::round(count * kind.fresh_rate / kind.rate);
    for (size_t n = 0; n < static_cast<size_t>(count); ++n) {
      const TaskMaker& maker = static_cast<double>(n) < fins ? *fin : *reset;
      auto task = maker.Make(std::string(kind.type->name) + "-" + std::to_string(n),
                             FarmTarget(*kind.type, n, farm_.Port(kind.type->listener)), *schedule);
      if (!task.ok()) return task.status();
      tasks.push_back(*std::move(task));
    }
  }
  auto bench = Workbench::Start(options, interruption_);
  if (!bench.ok()) return bench.status();
  if (absl::Status status = (*bench)->Replace(tasks); !status.ok()) return status;
  if (!interruption_.Wait(InSeconds(kInterval + 0.2))) return absl::CancelledError("interrupted");
  return (*bench)->Watch(time_, kTimeout);
}

// What the point says of costs, until the model says the same: it moves by steps.
void Rehearser::Learn(const std::vector<size_t>& kinds, const BenchPoint& point,
                      CostModel* costs) const {
  constexpr int kSteps = 200;
  const Work rates = WorkOf(demand_, kinds, 1);
  Work done = WorkOf(demand_, kinds, static_cast<double>(point.finished) / rates.runs());
  done[CostKind::kTurn] = static_cast<double>(point.turns);
  for (int i = 0; i < kSteps; ++i) {
    costs->Observe(done, point.processor_seconds, point.seconds, options_.settings.shards);
  }
}

// At the whole rate when this machine can; otherwise at what it can, and costs are carried over.
absl::Status Rehearser::RunTogether(Rehearsal* rehearsal) {
  for (int i = 0; i < kHalvings; ++i, rehearsal->share /= 2) {
    progress_.Say(Printed("all kinds together at %.0f/s", demand_.rate * rehearsal->share));
    auto point = Try(All(demand_.kinds.size()), rehearsal->share);
    if (!point.ok()) return point.status();
    const auto broken = BrokenBound(*point, {});
    together_ = *std::move(point);
    const double finished = static_cast<double>(together_.finished);
    if (finished > 0) {
      rehearsal->loopback_bytes = static_cast<double>(together_.loopback_bytes) / finished;
    }
    if (broken && together_.recorded.runs > 0 && together_.recorded.passed() == 0) {
      return absl::InternalError(WhyBroken(together_, {}, *broken));
    }
    // A late run costs as much as one in time: only what was left out spoils a cost.
    if (!broken || broken == Bound::kLateness) return absl::OkStatus();
  }
  return absl::ResourceExhaustedError("not even a small part of it can be rehearsed here: " +
                                      WhyBroken(together_, {}, *BrokenBound(together_, {})));
}

absl::Status Rehearser::RunAlone(size_t i, Rehearsal* rehearsal) {
  const BenchType& type = *demand_.kinds[i].type;
  Rehearsal::Kind& kind = rehearsal->kinds[i];
  progress_.Say(std::string(type.name) + " alone");
  const bool only = demand_.kinds.size() == 1;
  auto point = only ? together_ : Try({i}, rehearsal->share);
  if (!point.ok()) return point.status();
  kind.microseconds = point->microseconds_per_probe();
  if (!only && point->finished > 0) Learn({i}, *point, &rehearsal->costs);
  if (point->recorded.runs > 0) {
    kind.latency_seconds =
        point->recorded.duration_sum_seconds / static_cast<double>(point->recorded.runs);
  }
  if (type.silent_listener.empty() && type.silent_options.empty()) return absl::OkStatus();
  const auto options = type.silent_options.empty() ? type.options : type.silent_options;
  const auto listener = type.silent_listener.empty() ? type.listener : type.silent_listener;
  const auto silent = TaskMaker::ForFarm(type, options, farm_.authority(), Seconds(5));
  if (!silent.ok()) return silent.status();
  Workbench::Options bench = options_;
  bench.files = silent->files();
  const auto target = [&](size_t n) { return FarmTarget(type, n, farm_.Port(listener)); };
  const MemoryResult memory =
      MeasureMemory(bench, *silent, target, &*silent, target, interruption_);
  kind.in_flight_bytes = memory.in_flight.value_or(0);
  return absl::OkStatus();
}

absl::StatusOr<Rehearsal> Rehearser::Run() {
  Rehearsal rehearsal;
  rehearsal.kinds.resize(demand_.kinds.size());
  if (demand_.kinds.empty()) return rehearsal;
  if (absl::Status status = RunTogether(&rehearsal); !status.ok()) return status;
  for (size_t i = 0; i < demand_.kinds.size(); ++i) {
    if (absl::Status status = RunAlone(i, &rehearsal); !status.ok()) return status;
  }
  // Last, what they cost in company: it scales what they cost alone.
  Learn(All(demand_.kinds.size()), together_, &rehearsal.costs);
  return rehearsal;
}

std::string FarmConfiguration(const TaskFile& file, const FarmProcess& farm) {
  std::string modules = "modules:\n", tasks = "tasks:\n";
  std::set<std::string> named;
  size_t number = 0;
  for (const auto& task : file.tasks) {
    const BenchType& type = *BenchTypeOf(*task);
    const bool fin = !LeavesSpare(*task);
    const std::string module = ModuleName(type, fin), prober(type.prober);
    if (named.insert(module).second) {
      const std::string options = fin ? WithFin(type.options) : std::string(type.options);
      modules += "  " + module + ": {prober: " + prober + ", " + prober + ": " +
                 BenchBlock(options, farm.authority()) + "}\n";
    }
    tasks +=
        TaskLine(*task, type, number++, farm.Port(type.listener), task->schedule.TypicalInterval());
  }
  return modules + WithoutPolicy(file.settings_text) + tasks;
}

}  // namespace sonde
