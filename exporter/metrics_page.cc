#include "exporter/metrics_page.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sonde {
namespace {

constexpr uint8_t kStateMask = 3;
constexpr uint8_t kTextsCurrent = 4;
static_assert(kTaskStates <= kStateMask + 1);

constexpr size_t kFirstBatch = 1;      // step of the plan: right after health_check_results
constexpr size_t kPrefetchAhead = 12;  // places; a miss costs about as much as four lines

constexpr std::string_view kResultsHelp =
    "Conclusive runs of a task by status, success or failed; inconclusive runs count in neither";
constexpr std::string_view kFailuresHelp =
    "Failed runs of a task by the phase they ended in and the reason";
constexpr std::string_view kLatencyHelp = "Duration of a task's passed runs";
constexpr std::string_view kRatioHelp =
    "Passed runs of a task divided by its conclusive runs over a sliding window";
constexpr std::string_view kLastRunHelp = "When a task's last run ended, of any verdict";

uint64_t Bit(Fact fact) { return uint64_t{1} << static_cast<unsigned>(fact); }

// Line heads never change: made once per process.
struct Heads {
  std::array<std::string, kFactCount> facts;
  std::vector<std::string> failures;  // indexed by Outcome
  std::array<std::string, kWindows.size()> ratios;
  std::array<std::string, static_cast<size_t>(TextFamily::kCount)> texts;
  std::string results = LineHead("health_check_results");
  std::string last_run = LineHead("probe_last_run_timestamp_seconds");

  Heads() {
    for (const FactInfo& info : Facts()) {
      facts[static_cast<size_t>(info.fact)] = LineHead(info.family, info.label);
    }
    for (const OutcomeInfo& info : Outcomes()) {
      std::string labels;
      AppendLabel(&labels, "phase", PhaseName(info.phase));
      AppendLabel(&labels, "reason", info.reason);
      failures.push_back(LineHead("probe_failures_total", labels));
    }
    for (size_t i = 0; i < kWindows.size(); ++i) {
      std::string labels;
      AppendLabel(&labels, "window", kWindows[i].name);
      ratios[i] = LineHead("probe_success_ratio", labels);
    }
    for (const TextFamilyInfo& info : TextFamilies()) {
      texts[static_cast<size_t>(info.family)] = LineHead(info.name);
    }
  }
};

const Heads& AllHeads() {
  static const Heads heads;
  return heads;
}

}  // namespace

MetricsPage::MetricsPage(SampleSnapshot tasks, FamilySet families, Format format, WallTime now,
                         ProcessPart process, size_t sample_bytes)
    : tasks_(std::move(tasks)),
      families_(families),
      out_(format, nullptr),
      now_(now),
      process_(std::move(process)),
      latency_("probe_latency_seconds", kLatencyBounds, format),
      marks_(tasks_.size()),
      rows_(tasks_.size()) {
  Add(&MetricsPage::WriteResults, {"health_check_results", MetricType::kCounter, kResultsHelp});
  PlanFacts(families, sample_bytes);
  const bool core = families.Has(FamilyGroup::kCore);
  if (core) {
    Add(&MetricsPage::WriteFailures, {"probe_failures_total", MetricType::kCounter, kFailuresHelp});
  }
  if (families.Has(FamilyGroup::kHistogram) ||
      (families.Has(FamilyGroup::kNative) && out_.protobuf())) {
    Add(&MetricsPage::WriteLatency,
        {"probe_latency_seconds", MetricType::kHistogram, kLatencyHelp});
  }
  if (families.Has(FamilyGroup::kRatios)) {
    Add(&MetricsPage::WriteRatios, {"probe_success_ratio", MetricType::kGauge, kRatioHelp},
        FamilyGroup::kRatios);
  }
  if (core) {
    Add(&MetricsPage::WriteLastRun,
        {"probe_last_run_timestamp_seconds", MetricType::kGauge, kLastRunHelp});
  }
  for (const TextFamilyInfo& info : TextFamilies()) {
    if (!families.Has(info.group)) continue;
    Add(&MetricsPage::WriteText, {info.name, MetricType::kInfo, info.help}, info.group);
    plan_.back().text = info.family;
  }
}

void MetricsPage::Add(Visit visit, const MetricFamilyHead& family, FamilyGroup group) {
  Step step;
  step.visit = visit;
  step.family = family;
  step.group = group;
  plan_.push_back(step);
}

