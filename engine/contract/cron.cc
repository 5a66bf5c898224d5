#include "engine/contract/cron.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/civil_time.h"

namespace sonde {
namespace {

constexpr size_t kLongestExpression = 512;
constexpr size_t kLongestZone = 64;
constexpr int64_t kDay = 86'400;
constexpr int64_t kLastSecond = INT64_MAX / 1'000'000'000 - 2 * kDay;  // in the year 2262
constexpr int64_t kFirstSecond = -kLastSecond;
constexpr int64_t kNoTransition = INT64_MAX;

constexpr int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

constexpr uint64_t Bits(int low, int high) { return (~uint64_t{0} >> (63 - (high - low))) << low; }

// Lowest set bit at or above `from`, or -1.
int NextBit(uint64_t mask, int from) {
  if (from > 63) return -1;
  mask &= ~uint64_t{0} << from;
  return mask == 0 ? -1 : std::countr_zero(mask);
}

int LastBit(uint64_t mask) { return 63 - std::countl_zero(mask); }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualNoCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

constexpr std::array<std::string_view, 12> kMonthNames = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kDayNames = {"sun", "mon", "tue", "wed",
                                                       "thu", "fri", "sat"};

struct Shorthand {
  std::string_view name;
  std::string_view fields;
};
constexpr Shorthand kShorthands[] = {
    {"@yearly", "0 0 0 1 1 *"}, {"@annually", "0 0 0 1 1 *"}, {"@monthly", "0 0 0 1 * *"},
    {"@weekly", "0 0 0 * * 0"}, {"@daily", "0 0 0 * * *"},    {"@midnight", "0 0 0 * * *"},
    {"@hourly", "0 0 * * * *"},
};

absl::Status Error(std::string message) {
  return absl::InvalidArgumentError(std::string("cron: ").append(message));
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text.substr(0, 64)) out += c >= ' ' && c < 0x7f ? c : '?';
  return out += '"';
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  constexpr std::string_view kSpace = " \t";
  size_t at = text.find_first_not_of(kSpace);
  while (at != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kSpace, end);
  }
  return words;
}

// Relative names only: the zone loader would open absolute paths and "file:" names as they are.
bool IsZoneName(std::string_view name) {
  if (name.size() > kLongestZone || name.front() == '/') return false;
  if (name.find("..") != std::string_view::npos) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (Lower(c) >= 'a' && Lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
           c == '+' || c == '-';
  });
}

}  // namespace

struct CronExpression::FieldRule {
  std::string_view name;
  int low, high;
  std::span<const std::string_view> names;
  int first_name;  // value of names[0]
  uint64_t CronExpression::*mask;

  absl::Status Bad(std::string_view text, std::string why) const {
    return Error(std::string(name).append(" field ").append(Quoted(text)).append(": ").append(why));
  }
  bool is_weekday() const { return names.size() == kDayNames.size(); }

  absl::StatusOr<int> Value(std::string_view word, std::string_view text) const {
    for (size_t i = 0; i < names.size(); ++i) {
      if (EqualNoCase(word, names[i])) return static_cast<int>(i) + first_name;
    }
    int value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (word.empty() || word[0] == '-' || error == std::errc::invalid_argument ||
        end != word.data() + word.size()) {
      return Bad(text, Quoted(word) + (names.empty() ? " is not a number"
                                                     : " is neither a number nor a name"));
    }
    if (error != std::errc{} || value < low || value > high) {
      return Bad(text, std::string(word.substr(0, 20)) + " is not within " + std::to_string(low) +
                           "-" + std::to_string(high));
    }
    return value;
  }

