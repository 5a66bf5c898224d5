#include "engine/contract/cron.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/contract/schedule.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kFormat[] = "%Y-%m-%dT%H:%M:%S%Ez";

WallTime Utc(const std::string& text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, &error)) << text << error;
  return WallTime{absl::ToUnixNanos(time)};
}

absl::TimeZone Zone(const std::string& name) {
  absl::TimeZone zone;
  EXPECT_TRUE(absl::LoadTimeZone(name, &zone)) << name;
  return zone;
}

Schedule Cron(const std::string& expression, const std::string& zone = "") {
  absl::StatusOr<Schedule> schedule = Schedule::Cron(expression, zone, Duration{});
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return schedule.ok() ? *schedule : Schedule();
}

// Slots after `from` as local times with their offset, exactly on the second (spread 0).
std::vector<std::string> Slots(const std::string& expression, const std::string& zone,
                               const std::string& from, int count) {
  const Schedule schedule = Cron(expression, zone);
  const absl::TimeZone local = Zone(zone.empty() ? "UTC" : zone);
  std::vector<std::string> slots;
  WallTime at = Utc(from);
  for (int i = 0; i < count; ++i) {
    const std::optional<WallTime> next = schedule.NextAfter(1, at);
    if (!next) {
      slots.push_back("never");
      break;
    }
    EXPECT_GT(*next, at);
    at = *next;
    slots.push_back(absl::FormatTime(kFormat, absl::FromUnixNanos(at.ns), local));
  }
  return slots;
}

std::string ErrorOf(const std::string& expression, const std::string& zone = "",
                    Duration spread = {}) {
  absl::StatusOr<Schedule> schedule = Schedule::Cron(expression, zone, spread);
  EXPECT_FALSE(schedule.ok()) << expression;
  return schedule.ok() ? "" : std::string(schedule.status().message());
}

TEST(CronTest, FieldsRangesStepsListsAndNames) {
  const std::string from = "2026-07-01T00:00:00Z";  // a Wednesday
  EXPECT_THAT(Slots("*/20 * * * * *", "", from, 4),
              ElementsAre("2026-07-01T00:00:20+00:00", "2026-07-01T00:00:40+00:00",
                          "2026-07-01T00:01:00+00:00", "2026-07-01T00:01:20+00:00"));
  EXPECT_THAT(Slots("5/25 * * * * *", "", from, 4),
              ElementsAre("2026-07-01T00:00:05+00:00", "2026-07-01T00:00:30+00:00",
                          "2026-07-01T00:00:55+00:00", "2026-07-01T00:01:05+00:00"));
  EXPECT_THAT(Slots("30 9-17/4 * * MON-fri", "", from, 4),
              ElementsAre("2026-07-01T09:30:00+00:00", "2026-07-01T13:30:00+00:00",
                          "2026-07-01T17:30:00+00:00", "2026-07-02T09:30:00+00:00"));
  EXPECT_THAT(Slots("0 0 12 ? jan,SEP 1", "", from, 2),
              ElementsAre("2026-09-07T12:00:00+00:00", "2026-09-14T12:00:00+00:00"));
  EXPECT_THAT(Slots("0\t0  0 31 * ?", "", from, 3),
              ElementsAre("2026-07-31T00:00:00+00:00", "2026-08-31T00:00:00+00:00",
                          "2026-10-31T00:00:00+00:00"));
}

TEST(CronTest, SevenIsSundayAndSundayEndsARange) {
  const std::string from = "2026-07-01T00:00:00Z";
  const auto sunday = ElementsAre("2026-07-05T00:00:00+00:00", "2026-07-12T00:00:00+00:00");
  for (const char* day : {"0", "7", "sun", "SUN", "7,0"}) {
    EXPECT_THAT(Slots(std::string("0 0 * * ") + day, "", from, 2), sunday) << day;
  }
  const auto weekend = ElementsAre("2026-07-03T00:00:00+00:00", "2026-07-04T00:00:00+00:00",
                                   "2026-07-05T00:00:00+00:00", "2026-07-10T00:00:00+00:00");
  for (const char* days : {"5-7", "fri-sun", "FRI-0", "0,5,6"}) {
    EXPECT_THAT(Slots(std::string("0 0 * * ") + days, "", from, 4), weekend) << days;
  }
}