// Families in table order, cut into batches whose copies fit `sample_bytes` even if every task had
// every fact. The first batch also finds out every task's state, so there always is one.
void MetricsPage::PlanFacts(FamilySet families, size_t sample_bytes) {
  const size_t per_task = sample_bytes / std::max<size_t>(1, tasks_.size());
  const size_t room = std::max<size_t>(1, per_task / sizeof(double));
  const auto start_batch = [this] {
    Add(&MetricsPage::CopyFacts, {});
    return plan_.size() - 1;
  };
  size_t batch = start_batch();
  const std::span<const FactInfo> facts = Facts();
  for (size_t first = 0, next = 0; first < facts.size(); first = next) {
    uint64_t rows = 0;
    for (next = first; next < facts.size() && facts[next].family == facts[first].family; ++next) {
      if (facts[next].shown != Shown::kProbe) rows |= Bit(facts[next].fact);
    }
    if (rows == 0 || !families.Has(facts[first].group)) continue;
    const uint64_t together = plan_[batch].facts | rows;
    if (plan_[batch].facts != 0 && static_cast<size_t>(std::popcount(together)) > room) {
      batch = start_batch();
    }
    plan_[batch].facts |= rows;
    Add(&MetricsPage::WriteFacts, {facts[first].family, MetricType::kGauge, facts[first].help},
        facts[first].group);
    plan_.back().facts = rows;
  }
}

BodyStep MetricsPage::Next(std::string& chunk) {
  const size_t full = chunk.size() + kBodyChunk;
  chunk.reserve(full + 16 * 1024);
  out_.set_out(&chunk);
  size_t visits = 0;
  while (step_ < plan_.size()) {
    if (place_ == 0) StartStep();
    if (!RunStep(chunk, full, &visits)) return BodyStep::kMore;
    ++step_;
    place_ = 0;
    head_written_ = false;
  }
  if (process_) process_(out_, states_);
  out_.End();
  return BodyStep::kEnd;
}

// May run twice before the first task of a step was looked at.
void MetricsPage::StartStep() {
  const Step& step = plan_[step_];
  if (step.visit != &MetricsPage::CopyFacts) return;
  values_.clear();
  // The most there can be: address space only, pages are touched as facts turn up. Growing by
  // doubling would hold one and a half times as much at once.
  values_.reserve(tasks_.size() * static_cast<size_t>(std::popcount(step.facts)));
}

// False: the chunk is full or the slice of work used up; go on from place_ next time.
bool MetricsPage::RunStep(const std::string& chunk, size_t full, size_t* visits) {
  const Step& step = plan_[step_];
  const size_t end = tasks_.size();
  for (; place_ < end; ++place_) {
    if (chunk.size() >= full || *visits >= kVisits) return false;
    ++*visits;
    if (place_ + kPrefetchAhead < end) {
      if (const CatalogEntry* ahead = tasks_[place_ + kPrefetchAhead]) __builtin_prefetch(ahead);
      if (const CatalogEntry* near = tasks_[place_ + kPrefetchAhead / 2]) {
        __builtin_prefetch(near->labels.data());
        __builtin_prefetch(near->labels.data() + 64);
      }
    }
    if (const CatalogEntry* entry = tasks_[place_]) (this->*step.visit)(place_, *entry);
  }
  return true;
}

void MetricsPage::Head() {
  if (head_written_) return;
  out_.Begin(plan_[step_].family);
  head_written_ = true;
}

bool MetricsPage::Fresh(size_t place) const {
  const auto state = static_cast<TaskState>(marks_[place] & kStateMask);
  return state == TaskState::kUp || state == TaskState::kDown;
}

bool MetricsPage::Shows(size_t place, const CatalogEntry& entry) const {
  return Fresh(place) && entry.families.Has(plan_[step_].group);
}

void MetricsPage::CopyFacts(size_t place, const CatalogEntry& entry) {
  Row& row = rows_[place];
  row = {};
  const bool first_batch = step_ == kFirstBatch;
  if (!first_batch && !Fresh(place)) return;
  const std::optional<ProbeResult> fresh = FreshResult(*entry.task, entry.record->tally, now_);
  if (first_batch) MarkState(place, entry, fresh);
  if (!fresh) return;
  row.present = fresh->facts.present() & plan_[step_].facts;
  row.first = static_cast<uint32_t>(values_.size());
  for (uint64_t left = row.present; left != 0; left &= left - 1) {
    values_.push_back(*fresh->facts.Get(static_cast<Fact>(std::countr_zero(left))));
  }
}

