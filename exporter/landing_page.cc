#include "exporter/landing_page.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <optional>
#include <vector>

#include "engine/contract/engine_stats.h"
#include "exporter/metrics_page.h"
#include "exporter/task_state.h"
#include "exporter/text_escape.h"

namespace sonde {
namespace {

constexpr std::string_view kStyle = R"(:root {
  color-scheme: light dark;
  --ink: #1d2327; --soft: #5c6770; --line: #d9dee2; --ground: #ffffff; --band: #f5f7f8;
  --link: #0b63b0; --up: #1a7f37; --down: #c62828; --unknown: #8a6100; --disabled: #6b7680;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8eb; --soft: #9aa6af; --line: #343c43; --ground: #15191c; --band: #1c2226;
    --link: #79b8ff; --up: #56c271; --down: #ff7b72; --unknown: #e0b040; --disabled: #8b96a0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 90rem; padding: 1.5rem 1rem 3rem; color: var(--ink);
  background: var(--ground); font: 15px/1.5 system-ui, sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: baseline; }
h1 { font-size: 1.6rem; margin: 0; }
h1 small { font-size: .9rem; font-weight: normal; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 0 1rem; }
a { color: var(--link); }
.counts { display: flex; flex-wrap: wrap; gap: .75rem; list-style: none; margin: 1.25rem 0; padding: 0; }
.counts li {
  min-width: 8rem; padding: .5rem .9rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--band);
}
.counts b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-size: .85rem; color: var(--soft); white-space: nowrap; }
tbody tr:hover { background: var(--band); }
td.long { overflow-wrap: anywhere; min-width: 12rem; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td small { display: block; color: var(--soft); }
.state { font-weight: 600; white-space: nowrap; }
.state::before { content: "\25CF\00A0"; }
.up { color: var(--up); } .down { color: var(--down); }
.unknown { color: var(--unknown); } .disabled { color: var(--disabled); }
.runs {
  display: inline-flex; justify-content: flex-end; align-items: flex-end; gap: 1px;
  min-width: 239px; height: 1.2rem; vertical-align: middle;
}
.runs i { flex: none; width: 3px; height: 60%; background: currentColor; }
.runs .down { height: 100%; }
.runs .unknown { height: 30%; }
.empty { color: var(--soft); padding: 2rem 0; }
/* On most screens half of the last runs leave room for the ratios. */
@media (max-width: 90rem) {
  .runs { min-width: 0; width: 119px; overflow: hidden; }
  td.long { min-width: 8rem; }
}
/* A telephone held upright shows what is down and why; type and target when it is turned. */
@media (max-width: 40rem) {
  .tasks :is(th, td):is(:nth-child(2), :nth-child(3)) { display: none; }
  th, td { padding: .4rem; }
  td.long { min-width: 7.5rem; }
}
)";

struct Standing {
  const CatalogEntry* entry;
  TaskState state;
  WallTime last_run;
};

bool Before(const Standing& a, const Standing& b) {
  const bool a_down = a.state == TaskState::kDown, b_down = b.state == TaskState::kDown;
  if (a_down != b_down) return a_down;
  if (a.last_run != b.last_run) return a.last_run > b.last_run;
  return a.entry->task->name < b.entry->task->name;
}

std::vector<Standing> Survey(const SampleSnapshot& tasks, WallTime now, StateCounts* counts) {
  std::vector<Standing> all;
  all.reserve(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    const CatalogEntry* entry = tasks[i];
    if (entry == nullptr) continue;
    const Tally& tally = entry->record->tally;
    const TaskState state = StateOf(*entry->task, FreshResult(*entry->task, tally, now));
    ++(*counts)[static_cast<size_t>(state)];
    all.push_back({entry, state, tally.last_run()});
  }
  return all;
}

// Small helpers that append markup; `text` is always escaped.
class Html {
 public:
  explicit Html(std::string* out) : out_(out) {}
  Html& Raw(std::string_view markup) {
    out_->append(markup);
    return *this;
  }
  Html& Text(std::string_view text) {
    AppendHtml(out_, text);
    return *this;
  }
  Html& Cell(std::string_view kind, std::string_view text) {
    Raw("<td class=\"").Raw(kind).Raw("\">").Text(text);
    return Raw("</td>");
  }

 private:
  std::string* out_;
};

void WriteOutcome(Html html, const CatalogEntry& entry) {
  const Tally& tally = entry.record->tally;
  html.Raw("<td class=\"long\">");
  if (tally.last_run().ns == 0) {
    html.Raw("no run yet</td>");
    return;
  }
  const OutcomeInfo& outcome = Info(tally.last_outcome());
  html.Text(OutcomeName(outcome.outcome));
  if (outcome.outcome != Outcome::kOk) {
    html.Raw("<small>").Text(outcome.sentence);
    if (entry.words && entry.words->outcome == outcome.outcome && !entry.words->detail.empty() &&
        entry.words->detail != outcome.sentence) {
      html.Raw(": ").Text(entry.words->detail);
    }
    html.Raw("</small>");
  }
  html.Raw("</td>");
}

