// The prober under measurement: the engine itself, in this process, with everything a run costs in
// `sonde serve` but scrapes; and the eyes on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/loop/engine.h"
#include "exporter/catalog.h"
#include "tools/sonde/bench/bench_point.h"
#include "tools/sonde/bench/farm_process.h"
#include "tools/sonde/bench/interruption.h"
#include "tools/sonde/configuration.h"

namespace sonde {

// Main thread.
class Workbench {
 public:
  struct Options {
    EngineSettings settings;
    std::vector<std::string> files;  // that modules name
    std::vector<int> cpus;           // of the shards, one each; none: wherever they are put
    std::vector<int> other_cpus;     // of this thread afterwards
    FarmProcess* farm = nullptr;     // whose processor time is watched; may be null
  };
  // Both outlive it.
  static absl::StatusOr<std::unique_ptr<Workbench>> Start(const Options& options,
                                                          Interruption& interruption);
  ~Workbench();

  // Exactly these tasks run from now on. Returns when every shard has them. Cancelled: interrupted.
  using Tasks = std::vector<std::shared_ptr<const Task>>;
  absl::Status Replace(const Tasks& tasks);

  // Watches the slots due within `time` from now on, then waits for their runs, for `longest` at
  // the most.
  absl::StatusOr<BenchPoint> Watch(Duration time, Duration longest);

  // Right now.
  struct Flight {
    uint64_t runs = 0, handshakes = 0;
  };
  Flight flight() const;

 private:
  struct Moment;
  explicit Workbench(Interruption& interruption) : interruption_(interruption) {}
  Moment Now() const;
  uint64_t DueBetween(WallTime from, WallTime until) const;

  Interruption& interruption_;
  FarmProcess* farm_ = nullptr;
  bool shared_processor_ = false;
  FileWatcher files_;
  RunRecorder recorder_;
  Catalog catalog_;
  Configuration configuration_;
  Tasks tasks_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace sonde
