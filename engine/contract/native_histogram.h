// Latencies in the buckets of a Prometheus native histogram: an optional part of a Tally, counted
// beside the classic buckets.
//
// Schema 2: bucket i holds 2^((i-1)/4) < seconds <= 2^(i/4), four of them per doubling
// (prometheus.io/docs/specs/native_histograms, "Schema"). Buckets reach from 15 us to 304 s, which
// is beyond the longest time-out; what is not longer than 2^-16 s counts in the zero bucket.
//
// One writer (the task's shard); readers on other threads; no locks. Relaxed atomics: each count is
// right by itself.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/contract/instant.h"

namespace sonde {

inline constexpr int kNativeSchema = 2;
inline constexpr int kNativeFirst = -63;
inline constexpr int kNativeLast = 33;
inline constexpr int kNativeZero = kNativeFirst - 1;  // stands for the zero bucket
inline constexpr size_t kNativeBuckets = kNativeLast - kNativeFirst + 1;
inline constexpr double kNativeZeroThreshold = 0x1p-16;  // seconds

// The bucket a latency belongs to: kNativeZero, or the index from kNativeFirst to kNativeLast.
// Beyond the last bound: the last.
int NativeBucket(Duration latency);

// What a histogram held at one moment.
struct NativeCounts {
  uint64_t zero = 0;
  std::array<uint64_t, kNativeBuckets> buckets{};  // from kNativeFirst on, not cumulative
  uint64_t count = 0;                              // the sum of all those
};

class NativeHistogram {
 public:
  // ---- the shard's thread -------------------------------------------------------------------
  bool started() const { return started_.load(std::memory_order_acquire); }
  // Once, before the first Count: with what the classic buckets hold so far, so that both have the
  // same sum ever after. `bounds` in seconds; `counts` (one more) go to the bucket of their bound,
  // the last one's to the bucket above its bound.
  void Start(std::span<const double> bounds, std::span<const uint64_t> counts);
  void Count(Duration latency);

  // ---- any thread -----------------------------------------------------------------------------
  // False before Start.
  bool Read(NativeCounts* out) const;

 private:
  void Add(int bucket, uint64_t count);

  std::array<std::atomic<uint32_t>, kNativeBuckets + 1> cells_{};  // the zero bucket first
  std::atomic<bool> started_{false};
};

}  // namespace sonde
