#include "engine/contract/result_ring.h"

#include <algorithm>
#include <bit>

namespace sonde {
namespace {

constexpr int kMantissaBits = 18;
constexpr int kDurationBits = 24;
constexpr int kOutcomeBits = 8;
constexpr uint64_t kLatestSecond = UINT32_MAX;

uint64_t PackDuration(Duration duration) {
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(duration.ns, 0));
  const int exponent = std::max(0, static_cast<int>(std::bit_width(ns)) - kMantissaBits);
  return static_cast<uint64_t>(exponent) << kMantissaBits | ns >> exponent;
}

Duration UnpackDuration(uint64_t packed) {
  const uint64_t mantissa = packed & ((uint64_t{1} << kMantissaBits) - 1);
  return {static_cast<int64_t>(mantissa << (packed >> kMantissaBits))};
}

constexpr uint64_t Low(uint64_t word, int bits) { return word & ((uint64_t{1} << bits) - 1); }

}  // namespace

uint64_t PackRun(const RecentRun& run) {
  const auto second = static_cast<uint64_t>(std::max<int64_t>(run.finished.ns / Seconds(1).ns, 1));
  return std::min(second, kLatestSecond) << (kOutcomeBits + kDurationBits) |
         static_cast<uint64_t>(run.outcome) << kDurationBits | PackDuration(run.duration);
}

RecentRun UnpackRun(uint64_t word) {
  const auto second = static_cast<int64_t>(word >> (kOutcomeBits + kDurationBits));
  return {WallTime{} + Seconds(second),
          static_cast<Outcome>(Low(word >> kDurationBits, kOutcomeBits)),
          UnpackDuration(Low(word, kDurationBits))};
}

// The version is odd while a word changes. A reader that saw the new word (acquire) also sees the
// odd version stored before it (release), and leaves out the run that stood there.
void ResultRing::Add(const RecentRun& run) {
  const uint64_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  runs_[version / 2 % kRuns].store(PackRun(run), std::memory_order_release);
  version_.store(version + 2, std::memory_order_release);
}

void ResultRing::Read(std::vector<RecentRun>* out) const {
  const auto oldest = [](uint64_t runs) { return runs - std::min<uint64_t>(runs, kRuns); };
  std::array<uint64_t, kRuns> words;
  const uint64_t added = version_.load(std::memory_order_acquire) / 2;
  const uint64_t first = oldest(added);
  for (uint64_t run = first; run < added; ++run) {
    words[run - first] = runs_[run % kRuns].load(std::memory_order_acquire);
  }
  const uint64_t begun = (version_.load(std::memory_order_relaxed) + 1) / 2;
  for (uint64_t run = std::max(first, oldest(begun)); run < added; ++run) {
    out->push_back(UnpackRun(words[run - first]));
  }
}

}  // namespace sonde
