#include "tools/sonde/bench/rate_search.h"

#include <algorithm>
#include <cmath>

namespace sonde {

RateSearch::RateSearch(const Options& options)
    : options_(options), rate_(std::clamp(options.first, options.lowest, options.highest)) {}

std::optional<double> RateSearch::Next() const {
  if (done_) return std::nullopt;
  return rate_;
}

void RateSearch::Add(bool held) {
  if (done_) return;
  ++(held ? good_ : bad_);
  if (bad_ == 2) {
    Decide(false);
  } else if (good_ == 2 || (good_ == 1 && bad_ == 0)) {
    Decide(true);
  }
}

void RateSearch::Decide(bool held) {
  good_ = bad_ = 0;
  (held ? held_ : broke_) = rate_;
  if (broke_ == 0) {
    done_ = rate_ >= options_.highest;
    rate_ = std::min(rate_ * options_.step, options_.highest);
  } else if (held_ == 0) {
    done_ = rate_ <= options_.lowest;
    rate_ = std::max(rate_ / options_.step, options_.lowest);
  } else {
    done_ = broke_ <= held_ * (1 + options_.tolerance);
    rate_ = std::sqrt(held_ * broke_);
  }
}

double RangeConfidence(int draws) { return draws < 2 ? 0 : 1 - std::exp2(1 - draws); }

}  // namespace sonde
