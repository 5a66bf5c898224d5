#include "tools/sonde/bench/bench_point.h"

#include <algorithm>
#include <numeric>

#include "engine/contract/outcome.h"
#include "tools/sonde/bench/text_table.h"

namespace sonde {
namespace {

constexpr double kUsedUp = 0.9;     // of a processor
constexpr double kDeprived = 0.05;  // waiting for one

double Share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// ", mostly connect/timeout": what most of the runs of that verdict came to.
std::string Mostly(const RecordedRuns& recorded, Verdict verdict) {
  size_t most = kOutcomeCount;
  for (size_t i = 0; i < kOutcomeCount; ++i) {
    if (VerdictOf(static_cast<Outcome>(i)) != verdict) continue;
    if (most == kOutcomeCount || recorded.outcomes[i] > recorded.outcomes[most]) most = i;
  }
  if (most == kOutcomeCount || recorded.outcomes[most] == 0) return "";
  return ", mostly " + std::string(OutcomeName(static_cast<Outcome>(most)));
}

std::string LimiterText(const BenchPoint& point) {
  switch (LimiterOf(point)) {
    case Limiter::kProber:
      return Printed("the prober used up its core (%.0f %%)", point.shard_busy * 100);
    case Limiter::kFarm:
      return Printed(
          "the farm used up its core (%.0f %%; the prober %.0f %%): the prober can do more",
          point.farm_busy * 100, point.shard_busy * 100);
    case Limiter::kMachine:
      return Printed("a shard waited for a processor %.0f %% of the time: %s",
                     point.shard_waited * 100,
                     point.shared_processor ? "it shares with the farm, or other programs were busy"
                                            : "other programs were busy");
    case Limiter::kLimit: {
      const auto most = std::max_element(point.blocked.begin(), point.blocked.end());
      return "runs waited for a limit: " +
             std::string(kBlockReasonNames[static_cast<size_t>(most - point.blocked.begin())]);
    }
    case Limiter::kReceiveQueue:
      return Printed("the kernel dropped %llu datagrams: a receive queue was full",
                     static_cast<unsigned long long>(point.datagrams_dropped));
    case Limiter::kUnknown:
      break;
  }
  return Printed("nothing was used up (prober %.0f %%, farm %.0f %% of a core)",
                 point.shard_busy * 100, point.farm_busy * 100);
}

}  // namespace

uint64_t BenchPoint::blocked_sum() const {
  return std::accumulate(blocked.begin(), blocked.end(), uint64_t{0});
}

double BenchPoint::microseconds_per_probe() const {
  return finished == 0 ? 0 : processor_seconds / static_cast<double>(finished) * 1e6;
}

std::string_view BoundName(Bound bound) {
  constexpr std::string_view kNames[] = {"lateness", "skipped", "failed", "inconclusive"};
  return kNames[static_cast<size_t>(bound)];
}

std::string_view LimiterName(Limiter limiter) {
  constexpr std::string_view kNames[] = {"prober", "farm",          "machine",
                                         "limit",  "receive_queue", "unknown"};
  return kNames[static_cast<size_t>(limiter)];
}

std::optional<Bound> BrokenBound(const BenchPoint& point, const BenchBounds& bounds) {
  if (Share(point.recorded.failed, point.due) > bounds.failed) return Bound::kFailed;
  if (Share(point.recorded.inconclusive, point.due) > bounds.inconclusive) {
    return Bound::kInconclusive;
  }
  if (Share(point.skipped() + point.blocked_sum(), point.due) > bounds.skipped) {
    return Bound::kSkipped;
  }
  // Without a single run nothing is late: that is caught above, unless the bound allows it.
  const auto late = point.recorded.lateness.Quantile(0.99);
  if (late && *late > bounds.lateness_p99) return Bound::kLateness;
  return std::nullopt;
}

Limiter LimiterOf(const BenchPoint& point) {
  if (point.shard_busy >= kUsedUp) return Limiter::kProber;
  if (point.farm_busy >= kUsedUp) return Limiter::kFarm;
  if (point.shard_waited >= kDeprived) return Limiter::kMachine;
  if (point.blocked_sum() > 0) return Limiter::kLimit;
  if (point.datagrams_dropped > 0) return Limiter::kReceiveQueue;
  return Limiter::kUnknown;
}

std::string WhyBroken(const BenchPoint& point, const BenchBounds& bounds, Bound bound) {
  const RecordedRuns& recorded = point.recorded;
  std::string text;
  switch (bound) {
    case Bound::kLateness:
      text = Printed("lateness p99 %.1f ms, at most %.3g ms",
                     recorded.lateness.Quantile(0.99).value_or(Duration{}).millis(),
                     bounds.lateness_p99.millis());
      break;
    case Bound::kSkipped:
      text = Printed("%.2f %% of the slots got no run or had to wait, at most %.3g %%",
                     Share(point.skipped() + point.blocked_sum(), point.due) * 100,
                     bounds.skipped * 100);
      break;
    case Bound::kFailed:
      text = Printed("%.3f %% of the runs failed, at most %.3g %%",
                     Share(recorded.failed, point.due) * 100, bounds.failed * 100) +
             Mostly(recorded, Verdict::kFailed);
      break;
    case Bound::kInconclusive:
      text = Printed("%.3f %% of the runs were inconclusive, at most %.3g %%",
                     Share(recorded.inconclusive, point.due) * 100, bounds.inconclusive * 100) +
             Mostly(recorded, Verdict::kInconclusive);
      break;
  }
  // What did not pass has its own reason.
  const bool explained = bound == Bound::kFailed || bound == Bound::kInconclusive;
  if (explained && LimiterOf(point) == Limiter::kUnknown) return text;
  return text + "; " + LimiterText(point);
}

}  // namespace sonde
