#include "tools/sonde/plan_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "engine/contract/duration_text.h"

namespace sonde {
namespace {

using nlohmann::ordered_json;

constexpr size_t kNames = 10;     // shown of a list of tasks
constexpr size_t kMeetings = 40;  // lines about schedules that meet a clock change
constexpr int kBarWidth = 40;
constexpr char kUtc[] = "%Y-%m-%dT%H:%M:%E3SZ";
constexpr char kLocal[] = "%Y-%m-%d %H:%M:%E3S %Ez";
constexpr char kExactUtc[] = "%Y-%m-%dT%H:%M:%E*SZ";
constexpr char kExactLocal[] = "%Y-%m-%dT%H:%M:%E*S%Ez";

struct EffectWords {
  std::string_view name;      // in JSON
  std::string_view sentence;  // "3 slots skipped: ..."
};
// Indexed by ClockChange::Effect.
constexpr EffectWords kEffects[] = {
    {"once_after", "skipped: due once, at the first instant after the gap"},
    {"merged_after", "skipped: due once, together with the slot right after the gap"},
    {"first_only", "doubled: due at the first occurrence only"},
    {"both", "doubled: due both times"},
};
const EffectWords& WordsOf(const ClockChange& change) {
  return kEffects[static_cast<size_t>(change.effect)];
}

std::string TimeText(WallTime at, const char* format, absl::TimeZone zone = absl::UTCTimeZone()) {
  return absl::FormatTime(format, absl::FromUnixNanos(at.ns), zone);
}

WallTime InstantOf(const ClockChange& change) { return {change.at * Seconds(1).ns}; }

// Of a schedule, which has loaded it before.
absl::TimeZone ZoneOf(const Schedule& schedule) {
  absl::TimeZone zone;
  if (schedule.zone().empty() || !absl::LoadTimeZone(std::string(schedule.zone()), &zone)) {
    return absl::UTCTimeZone();
  }
  return zone;
}

// "2026-03-29 02:00 becomes 03:00"; with the day again where it is another.
std::string Becomes(const ClockChange& change) {
  const auto wall = [&change](const char* format, int64_t offset) {
    return absl::FormatTime(format, absl::FromUnixSeconds(change.at + offset), absl::UTCTimeZone());
  };
  constexpr char kDay[] = "%Y-%m-%d", kDayAndTime[] = "%Y-%m-%d %H:%M";
  const bool same_day = wall(kDay, change.offset_before) == wall(kDay, change.offset_after);
  return wall(kDayAndTime, change.offset_before) + " becomes " +
         wall(same_day ? "%H:%M" : kDayAndTime, change.offset_after);
}

std::string Fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// "1 task", "2 tasks"
std::string Count(uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string Padded(std::string text, size_t width, bool right = false) {
  const size_t missing = width - std::min(width, text.size());
  return right ? std::string(missing, ' ') + text : text + std::string(missing, ' ');
}

// "a, b and 3 more"
std::string Names(const std::vector<const Task*>& tasks, size_t most) {
  std::string text;
  for (size_t i = 0; i < std::min(tasks.size(), most); ++i) {
    text += (i == 0 ? "" : ", ") + tasks[i]->name;
  }
  if (tasks.size() > most) text += " and " + std::to_string(tasks.size() - most) + " more";
  return text;
}

void AddDue(const FleetPlan& plan, std::string* out) {
  if (plan.due.empty()) return;
  *out += "\nNext due\n";
  for (const FleetPlan::Due& due : plan.due) {
    const Task& task = *due.task;
    const bool cron = task.schedule.is_cron();
    *out += "  " + task.name + ": " + std::string(task.prober->name()) + ", " +
            (cron ? "cron " : "every ") + task.schedule.ToString();
    const Duration moved = task.schedule.Phase(task.id);
    if (moved.ns > 0) *out += (cron ? ", moved by " : ", phase ") + FormatDuration(moved);
    *out += task.enabled ? "\n" : "; disabled, so these pass without a run\n";
    if (due.times.empty()) *out += "    never\n";
    const bool local = !task.schedule.zone().empty();
    const absl::TimeZone zone = ZoneOf(task.schedule);
    for (const WallTime at : due.times) {
      *out += "    " + TimeText(at, kUtc) + (local ? "  " + TimeText(at, kLocal, zone) : "") + "\n";
    }
  }
}

// One letter per share, as many as the hour has of the busiest hour.
std::string Bar(const StartLoad& load, size_t hour, double busiest) {
  std::string bar;
  double sum = 0;
  for (const StartLoad::Type& type : load.types) {
    sum += static_cast<double>(type.hours[hour]);
    const auto end = static_cast<size_t>(std::lround(sum / busiest * kBarWidth));
    if (end > bar.size()) bar.append(end - bar.size(), type.name[0]);
  }
  return bar;
}

void AddLoad(const StartLoad& load, std::string* out) {
  *out += "\nStarts per second, for 24 hours\n";
  *out += "  mean " + Fixed(load.mean, 2) + ", median " + Fixed(load.median, 2) + ", p99 " +
          Fixed(load.p99, 2) + ", peak " + Fixed(load.peak, 2) + " at " +
          TimeText(load.peak_at, "%Y-%m-%dT%H:%M:%SZ") + "; " + std::to_string(load.starts) +
          " in all\n";
  if (load.smoothed > 0) {
    *out += "  " + Count(load.smoothed, "task") + " counted by rate, not second by second\n";
  }
  if (load.starts == 0) return;
  *out += "  hour (UTC) ";
  for (const StartLoad::Type& type : load.types) *out += Padded(std::string(type.name), 11, true);
  *out += "      total\n";
  std::array<uint64_t, StartLoad::kHours> totals{};
  for (const StartLoad::Type& type : load.types) {
    for (size_t hour = 0; hour < totals.size(); ++hour) totals[hour] += type.hours[hour];
  }
  const auto busiest = static_cast<double>(*std::max_element(totals.begin(), totals.end()));
  for (size_t hour = 0; hour < totals.size(); ++hour) {
    const auto rate = [](uint64_t starts) {
      return Padded(Fixed(static_cast<double>(starts) / 3600, 2), 11, true);
    };
    *out += "  " + TimeText(load.from + Hours(static_cast<int64_t>(hour)), "%m-%d %H:%M");
    for (const StartLoad::Type& type : load.types) *out += rate(type.hours[hour]);
    *out += rate(totals[hour]) + "  " + Bar(load, hour, busiest);
    *out += "\n";
  }
}

void AddMeetings(const FleetPlan& plan, std::string* out) {
  if (plan.meetings.empty()) return;
  *out += "\nClock changes that cron tasks meet within a year\n";
  const FleetPlan::Meeting* before = nullptr;
  uint64_t even = 0, lines = 0, left_out = 0;
  const auto close = [&] {
    if (even > 0) *out += "    " + Count(even, "task") + " of other schedules keep their pace\n";
    even = 0;
  };
  for (const FleetPlan::Meeting& meeting : plan.meetings) {
    const ClockChange& change = meeting.change;
    const ScheduleGroup& group = plan.groups[meeting.group];
    const Schedule& schedule = group.schedule;
    if (before == nullptr || before->change.at != change.at ||
        plan.groups[before->group].schedule.zone() != schedule.zone()) {
      close();
      *out += "  " + std::string(schedule.zone()) + ", " + Becomes(change) + " (" +
              TimeText(InstantOf(change), "%Y-%m-%dT%H:%M:%SZ") + ")\n";
    }
    before = &meeting;
    if (change.even) {
      even += group.tasks.size();
    } else if (lines == kMeetings) {
      ++left_out;
    } else {
      ++lines;
      *out += "    " + schedule.ToString() + " (" + Names(group.tasks, 3) +
              "): " + Count(change.wall_times, "slot") + " " +
              std::string(WordsOf(change).sentence) + "\n";
    }
  }
  close();
  if (left_out > 0) *out += "  and " + Count(left_out, "line") + " more, see --json\n";
}

void AddSeries(const FleetPlan& plan, std::string* out) {
  const auto line = [out](std::string_view name, uint64_t count, std::string_view note = "") {
    *out += "  " + Padded(std::string(name), 21) + Padded(std::to_string(count), 12, true) +
            std::string(note) + "\n";
  };
  *out += "\nSeries at /metrics\n";
  line("health_check_results", plan.series.results);
  for (size_t i = 0; i < plan.series.groups.size(); ++i) {
    line(kFamilyGroupNames[i], plan.series.groups[i]);
  }
  line("sonde's own, about", plan.process_series,
       "  with " + Count(plan.shards, "shard") + "; requests served add a few dozen");
  line("total", plan.series.total() + plan.process_series);
  *out +=
      "  As if every task's last run had gone well. Not counted: a series for each reason a task "
      "ever\n"
      "  failed for, Last-Modified, and TLS that only a redirect leads to.\n";
}

// Two columns of what is asked for, and what there is.
void AddHeadroom(const FleetPlan& plan, std::string* out) {
  const auto percent = [](const Headroom::Use& use) {
    return Padded(Fixed(100 * use.ratio(), use.ratio() < 0.1 ? 1 : 0) + " %", 10, true);
  };
  *out += "\nWhat it asks of this node\n";
  *out += "  " + Padded("", 14) + Padded("there is", 10, true) + Padded("asked for", 12, true) +
          Padded("", 10) + Padded("no answers", 12, true) + "\n";
  for (size_t i = 0; i < Headroom::kLimits; ++i) {
    const Headroom::Use& use = plan.headroom.uses[i];
    const Headroom::Use& silent = plan.silent_headroom.uses[i];
    const int digits = i == static_cast<size_t>(Headroom::Limit::kCpu) ? 2 : 0;
    *out += "  " + Padded(std::string(Headroom::kNames[i]), 14) +
            Padded(Fixed(use.has, digits), 10, true) + Padded(Fixed(use.asked, digits), 12, true) +
            percent(use) + Padded(Fixed(silent.asked, digits), 12, true) + percent(silent) + "\n";
  }
  const Headroom::Limit first = plan.headroom.first();
  *out +=
      "  First comes " + std::string(Headroom::kNames[static_cast<size_t>(first)]) + ". " +
      (plan.headroom.ratio() < 0 ? "This node cannot carry it: slots will be skipped.\n"
                                 : "Headroom " + Fixed(100 * plan.headroom.ratio(), 0) + " %.\n");
  *out +=
      "  By assumed costs (cpu in cores; runs that take 50 ms); \"no answers\" is when every run "
      "waits\n"
      "  for its time-out. A running sonde measures its own: sonde_headroom_ratio.\n";
}

ordered_json HeadroomJson(const Headroom& headroom) {
  ordered_json limits = ordered_json::object();
  for (size_t i = 0; i < Headroom::kLimits; ++i) {
    const Headroom::Use& use = headroom.uses[i];
    limits[std::string(Headroom::kNames[i])] = {{"has", use.has}, {"asked", use.asked}};
  }
  return {{"ratio", headroom.ratio()},
          {"first", Headroom::kNames[static_cast<size_t>(headroom.first())]},
          {"limits", std::move(limits)}};
}

ordered_json NamesJson(const std::vector<const Task*>& tasks, size_t most = SIZE_MAX) {
  ordered_json names = ordered_json::array();
  for (size_t i = 0; i < std::min(tasks.size(), most); ++i) names.push_back(tasks[i]->name);
  return names;
}

ordered_json DueJson(const FleetPlan::Due& due) {
  const Task& task = *due.task;
  ordered_json times = ordered_json::array();
  const absl::TimeZone zone = ZoneOf(task.schedule);
  for (const WallTime at : due.times) {
    ordered_json time = {{"utc", TimeText(at, kExactUtc)}};
    if (!task.schedule.zone().empty()) time["local"] = TimeText(at, kExactLocal, zone);
    times.push_back(std::move(time));
  }
  return {{"task", task.name},
          {"type", task.prober->name()},
          {"enabled", task.enabled},
          {"schedule", task.schedule.ToString()},
          {"timezone", task.schedule.zone().empty() ? "UTC" : task.schedule.zone()},
          {"phase_seconds", task.schedule.Phase(task.id).seconds()},
          {"times", std::move(times)}};
}

ordered_json LoadJson(const StartLoad& load) {
  ordered_json hours = ordered_json::array();
  for (size_t hour = 0; hour < StartLoad::kHours; ++hour) {
    ordered_json types = ordered_json::object();
    for (const StartLoad::Type& type : load.types) types[type.name] = type.hours[hour];
    hours.push_back({{"from", TimeText(load.from + Hours(static_cast<int64_t>(hour)), kExactUtc)},
                     {"starts", std::move(types)}});
  }
  return {{"seconds", StartLoad::kSeconds},
          {"starts", load.starts},
          {"mean", load.mean},
          {"median", load.median},
          {"p99", load.p99},
          {"peak", load.peak},
          {"peak_at", TimeText(load.peak_at, kExactUtc)},
          {"tasks_by_rate", load.smoothed},
          {"hours", std::move(hours)}};
}

ordered_json MeetingJson(const ScheduleGroup& group, const ClockChange& change) {
  return {{"at", TimeText(InstantOf(change), kExactUtc)},
          {"timezone", group.schedule.zone()},
          {"offset_before_seconds", change.offset_before},
          {"offset_after_seconds", change.offset_after},
          {"schedule", group.schedule.ToString()},
          {"tasks", group.tasks.size()},
          {"names", NamesJson(group.tasks, kPlanJsonNames)},
          {"slots", change.wall_times},
          {"effect", WordsOf(change).name},
          {"keeps_pace", change.even}};
}

}  // namespace

std::string PlanText(std::string_view file, const FleetPlan& plan) {
  std::string out = std::string(file) + ": " + Count(plan.tasks, "task") + ", planned from " +
                    TimeText(plan.from, "%Y-%m-%dT%H:%M:%SZ") + "\n";
  const auto list = [&out](std::string_view what, const std::vector<const Task*>& tasks) {
    if (tasks.empty()) return;
    out += "  " + Count(tasks.size(), "task") + " " + std::string(what) + ": " +
           Names(tasks, kNames) + "\n";
  };
  list("disabled", plan.disabled);
  list("with a schedule that never fires", plan.never);
  AddDue(plan, &out);
  AddLoad(plan.load, &out);
  AddHeadroom(plan, &out);
  AddMeetings(plan, &out);
  AddSeries(plan, &out);
  return out;
}

std::string PlanJson(std::string_view file, const FleetPlan& plan) {
  ordered_json due = ordered_json::array(), meetings = ordered_json::array();
  for (const FleetPlan::Due& one : plan.due) due.push_back(DueJson(one));
  for (size_t i = 0; i < std::min(plan.meetings.size(), kPlanJsonMeetings); ++i) {
    meetings.push_back(MeetingJson(plan.groups[plan.meetings[i].group], plan.meetings[i].change));
  }
  ordered_json groups = ordered_json::object();
  for (size_t i = 0; i < plan.series.groups.size(); ++i) {
    groups[std::string(kFamilyGroupNames[i])] = plan.series.groups[i];
  }
  const ordered_json json = {
      {"file", file},
      {"from", TimeText(plan.from, kExactUtc)},
      {"tasks", plan.tasks},
      {"disabled", NamesJson(plan.disabled)},
      {"never_due", NamesJson(plan.never)},
      {"due", std::move(due)},
      {"load", LoadJson(plan.load)},
      {"headroom", HeadroomJson(plan.headroom)},
      {"headroom_no_answers", HeadroomJson(plan.silent_headroom)},
      {"clock_changes", std::move(meetings)},
      {"clock_changes_left_out",
       plan.meetings.size() - std::min(plan.meetings.size(), kPlanJsonMeetings)},
      {"series",
       {{"health_check_results", plan.series.results},
        {"groups", std::move(groups)},
        {"process", plan.process_series},
        {"shards", plan.shards},
        {"total", plan.series.total() + plan.process_series}}}};
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace sonde
