// Which rates to try, to find the highest one that holds. Knows nothing of how a rate is tried.
#pragma once

#include <optional>

namespace sonde {

// Steps up (or down) from the first rate until one breaks (or holds), then halves what is between
// the two, as ratios, until they are near enough.
//
// A try that broke is not believed at once, for a machine stumbles: a rate holds when its first try
// did, or two of three; it breaks when two of three did.
class RateSearch {
 public:
  struct Options {
    double first = 1000;  // per second, all of them
    double lowest = 10;
    double highest = 1e6;
    double step = 1.5;
    double tolerance = 0.05;  // of the answer: what broke is at most so much above what held
  };
  explicit RateSearch(const Options& options);

  // The rate to try next; nullopt when the answer is known.
  std::optional<double> Next() const;
  void Add(bool held);  // how that try went

  double held() const { return held_; }    // the highest rate that did; 0: none
  double broke() const { return broke_; }  // the lowest above it that did not; 0: none

 private:
  void Decide(bool held);

  const Options options_;
  double rate_;
  double held_ = 0, broke_ = 0;
  int good_ = 0, bad_ = 0;  // tries of rate_
  bool done_ = false;
};

// How sure it is that the median of what was drawn from lies between the least and the greatest of
// `draws` independent draws: 1 - 2^(1 - draws), by order statistics. 0 below two.
double RangeConfidence(int draws);

}  // namespace sonde
