// What a set of tasks will need of a node: arithmetic over what the file says and what a rehearsal
// on this machine measured.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/cost_model.h"
#include "engine/contract/settings.h"
#include "store/task_file.h"
#include "tools/sonde/bench/bench_type.h"
#include "tools/sonde/bench/machine.h"

namespace sonde {

// What the file asks for.
struct CapacityDemand {
  struct Kind {
    const BenchType* type;
    std::vector<const Task*> tasks;  // enabled; of the file, which outlives this
    double rate = 0;                 // starts a second, in the mean
    double fresh_rate = 0;           // of them those that leave their socket to no other run
    // Runs in flight when no target answers: each takes its time-out, and a task runs once at a
    // time.
    double silent_in_flight = 0;
  };
  std::vector<Kind> kinds;         // in the table's order
  size_t tasks = 0;                // also disabled ones
  double rate = 0, peak_rate = 0;  // starts a second: the mean, and in the busiest second of a day
  // The destination whose connections most often leave a port in TIME_WAIT: those we end with FIN.
  std::string busiest;
  double busiest_closes = 0;  // a second
  // Destinations whose connections end with RST: each keeps a socket for the next run, at least.
  double spare_peers = 0, half_open_peers = 0;  // these of those, over io_uring too
};
// Of the day that begins at `from`. Takes a second or two at the most.
CapacityDemand DemandOf(const TaskFile& file, WallTime from);

// Whether a run's socket serves the next one to the same address (ADR 051).
bool LeavesSpare(const Task& task);

// The demand as work for the cost model: rates a second of these kinds (indices), times `share`.
Work WorkOf(const CapacityDemand& demand, const std::vector<size_t>& kinds, double share);
Work WorkOf(const CapacityDemand& demand, double share);  // of all

// What was measured, per kind of the demand and for all together.
struct Rehearsal {
  struct Kind {
    double microseconds = 0;     // of processor, a probe
    double latency_seconds = 0;  // mean, against the farm
    double in_flight_bytes = 0;  // of memory, a probe
  };
  std::vector<Kind> kinds;
  CostModel costs;            // as all kinds together at their rates taught it
  double loopback_bytes = 0;  // a probe, headers included, both ways
  double base_bytes = 0;      // of memory: `sonde serve` without a task
  double task_bytes = 0;      // all tasks, at rest
  double share = 1;           // of the demand's rate that was rehearsed: what held
};

// A resource: how much is needed and how much there is.
struct CapacityRow {
  std::string_view name;  // in JSON
  std::string_view title;
  double need = 0;
  std::optional<double> silent;  // when no target answers
  std::optional<double> limit;   // nullopt: none known
};

struct CapacityPrediction {
  std::vector<CapacityRow> rows;
  double cores = 0, cores_at_peak = 0;  // in the mean, in the busiest second
  double in_flight = 0;                 // runs
};

// A run in flight is there for the farm's latency and `round_trip` for each that its kind takes.
CapacityPrediction Predict(const CapacityDemand& demand, const Rehearsal& rehearsal,
                           const EngineSettings& settings, const NodeLimits& node,
                           const Machine& machine, Duration round_trip);

// The row that is used up first when there are more tasks of the same kinds, and how many times as
// many that is: below 1, they are too many already. nullptr: no row has a limit.
struct FirstLimit {
  const CapacityRow* row = nullptr;
  double times = 0;
};
FirstLimit FirstLimitOf(const CapacityPrediction& prediction, bool silent);

// Seconds a local port stays taken after a connection we ended with FIN (Linux: TCP_TIMEWAIT_LEN).
inline constexpr double kTimeWaitSeconds = 60;

}  // namespace sonde
