#include "protocols/http_date.h"

#include <array>

namespace sonde {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                                   "Friday", "Saturday", "Sunday"};

// Reads a date by its layout; false as soon as the text differs.
//   W long weekday   w short weekday   D two digits of a day   _ day, blank-padded
//   M month   Y four-digit year   y two-digit year   T hh:mm:ss
//   everything else stands for itself
struct DateReader {
  std::string_view rest;
  int64_t year = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;

  bool Word(std::string_view word) {
    if (rest.substr(0, word.size()) != word) return false;
    rest.remove_prefix(word.size());
    return true;
  }

  bool Digits(size_t count, unsigned* out) {
    if (rest.size() < count) return false;
    unsigned value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (rest[i] < '0' || rest[i] > '9') return false;
      value = value * 10 + static_cast<unsigned>(rest[i] - '0');
    }
    rest.remove_prefix(count);
    *out = value;
    return true;
  }

  bool Weekday(bool whole) {
    for (const std::string_view name : kDays) {
      if (Word(whole ? name : name.substr(0, 3))) return true;
    }
    return false;
  }

  bool Month() {
    for (unsigned i = 0; i < kMonths.size(); ++i) {
      if (Word(kMonths[i])) {
        month = i + 1;
        return true;
      }
    }
    return false;
  }

  bool Year(size_t digits) {
    unsigned value = 0;
    if (!Digits(digits, &value)) return false;
    year = digits == 4 ? value : value >= 69 ? 1900 + value : 2000 + value;
    return true;
  }

  bool Time() {
    return Digits(2, &hour) && Word(":") && Digits(2, &minute) && Word(":") && Digits(2, &second) &&
           hour < 24 && minute < 60 && second < 60;
  }

  bool Field(char kind) {
    switch (kind) {
      case 'W':
        return Weekday(true);
      case 'w':
        return Weekday(false);
      case 'D':
        return Digits(2, &day);
      case '_':
        return Word(" ") ? Digits(1, &day) : Digits(2, &day);
      case 'M':
        return Month();
      case 'Y':
        return Year(4);
      case 'y':
        return Year(2);
      case 'T':
        return Time();
      default:
        return Word(std::string_view(&kind, 1));
    }
  }

  bool Read(std::string_view layout) {
    for (const char kind : layout) {
      if (!Field(kind)) return false;
    }
    return rest.empty();
  }
};

bool LeapYear(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

unsigned DaysOfMonth(int64_t year, unsigned month) {
  constexpr unsigned kDaysOf[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && LeapYear(year) ? 29 : kDaysOf[month - 1];
}

// Days since 1970-01-01 in the proleptic Gregorian calendar: whole years before, whole months
// before, the day.
int64_t DaysSinceEpoch(int64_t year, unsigned month, unsigned day) {
  const int64_t before = year - 1;
  const int64_t leaps = before / 4 - before / 100 + before / 400;
  constexpr int64_t kDaysBefore1970 = 719162;  // from 0001-01-01
  int64_t days = before * 365 + leaps - kDaysBefore1970;
  for (unsigned m = 1; m < month; ++m) days += DaysOfMonth(year, m);
  return days + day - 1;
}

// Note the letters of "GMT": G stands for itself, M and T would not.
bool ReadGmt(DateReader& reader, std::string_view layout, std::string_view text) {
  constexpr std::string_view kZone = " GMT";
  if (text.size() < kZone.size() || text.substr(text.size() - kZone.size()) != kZone) return false;
  reader.rest = text.substr(0, text.size() - kZone.size());
  return reader.Read(layout);
}

}  // namespace

std::optional<int64_t> ParseHttpDate(std::string_view text) {
  DateReader fixdate, rfc850, asctime;
  asctime.rest = text;
  const DateReader* good = ReadGmt(fixdate, "w, D M Y T", text)  ? &fixdate
                           : ReadGmt(rfc850, "W, D-M-y T", text) ? &rfc850
                           : asctime.Read("w M _ T Y")           ? &asctime
                                                                 : nullptr;
  if (!good || good->year < 1 || good->day < 1 ||
      good->day > DaysOfMonth(good->year, good->month)) {
    return std::nullopt;
  }
  return DaysSinceEpoch(good->year, good->month, good->day) * 86400 + good->hour * 3600 +
         good->minute * 60 + good->second;
}

}  // namespace sonde
