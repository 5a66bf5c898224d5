// Cron expressions: parsing, and the next second that matches, in a time zone. Grammar and the
// rules for daylight saving time stand in docs/schedules.md; Schedule is the public face.
//
// Immutable after Parse: any thread may ask. Costs one pass over the fields, never a search second
// by second: well under a microsecond in UTC, a few in a zone with daylight saving time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/contract/instant.h"

namespace sonde {

// A change of a zone's clock that slots of an expression meet (docs/schedules.md).
struct ClockChange {
  // What becomes of the slots whose wall times it skips or doubles.
  enum class Effect : uint8_t {
    kOnceAfter,    // skipped: one slot, at the first instant after the gap
    kMergedAfter,  // skipped: the same, and that is a slot which stands there anyway
    kFirstOnly,    // doubled: due at their first occurrence
    kBoth,         // doubled: due both times
  };

  int64_t at = 0;             // Unix second: the first instant of the new offset
  int64_t offset_before = 0;  // seconds east of UTC
  int64_t offset_after = 0;
  uint64_t wall_times = 0;  // of the expression, within the gap or the doubled stretch
  Effect effect = Effect::kOnceAfter;
  bool even = false;  // the time between runs stays what it was: no slot too many, none too few
};

class CronExpression {
 public:
  // Five fields (minute hour day-of-month month day-of-week), six (seconds first), or one of
  // @yearly @annually @monthly @weekly @daily @midnight @hourly. `zone`: IANA name, "" is UTC.
  // InvalidArgument names the field and quotes its text.
  static absl::StatusOr<CronExpression> Parse(std::string_view expression, std::string_view zone);

  // The first matching second after `unix_second`; nullopt: never again (or not before 2262, where
  // WallTime ends).
  std::optional<int64_t> NextAfter(int64_t unix_second) const;

  // Matching seconds in (after, until]. Whole days are multiplied, not walked through: a year costs
  // a few microseconds, whatever the expression.
  uint64_t CountBetween(int64_t after, int64_t until) const;

  // Changes of the clock in (after, until] that skip or double wall times of the expression.
  std::vector<ClockChange> ClockChanges(int64_t after, int64_t until) const;

  const std::string& zone_name() const { return zone_name_; }  // "" for UTC

  // The shortest time between consecutive slots by the fields of the coming year, daylight saving
  // time left aside; a leap year for expressions that fire less than twice in it.
  Duration ShortestGap() const;

  // Six fields, then the zone unless it is UTC: "0 */5 * * * * Europe/Berlin".
  std::string ToString() const;

  // Same slots by construction: equal fields and zone, however they were spelled.
  bool operator==(const CronExpression& other) const;

 private:
  struct FieldRule;
  struct Segment;

  CronExpression() = default;
  static const FieldRule kFields[];

  uint64_t DaysOfMonth(int64_t year, int month) const;
  std::optional<int64_t> NextDay(int64_t day) const;
  std::optional<int64_t> NextSecondOfDay(int64_t second) const;
  std::optional<int64_t> NextCivil(int64_t civil) const;
  uint64_t CountSecondsOfDayBefore(int64_t second) const;
  uint64_t CountDays(int64_t from, int64_t to) const;
  uint64_t CountCivil(int64_t from, int64_t to) const;
  Segment SegmentAt(int64_t unix_second) const;

  // Bit n: value n is allowed.
  uint64_t seconds_ = 0, minutes_ = 0, hours_ = 0, days_ = 0, months_ = 0, weekdays_ = 0;
  bool every_hour_ = false;   // the hour field is `*` or has a step: runs in both doubled hours
  bool either_day_ = false;   // both day fields restricted: one of them is enough
  bool never_ = false;        // no date matches, such as February 30
  bool fixed_offset_ = true;  // the zone has no transitions
  int64_t offset_s_ = 0;      // of a zone without transitions
  absl::TimeZone zone_;
  std::string zone_name_;  // "" for UTC
  std::string text_;       // six fields as given, single spaces
};

}  // namespace sonde
