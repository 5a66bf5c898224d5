// Input: expression, newline, zone. Whatever parses must write itself back to an equal schedule and
// give strictly increasing slots.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/contract/schedule.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sonde;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t newline = input.find('\n');
  const std::string_view expression = input.substr(0, newline);
  // A few zones only: every name the fuzzer made up would be a look-up on disk.
  constexpr std::string_view kZones[] = {"", "Europe/Berlin", "Australia/Lord_Howe"};
  const size_t choice = newline == std::string_view::npos ? 0 : size - newline;
  const std::string_view zone = kZones[choice % 3];

  const absl::StatusOr<Schedule> schedule = Schedule::Cron(expression, zone, Duration{});
  if (!schedule.ok()) return 0;
  if (schedule->is_cron()) {
    std::string text = schedule->ToString();
    if (!zone.empty()) text.resize(text.size() - zone.size() - 1);
    const absl::StatusOr<Schedule> again = Schedule::Cron(text, zone, Duration{});
    Require(again.ok() && *again == *schedule && again->ToString() == schedule->ToString());
  }
  Require(schedule->TypicalInterval() > Duration{});
  const WallTime start{Hours(24 * 365 * 56).ns};
  WallTime at = start;
  for (int i = 0; i < 20; ++i) {
    const std::optional<WallTime> next = schedule->NextAfter(size, at);
    if (!next) break;
    Require(*next > at && schedule->NextAfter(size, *next - Duration{1}) == next);
    at = *next;
    Require(schedule->CountBetween(size, start, at, 99) == static_cast<uint64_t>(i) + 1);
  }
  return 0;
}
