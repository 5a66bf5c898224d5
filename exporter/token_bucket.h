// So many at once, and then as many as come back with time. Told the time.
#pragma once

#include <algorithm>

#include "engine/contract/instant.h"

namespace sonde {

// Full at the start. Copies are buckets of their own.
class TokenBucket {
 public:
  // Takes one token of a bucket that holds `most` and gets `rate` a second; false when there is
  // none. Both may differ from call to call.
  bool Take(double rate, double most, Instant now) {
    const double left = Left(rate, most, now);
    if (left < 1) return false;
    tokens_ = left - 1;
    filled_ = now;
    return true;
  }
  bool Full(double rate, double most, Instant now) const {  // as good as new
    return Left(rate, most, now) >= most;
  }

 private:
  double Left(double rate, double most, Instant now) const {
    if (!filled_.stamped()) return most;
    return std::min(most, tokens_ + (now - filled_).seconds() * rate);
  }

  double tokens_ = 0;
  Instant filled_;  // unset: full
};

}  // namespace sonde
