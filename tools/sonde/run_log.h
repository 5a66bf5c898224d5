// Writes finished runs to the log: failures as warnings, everything at level debug. When many fail
// at once a second gets its share of lines, and one line says how many were left out.
#pragma once

#include <atomic>
#include <cstdint>

#include "engine/contract/log.h"
#include "engine/contract/task_set.h"

namespace sonde {

class RunLog : public ResultSink {
 public:
  static constexpr uint32_t kLinesPerSecond = 20;

  // `next` is told everything too. Both outlive this.
  RunLog(Logger& log, ResultSink& next) : log_(log), next_(next) {}

  void OnRun(const RunReport& report) override;  // shards

  uint64_t left_out() const { return left_out_total_.load(std::memory_order_relaxed); }

 private:
  bool TakeLine(int64_t second);

  Logger& log_;
  ResultSink& next_;
  std::atomic<int64_t> second_{0};
  std::atomic<uint32_t> lines_{0};
  std::atomic<uint64_t> left_out_{0};
  std::atomic<uint64_t> left_out_total_{0};
};

}  // namespace sonde
