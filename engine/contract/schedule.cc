#include "engine/contract/schedule.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "engine/contract/cron.h"
#include "engine/contract/duration_text.h"
#include "engine/contract/siphash.h"

namespace sonde {
namespace {

// "sonde phase hash" as two little-endian words. A constant: phases must survive restarts and be
// the same on every node.
constexpr uint64_t kPhaseKey0 = 0x687020'65646e6f73;
constexpr uint64_t kPhaseKey1 = 0x68736168'20657361;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// Keeps the arithmetic below away from overflow; centuries beyond any real clock.
constexpr int64_t kEarliest = -(int64_t{1} << 62);

constexpr int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

int64_t PhaseWithin(uint64_t task_id, Duration range) {
  if (range.ns <= 0) return 0;
  return static_cast<int64_t>(PhaseHash(task_id) % static_cast<uint64_t>(range.ns));
}

constexpr std::string_view kEvery = "@every";

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

uint64_t PhaseHash(uint64_t task_id) {
  std::array<uint8_t, 8> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(task_id >> (8 * i));
  return SipHash24(kPhaseKey0, kPhaseKey1, bytes);
}

absl::StatusOr<Schedule> Schedule::Every(Duration interval) {
  if (interval < kShortest || interval > kLongest) {
    return absl::InvalidArgumentError("interval " + FormatDuration(interval) + " is not within " +
                                      FormatDuration(kShortest) + " and " +
                                      FormatDuration(kLongest));
  }
  Schedule schedule;
  schedule.interval_ = interval;
  return schedule;
}

absl::StatusOr<Schedule> Schedule::Cron(std::string_view expression, std::string_view zone,
                                        Duration spread) {
  const std::string_view text = Trimmed(expression);
  if (text.substr(0, kEvery.size()) == kEvery) {
    const std::string_view interval = Trimmed(text.substr(kEvery.size()));
    const std::optional<Duration> parsed = ParseDuration(interval, true);
    if (!parsed) {
      return absl::InvalidArgumentError("cron: @every field \"" +
                                        std::string(interval.substr(0, 64)) +
                                        "\": not a duration such as 30s or 1h30m");
    }
    return Every(*parsed);
  }
  absl::StatusOr<CronExpression> cron = CronExpression::Parse(text, zone);
  if (!cron.ok()) return cron.status();
  Schedule schedule;
  schedule.interval_ = cron->ShortestGap();
  if (spread < Duration{} || spread > schedule.interval_) {
    return absl::InvalidArgumentError("cron: spread " + FormatDuration(spread) +
                                      " is not within 0 and " + FormatDuration(schedule.interval_) +
                                      ", the shortest time between two slots");
  }
  schedule.spread_ = spread;
  schedule.cron_ = std::make_shared<const CronExpression>(*std::move(cron));
  return schedule;
}

std::optional<WallTime> Schedule::NextAfter(uint64_t task_id, WallTime after) const {
  const int64_t from = std::max(after.ns, kEarliest);
  if (cron_ != nullptr) {
    const int64_t offset = Phase(task_id).ns;
    constexpr int64_t kSecond = Seconds(1).ns;
    const std::optional<int64_t> second = cron_->NextAfter(FloorDiv(from - offset, kSecond));
    if (!second) return std::nullopt;
    return WallTime{*second * kSecond + offset};
  }
  const int64_t phase = Phase(task_id).ns;
  const int64_t slot = FloorDiv(from - phase, interval_.ns) * interval_.ns + phase;
  if (slot > kNever - interval_.ns) return std::nullopt;
  return WallTime{slot + interval_.ns};
}

uint64_t Schedule::CountBetween(uint64_t task_id, WallTime after, WallTime until,
                                uint64_t limit) const {
  if (until <= after) return 0;
  const int64_t from = std::max(after.ns, kEarliest), to = std::max(until.ns, kEarliest);
  // A slot is unit * n + phase, for every n or for those the expression matches.
  const int64_t unit = cron_ ? Seconds(1).ns : interval_.ns;
  const int64_t phase = Phase(task_id).ns;
  const int64_t first = FloorDiv(from - phase, unit), last = FloorDiv(to - phase, unit);
  const uint64_t count =
      cron_ ? cron_->CountBetween(first, last) : static_cast<uint64_t>(last - first);
  return std::min(count, limit);
}

Duration Schedule::Phase(uint64_t task_id) const {
  return Duration{PhaseWithin(task_id, cron_ ? spread_ : interval_)};
}

std::vector<ClockChange> Schedule::ClockChanges(WallTime after, WallTime until) const {
  if (cron_ == nullptr) return {};
  constexpr int64_t kSecond = Seconds(1).ns;
  return cron_->ClockChanges(FloorDiv(after.ns, kSecond), FloorDiv(until.ns, kSecond));
}

std::string_view Schedule::zone() const {
  return cron_ == nullptr ? std::string_view() : cron_->zone_name();
}

std::string Schedule::ToString() const {
  return cron_ == nullptr ? FormatDuration(interval_) : cron_->ToString();
}

bool Schedule::operator==(const Schedule& other) const {
  if (is_cron() != other.is_cron()) return false;
  if (!is_cron()) return interval_ == other.interval_;
  return spread_ == other.spread_ && (cron_ == other.cron_ || *cron_ == *other.cron_);
}

}  // namespace sonde
