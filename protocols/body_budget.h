// How much memory bodies may take: of one probe, and of all probes of the process together.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sonde {

// Process-wide, any thread; tools/ sets the limits from flags before the first probe.
class BodyBudget {
 public:
  static constexpr uint64_t kDefaultPerProbe = 16ull << 20;
  static constexpr uint64_t kDefaultPerProcess = 256ull << 20;
  // Decompressed bytes of one body without a body_size_limit of its module: what a hostile
  // archive may cost at most, though nothing of it is kept.
  static constexpr uint64_t kDecompressed = 64ull << 20;

  static BodyBudget& Global();

  void SetLimits(uint64_t per_probe, uint64_t per_process);
  uint64_t per_probe() const { return per_probe_.load(std::memory_order_relaxed); }
  uint64_t per_process() const { return per_process_.load(std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }

  bool Take(uint64_t bytes);  // false: nothing was taken, the process has no room left
  void Give(uint64_t bytes);

 private:
  std::atomic<uint64_t> per_probe_{kDefaultPerProbe};
  std::atomic<uint64_t> per_process_{kDefaultPerProcess};
  std::atomic<uint64_t> used_{0};
};

// What one probe holds of the budget; given back when it goes.
class BodyShare {
 public:
  BodyShare() = default;
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;
  ~BodyShare() { Clear(); }

  bool Take(uint64_t bytes) {
    if (!BodyBudget::Global().Take(bytes)) return false;
    held_ += bytes;
    return true;
  }
  void Clear() {
    if (held_ != 0) BodyBudget::Global().Give(held_);
    held_ = 0;
  }
  uint64_t held() const { return held_; }

 private:
  uint64_t held_ = 0;
};

}  // namespace sonde
