// Every run of a stretch of the schedule, by when it was due.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/contract/engine_stats.h"
#include "engine/contract/task_set.h"
#include "tools/sonde/bench/latency_counts.h"

namespace sonde {

// What the runs due in a stretch came to.
struct RecordedRuns {
  uint64_t runs = 0, failed = 0, inconclusive = 0;
  std::array<uint64_t, kOutcomeCount> outcomes{};  // indexed by Outcome
  LatencyCounts lateness;                          // due to first system call
  LatencyCounts latency;            // of passes, from the start: what coordinated omission flatters
  LatencyCounts corrected;          // of the same, from the due time
  double duration_sum_seconds = 0;  // of all, from the start: by Little's law, runs in flight

  uint64_t passed() const { return runs - failed - inconclusive; }
};

// The engine's sink. A shard's thread writes cells of its own, which others may read meanwhile: no
// lock and no allocation once a thread has been seen.
class RunRecorder final : public ResultSink {
 public:
  RunRecorder();
  ~RunRecorder() override;

  // Main thread. From now on runs due in [from, until) count, and nothing that was before; `from`
  // lies ahead.
  void Open(WallTime from, WallTime until);
  uint64_t runs() const;          // cheap
  RecordedRuns Recorded() const;  // since Open

  void OnRun(const RunReport& report) override;

 private:
  struct Cells;
  Cells& Own();

  const uint64_t id_;  // no other recorder's: threads remember whose cells they have
  std::atomic<int64_t> from_{0}, until_{0};
  mutable std::mutex mutex_;  // guards the list
  std::vector<std::unique_ptr<Cells>> cells_;
};

}  // namespace sonde
