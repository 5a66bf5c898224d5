// The search for one type's highest rate.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/sonde/bench/bench_type.h"
#include "tools/sonde/bench/task_maker.h"
#include "tools/sonde/bench/workbench.h"

namespace sonde {

// What a type came to.
struct TypeResult {
  std::string name, title;
  // The highest rate that held, of each search that ended; in the order found.
  std::vector<BenchPoint> held;
  bool complete = false;  // all searches ended; otherwise time was up, or somebody interrupted
  bool at_least = false;  // not even one ended: `held` is how far it came
  bool ceiling = false;   // held at the highest rate that was allowed
  std::optional<BenchPoint> broke;  // the last rate that did not hold
  std::optional<Bound> bound;       // it broke
  std::string ended;                // what ended the search, a sentence
  std::string problem;              // why there is no number; "": there is one
  int tries = 0;
  std::optional<double> idle_bytes, in_flight_bytes;  // of a task, and of a probe beside its task
};

class TypeBench {
 public:
  struct Options {
    std::string name, title;
    BenchBounds bounds;
    Duration time = Seconds(1);  // of a try
    Duration interval = Milliseconds(250);
    Duration timeout = Seconds(1);
    int repeats = 3;
    double first_rate = 100, max_rate = 1e6;
    WallTime deadline;
    // Target of the n-th task.
    std::function<std::string(size_t)> target;
    std::function<void(const std::string&)> say;  // how far it is
  };
  // All outlive it.
  TypeBench(const Options& options, const TaskMaker& maker, Workbench& bench,
            Interruption& interruption)
      : options_(options), maker_(maker), bench_(bench), interruption_(interruption) {}

  TypeResult Run();

 private:
  absl::StatusOr<BenchPoint> Try(double rate);
  absl::Status SetRate(double rate);
  absl::Status Search(double first, double step, TypeResult* result);

  const Options& options_;
  const TaskMaker& maker_;
  Workbench& bench_;
  Interruption& interruption_;
  Workbench::Tasks tasks_;  // those of the rate in force
  Duration interval_{};     // and theirs
  int tries_ = 0;
};

// Bytes of malloc's in this process per idle task, and per probe in flight; nullopt where that
// cannot be told. `silent`: makes tasks whose probes stay in flight at `silent_target`; null: none.
struct MemoryResult {
  std::optional<double> idle, in_flight;
};
MemoryResult MeasureMemory(const Workbench::Options& options, const TaskMaker& maker,
                           const std::function<std::string(size_t)>& target,
                           const TaskMaker* silent,
                           const std::function<std::string(size_t)>& silent_target,
                           Interruption& interruption);

}  // namespace sonde
