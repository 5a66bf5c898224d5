#include "tools/sonde/bench/latency_counts.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sonde {
namespace {

constexpr int kBits = 5;  // 32 buckets to a doubling
constexpr size_t kPerDoubling = size_t{1} << kBits;

}  // namespace

size_t LatencyCounts::BucketOf(Duration time) {
  const auto value = static_cast<uint64_t>(std::max<int64_t>(time.ns, 0));
  if (value < 2 * kPerDoubling) return static_cast<size_t>(value);
  const auto shift = static_cast<int>(std::bit_width(value)) - 1 - kBits;
  const size_t bucket = static_cast<size_t>(shift) * kPerDoubling + (value >> shift);
  return std::min(bucket, kBuckets - 1);
}

Duration LatencyCounts::BoundOf(size_t bucket) {
  if (bucket < 2 * kPerDoubling) return {static_cast<int64_t>(bucket)};
  const size_t shift = bucket / kPerDoubling - 1;
  const uint64_t leading = bucket % kPerDoubling + kPerDoubling;
  return {static_cast<int64_t>(((leading + 1) << shift) - 1)};
}

std::optional<Duration> LatencyCounts::Quantile(double q, uint64_t never) const {
  const double all = static_cast<double>(total_ + never);
  const auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(q * all)));
  uint64_t below = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    below += counts_[i];
    if (below >= rank) return BoundOf(i);
  }
  return std::nullopt;
}

void LiveLatencyCounts::Clear() {
  for (auto& cell : cells_) cell.store(0, std::memory_order_relaxed);
}

void LiveLatencyCounts::AddTo(LatencyCounts* counts) const {
  for (size_t i = 0; i < cells_.size(); ++i) {
    if (const uint32_t n = cells_[i].load(std::memory_order_relaxed)) counts->AddTo(i, n);
  }
}

}  // namespace sonde
