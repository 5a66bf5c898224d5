// A set of tasks tried out against the farm for some seconds: the same kinds at the same rates, so
// that what a probe costs is measured here, in company, and not remembered of another machine.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/sonde/bench/capacity_plan.h"
#include "tools/sonde/bench/farm_process.h"
#include "tools/sonde/bench/progress.h"
#include "tools/sonde/bench/task_maker.h"
#include "tools/sonde/bench/workbench.h"
#include "tools/sonde/configuration.h"

namespace sonde {

// Bytes of memory of the file's tasks at rest: what reading them left, and their records, entries
// and timers, made as `sonde serve` makes them. `read_bytes`: how much reading the file took.
// Probes nothing.
absl::StatusOr<double> TaskBytes(const TaskFile& file, double read_bytes,
                                 Interruption& interruption);

// Resident bytes of `sonde serve` without a task.
absl::StatusOr<double> ServeBytes(Interruption& interruption);

// Main thread. What it is given outlives it.
class Rehearser {
 public:
  Rehearser(const CapacityDemand& demand, FarmProcess& farm, const Workbench::Options& options,
            Duration time, Progress& progress, Interruption& interruption);

  // Fills all but the bytes of tasks and base.
  absl::StatusOr<Rehearsal> Run();

  // The point of all kinds together, for reports.
  const BenchPoint& together() const { return together_; }

 private:
  absl::StatusOr<BenchPoint> Try(const std::vector<size_t>& kinds, double share);
  absl::Status RunTogether(Rehearsal* rehearsal);
  absl::Status RunAlone(size_t kind, Rehearsal* rehearsal);
  void Learn(const std::vector<size_t>& kinds, const BenchPoint& point, CostModel* costs) const;
  absl::StatusOr<TaskMaker> Maker(const BenchType& type, std::string_view options) const;

  const CapacityDemand& demand_;
  FarmProcess& farm_;
  const Workbench::Options& options_;
  const Duration time_;
  Progress& progress_;
  Interruption& interruption_;
  BenchPoint together_;
};

// The demand's tasks as a file `sonde serve` takes, each with a target of the farm's in place of
// its own. `settings`: TaskFile::settings_text.
std::string FarmConfiguration(const TaskFile& file, const FarmProcess& farm);

}  // namespace sonde