  // One item of a list: `*`, a, a-b, each with an optional /step; a/step runs to the end.
  absl::StatusOr<uint64_t> Item(std::string_view item, std::string_view text) const {
    const size_t slash = item.find('/');
    const std::string_view range = item.substr(0, slash);
    int from = low, to = is_weekday() ? 6 : high, step = 1;
    if (range != "*" && range != "?") {
      const size_t dash = range.find('-');
      absl::StatusOr<int> first = Value(range.substr(0, dash), text);
      if (!first.ok()) return first.status();
      from = *first;
      if (dash != std::string_view::npos) {
        absl::StatusOr<int> last = Value(range.substr(dash + 1), text);
        if (!last.ok()) return last.status();
        to = is_weekday() && *last == 0 && from > 0 ? 7 : *last;  // fri-sun
        if (to < from) return Bad(text, Quoted(range) + " ends before it begins");
      } else if (slash == std::string_view::npos) {
        to = from;
      } else {
        to = std::max(to, from);
      }
    }
    if (slash != std::string_view::npos) {
      const std::string_view word = item.substr(slash + 1);
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), step);
      if (word.empty() || error != std::errc{} || end != word.data() + word.size() || step < 1 ||
          step > high) {
        return Bad(text, "the step " + Quoted(word) + " is not within 1-" + std::to_string(high));
      }
    }
    uint64_t bits = 0;
    for (int value = from; value <= to; value += step) bits |= uint64_t{1} << value;
    return bits;
  }

  absl::StatusOr<uint64_t> Parse(std::string_view text) const {
    uint64_t bits = 0;
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find(',', at), text.size());
      absl::StatusOr<uint64_t> item = Item(text.substr(at, end - at), text);
      if (!item.ok()) return item;
      bits |= *item;
      at = end + 1;
    }
    if (is_weekday() && (bits & Bits(7, 7)) != 0) bits = (bits & ~Bits(7, 7)) | 1;  // 7 is Sunday
    return bits;
  }
};

const CronExpression::FieldRule CronExpression::kFields[] = {
    {"second", 0, 59, {}, 0, &CronExpression::seconds_},
    {"minute", 0, 59, {}, 0, &CronExpression::minutes_},
    {"hour", 0, 23, {}, 0, &CronExpression::hours_},
    {"day-of-month", 1, 31, {}, 0, &CronExpression::days_},
    {"month", 1, 12, kMonthNames, 1, &CronExpression::months_},
    {"day-of-week", 0, 7, kDayNames, 0, &CronExpression::weekdays_},
};

absl::StatusOr<CronExpression> CronExpression::Parse(std::string_view expression,
                                                     std::string_view zone) {
  if (expression.size() > kLongestExpression) {
    return Error("an expression of " + std::to_string(expression.size()) + " bytes is too long");
  }
  std::vector<std::string_view> words = Words(expression);
  if (!words.empty() && words[0][0] == '@') {
    const std::string_view name = words[0];
    const auto* found =
        std::find_if(std::begin(kShorthands), std::end(kShorthands),
                     [&](const Shorthand& shorthand) { return EqualNoCase(shorthand.name, name); });
    if (found == std::end(kShorthands) || words.size() != 1) {
      return Error("unknown shorthand " + Quoted(expression) +
                   "; known: @every, @hourly, @daily, @midnight, @weekly, @monthly, @yearly, "
                   "@annually");
    }
    words = Words(found->fields);
  }
  if (words.size() == 5) words.insert(words.begin(), "0");
  if (words.size() != std::size(kFields)) {
    return Error("five or six fields expected, " + Quoted(expression) + " has " +
                 std::to_string(words.size()));
  }

  CronExpression cron;
  for (size_t i = 0; i < words.size(); ++i) {
    absl::StatusOr<uint64_t> bits = kFields[i].Parse(words[i]);
    if (!bits.ok()) return bits.status();
    cron.*kFields[i].mask = *bits;
    cron.text_.append(i == 0 ? "" : " ").append(words[i]);
  }
  const auto starts_open = [](std::string_view text) { return text[0] == '*' || text[0] == '?'; };
  cron.either_day_ = !starts_open(words[3]) && !starts_open(words[5]);
  cron.every_hour_ = starts_open(words[2]) || words[2].find('/') != std::string_view::npos ||
                     cron.hours_ == Bits(0, 23);
  cron.never_ = !cron.NextDay(0).has_value();

  cron.zone_ = absl::UTCTimeZone();
  if (!zone.empty() && zone != "UTC") {
    if (!IsZoneName(zone) || !absl::LoadTimeZone(std::string(zone), &cron.zone_)) {
      return Error("unknown time zone " + Quoted(zone));
    }
    cron.zone_name_ = zone;
    absl::TimeZone::CivilTransition transition;
    cron.fixed_offset_ = !cron.zone_.NextTransition(absl::InfinitePast(), &transition);
    cron.offset_s_ = cron.zone_.At(absl::UnixEpoch()).offset;
  }
  return cron;
}