// Every later pass goes by what is found here, so that a task is present in all of its families or
// in none, whatever happens to it meanwhile.
void MetricsPage::MarkState(size_t place, const CatalogEntry& entry,
                            const std::optional<ProbeResult>& fresh) {
  const TaskState state = StateOf(*entry.task, fresh);
  ++states_[static_cast<size_t>(state)];
  marks_[place] = static_cast<uint8_t>(state);
  if (fresh && entry.words && entry.words->texts_hash == fresh->texts_hash) {
    marks_[place] |= kTextsCurrent;
  }
}

void MetricsPage::WriteResults(size_t, const CatalogEntry& entry) {
  Head();
  const Tally::Counts counts = entry.record->tally.counts();
  const std::string& head = AllHeads().results;
  out_.Line(head, entry.identity(), ",status=\"success\"", counts.success);
  out_.Line(head, entry.identity(), ",status=\"failed\"", counts.failed);
}

void MetricsPage::WriteFacts(size_t place, const CatalogEntry& entry) {
  const Row& row = rows_[place];
  uint64_t left = row.present & plan_[step_].facts;
  if (left == 0 || !Shows(place, entry)) return;
  Head();
  for (; left != 0; left &= left - 1) {
    const int fact = std::countr_zero(left);
    const int rank = std::popcount(row.present & ((uint64_t{1} << fact) - 1));
    out_.Line(AllHeads().facts[static_cast<size_t>(fact)], entry.labels,
              values_[row.first + static_cast<size_t>(rank)]);
  }
}

// Inconclusive runs are the prober's own trouble: sonde_runs_inconclusive_total has them.
void MetricsPage::WriteFailures(size_t place, const CatalogEntry& entry) {
  if (!Shows(place, entry)) return;
  reasons_.clear();
  entry.record->tally.Reasons(&reasons_);
  for (const Tally::Reason& reason : reasons_) {
    if (VerdictOf(reason.outcome) != Verdict::kFailed) continue;
    Head();
    out_.Line(AllHeads().failures[static_cast<size_t>(reason.outcome)], entry.labels,
              uint64_t{reason.count});
  }
}

// One family of two groups. The classic buckets are read first: the native ones then hold every run
// of theirs, and are what the count is of.
void MetricsPage::WriteLatency(size_t place, const CatalogEntry& entry) {
  if (!Fresh(place)) return;
  const auto shows = [&](FamilyGroup group) {
    return families_.Has(group) && entry.families.Has(group);
  };
  const Tally& tally = entry.record->tally;
  const Tally::Latency latency = tally.latency();
  std::span<const uint64_t> buckets;
  if (shows(FamilyGroup::kHistogram)) buckets = latency.buckets;
  const bool native = out_.protobuf() && shows(FamilyGroup::kNative) && tally.Native(&native_);
  if (buckets.empty() && !native) return;
  Head();
  latency_.Write(out_, entry.labels, buckets, latency.sum_seconds, native ? &native_ : nullptr);
}

void MetricsPage::WriteRatios(size_t place, const CatalogEntry& entry) {
  if (!Shows(place, entry)) return;
  for (size_t i = 0; i < kWindows.size(); ++i) {
    const Tally::Ratio ratio = entry.record->tally.ratio(static_cast<Window>(i), now_);
    const std::optional<double> value = ratio.value();
    if (!value) continue;
    Head();
    out_.Line(AllHeads().ratios[i], entry.labels, *value);
  }
}

void MetricsPage::WriteLastRun(size_t place, const CatalogEntry& entry) {
  if (!Shows(place, entry)) return;
  Head();
  // A millisecond is finer than any schedule, and keeps the line short.
  const auto millis = static_cast<double>(entry.record->tally.last_run().ns / 1'000'000);
  out_.Line(AllHeads().last_run, entry.labels, millis / 1000);
}

void MetricsPage::WriteText(size_t place, const CatalogEntry& entry) {
  if (!(marks_[place] & kTextsCurrent) || !entry.words || !Shows(place, entry)) return;
  const TextFamily family = plan_[step_].text;
  for (const ShownText& text : entry.words->texts) {
    if (text.family != family) continue;
    Head();
    const std::string& head = AllHeads().texts[static_cast<size_t>(family)];
    if (text.labels.empty()) {
      out_.Line(head, entry.labels, uint64_t{1});
    } else {
      out_.Line(head, entry.labels, "," + text.labels, uint64_t{1});
    }
  }
}

}  // namespace sonde
