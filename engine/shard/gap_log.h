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
    const Duration length = end - begin;
    if (length < kShortest) return;
    ++count_;
    // Whatever meets an older gap that is no longer meets this one too.
    while (kept_ > 0 && gaps_[kept_ - 1].length <= length) --kept_;
    if (kept_ == gaps_.size()) {
      gaps_[kept_ - 1].end = end;  // taken for as long as the one before: errs to yes
    } else {
      gaps_[kept_++] = {end, length};
    }
  }

  // Did a gap longer than `threshold` overlap what began at `since` and is not over yet? Where more
  // gaps would have to be remembered than there is room for, the answer errs to yes.
  bool Overlaps(Instant since, Duration threshold) const {
    for (size_t i = 0; i < kept_ && gaps_[i].length > threshold; ++i) {
      if (gaps_[i].end > since) return true;
    }
    return false;
  }

  uint64_t count() const { return count_; }

 private:
  struct Gap {
    Instant end;
    Duration length;
  };
  std::array<Gap, 32> gaps_{};  // later ends, shorter lengths
  size_t kept_ = 0;
  uint64_t count_ = 0;
};

}  // namespace sonde