// The word of the state a task would be in after such a run: its colour, and its height for those
// who tell colours badly.
std::string_view RunClass(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSuccess:
      return StateName(TaskState::kUp);
    case Verdict::kFailed:
      return StateName(TaskState::kDown);
    case Verdict::kInconclusive:
      break;
  }
  return StateName(TaskState::kUnknown);
}

// A tick per run, oldest first: "2026-11-20 19:32:05Z connect/refused 310 us".
void WriteRuns(Html html, const std::vector<RecentRun>& runs) {
  html.Raw("<td>");
  if (!runs.empty()) {
    std::array<size_t, kVerdicts> counts{};
    for (const RecentRun& run : runs) ++counts[static_cast<size_t>(VerdictOf(run.outcome))];
    html.Raw("<span class=\"runs\" role=\"img\" aria-label=\"last runs:");
    for (size_t i = 0; i < kVerdicts; ++i) {
      html.Raw(i == 0 ? " " : ", ").Raw(std::to_string(counts[i])).Raw(" ");
      html.Raw(VerdictName(static_cast<Verdict>(i)));
    }
    html.Raw("\">");
    for (const RecentRun& run : runs) {
      html.Raw("<i class=\"").Raw(RunClass(VerdictOf(run.outcome))).Raw("\" title=\"");
      html.Text(UtcText(run.finished)).Raw(" ").Text(OutcomeName(run.outcome)).Raw(" ");
      html.Text(LatencyText(run.duration)).Raw("\"></i>");
    }
    html.Raw("</span>");
  }
  html.Raw("</td>");
}

void WriteRow(Html html, const Standing& standing, WallTime now, std::vector<RecentRun>* runs) {
  const CatalogEntry& entry = *standing.entry;
  const Task& task = *entry.task;
  const Tally& tally = entry.record->tally;
  const std::string_view state = StateName(standing.state);
  html.Raw("<tr>").Cell("long", task.name).Cell("word", task.prober->name());
  html.Cell("long", task.target);
  html.Raw("<td><span class=\"state ").Raw(state).Raw("\">").Raw(state).Raw("</span></td>");
  WriteOutcome(html, entry);
  const std::optional<ProbeResult> last = tally.last();
  const bool told = last && last->outcome == tally.last_outcome();
  html.Cell("number", told ? LatencyText(last->duration) : "-");
  if (standing.last_run.ns == 0) {
    html.Cell("number", "-");
  } else {
    const std::string at = UtcText(standing.last_run);
    html.Raw("<td class=\"number\"><time title=\"").Text(at).Raw("\">");
    html.Text(AgoText(now - standing.last_run)).Raw("</time></td>");
  }
  if (runs != nullptr) {
    runs->clear();
    if (task.metrics.recent) tally.Recent(runs);
    WriteRuns(html, *runs);
  }
  for (size_t i = 0; i < kWindows.size(); ++i) {
    html.Cell("number", PercentText(tally.ratio(static_cast<Window>(i), now)));
  }
  html.Raw("</tr>\n");
}

void WriteCounts(Html html, const StateCounts& counts) {
  html.Raw("<ul class=\"counts\">\n");
  for (size_t i = 0; i < kTaskStates; ++i) {
    html.Raw("<li><b>").Raw(std::to_string(counts[i])).Raw("</b><span class=\"state ");
    html.Raw(kTaskStateNames[i]).Raw("\">").Raw(kTaskStateNames[i]).Raw("</span></li>\n");
  }
  html.Raw("</ul>\n");
}

void WriteTable(Html html, const std::vector<Standing>& shown, size_t total, WallTime now) {
  if (shown.empty()) {
    html.Raw("<p class=\"empty\">There are no tasks. Add some to the configuration file.</p>\n");
    return;
  }
  html.Raw("<div class=\"scroll\"><table class=\"tasks\">\n<caption>");
  if (shown.size() < total) {
    html.Raw(std::to_string(shown.size())).Raw(" of ").Raw(std::to_string(total)).Raw(" tasks");
  } else {
    html.Raw(std::to_string(total)).Raw(total == 1 ? " task" : " tasks");
  }
  html.Raw(", failing ones first, then the most recent runs</caption>\n<thead><tr>");
  for (const std::string_view column : {"Task", "Type", "Target", "State", "Last outcome"}) {
    html.Raw("<th scope=\"col\">").Raw(column).Raw("</th>");
  }
  for (const std::string_view column : {"Duration", "Last run"}) {
    html.Raw("<th scope=\"col\" class=\"number\">").Raw(column).Raw("</th>");
  }
  // Where nobody keeps last runs there is no column for them.
  const bool recent = std::any_of(shown.begin(), shown.end(), [](const Standing& standing) {
    return standing.entry->task->metrics.recent;
  });
  if (recent) html.Raw("<th scope=\"col\">Last runs</th>");
  for (const WindowInfo& window : kWindows) {
    html.Raw("<th scope=\"col\" class=\"number\" title=\"Success ratio over ");
    html.Raw(window.name).Raw("\">").Raw(window.name).Raw("</th>");
  }
  html.Raw("</tr></thead>\n<tbody>\n");
  std::vector<RecentRun> runs;
  for (const Standing& standing : shown) WriteRow(html, standing, now, recent ? &runs : nullptr);
  html.Raw("</tbody>\n</table></div>\n");
}