TEST(CronTest, DayOfMonthOrDayOfWeekWhenBothAreRestricted) {
  const std::string from = "2026-07-01T00:00:00Z";
  EXPECT_THAT(Slots("0 0 13 * 5", "", from, 5),
              ElementsAre("2026-07-03T00:00:00+00:00", "2026-07-10T00:00:00+00:00",
                          "2026-07-13T00:00:00+00:00", "2026-07-17T00:00:00+00:00",
                          "2026-07-24T00:00:00+00:00"));
  // A field that begins with a star restricts nothing by itself: both must match.
  EXPECT_THAT(Slots("0 0 */12 * 5", "", from, 2),
              ElementsAre("2026-09-25T00:00:00+00:00", "2026-11-13T00:00:00+00:00"));
  EXPECT_THAT(Slots("0 0 13 * ?", "", from, 2),
              ElementsAre("2026-07-13T00:00:00+00:00", "2026-08-13T00:00:00+00:00"));
}

TEST(CronTest, Shorthands) {
  const std::string from = "2026-07-01T10:20:30Z";
  const std::pair<const char*, const char*> table[] = {
      {"@hourly", "2026-07-01T11:00:00+00:00"},   {"@daily", "2026-07-02T00:00:00+00:00"},
      {"@midnight", "2026-07-02T00:00:00+00:00"}, {"@weekly", "2026-07-05T00:00:00+00:00"},
      {"@monthly", "2026-08-01T00:00:00+00:00"},  {"@yearly", "2027-01-01T00:00:00+00:00"},
      {"@annually", "2027-01-01T00:00:00+00:00"}, {" @HOURLY ", "2026-07-01T11:00:00+00:00"},
  };
  for (const auto& [name, slot] : table) {
    EXPECT_THAT(Slots(name, "", from, 1), ElementsAre(slot)) << name;
  }
  EXPECT_EQ(*Schedule::Cron("@every 90s"), *Schedule::Every(Seconds(90)));
  EXPECT_EQ(*Schedule::Cron(" @every  1d ", "Europe/Berlin"), *Schedule::Every(Hours(24)));
  EXPECT_FALSE(Schedule::Cron("@every 90s")->is_cron());
}

TEST(CronTest, LeapDaysRareDatesAndNever) {
  EXPECT_THAT(Slots("0 0 29 2 *", "", "2026-07-01T00:00:00Z", 2),
              ElementsAre("2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"));
  EXPECT_THAT(Slots("0 0 29 2 *", "", "2096-03-01T00:00:00Z", 1),
              ElementsAre("2104-02-29T00:00:00+00:00"));
  // A leap day that is a Monday, in a zone with changes to step over.
  EXPECT_THAT(Slots("0 12 */28 2 1", "Europe/Berlin", "2045-01-01T00:00:00Z", 1),
              ElementsAre("2049-02-01T12:00:00+01:00"));
  EXPECT_THAT(Slots("0 12 29 2 */1", "America/New_York", "2076-03-01T00:00:00Z", 1),
              ElementsAre("2080-02-29T12:00:00-05:00"));
  EXPECT_THAT(Slots("0 0 30 2 *", "", "2026-07-01T00:00:00Z", 1), ElementsAre("never"));
  EXPECT_THAT(Slots("0 0 31 4,6,9,11 *", "Europe/Berlin", "2026-07-01T00:00:00Z", 1),
              ElementsAre("never"));
  EXPECT_EQ(Cron("0 0 30 2 *").CountBetween(1, WallTime{}, WallTime{INT64_MAX}, 5), 0u);
  EXPECT_EQ(Cron("* * * * * *").NextAfter(1, WallTime{INT64_MAX - 5}), std::nullopt);
  EXPECT_EQ(Cron("0 0 1 1 *", "Europe/Berlin").NextAfter(1, Utc("2261-12-31T23:30:00Z")),
            std::nullopt);
  EXPECT_THAT(Slots("30 2 * 1 *", "Europe/Berlin", "2200-01-01T12:00:00Z", 1),
              ElementsAre("2200-01-02T02:30:00+01:00"));
  EXPECT_TRUE(Cron("* * * * * *").NextAfter(1, WallTime{INT64_MIN}).has_value());
  EXPECT_THAT(Slots("0 0 1 1 *", "", "1968-06-01T00:00:00Z", 1),
              ElementsAre("1969-01-01T00:00:00+00:00"));
}

