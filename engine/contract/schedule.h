// When a task is due: a pure function of (task id, schedule, time). Nothing here knows when a run
// finished; completion never moves a due time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/instant.h"

namespace sonde {

class CronExpression;  // engine/contract/cron.h
struct ClockChange;    // the same

// Immutable and cheap to copy (an interval carries no allocation; cron expressions are shared).
class Schedule {
 public:
  static constexpr Duration kShortest = Milliseconds(10);
  static constexpr Duration kLongest = Hours(24 * 366);

  Schedule() = default;  // every minute

  // InvalidArgument outside [kShortest, kLongest]. Slots stand at n * interval + phase(id), n
  // counted from the Unix epoch; phase = keyed hash of the id modulo the interval.
  static absl::StatusOr<Schedule> Every(Duration interval);

  // Five or six fields (seconds first), `@every 30s`, `@hourly` and friends; ranges, steps, lists,
  // names of months and week days, `?` as `*`, 7 as Sunday. `zone` is an IANA name, "" means UTC.
  // `spread` moves each slot by hash(id) modulo spread (0 = exactly on the second).
  // A wall time a DST change skips runs at the first instant after the gap; one that a change
  // doubles runs once, at its first occurrence, unless the fields make it run every hour (`*` or a
  // step in the hour field), which then runs in both (docs/schedules.md).
  static absl::StatusOr<Schedule> Cron(std::string_view expression, std::string_view zone = "",
                                       Duration spread = Seconds(1));

  // The first slot strictly after `after`. nullopt: the expression never fires again (February 30).
  std::optional<WallTime> NextAfter(uint64_t task_id, WallTime after) const;

  // Slots in (after, until], counted up to `limit`. What was missed while the loop stood still.
  uint64_t CountBetween(uint64_t task_id, WallTime after, WallTime until, uint64_t limit) const;

  // How far the slots of a task are moved: from multiples of the interval, or within `spread`.
  Duration Phase(uint64_t task_id) const;

  // Changes of the clock in (after, until] that a cron schedule's slots meet; none for intervals.
  std::vector<ClockChange> ClockChanges(WallTime after, WallTime until) const;

  // The interval, or for cron the shortest gap between consecutive slots (estimated from the
  // expression over one year at construction). Used for staleness and capacity planning.
  Duration TypicalInterval() const { return interval_; }
  bool is_cron() const { return cron_ != nullptr; }
  Duration spread() const { return spread_; }  // 0 for intervals
  std::string_view zone() const;               // IANA name; "" for UTC and for intervals
  std::string ToString() const;                // "15s", "0 */5 * * * * Europe/Berlin"

  bool operator==(const Schedule& other) const;

 private:
  Duration interval_ = Minutes(1);
  Duration spread_{};
  std::shared_ptr<const CronExpression> cron_;
};

// The keyed hash that spreads slots: SipHash-2-4 of the id under a constant key. Public so that
// `sonde plan` can explain a phase.
uint64_t PhaseHash(uint64_t task_id);

}  // namespace sonde
