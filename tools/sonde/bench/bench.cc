#include "tools/sonde/bench/bench.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "engine/contract/duration_text.h"
#include "engine/loop/thread_setup.h"
#include "store/module_text.h"
#include "tools/sonde/bench/bench_report.h"
#include "tools/sonde/bench/capacity_bench.h"
#include "tools/sonde/bench/machine.h"
#include "tools/sonde/bench/process_watch.h"
#include "tools/sonde/bench/progress.h"
#include "tools/sonde/bench/type_bench.h"
#include "tools/sonde/version.h"

namespace sonde {
namespace {

int Fail(const std::string& message, int code) {
  std::fprintf(stderr, "sonde bench: %s\n", message.c_str());
  return code;
}

struct Settings {
  std::vector<const BenchType*> types;
  BenchBounds bounds;
  Duration time, interval, timeout;
};

absl::StatusOr<Duration> Time(const char* flag, const std::string& text, Duration least) {
  const auto time = ParseDuration(text);
  if (time && *time >= least && *time <= Minutes(5)) return *time;
  return absl::InvalidArgumentError(std::string(flag) + ": '" + text + "' is no time from " +
                                    FormatDuration(least) + " to 5m");
}

absl::StatusOr<Settings> Read(const BenchOptions& options) {
  Settings settings;
  for (const std::string& name : options.types) {
    const BenchType* type = FindBenchType(name);
    if (type == nullptr) {
      std::string known;
      for (const BenchType& one : BenchTypes()) known += " " + std::string(one.name);
      return absl::InvalidArgumentError("--types: '" + name + "' is none of" + known);
    }
    settings.types.push_back(type);
  }
  for (const BenchType& type : BenchTypes()) {
    if (options.types.empty() && type.usual) settings.types.push_back(&type);
  }
  const auto lateness = Time("--lateness", options.lateness, Microseconds(1));
  const auto interval = Time("--interval", options.interval, Schedule::kShortest);
  const auto timeout = Time("--timeout", options.timeout, Milliseconds(1));
  for (const auto* time : {&lateness, &interval, &timeout}) {
    if (!time->ok()) return time->status();
  }
  settings.time = Seconds(1);
  if (options.seconds > 0) settings.time = {static_cast<int64_t>(options.seconds * 1e9)};
  settings.interval = *interval;
  settings.timeout = *timeout;
  settings.bounds = {*lateness, options.skipped / 100, options.failed / 100,
                     options.inconclusive / 100};
  if (!options.module.empty() && options.config_file.empty()) {
    return absl::InvalidArgumentError("--module is looked up in a file: --config.file is missing");
  }
  if (options.targets.empty() && !options.module.empty()) {
    return absl::InvalidArgumentError("--module is for --target: the farm is probed by its own");
  }
  if (!options.targets.empty() && options.types.size() != 1) {
    return absl::InvalidArgumentError("--target needs --types with the one type they are");
  }
  if (options.max_rate > 0 && options.max_rate < 1) {
    return absl::InvalidArgumentError("--max-rate: at least 1, or 0 for no end");
  }
  if (!options.targets.empty() && options.max_rate == 0) {
    return absl::InvalidArgumentError(
        "--target needs --max-rate: the most probes a second they may get, all together");
  }
  return settings;
}

class Search {
 public:
  Search(const BenchOptions& options, Settings settings)
      : options_(options), settings_(std::move(settings)), shards_(std::max(1u, options.shards)) {}

  int Run();

 private:
  absl::Status StartFarm();
  void RunAll();
  TypeResult RunType(const BenchType& type, WallTime deadline);
  absl::StatusOr<TaskMaker> Maker(const BenchType& type) const;
  void Remember(const BenchType& type, const TaskMaker& maker, TypeResult* result);
  Workbench::Options WorkbenchOptions(const TaskMaker& maker) const;

