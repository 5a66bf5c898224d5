// What a task has accumulated. One writer (its shard); readers on other threads; no locks.
//
// Counters, buckets and windows are relaxed atomics: each value is right by itself. The last result
// is read whole: an odd/even version word around words stored with release and loaded with acquire.
// Two parts are there only where somebody wants them: a task without pays a pointer for each.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/contract/native_histogram.h"
#include "engine/contract/probe_result.h"
#include "engine/contract/result_ring.h"

namespace sonde {

// Upper bounds of probe_latency_seconds; the last bucket is +Inf.
inline constexpr std::array<double, 11> kLatencyBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                          0.1,   0.25,   0.5,   1.0,  2.5};
inline constexpr size_t kLatencyBuckets = kLatencyBounds.size() + 1;

enum class Window : uint8_t { k5m, k1h, k24h, kCount };
struct WindowInfo {
  std::string_view name;  // label value `window`
  Duration slot;
  uint8_t slots;
  uint8_t first;  // offset in the shared array
};
inline constexpr std::array<WindowInfo, 3> kWindows = {{
    {"5m", Seconds(30), 10, 0},
    {"1h", Minutes(2), 30, 10},
    {"24h", Hours(1), 24, 40},
}};
inline constexpr size_t kWindowSlots = 64;

class Tally {
 public:
  Tally() = default;
  ~Tally();
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;

  // ---- the control thread -------------------------------------------------------------------
  // The optional parts, also of a tally that counts already; a part that is there stays as it is.
  // They are taken from the heap here, never between due and result, and go with the tally: readers
  // on other threads may be looking at them.
  void ProvideRecent();
  void ProvideNative();

  // ---- the shard's thread -------------------------------------------------------------------
  // Counts one finished run. `finished` places it in the windows.
  void Record(const ProbeResult& result, WallTime finished);
  void CountSkipped(uint64_t slots);
  // Fetches what Record will read and write into the processor's caches, in three steps: each reads
  // what the one before fetched, and wants some time after it.
  void Fetch(int step) const;
  uint64_t texts_hash() const { return texts_hash_; }  // of the last texts handed out
  void set_texts_hash(uint64_t hash) { texts_hash_ = hash; }

  // ---- any thread -----------------------------------------------------------------------------
  struct Counts {
    uint64_t success = 0, failed = 0, inconclusive = 0, skipped = 0;
  };
  Counts counts() const;

  // Appends (outcome, count) for every outcome but kOk counted so far, in the order first met.
  struct Reason {
    Outcome outcome;
    uint32_t count;
  };
  void Reasons(std::vector<Reason>* out) const;

  struct Latency {
    std::array<uint64_t, kLatencyBuckets> buckets{};  // not cumulative
    uint64_t count = 0;                               // the sum of the buckets just read
    double sum_seconds = 0;
  };
  Latency latency() const;

  // The same runs in native buckets, and those before the part was provided in the bucket of their
  // classic bound. Read after latency(), it holds every run that latency() held. False without the
  // part, and until the first run since it came.
  bool Native(NativeCounts* out) const;

  // Appends the last runs of any verdict, oldest first; nothing without the part.
  void Recent(std::vector<RecentRun>* out) const;

  // Passed / (passed + failed) over the window that ends at `now`; nullopt without conclusive runs.
  // The slot that is being filled counts as one of the window's. After the wall clock went back,
  // runs are counted into the newest slot; back by more than a window, the window starts anew.
  struct Ratio {
    uint32_t passed = 0, failed = 0;
    std::optional<double> value() const {
      if (passed + failed == 0) return std::nullopt;
      return static_cast<double>(passed) / (static_cast<double>(passed) + failed);
    }
  };
  Ratio ratio(Window window, WallTime now) const;

  // The last conclusive result, whole. nullopt before the first one (or, practically never, when
  // the writer kept changing it for many tries).
  std::optional<ProbeResult> last() const;
  // When the last run of any verdict ended; 0 before. Cheap.
  WallTime last_run() const;
  Outcome last_outcome() const;  // of any verdict; meaningful once last_run() is set

 private:
  static constexpr size_t kInlineReasons = 8;
  static constexpr size_t kResultWords = (sizeof(ProbeResult) + 7) / 8;
  struct ReasonPage;

  std::atomic<uint32_t>* ReasonCell(Outcome outcome);
  void CountLatency(Duration latency, NativeHistogram* native);
  void CountInWindows(bool passed, WallTime finished);
  void StoreLast(const ProbeResult& result);

  // What every run reads and writes stands first: in a large fleet each line of it is a cache miss.
  std::atomic<uint64_t> success_{0};
  uint64_t texts_hash_ = 0;                                           // writer only
  std::atomic<ResultRing*> recent_{nullptr};                          // set once, owned
  std::atomic<NativeHistogram*> native_{nullptr};                     // the same
  std::array<std::atomic<uint32_t>, kWindows.size()> window_slot_{};  // number of the newest slot
  std::atomic<uint32_t> last_version_{0};  // odd while being written; 0 = never
  std::atomic<int64_t> last_run_{0};
  std::atomic<double> latency_sum_{0};
  std::array<std::atomic<uint32_t>, kLatencyBuckets> latency_{};
  std::atomic<uint8_t> last_outcome_{0};
  std::array<std::atomic<uint64_t>, kResultWords> last_{};
  std::array<std::atomic<uint32_t>, kWindowSlots> windows_{};  // passed << 16 | failed, saturating
  std::atomic<uint64_t> failed_{0}, inconclusive_{0}, skipped_{0};
  std::atomic<ReasonPage*> more_reasons_{nullptr};
  std::array<std::atomic<uint32_t>, kInlineReasons> reason_counts_{};
  std::array<std::atomic<uint8_t>, kInlineReasons> reason_outcomes_{};
};

}  // namespace sonde
