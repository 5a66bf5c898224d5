#include "tools/sonde/bench/capacity_bench.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "engine/contract/duration_text.h"
#include "engine/loop/thread_setup.h"
#include "tools/sonde/bench/capacity_report.h"
#include "tools/sonde/bench/process_watch.h"
#include "tools/sonde/bench/rehearsal.h"
#include "tools/sonde/node.h"

namespace sonde {
namespace {

constexpr Duration kRehearsal = Seconds(4);
constexpr Duration kLongestWarmUp = Seconds(60);  // of the check: an interval, if that is shorter

class Capacity {
 public:
  Capacity(const BenchOptions& options, Duration round_trip) : options_(options) {
    report_.round_trip = round_trip;
  }
  absl::Status Run();
  const CapacityReport& report() const { return report_; }

 private:
  absl::Status Load();
  absl::Status Measure();
  absl::Status Check();
  absl::StatusOr<std::unique_ptr<ChildProcess>> Serve();
  CapacityCheck Predicted() const;
  Duration RehearsalTime() const {
    return options_.seconds == 0 ? kRehearsal
                                 : Duration{static_cast<int64_t>(options_.seconds * 1e9)};
  }

  const BenchOptions& options_;
  Interruption interruption_;
  Progress progress_;
  LoadedFile loaded_;
  NodeLimits node_;
  Placement placement_;
  std::unique_ptr<FarmProcess> farm_;
  CapacityReport report_;
};

absl::Status Capacity::Load() {
  const auto heap = static_cast<double>(HeapBytes());
  const auto resident = static_cast<double>(ResidentBytes(getpid()));
  auto loaded = LoadFile(options_.plan, {});
  if (!loaded.ok()) return loaded.status();
  loaded_ = *std::move(loaded);
  std::fprintf(stderr, "%s", loaded_.warnings.c_str());
  const double kept = static_cast<double>(HeapBytes()) - heap;
  const double touched = static_cast<double>(ResidentBytes(getpid())) - resident;
  report_.file = options_.plan;
  report_.machine = ThisMachine();
  EngineSettings settings = loaded_.file.engine;
  if (options_.shards > 0) settings.shards = options_.shards;
  node_ = LimitsOf(settings);
  report_.shards = static_cast<unsigned>(node_.shards);
  const WallTime now{BenchNow().ns / Seconds(1).ns * Seconds(1).ns};
  report_.demand = DemandOf(loaded_.file, now);
  progress_.Say("memory of the tasks");
  const auto tasks = TaskBytes(loaded_.file, kept, interruption_);
  if (!tasks.ok()) return tasks.status();
  // What reading left behind is used again by what comes after it.
  report_.rehearsal.task_bytes = std::max(touched, *tasks);
  return absl::OkStatus();
}

absl::Status Capacity::Measure() {
  std::vector<const BenchType*> types;
  for (const auto& kind : report_.demand.kinds) types.push_back(kind.type);
  if (options_.pin) placement_ = PlacementOf(UsableCpus(), report_.shards);
  auto farm = FarmProcess::Start(options_.farm, types, placement_.farm, interruption_);
  if (!farm.ok()) return farm.status();
  farm_ = *std::move(farm);
  const auto base = ServeBytes(interruption_);
  if (!base.ok()) return base.status();
  Workbench::Options options;
  options.settings = loaded_.file.engine;
  options.settings.shards = report_.shards;
  options.cpus = placement_.prober;
  options.other_cpus = placement_.farm;
  options.farm = farm_.get();
  Rehearser rehearser(report_.demand, *farm_, options, RehearsalTime(), progress_, interruption_);
  auto rehearsal = rehearser.Run();
  if (!rehearsal.ok()) return rehearsal.status();
  rehearsal->task_bytes = report_.rehearsal.task_bytes;
  rehearsal->base_bytes = *base;
  report_.rehearsal = *std::move(rehearsal);
  report_.prediction = Predict(report_.demand, report_.rehearsal, options.settings, node_,
                               report_.machine, report_.round_trip);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ChildProcess>> Capacity::Serve() {
  const std::string path = std::filesystem::path(farm_->authority()).parent_path() / "plan.yml";
  {
    std::ofstream out(path, std::ios::binary);
    out << FarmConfiguration(loaded_.file, *farm_);
    if (!out.flush()) return absl::UnavailableError("cannot write " + path);
  }
  ChildProcess::Options child;
  child.words = {ProgramBeside("sonde"), "serve", "--config.file=" + path,
                 "--web.listen-address=127.0.0.1:0", "--shards=" + std::to_string(report_.shards)};
  child.cpus = placement_.prober;
  child.ready = "configuration loaded";
  child.patience = Minutes(2);
  return ChildProcess::Start(child, interruption_);
}

// For targets as near as the farm.
CapacityCheck Capacity::Predicted() const {
  const CapacityPrediction near = Predict(report_.demand, report_.rehearsal, loaded_.file.engine,
                                          node_, report_.machine, Duration{});
  const auto need = [&near](std::string_view name) {
    const auto row = std::find_if(near.rows.begin(), near.rows.end(),
                                  [name](const auto& one) { return one.name == name; });
    return row->need;
  };
  CapacityCheck check;
  check.predicted_cores = need("processor_cores");
  check.predicted_bytes = need("memory_bytes");
  check.predicted_bytes_per_second = need("bytes_per_second");
  check.predicted_descriptors = need("descriptors") + need("spare_sockets");
  return check;
}

absl::Status Capacity::Check() {
  CapacityCheck check = Predicted();
  Duration longest{};
  for (const auto& task : loaded_.file.tasks) {
    longest = std::max(longest, task->schedule.TypicalInterval());
  }
  progress_.Say("the same tasks in a sonde of their own");
  auto serve = Serve();
  if (!serve.ok()) return serve.status();
  const pid_t pid = (*serve)->pid();
  const size_t at_rest = OpenDescriptors(pid);
  // The first interval starts every task.
  if (!interruption_.Wait(std::min(longest, kLongestWarmUp) + Seconds(1))) {
    return absl::CancelledError("interrupted");
  }
  const auto shards = ThreadTimes(pid, "sonde-shard");
  const double seconds = ProcessSeconds(pid);
  const uint64_t loopback = LoopbackBytes();
  const WallTime began = BenchNow();
  const WallTime end = began + RehearsalTime() * 2;
  double samples = 0;
  while (BenchNow() < end) {
    if (!interruption_.Wait(Milliseconds(100))) return absl::CancelledError("interrupted");
    const size_t open = OpenDescriptors(pid);
    check.descriptors += static_cast<double>(open - std::min(open, at_rest));
    ++samples;
    (*serve)->Output();
  }
  const double passed = (BenchNow() - began).seconds();
  check.descriptors /= std::max(1.0, samples);
  check.cores = (ProcessSeconds(pid) - seconds) / passed;
  check.bytes = static_cast<double>(ResidentBytes(pid));
  check.bytes_per_second = static_cast<double>(LoopbackBytes() - loopback) / passed;
  const auto now = ThreadTimes(pid, "sonde-shard");
  for (size_t i = 0; i < std::min(now.size(), shards.size()); ++i) {
    check.waited = std::max(check.waited, (now[i].waited - shards[i].waited) / passed);
  }
  if ((*serve)->Ended()) return absl::InternalError("it ended: " + (*serve)->Output());
  report_.check = check;
  return absl::OkStatus();
}

absl::Status Capacity::Run() {
  if (absl::Status status = Load(); !status.ok()) return status;
  if (report_.demand.kinds.empty()) return absl::OkStatus();
  if (absl::Status status = Measure(); !status.ok()) return status;
  if (options_.verify) return Check();
  return absl::OkStatus();
}

}  // namespace

int CapacityBench(const BenchOptions& options) {
  const auto round_trip = ParseDuration(options.round_trip);
  if (!round_trip || round_trip->ns < 0 || *round_trip > Minutes(1)) {
    std::fprintf(stderr, "sonde bench: --round-trip: '%s' is no time from 0 to 1m\n",
                 options.round_trip.c_str());
    return 2;
  }
  Capacity capacity(options, *round_trip);
  const absl::Status status = capacity.Run();
  if (!status.ok()) {
    PrintLines(stderr, "sonde bench: " + std::string(status.message()));
    return 1;
  }
  const std::string text =
      options.json ? CapacityJson(capacity.report()) : CapacityText(capacity.report());
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace sonde
