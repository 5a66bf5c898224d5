// When the loop stood still. A gap is a turn that took long or a wake-up that came late; a run it
// overlaps must not be blamed on its target.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/contract/instant.h"

namespace sonde {

class GapLog {
 public:
  // Shorter stand-stills are no gaps for anybody.
  static constexpr Duration kShortest = Milliseconds(20);

  // What counts as a gap for a run: max(20 ms, 5 % of its time-out).
  static constexpr Duration Threshold(Duration timeout) {
    const Duration share = timeout / 20;
    return share > kShortest ? share : kShortest;
  }

  // Ends are given in order of time.
  void Add(Instant begin, Instant end) {
    if (end - begin < kShortest) return;
    ++count_;
    Gap& slot = gaps_[next_++ % gaps_.size()];
    if (slot.length > forgotten_.length) forgotten_.length = slot.length;
    if (slot.end > forgotten_.end) forgotten_.end = slot.end;
    slot = {end, end - begin};
  }

  // Did a gap longer than `threshold` overlap what began at `since` and is not over yet? Gaps
  // pushed out of the ring are remembered as one, at their longest: the answer errs to yes.
  bool Overlaps(Instant since, Duration threshold) const {
    if (forgotten_.end > since && forgotten_.length > threshold) return true;
    for (const Gap& gap : gaps_) {
      if (gap.end > since && gap.length > threshold) return true;
    }
    return false;
  }

  uint64_t count() const { return count_; }

 private:
  struct Gap {
    Instant end;
    Duration length;
  };
  std::array<Gap, 32> gaps_{};
  size_t next_ = 0;
  uint64_t count_ = 0;
  Gap forgotten_{};
};

}  // namespace sonde
