// The last results of a task, a word each: an optional part of its Tally.
//
// One writer (the task's shard); readers on other threads; no locks. A word is read whole or not at
// all, and none that was being overwritten meanwhile is given out.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/contract/instant.h"
#include "engine/contract/outcome.h"

namespace sonde {

// A finished run of any verdict, as it is remembered.
struct RecentRun {
  WallTime finished;  // whole seconds
  Outcome outcome = Outcome::kOk;
  Duration duration;

  bool operator==(const RecentRun&) const = default;
};

// The word: second since the epoch (32 bits, to the year 2106), outcome (8), duration (24). The
// duration is a mantissa of 18 bits shifted by an exponent of 6, in nanoseconds: exact below 262
// us, at most 0.001 % too short above, up to the longest there is. 0 stands for no run; a time
// outside its range is the nearest within, a duration below 0 is 0.
uint64_t PackRun(const RecentRun& run);
RecentRun UnpackRun(uint64_t word);

class ResultRing {
 public:
  static constexpr size_t kRuns = 60;

  // The shard's thread.
  void Add(const RecentRun& run);
  // Fetches what Add will need into the processor's caches; the second reads what the first
  // fetched.
  void FetchHead() const { __builtin_prefetch(&version_); }
  void FetchNext() const {
    __builtin_prefetch(&runs_[version_.load(std::memory_order_relaxed) / 2 % kRuns]);
  }

  // Any thread. Appends the runs kept, oldest first; `duration` and `finished` as the word has
  // them.
  void Read(std::vector<RecentRun>* out) const;

 private:
  std::array<std::atomic<uint64_t>, kRuns> runs_{};
  std::atomic<uint64_t> version_{0};  // twice the runs added, and 1 while one is being written
};

}  // namespace sonde
