// Times counted in buckets narrow enough for quantiles: what `sonde bench` reports.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/contract/instant.h"

namespace sonde {

// Buckets of nanoseconds: exact below 64, then 32 to each doubling, so that a bucket's upper bound
// is at most 1/32 above what it holds. The last one takes all from 18 minutes on.
class LatencyCounts {
 public:
  static constexpr size_t kBuckets = 1152;
  static size_t BucketOf(Duration time);  // below zero counts as zero
  static Duration BoundOf(size_t bucket);

  void Add(Duration time) { AddTo(BucketOf(time), 1); }
  void AddTo(size_t bucket, uint64_t count) {
    counts_[bucket] += count;
    total_ += count;
  }

  uint64_t total() const { return total_; }

  // The least time that a share `q` of all did not exceed, as its bucket's bound. `never`: so many
  // more took longer than any: slots that got no run. nullopt: that share reaches into them, or
  // nothing was counted.
  std::optional<Duration> Quantile(double q, uint64_t never = 0) const;

 private:
  std::array<uint64_t, kBuckets> counts_{};
  uint64_t total_ = 0;
};

// The same while it is counted: one writer, any readers, no locks.
class LiveLatencyCounts {
 public:
  void Add(Duration time) {
    std::atomic<uint32_t>& cell = cells_[LatencyCounts::BucketOf(time)];
    cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void Clear();
  void AddTo(LatencyCounts* counts) const;

 private:
  std::array<std::atomic<uint32_t>, LatencyCounts::kBuckets> cells_{};
};

}  // namespace sonde