// Bit d: day d of the month matches.
uint64_t CronExpression::DaysOfMonth(int64_t year, int month) const {
  const absl::CivilMonth first_of(year, month);
  const absl::CivilDay first(first_of);
  const int length = static_cast<int>(absl::CivilDay(first_of + 1) - first);
  // absl counts from Monday, cron from Sunday.
  const int weekday = (static_cast<int>(absl::GetWeekday(first)) + 1) % 7;
  uint64_t by_weekday = 0;
  for (int day = 1; day <= 7; ++day) {
    if ((weekdays_ >> ((weekday + day - 1) % 7)) & 1) by_weekday |= uint64_t{1} << day;
  }
  by_weekday |= by_weekday << 7;
  by_weekday |= by_weekday << 14;
  by_weekday |= by_weekday << 28;
  return (either_day_ ? days_ | by_weekday : days_ & by_weekday) & Bits(1, length);
}

// First matching day at or after `day`, both in days since 1970-01-01. The calendar repeats after
// 400 years: what does not match within them never does.
std::optional<int64_t> CronExpression::NextDay(int64_t day) const {
  const absl::CivilDay from = absl::CivilDay(1970, 1, 1) + day;
  absl::CivilMonth month(from);
  int first = from.day();
  for (int i = 0; i <= 400 * 12; ++i, ++month, first = 1) {
    if (((months_ >> month.month()) & 1) == 0) continue;
    const int found = NextBit(DaysOfMonth(month.year(), month.month()), first);
    if (found >= 0) {
      return absl::CivilDay(month.year(), month.month(), found) - absl::CivilDay(1970, 1, 1);
    }
  }
  return std::nullopt;
}

// First matching second of a day at or after `second`; nullopt: not that day any more.
std::optional<int64_t> CronExpression::NextSecondOfDay(int64_t second) const {
  int hour = static_cast<int>(second / 3600);
  int minute = static_cast<int>(second / 60 % 60);
  const int in_minute = NextBit(seconds_, static_cast<int>(second % 60));
  const int first_second = NextBit(seconds_, 0);
  const int first_minute = NextBit(minutes_, 0);
  if ((hours_ >> hour) & 1) {
    if (((minutes_ >> minute) & 1) && in_minute >= 0) return hour * 3600 + minute * 60 + in_minute;
    minute = NextBit(minutes_, minute + 1);
    if (minute >= 0) return hour * 3600 + minute * 60 + first_second;
  }
  hour = NextBit(hours_, hour + 1);
  if (hour < 0) return std::nullopt;
  return hour * 3600 + first_minute * 60 + first_second;
}

// First matching wall time at or after `civil`, both in seconds as if the zone were UTC.
std::optional<int64_t> CronExpression::NextCivil(int64_t civil) const {
  const int64_t today = FloorDiv(civil, kDay);
  std::optional<int64_t> day = NextDay(today);
  if (day == today) {
    if (std::optional<int64_t> second = NextSecondOfDay(civil - today * kDay)) {
      return today * kDay + *second;
    }
    day = NextDay(today + 1);
  }
  if (!day) return std::nullopt;
  return *day * kDay + *NextSecondOfDay(0);
}

// A stretch of time between two changes of the zone's offset.
struct CronExpression::Segment {
  int64_t begin, end;  // Unix seconds; [begin, end)
  int64_t offset, offset_before;
};

CronExpression::Segment CronExpression::SegmentAt(int64_t unix_second) const {
  if (fixed_offset_) return {-kNoTransition, kNoTransition, offset_s_, offset_s_};
  const absl::Time time = absl::FromUnixSeconds(unix_second);
  const int64_t offset = zone_.At(time).offset;
  Segment segment{-kNoTransition, kNoTransition, offset, offset};
  absl::TimeZone::CivilTransition transition;
  // `to` is the first wall time after a gap, or the first doubled one: for both, `trans` is the
  // instant of the change itself.
  if (zone_.PrevTransition(time + absl::Seconds(1), &transition)) {
    segment.begin = absl::ToUnixSeconds(zone_.At(transition.to).trans);
    segment.offset_before = offset - (transition.to - transition.from);
  }
  if (zone_.NextTransition(time, &transition)) {
    segment.end = absl::ToUnixSeconds(zone_.At(transition.to).trans);
  }
  return segment;
}

