#include "tools/sonde/bench/run_recorder.h"

#include <thread>

namespace sonde {
namespace {

template <typename Number>
void Add(std::atomic<Number>& cell, Number more) {  // its only writer
  cell.store(cell.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

uint64_t NextId() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

struct RunRecorder::Cells {
  std::thread::id thread;
  std::atomic<uint64_t> runs{0}, failed{0}, inconclusive{0};
  std::atomic<int64_t> duration_ns{0};
  std::array<std::atomic<uint64_t>, kOutcomeCount> outcomes{};
  LiveLatencyCounts lateness, latency, corrected;
};

RunRecorder::RunRecorder() : id_(NextId()) {}
RunRecorder::~RunRecorder() = default;

RunRecorder::Cells& RunRecorder::Own() {
  thread_local uint64_t whose = 0;
  thread_local Cells* mine = nullptr;
  if (whose == id_) return *mine;
  const std::thread::id self = std::this_thread::get_id();
  const std::lock_guard lock(mutex_);
  mine = nullptr;
  for (const auto& cells : cells_) {
    if (cells->thread == self) mine = cells.get();
  }
  if (mine == nullptr) {
    mine = cells_.emplace_back(std::make_unique<Cells>()).get();
    mine->thread = self;
  }
  whose = id_;
  return *mine;
}

void RunRecorder::OnRun(const RunReport& report) {
  const ProbeResult& result = report.result;
  if (result.due.ns < from_.load(std::memory_order_relaxed) ||
      result.due.ns >= until_.load(std::memory_order_acquire)) {
    return;
  }
  Cells& cells = Own();
  const Duration late = result.started - result.due;
  cells.lateness.Add(late);
  Add(cells.duration_ns, result.duration.ns);
  Add(cells.outcomes[static_cast<size_t>(result.outcome)], uint64_t{1});
  if (result.verdict() == Verdict::kFailed) Add(cells.failed, uint64_t{1});
  if (result.verdict() == Verdict::kInconclusive) Add(cells.inconclusive, uint64_t{1});
  if (result.latency_recorded) {
    cells.latency.Add(result.duration);
    cells.corrected.Add(late + result.duration);
  }
  Add(cells.runs, uint64_t{1});
}

// Nothing counts while the cells are cleared: no run is due before `from`, which lies ahead.
void RunRecorder::Open(WallTime from, WallTime until) {
  until_.store(0, std::memory_order_release);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& cells : cells_) {
      for (auto* count : {&cells->runs, &cells->failed, &cells->inconclusive}) count->store(0);
      for (auto& count : cells->outcomes) count.store(0);
      for (auto* times : {&cells->lateness, &cells->latency, &cells->corrected}) times->Clear();
      cells->duration_ns.store(0);
    }
  }
  from_.store(from.ns, std::memory_order_relaxed);
  until_.store(until.ns, std::memory_order_release);
}

uint64_t RunRecorder::runs() const {
  const std::lock_guard lock(mutex_);
  uint64_t runs = 0;
  for (const auto& cells : cells_) runs += cells->runs.load(std::memory_order_relaxed);
  return runs;
}

RecordedRuns RunRecorder::Recorded() const {
  RecordedRuns all;
  const std::lock_guard lock(mutex_);
  for (const auto& cells : cells_) {
    all.runs += cells->runs.load(std::memory_order_relaxed);
    all.failed += cells->failed.load(std::memory_order_relaxed);
    all.inconclusive += cells->inconclusive.load(std::memory_order_relaxed);
    all.duration_sum_seconds +=
        static_cast<double>(cells->duration_ns.load(std::memory_order_relaxed)) / 1e9;
    for (size_t i = 0; i < kOutcomeCount; ++i) {
      all.outcomes[i] += cells->outcomes[i].load(std::memory_order_relaxed);
    }
    cells->lateness.AddTo(&all.lateness);
    cells->latency.AddTo(&all.latency);
    cells->corrected.AddTo(&all.corrected);
  }
  return all;
}

}  // namespace sonde