std::string_view ClassOf(ProbeVerdict verdict) {
  constexpr std::string_view kClasses[] = {"up", "down", "unknown"};
  return kClasses[static_cast<size_t>(verdict)];
}

void WriteProbes(Html html, const std::vector<const ProbeRecord*>& probes) {
  if (probes.empty()) return;
  html.Raw("<div class=\"scroll\"><table>\n<caption>Recent requests of /probe</caption>\n");
  html.Raw("<thead><tr><th scope=\"col\">Module</th><th scope=\"col\">Target</th>");
  html.Raw("<th scope=\"col\">Result</th><th scope=\"col\">Debug</th></tr></thead>\n<tbody>\n");
  const size_t shown = std::min(kProbeRows, probes.size());
  for (size_t i = 0; i < shown; ++i) {
    const ProbeRecord& probe = *probes[i];
    html.Raw("<tr>").Cell("word", probe.module).Cell("long", probe.target);
    html.Raw("<td><span class=\"state ").Raw(ClassOf(probe.verdict)).Raw("\">");
    html.Raw(ProbeVerdictName(probe.verdict)).Raw("</span></td>");
    html.Raw("<td><a href=\"logs?id=").Raw(std::to_string(probe.id)).Raw("\">Logs</a></td></tr>\n");
  }
  html.Raw("</tbody>\n</table></div>\n");
}

std::string Printed(const char* format, double value) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

std::string_view LandingStyle() { return kStyle; }

std::string RenderTasks(const SampleSnapshot& tasks, WallTime now) {
  StateCounts counts{};
  std::vector<Standing> standings = Survey(tasks, now, &counts);
  const size_t total = standings.size();
  const size_t shown = std::min(kLandingRows, total);
  std::partial_sort(standings.begin(), standings.begin() + static_cast<ptrdiff_t>(shown),
                    standings.end(), Before);
  standings.resize(shown);
  std::string part;
  part.reserve(2048 + shown * 700);
  WriteCounts(Html(&part), counts);
  WriteTable(Html(&part), standings, total, now);
  return part;
}

std::string RenderLandingPage(std::string_view tasks, const std::vector<const ProbeRecord*>& probes,
                              const BuildInfo& build) {
  std::string page;
  page.reserve(4096 + tasks.size() + probes.size() * 200);
  Html html(&page);
  html.Raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
  html.Raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
  html.Raw("<title>sonde</title>\n<link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n");
  html.Raw("<header><h1>sonde <small>").Text(build.version).Raw("</small></h1>\n<nav>");
  for (const std::string_view path : {"metrics", "config", "-/healthy", "-/ready", "version"}) {
    html.Raw("<a href=\"").Raw(path).Raw("\">/").Raw(path).Raw("</a>\n");
  }
  html.Raw("</nav></header>\n<main>\n").Raw(tasks);
  WriteProbes(html, probes);
  html.Raw("</main>\n</body>\n</html>\n");
  return page;
}

std::string UtcText(WallTime time) {
  const std::time_t seconds = static_cast<std::time_t>(time.ns / 1'000'000'000);
  std::tm parts{};
  char text[40];
  if (::gmtime_r(&seconds, &parts) == nullptr ||
      std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &parts) == 0) {
    return "?";
  }
  return text;
}

std::string AgoText(Duration age) {
  struct Unit {
    Duration unit, below;
    std::string_view name;
  };
  constexpr std::array<Unit, 4> kUnits = {{{Seconds(1), Minutes(2), " s ago"},
                                           {Minutes(1), Hours(2), " min ago"},
                                           {Hours(1), Hours(48), " h ago"},
                                           {Hours(24), {INT64_MAX}, " d ago"}}};
  if (age < Seconds(1)) return "now";
  for (const Unit& unit : kUnits) {
    if (age < unit.below) return std::to_string(age.ns / unit.unit.ns).append(unit.name);
  }
  return "long ago";
}

std::string LatencyText(Duration duration) {
  if (duration < Milliseconds(1)) return Printed("%.0f us", static_cast<double>(duration.ns) / 1e3);
  if (duration < Seconds(1)) return Printed("%.1f ms", duration.millis());
  return Printed("%.2f s", duration.seconds());
}

std::string PercentText(const Tally::Ratio& ratio) {
  const std::optional<double> value = ratio.value();
  if (!value) return "-";
  double percent = *value * 100;
  if (ratio.failed > 0) percent = std::min(percent, 99.99);
  if (ratio.passed > 0) percent = std::max(percent, 0.01);
  return Printed("%.2f %%", percent);
}

}  // namespace sonde