  const BenchOptions& options_;
  const Settings settings_;
  const unsigned shards_;
  Interruption interruption_;
  Progress progress_;
  Placement placement_;
  std::unique_ptr<FarmProcess> farm_;
  BenchReport report_;
};

absl::Status Search::StartFarm() {
  if (!options_.targets.empty()) return absl::OkStatus();
  if (options_.pin) placement_ = PlacementOf(UsableCpus(), shards_);
  auto farm = FarmProcess::Start(options_.farm, settings_.types, placement_.farm, interruption_);
  if (!farm.ok()) return farm.status();
  farm_ = *std::move(farm);
  return absl::OkStatus();
}

absl::StatusOr<TaskMaker> Search::Maker(const BenchType& type) const {
  if (farm_) return TaskMaker::ForFarm(type, type.options, farm_->authority(), settings_.timeout);
  std::string task = "{name: bench, type: " + std::string(type.prober) +
                     ", target: " + YamlScalar(options_.targets[0]) +
                     ", interval: 1m, timeout: " + FormatDuration(settings_.timeout);
  if (!options_.module.empty()) {
    task += ", module: " + YamlScalar(options_.module);
  } else if (type.stream) {
    task += ", " + std::string(type.prober) + ": {close: reset}";
  }
  return TaskMaker::Of(task + "}", options_.config_file);
}

Workbench::Options Search::WorkbenchOptions(const TaskMaker& maker) const {
  Workbench::Options options;
  options.settings.shards = shards_;
  if (options_.io == "io_uring") options.settings.io = EngineSettings::Io::kUring;
  options.files = maker.files();
  options.cpus = placement_.prober;
  options.other_cpus = placement_.farm;
  options.farm = farm_.get();
  return options;
}

void Search::Remember(const BenchType& type, const TaskMaker& maker, TypeResult* result) {
  progress_.Say(result->name + ": memory");
  const auto target = [&](size_t i) { return FarmTarget(type, i, farm_->Port(type.listener)); };
  const std::string_view listener =
      type.silent_listener.empty() ? type.listener : type.silent_listener;
  const auto silent_target = [&](size_t i) { return FarmTarget(type, i, farm_->Port(listener)); };
  std::optional<TaskMaker> silent;
  if (!type.silent_listener.empty() || !type.silent_options.empty()) {
    const auto block = type.silent_options.empty() ? type.options : type.silent_options;
    if (auto made = TaskMaker::ForFarm(type, block, farm_->authority(), Seconds(5)); made.ok()) {
      silent = *std::move(made);
    }
  }
  const MemoryResult memory =
      MeasureMemory(WorkbenchOptions(maker), maker, target, silent ? &*silent : nullptr,
                    silent_target, interruption_);
  result->idle_bytes = memory.idle;
  result->in_flight_bytes = memory.in_flight;
}

TypeResult Search::RunType(const BenchType& type, WallTime deadline) {
  TypeResult result;
  result.name = std::string(type.name);
  result.title = std::string(type.title);
  const auto maker = Maker(type);
  if (!maker.ok()) {
    result.problem = std::string(maker.status().message());
    return result;
  }
  TypeBench::Options options;
  options.name = result.name;
  options.title = result.title;
  options.bounds = settings_.bounds;
  options.time = settings_.time;
  options.interval = settings_.interval;
  if (type.interval.ns > 0) options.interval = std::min(options.interval, type.interval);
  options.timeout = settings_.timeout;
  options.repeats = options_.repeats;
  options.first_rate = type.first_rate;
  if (options_.max_rate > 0) options.max_rate = options_.max_rate;
  options.deadline = deadline;
  options.target = [&](size_t i) {
    return farm_ ? FarmTarget(type, i, farm_->Port(type.listener))
                 : options_.targets[i % options_.targets.size()];
  };
  options.say = [this](const std::string& text) { progress_.Say(text); };
  {
    auto bench = Workbench::Start(WorkbenchOptions(*maker), interruption_);
    if (!bench.ok()) {
      result.problem = std::string(bench.status().message());
      return result;
    }
    result = TypeBench(options, *maker, **bench, interruption_).Run();
  }
  if (farm_ && !interruption_.asked()) Remember(type, *maker, &result);
  return result;
}

// What one type leaves of the time is the next ones'.
void Search::RunAll() {
  const WallTime end = BenchNow() + Duration{static_cast<int64_t>(options_.budget_seconds * 1e9)};
  for (size_t i = 0; i < settings_.types.size() && !interruption_.asked(); ++i) {
    const auto left = static_cast<int64_t>(settings_.types.size() - i);
    const WallTime now = BenchNow();
    report_.results.push_back(RunType(*settings_.types[i], now + (end - now) / left));
  }
}

int Search::Run() {
  const Machine machine = ThisMachine();
  if (absl::Status status = StartFarm(); !status.ok()) {
    return Fail(std::string(status.message()), 1);
  }
  report_.version = VersionLine();
  report_.processor = machine.processor;
  report_.kernel = machine.kernel;
  report_.date = machine.date;
  report_.cores = machine.cores;
  report_.load = machine.load;
  report_.shards = shards_;
  report_.pinned = !placement_.prober.empty();
  report_.farm = farm_ != nullptr;
  report_.seconds = settings_.time.seconds();
  report_.interval_seconds = settings_.interval.seconds();
  report_.bounds = settings_.bounds;
  RunAll();
  progress_.Clear();
  report_.interrupted = interruption_.asked();
  const std::string text = options_.json ? BenchJson(report_) : BenchText(report_);
  std::fwrite(text.data(), 1, text.size(), stdout);
  const auto measured = [](const TypeResult& result) { return result.problem.empty(); };
  const bool all = std::all_of(report_.results.begin(), report_.results.end(), measured);
  return report_.interrupted || all ? 0 : 1;
}

}  // namespace

int Bench(const BenchOptions& options) {
  if (!options.plan.empty()) return CapacityBench(options);
  if (options.verify) return Fail("--verify is for --plan", 2);
  auto settings = Read(options);
  if (!settings.ok()) return Fail(std::string(settings.status().message()), 2);
  return Search(options, *std::move(settings)).Run();
}

}  // namespace sonde
