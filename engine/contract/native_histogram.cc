#include "engine/contract/native_histogram.h"

#include <algorithm>
#include <bit>

namespace sonde {
namespace {

constexpr size_t kCells = kNativeBuckets + 1;
constexpr size_t kPerOctave = 4;  // 2^kNativeSchema
constexpr int64_t kEndless = INT64_MAX;

// 2^(i/4) seconds in whole nanoseconds, cut off: a whole number is within one bound if and only if
// it is within the other.
constexpr int64_t BoundNs(int index) {
  constexpr long double kRoots[kPerOctave] = {1.0L, 1.189207115002721066717499970560475915L,
                                              1.414213562373095048801688724209698079L,
                                              1.681792830507429086062250952466429790L};
  const int octave = (index + 1024) / 4 - 256;
  long double bound = 1e9L * kRoots[index - octave * 4];
  for (int i = 0; i < octave; ++i) bound *= 2;
  for (int i = 0; i > octave; --i) bound /= 2;
  return static_cast<int64_t>(bound);
}

// The upper bound of each cell; the last has none. The rest makes room for Cell to look ahead.
constexpr std::array<int64_t, kCells + kPerOctave> kBounds = [] {
  std::array<int64_t, kCells + kPerOctave> bounds{};
  bounds.fill(kEndless);
  for (size_t cell = 0; cell + 1 < kCells; ++cell) {
    bounds[cell] = BoundNs(kNativeZero + static_cast<int>(cell));
  }
  return bounds;
}();

// The cell of the smallest number of so many binary digits.
constexpr std::array<uint8_t, 65> kFirstCells = [] {
  std::array<uint8_t, 65> cells{};
  for (size_t digits = 1; digits <= 63; ++digits) {
    uint8_t cell = 0;
    while ((int64_t{1} << (digits - 1)) > kBounds[cell]) ++cell;
    cells[digits] = cell;
  }
  return cells;
}();

// Numbers of as many binary digits spread over four bounds. No loop that ends early: which bucket
// it is cannot be foretold.
size_t CellOf(Duration latency) {
  const int64_t ns = std::max<int64_t>(latency.ns, 0);
  const size_t first = kFirstCells[static_cast<size_t>(std::bit_width(static_cast<uint64_t>(ns)))];
  size_t cell = first;
  for (size_t i = 0; i < kPerOctave; ++i) cell += ns > kBounds[first + i];
  return cell;
}

}  // namespace

int NativeBucket(Duration latency) { return kNativeZero + static_cast<int>(CellOf(latency)); }

void NativeHistogram::Start(std::span<const double> bounds, std::span<const uint64_t> counts) {
  for (size_t i = 0; i < counts.size(); ++i) {
    const size_t bound = std::min(i, bounds.size() - 1);
    const int bucket = NativeBucket(Duration{static_cast<int64_t>(bounds[bound] * 1e9 + 0.5)});
    Add(i == bound ? bucket : std::min(bucket + 1, kNativeLast), counts[i]);
  }
  started_.store(true, std::memory_order_release);
}

void NativeHistogram::Add(int bucket, uint64_t count) {
  std::atomic<uint32_t>& cell = cells_[static_cast<size_t>(bucket - kNativeZero)];
  cell.store(cell.load(std::memory_order_relaxed) + static_cast<uint32_t>(count),
             std::memory_order_relaxed);
}

void NativeHistogram::Count(Duration latency) {
  std::atomic<uint32_t>& cell = cells_[CellOf(latency)];
  cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

bool NativeHistogram::Read(NativeCounts* out) const {
  if (!started()) return false;
  out->count = out->zero = cells_[0].load(std::memory_order_relaxed);
  for (size_t i = 0; i < kNativeBuckets; ++i) {
    out->buckets[i] = cells_[i + 1].load(std::memory_order_relaxed);
    out->count += out->buckets[i];
  }
  return true;
}

}  // namespace sonde