TEST(CronTest, BerlinSpringSkipsAnHour) {
  const std::string zone = "Europe/Berlin";
  // 2026-03-29: 02:00 CET is followed by 03:00 CEST.
  EXPECT_THAT(Slots("30 2 * * *", zone, "2026-03-28T00:00:00Z", 3),
              ElementsAre("2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00",
                          "2026-03-30T02:30:00+02:00"));
  EXPECT_THAT(Slots("*/15 2 * * *", zone, "2026-03-28T12:00:00Z", 2),
              ElementsAre("2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"));
  EXPECT_THAT(Slots("30 * * * *", zone, "2026-03-29T00:00:00Z", 3),
              ElementsAre("2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00",
                          "2026-03-29T03:30:00+02:00"));
  EXPECT_THAT(Slots("0 2,3 * * *", zone, "2026-03-28T12:00:00Z", 2),
              ElementsAre("2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"));
  EXPECT_THAT(Slots("59 59 1,3 * * *", zone, "2026-03-28T12:00:00Z", 2),
              ElementsAre("2026-03-29T01:59:59+01:00", "2026-03-29T03:59:59+02:00"));
}

TEST(CronTest, BerlinAutumnDoublesAnHour) {
  const std::string zone = "Europe/Berlin";
  // 2026-10-25: 02:59:59 CEST is followed by 02:00 CET.
  EXPECT_THAT(Slots("30 2 * * *", zone, "2026-10-24T12:00:00Z", 2),
              ElementsAre("2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"));
  EXPECT_THAT(Slots("*/30 2 * * *", zone, "2026-10-24T12:00:00Z", 3),
              ElementsAre("2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00",
                          "2026-10-26T02:00:00+01:00"));
  EXPECT_THAT(Slots("30 * * * *", zone, "2026-10-24T23:00:00Z", 4),
              ElementsAre("2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00",
                          "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"));
  EXPECT_THAT(Slots("0 */2 * * *", zone, "2026-10-24T23:00:00Z", 3),
              ElementsAre("2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00",
                          "2026-10-25T04:00:00+01:00"));
  EXPECT_THAT(Slots("0 3 * * *", zone, "2026-10-24T12:00:00Z", 1),
              ElementsAre("2026-10-25T03:00:00+01:00"));
}