std::optional<int64_t> CronExpression::NextAfter(int64_t unix_second) const {
  if (never_) return std::nullopt;
  int64_t time = std::max(unix_second, kFirstSecond) + 1;
  // Most expressions need one turn; one that fires once in decades needs a few.
  for (int turns = 0; turns < 1000 && time < kLastSecond; ++turns) {
    const Segment segment = SegmentAt(time);
    if (time == segment.begin && segment.offset > segment.offset_before) {
      // Wall times the change skipped run here.
      const std::optional<int64_t> skipped = NextCivil(time + segment.offset_before);
      if (skipped && *skipped < time + segment.offset) return time;
    }
    int64_t civil = time + segment.offset;
    if (!every_hour_ && segment.offset < segment.offset_before) {
      civil = std::max(civil, segment.begin + segment.offset_before);  // these have run once
    }
    const std::optional<int64_t> match = NextCivil(civil);
    if (!match) return std::nullopt;
    const int64_t found = *match - segment.offset;
    if (found < segment.end) {
      if (found > kLastSecond) return std::nullopt;
      return found;
    }
    // No slot before the next change; and, offsets being below a day, none long before the match.
    time = std::max({time + 1, segment.end, found - 2 * kDay});
  }
  return std::nullopt;
}

// Matching seconds of a day before `second`.
uint64_t CronExpression::CountSecondsOfDayBefore(int64_t second) const {
  const auto below = [](uint64_t mask, int64_t bit) {
    return static_cast<uint64_t>(std::popcount(mask & ((uint64_t{1} << bit) - 1)));
  };
  const uint64_t in_minute = static_cast<uint64_t>(std::popcount(seconds_));
  const uint64_t in_hour = in_minute * static_cast<uint64_t>(std::popcount(minutes_));
  const int64_t hour = second / 3600, minute = second / 60 % 60;
  uint64_t count = below(hours_, hour) * in_hour;
  if (((hours_ >> hour) & 1) == 0) return count;
  count += below(minutes_, minute) * in_minute;
  if (((minutes_ >> minute) & 1) == 0) return count;
  return count + below(seconds_, second % 60);
}

// Matching days in [from, to), in days since 1970-01-01.
uint64_t CronExpression::CountDays(int64_t from, int64_t to) const {
  const absl::CivilDay epoch(1970, 1, 1), end = epoch + to;
  uint64_t count = 0;
  absl::CivilDay day = epoch + from;
  for (absl::CivilMonth month(day); day < end; ++month, day = absl::CivilDay(month)) {
    if (((months_ >> month.month()) & 1) == 0) continue;
    uint64_t days = DaysOfMonth(month.year(), month.month()) & (~uint64_t{0} << day.day());
    if (absl::CivilMonth(end) == month) days &= (uint64_t{1} << end.day()) - 1;
    count += static_cast<uint64_t>(std::popcount(days));
  }
  return count;
}

// Matching wall times in [from, to).
uint64_t CronExpression::CountCivil(int64_t from, int64_t to) const {
  if (from >= to) return 0;
  const int64_t first = FloorDiv(from, kDay), last = FloorDiv(to, kDay);
  const uint64_t in_day = static_cast<uint64_t>(std::popcount(hours_)) *
                          static_cast<uint64_t>(std::popcount(minutes_)) *
                          static_cast<uint64_t>(std::popcount(seconds_));
  uint64_t count = CountDays(first, last) * in_day;
  if (NextDay(last) == last) count += CountSecondsOfDayBefore(to - last * kDay);
  if (NextDay(first) == first) count -= CountSecondsOfDayBefore(from - first * kDay);
  return count;
}