TEST(CronTest, OtherZones) {
  // New York 2026-03-08 02:00 -> 03:00, 2026-11-01 02:00 -> 01:00.
  EXPECT_THAT(Slots("15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
              ElementsAre("2026-03-08T03:00:00-04:00", "2026-03-09T02:15:00-04:00"));
  EXPECT_THAT(Slots("15 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2),
              ElementsAre("2026-11-01T01:15:00-04:00", "2026-11-02T01:15:00-05:00"));
  // Lord Howe moves by half an hour: 2026-10-04 02:00 -> 02:30, 2026-04-05 02:00 -> 01:30.
  EXPECT_THAT(Slots("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
              ElementsAre("2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"));
  EXPECT_THAT(Slots("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2),
              ElementsAre("2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"));
  EXPECT_THAT(Slots("*/20 * * * *", "Australia/Lord_Howe", "2026-04-04T14:35:00Z", 4),
              ElementsAre("2026-04-05T01:40:00+11:00", "2026-04-05T01:40:00+10:30",
                          "2026-04-05T02:00:00+10:30", "2026-04-05T02:20:00+10:30"));
  // Kathmandu: no changes, an offset of three quarters of an hour.
  EXPECT_THAT(Slots("0 6 * * *", "Asia/Kathmandu", "2026-07-01T00:00:00Z", 2),
              ElementsAre("2026-07-01T06:00:00+05:45", "2026-07-02T06:00:00+05:45"));
  EXPECT_THAT(Slots("0 0 6 * * *", "Etc/GMT-5", "2026-07-01T00:00:00Z", 1),
              ElementsAre("2026-07-01T06:00:00+05:00"));
  // Apia had no 2011-12-30 at all.
  EXPECT_THAT(Slots("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3),
              ElementsAre("2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00",
                          "2011-12-31T12:00:00+14:00"));
}

TEST(CronTest, SpreadMovesEverySlotByTheSameOffset) {
  const Schedule exact = Cron("*/5 * * * * *");
  const Schedule spread = *Schedule::Cron("*/5 * * * * *");  // one second by default
  std::vector<bool> seen(10);
  for (uint64_t id = 0; id < 200; ++id) {
    const int64_t offset = static_cast<int64_t>(PhaseHash(id) % 1'000'000'000);
    seen[static_cast<size_t>(offset / 100'000'000)] = true;
    WallTime at = Utc("2026-07-01T00:00:00Z");
    for (int i = 0; i < 5; ++i) {
      const WallTime next = *spread.NextAfter(id, at);
      ASSERT_EQ(next.ns % Seconds(5).ns, offset);
      ASSERT_EQ(spread.NextAfter(id, next - Duration{1}), next);
      ASSERT_EQ(exact.NextAfter(id, next - Duration{offset + 1}), next - Duration{offset});
      ASSERT_LE(next - at, Seconds(5));
      at = next;
    }
  }
  EXPECT_EQ(seen, std::vector<bool>(10, true));
  EXPECT_TRUE(Schedule::Cron("* * * * *", "", Minutes(1)).ok());
  EXPECT_THAT(ErrorOf("* * * * *", "", Minutes(2)),
              HasSubstr("spread 2m0s is not within 0 and 1m0s"));
  EXPECT_THAT(ErrorOf("* * * * *", "", Seconds(-1)), HasSubstr("spread -1s"));
}

TEST(CronTest, CountsSlots) {
  const Schedule schedule = Cron("*/15 * * * * *", "Europe/Berlin");
  const WallTime from = Utc("2026-10-25T00:00:00Z");
  EXPECT_EQ(schedule.CountBetween(1, from, from + Hours(3), 10'000), 720u);
  EXPECT_EQ(schedule.CountBetween(1, from, from + Hours(3), 10), 10u);
  EXPECT_EQ(schedule.CountBetween(1, from, from, 10), 0u);
  EXPECT_EQ(schedule.CountBetween(1, from - Duration{1}, from, 10), 1u);
  // Long absences of busy tasks are counted, not walked through.
  EXPECT_EQ(Cron("* * * * * *", "Europe/Berlin")
                .CountBetween(1, from, from + Hours(24 * 365 * 200), UINT64_MAX),
            uint64_t{200} * 365 * 86'400);
  EXPECT_EQ(Cron("0 12 1 * *", "America/New_York")
                .CountBetween(1, Utc("2026-01-01T00:00:00Z"), Utc("2126-01-01T00:00:00Z"), 9999),
            1200u);
  EXPECT_EQ(Cron("0 0 29 2 *")
                .CountBetween(1, Utc("2000-02-29T00:00:00Z"), Utc("2100-03-01T00:00:00Z"), 9999),
            24u);
}

TEST(CronTest, TypicalIntervalIsTheShortestGap) {
  const std::pair<const char*, Duration> table[] = {
      {"* * * * * *", Seconds(1)},
      {"*/5 * * * * *", Seconds(5)},
      {"0,59 * * * * *", Seconds(1)},
      {"*/7 * * * * *", Seconds(4)},
      {"*/5 * * * *", Minutes(5)},
      {"0,10 9-17 * * mon-fri", Minutes(10)},
      {"0 */6 * * *", Hours(6)},
      {"0 3 * * *", Hours(24)},
      {"0 3 * * 1", Hours(24 * 7)},
      {"0 0,23 * * *", Hours(1)},
      {"0 0 1,31 * *", Hours(24)},
      {"0 0 1 * *", Hours(24 * 28)},
      {"0 0 1 1 *", Hours(24 * 365)},
      {"0 0 29 2 *", Hours(24 * 366)},
      {"0 0 30 2 *", Hours(24 * 366)},
      {"30 59 23 * * 1,2", Hours(24)},
      {"0,30 0,59 0,23 * * *", Seconds(30)},
  };
  for (const auto& [expression, gap] : table) {
    EXPECT_EQ(Cron(expression).TypicalInterval(), gap) << expression;
  }
}

TEST(CronTest, ToStringRoundTripsAndEqualityIsBySlots) {
  EXPECT_EQ(Cron("*/5 * * * *", "Europe/Berlin").ToString(), "0 */5 * * * * Europe/Berlin");
  EXPECT_EQ(Cron("  0  */5 *\t* * MON-fri").ToString(), "0 */5 * * * MON-fri");
  EXPECT_EQ(Cron("@weekly", "Asia/Kathmandu").ToString(), "0 0 0 * * 0 Asia/Kathmandu");
  EXPECT_EQ(Schedule().ToString(), "1m0s");
  EXPECT_EQ(Schedule::Every(Milliseconds(1500))->ToString(), "1.5s");
  for (const char* text : {"@hourly", "1/7 3,4 9-17 * jan ?", "0 0 13 * 5"}) {
    const std::string written = Cron(text).ToString();
    EXPECT_EQ(Cron(written), Cron(text)) << written;
    EXPECT_EQ(Cron(written).ToString(), written);
  }
  EXPECT_EQ(Cron("*/20 * * * * *"), Cron("0,20,40 * * * * ?"));
  EXPECT_EQ(Cron("0 0 * * 7", "UTC"), Cron("@weekly"));
  EXPECT_FALSE(Cron("@daily", "Europe/Berlin") == Cron("@daily", "Europe/Paris"));
  EXPECT_FALSE(Cron("@daily") == *Schedule::Cron("@daily"));  // other spread
  EXPECT_FALSE(Cron("@daily") == *Schedule::Every(Hours(24)));
  EXPECT_FALSE(Cron("0 0 1 * 1") == Cron("0 0 */31 * 1")) << "either against both";
}

TEST(CronTest, ErrorsNameTheFieldAndTheText) {
  EXPECT_THAT(ErrorOf("0 25 * * *"), "cron: hour field \"25\": 25 is not within 0-23");
  EXPECT_THAT(ErrorOf("60 * * * * *"), "cron: second field \"60\": 60 is not within 0-59");
  EXPECT_THAT(ErrorOf("0 x * * *"), "cron: hour field \"x\": \"x\" is not a number");
  EXPECT_THAT(ErrorOf("0 0 0 * *"), HasSubstr("day-of-month field \"0\": 0 is not within 1-31"));
  EXPECT_THAT(ErrorOf("0 0 * foo *"),
              HasSubstr("month field \"foo\": \"foo\" is neither a number nor a name"));
  EXPECT_THAT(ErrorOf("0 0 * * 8"), HasSubstr("day-of-week field \"8\": 8 is not within 0-7"));
  EXPECT_THAT(ErrorOf("10-5 * * * *"), HasSubstr("minute field \"10-5\": \"10-5\" ends before"));
  EXPECT_THAT(ErrorOf("*/0 * * * *"), HasSubstr("the step \"0\" is not within 1-59"));
  EXPECT_THAT(ErrorOf("*/90 * * * *"), HasSubstr("the step \"90\" is not within 1-59"));
  EXPECT_THAT(ErrorOf("1,,2 * * * *"), HasSubstr("minute field \"1,,2\": \"\" is not a number"));
  EXPECT_THAT(ErrorOf("99999999999999999999 * * * *"), HasSubstr("is not within 0-59"));
  EXPECT_THAT(ErrorOf("-5 * * * *"), HasSubstr("minute field \"-5\""));
  EXPECT_THAT(ErrorOf("* * * *"), HasSubstr("five or six fields expected, \"* * * *\" has 4"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("has 0"));
  EXPECT_THAT(ErrorOf("* * * * * * *"), HasSubstr("has 7"));
  EXPECT_THAT(ErrorOf("@reboot"), HasSubstr("unknown shorthand \"@reboot\""));
  EXPECT_THAT(ErrorOf("@every soon"), HasSubstr("@every field \"soon\""));
  EXPECT_THAT(ErrorOf("@every 9ms"), HasSubstr("interval 9ms is not within"));
  EXPECT_THAT(ErrorOf("* * * * *", "Mars/Olympus"),
              HasSubstr("unknown time zone \"Mars/Olympus\""));
  for (const char* zone : {"/etc/localtime", "file:/etc/localtime", "../Europe/Berlin", "a b"}) {
    EXPECT_THAT(ErrorOf("* * * * *", zone), HasSubstr("unknown time zone"));
  }
  EXPECT_THAT(ErrorOf(std::string(600, '*')), HasSubstr("600 bytes is too long"));
}

// Against a model that looks at every second by itself.
struct Fields {
  std::vector<bool> allowed[6];
  bool every_hour = false;
  std::string text;
};

Fields RandomFields(std::mt19937& random) {
  constexpr int kLow[] = {0, 0, 0, 1, 1, 0}, kHigh[] = {59, 59, 23, 31, 12, 6};
  constexpr int kPercent[] = {10, 20, 60, 80, 100, 90};
  Fields fields;
  bool day_restricted = false;
  for (int f = 0; f < 6; ++f) {
    const unsigned spread = kHigh[f] - kLow[f] + 1;
    fields.allowed[f].assign(64, false);
    std::string text;
    // Never both day fields restricted: that rule has its own test.
    const bool star = static_cast<int>(random() % 100) < kPercent[f] || (f == 5 && day_restricted);
    if (f == 3) day_restricted = !star;
    if (star) text = "*";
    if (star && f == 2) fields.every_hour = true;
    const int values = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < values && !star; ++i) {
      // Near the hours of changes, so that these are met.
      const int value = kLow[f] + static_cast<int>(random() % (f == 2 ? 5u : spread));
      fields.allowed[f][value] = true;
      text += (i == 0 ? "" : ",") + std::to_string(value);
    }
    for (int value = kLow[f]; star && value <= kHigh[f]; ++value) fields.allowed[f][value] = true;
    fields.text += (f == 0 ? "" : " ") + text;
  }
  return fields;
}

bool Matches(const Fields& fields, absl::CivilSecond at) {
  const int weekday = (static_cast<int>(absl::GetWeekday(absl::CivilDay(at))) + 1) % 7;
  return fields.allowed[0][at.second()] && fields.allowed[1][at.minute()] &&
         fields.allowed[2][at.hour()] && fields.allowed[3][at.day()] &&
         fields.allowed[4][at.month()] && fields.allowed[5][weekday];
}

TEST(CronTest, AgreesWithLookingAtEverySecondAroundChanges) {
  const std::pair<const char*, const char*> changes[] = {
      {"Europe/Berlin", "2026-03-29T01:00:00Z"},
      {"Europe/Berlin", "2026-10-25T01:00:00Z"},
      {"America/New_York", "2026-03-08T07:00:00Z"},
      {"America/New_York", "2026-11-01T06:00:00Z"},
      {"Australia/Lord_Howe", "2026-10-03T15:30:00Z"},
      {"Australia/Lord_Howe", "2026-04-04T15:00:00Z"},
  };
  std::mt19937 random(7);
  uint64_t slots = 0;
  for (const auto& [zone_name, change] : changes) {
    const absl::TimeZone zone = Zone(zone_name);
    for (int round = 0; round < 12; ++round) {
      Fields fields = RandomFields(random);
      const Schedule schedule = Cron(fields.text, zone_name);
      const int64_t begin = Utc(change).ns / 1'000'000'000 - 4 * 3600;
      const WallTime before{(begin - 1) * 1'000'000'000};
      const uint64_t slots_before = slots;
      std::optional<WallTime> next = schedule.NextAfter(1, before);
      for (int64_t second = begin; second < begin + 8 * 3600; ++second) {
        const absl::Time time = absl::FromUnixSeconds(second);
        const absl::CivilSecond civil = zone.At(time).cs;
        const auto info = zone.At(civil);
        bool slot = Matches(fields, civil);
        if (info.kind == absl::TimeZone::TimeInfo::REPEATED && info.pre != time &&
            !fields.every_hour) {
          slot = false;
        }
        for (absl::CivilSecond skipped = zone.At(time - absl::Seconds(1)).cs + 1; skipped < civil;
             ++skipped) {
          slot = slot || Matches(fields, skipped);
        }
        const WallTime here{second * 1'000'000'000};
        if (slot || second % 16 == 0) {
          ASSERT_EQ(schedule.CountBetween(1, here - Seconds(1), here, 9), slot ? 1u : 0u)
              << fields.text << " " << absl::FormatTime(time, zone);
        }
        ASSERT_EQ(next == here, slot) << fields.text << " " << absl::FormatTime(time, zone);
        if (!slot) continue;
        ++slots;
        next = schedule.NextAfter(1, here);
        ASSERT_EQ(schedule.CountBetween(1, before, here, 99'999), slots - slots_before);
      }
    }
  }
  EXPECT_GT(slots, 1000u);
}

TEST(CronTest, ManyYearsGoForwardOnly) {
  for (const char* zone : {"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}) {
    for (const char* text : {"17 3 * * *", "0 2 * * 0", "0 0 1 * *", "30 1,2 28-31 3,10 *"}) {
      const Schedule schedule = *Schedule::Cron(text, zone);
      const WallTime start = Utc("2020-01-01T00:00:00Z");
      WallTime at = start;
      for (int i = 0; i < 1500; ++i) {
        const std::optional<WallTime> next = schedule.NextAfter(5, at);
        if (!next) break;  // the end of WallTime
        ASSERT_GT(*next, at);
        ASSERT_EQ(schedule.NextAfter(5, *next - Milliseconds(1)), next);
        ASSERT_EQ(schedule.CountBetween(5, at, *next, 9), 1u);
        at = *next;
        if (i % 25 != 0) continue;
        ASSERT_EQ(schedule.CountBetween(5, start, at, 9999), static_cast<uint64_t>(i) + 1);
      }
      EXPECT_GT(at, Utc("2023-01-01T00:00:00Z")) << text;
    }
  }
}

// Changes as "instant effect wall_times even".
std::vector<std::string> Changes(const std::string& expression, const std::string& zone,
                                 const std::string& from, const std::string& until) {
  constexpr const char* kEffects[] = {"once_after", "merged_after", "first_only", "both"};
  std::vector<std::string> changes;
  for (const ClockChange& change : Cron(expression, zone).ClockChanges(Utc(from), Utc(until))) {
    changes.push_back(
        absl::FormatTime(kFormat, absl::FromUnixSeconds(change.at), absl::UTCTimeZone()) + " " +
        kEffects[static_cast<size_t>(change.effect)] + " " + std::to_string(change.wall_times) +
        (change.even ? " even" : ""));
  }
  return changes;
}

std::vector<std::string> ChangesOf2026(const std::string& expression, const std::string& zone) {
  return Changes(expression, zone, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
}

TEST(ClockChangeTest, Berlin) {
  const std::string zone = "Europe/Berlin";
  EXPECT_THAT(ChangesOf2026("30 2 * * *", zone),
              ElementsAre("2026-03-29T01:00:00+00:00 once_after 1",
                          "2026-10-25T01:00:00+00:00 first_only 1"));
  EXPECT_THAT(ChangesOf2026("0,30 2,3 * * *", zone),
              ElementsAre("2026-03-29T01:00:00+00:00 merged_after 2",
                          "2026-10-25T01:00:00+00:00 first_only 2"));
  EXPECT_THAT(ChangesOf2026("30 * * * *", zone),
              ElementsAre("2026-03-29T01:00:00+00:00 once_after 1",
                          "2026-10-25T01:00:00+00:00 both 1 even"));
  EXPECT_THAT(ChangesOf2026("*/30 * * * * *", zone),
              ElementsAre("2026-03-29T01:00:00+00:00 merged_after 120 even",
                          "2026-10-25T01:00:00+00:00 both 120 even"));
  // Every second hour: due both times, an hour apart.
  EXPECT_THAT(
      ChangesOf2026("0 */2 * * *", zone),
      ElementsAre("2026-03-29T01:00:00+00:00 once_after 1", "2026-10-25T01:00:00+00:00 both 1"));
  EXPECT_THAT(ChangesOf2026("30 4 * * *", zone), ElementsAre());
  EXPECT_THAT(ChangesOf2026("30 2 1 * *", zone), ElementsAre());  // on other days
}

TEST(ClockChangeTest, OtherZones) {
  EXPECT_THAT(ChangesOf2026("15 1,2 * * *", "America/New_York"),
              ElementsAre("2026-03-08T07:00:00+00:00 once_after 1",
                          "2026-11-01T06:00:00+00:00 first_only 1"));
  // Half an hour: nothing is even.
  EXPECT_THAT(
      ChangesOf2026("*/10 * * * *", "Australia/Lord_Howe"),
      ElementsAre("2026-04-04T15:00:00+00:00 both 3", "2026-10-03T15:30:00+00:00 merged_after 3"));
  EXPECT_THAT(Changes("0 12 * * *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2011-12-31T00:00:00Z"),
              ElementsAre("2011-12-30T10:00:00+00:00 once_after 1"));
  for (const std::string zone : {"", "UTC", "Asia/Kathmandu", "Asia/Shanghai"}) {
    EXPECT_THAT(ChangesOf2026("* * * * * *", zone), ElementsAre()) << zone;
  }
  EXPECT_TRUE(Schedule::Every(Seconds(15))
                  ->ClockChanges(Utc("2026-01-01T00:00:00Z"), Utc("2027-01-01T00:00:00Z"))
                  .empty());
  EXPECT_THAT(ChangesOf2026("0 0 30 2 *", "Europe/Berlin"), ElementsAre());
}

TEST(ClockChangeTest, TheSpanEndsWithItsLastSecond) {
  const std::string at = "2026-03-29T01:00:00Z", before = "2026-03-29T00:59:59Z";
  EXPECT_EQ(Changes("30 2 * * *", "Europe/Berlin", before, at).size(), 1u);
  EXPECT_EQ(Changes("30 2 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", before).size(), 0u);
  EXPECT_EQ(Changes("30 2 * * *", "Europe/Berlin", at, "2026-10-25T00:59:59Z").size(), 0u);
}

// What is said of a change is what the slots around it do.
TEST(ClockChangeTest, SlotsDoWhatIsSaid) {
  const char* const expressions[] = {"30 2 * * *",  "0 3 * * *",     "*/20 1,2 * * *", "15 * * * *",
                                     "0 */3 * * *", "*/7 2-4 * * *", "0,30 2,3 * * *"};
  for (const char* const zone : {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}) {
    for (const char* const expression : expressions) {
      SCOPED_TRACE(std::string(expression) + " " + zone);
      const Schedule schedule = Cron(expression, zone);
      for (const ClockChange& change :
           schedule.ClockChanges(Utc("2026-01-01T00:00:00Z"), Utc("2027-01-01T00:00:00Z"))) {
        const int64_t shift = std::abs(change.offset_after - change.offset_before);
        const WallTime at{change.at * Seconds(1).ns};
        const WallTime later{(change.at + shift) * Seconds(1).ns};
        const uint64_t before =
            schedule.CountBetween(1, at - Seconds(shift + 1), at - Seconds(1), 1000);
        const uint64_t after = schedule.CountBetween(1, at - Seconds(1), later - Seconds(1), 1000);
        switch (change.effect) {
          case ClockChange::Effect::kOnceAfter:
          case ClockChange::Effect::kMergedAfter:
            EXPECT_EQ(schedule.NextAfter(1, at - Seconds(1)), at);
            break;
          case ClockChange::Effect::kFirstOnly:
            EXPECT_EQ(before, change.wall_times);
            EXPECT_EQ(after, 0u);
            break;
          case ClockChange::Effect::kBoth:
            EXPECT_EQ(before, change.wall_times);
            EXPECT_EQ(after, change.wall_times);
            break;
        }
      }
    }
  }
}

}  // namespace
}  // namespace sonde