uint64_t CronExpression::CountBetween(int64_t after, int64_t until) const {
  if (never_) return 0;
  const int64_t end = std::min(until, kLastSecond) + 1;
  uint64_t count = 0;
  for (int64_t time = std::max(after, kFirstSecond) + 1; time < end;) {
    const Segment segment = SegmentAt(time);
    const int64_t stop = std::min(segment.end, end);
    int64_t civil = time + segment.offset;
    if (time == segment.begin && segment.offset > segment.offset_before) {
      // Skipped wall times run here, together with a slot that stands here anyway.
      const std::optional<int64_t> skipped = NextCivil(time + segment.offset_before);
      if (skipped && *skipped < civil && NextCivil(civil) != civil) ++count;
    }
    if (!every_hour_ && segment.offset < segment.offset_before) {
      civil = std::max(civil, segment.begin + segment.offset_before);
    }
    count += CountCivil(civil, stop + segment.offset);
    time = std::max(time + 1, stop);
  }
  return count;
}

std::vector<ClockChange> CronExpression::ClockChanges(int64_t after, int64_t until) const {
  std::vector<ClockChange> changes;
  if (never_ || fixed_offset_) return changes;
  const int64_t last = std::min(until, kLastSecond);
  Segment segment = SegmentAt(std::max(after, kFirstSecond));
  while (segment.end <= last) {
    segment = SegmentAt(segment.end);
    ClockChange change{segment.begin, segment.offset_before, segment.offset};
    const int64_t old_wall = segment.begin + segment.offset_before;
    const int64_t new_wall = segment.begin + segment.offset;
    // Empty for a change of the zone's abbreviation alone.
    change.wall_times = CountCivil(std::min(old_wall, new_wall), std::max(old_wall, new_wall));
    if (change.wall_times == 0) continue;
    // Every hour has the same slots, and whole hours come and go.
    change.even = hours_ == Bits(0, 23) && (new_wall - old_wall) % 3600 == 0;
    if (old_wall < new_wall) {
      const bool stands = NextCivil(new_wall) == new_wall;
      change.effect = stands ? ClockChange::Effect::kMergedAfter : ClockChange::Effect::kOnceAfter;
      change.even = change.even && stands;
    } else {
      change.effect = every_hour_ ? ClockChange::Effect::kBoth : ClockChange::Effect::kFirstOnly;
    }
    changes.push_back(change);
  }
  return changes;
}

Duration CronExpression::ShortestGap() const {
  constexpr Duration kRarely = Hours(24 * 366);
  if (never_) return kRarely;
  int64_t shortest = kRarely.ns;
  const auto offer = [&](int64_t seconds) { shortest = std::min(shortest, Seconds(seconds).ns); };
  const int first_second = NextBit(seconds_, 0), last_second = LastBit(seconds_);
  const int first_minute = NextBit(minutes_, 0), last_minute = LastBit(minutes_);
  const int first = NextBit(hours_, 0) * 3600 + first_minute * 60 + first_second;
  const int last = LastBit(hours_) * 3600 + last_minute * 60 + last_second;
  // Consecutive values of a field; everything below it goes from its last value to its first.
  const auto steps = [&](uint64_t mask, int unit, int below) {
    for (int a = NextBit(mask, 0), b = NextBit(mask, a + 1); b >= 0; b = NextBit(mask, b + 1)) {
      offer((b - a) * unit - below);
      a = b;
    }
  };
  steps(seconds_, 1, 0);
  steps(minutes_, 60, last_second - first_second);
  steps(hours_, 3600, (last_minute - first_minute) * 60 + last_second - first_second);
  constexpr int64_t kSampleYear = 20'454;  // 2026-01-01
  std::optional<int64_t> day = NextDay(kSampleYear);
  while (day && *day < kSampleYear + 366) {
    const std::optional<int64_t> next = NextDay(*day + 1);
    if (!next) break;
    offer((*next - *day) * kDay - last + first);
    if (*next == *day + 1) break;  // no two days are closer
    day = next;
  }
  return Duration{shortest};
}

std::string CronExpression::ToString() const {
  return zone_name_.empty() ? text_ : text_ + " " + zone_name_;
}

bool CronExpression::operator==(const CronExpression& other) const {
  for (const FieldRule& field : kFields) {
    if (this->*field.mask != other.*field.mask) return false;
  }
  return every_hour_ == other.every_hour_ && either_day_ == other.either_day_ &&
         zone_name_ == other.zone_name_;
}

}  // namespace sonde
