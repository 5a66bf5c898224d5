#include "exporter/federate_page.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "exporter/label_text.h"
#include "exporter/number_text.h"
#include "exporter/task_state.h"

namespace sonde {
namespace {

constexpr std::string_view kInstance = "instance";

// The labels every task's series has, and those of series that are there without a result.
constexpr std::string_view kTaskBlock = R"(name="",type="",target="",application="")";
constexpr std::string_view kIdentityBlock = R"(name="",type="")";

std::string_view BlockOf(const FederateRow& row) {
  return row.always ? kIdentityBlock : kTaskBlock;
}

void AppendMillis(std::string* out, WallTime at) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, at.ns / 1'000'000);
  out->append(digits, static_cast<size_t>(end.ptr - digits));
}

WallTime EndOf(const ProbeResult& result) { return result.started + result.duration; }

}  // namespace

FederatePage::FederatePage(SampleSnapshot tasks, const std::vector<Selector>& selectors,
                           ExternalLabels external, WallTime now, MetricsPage::ProcessPart process)
    : tasks_(std::move(tasks)),
      external_(std::move(external)),
      now_(now),
      process_(std::move(process)),
      marks_(tasks_.size()) {
  for (const Selector& selector : selectors) {
    const size_t first = matchers_.size();
    matchers_.insert(matchers_.end(), selector.begin(), selector.end());
    selectors_.push_back({first, matchers_.size()});
  }
  for (size_t i = 0; i < matchers_.size(); ++i) {
    absent_[i] = matchers_[i].Matches("");
    if (matchers_[i].name() != kMetricName) task_cost_ += matchers_[i].cost();
  }
  const bool instance = std::any_of(external_.begin(), external_.end(),
                                    [](const auto& label) { return label.first == kInstance; });
  if (!instance) external_.emplace_back(kInstance, "");
  std::sort(external_.begin(), external_.end());
}

BodyStep FederatePage::Next(std::string& chunk) {
  if (selectors_.empty()) return BodyStep::kEnd;
  const size_t full = chunk.size() + kBodyChunk;
  size_t work = 0;
  if (!planned_) {
    if (!MarkTasks(&work)) return BodyStep::kMore;
    Plan();
  }
  out_ = &chunk;
  while (step_ < steps_.size()) {
    if (!RunStep(full, &work)) return BodyStep::kMore;
    ++step_;
    place_ = 0;
    head_written_ = false;
  }
  return BodyStep::kEnd;
}

// ---- what is chosen -----------------------------------------------------------------------------

// False: the slice of work is used up.
bool FederatePage::MarkTasks(size_t* work) {
  for (; place_ < tasks_.size(); ++place_) {
    if (*work >= kWork) return false;
    *work += task_cost_;
    if (const CatalogEntry* entry = tasks_[place_]) MarkTask(*entry, &marks_[place_]);
  }
  place_ = 0;
  return true;
}

void FederatePage::MarkTask(const CatalogEntry& entry, Mark* mark) {
  const Task& task = *entry.task;
  const Tally& tally = entry.record->tally;
  mark->there = true;
  mark->held = absent_;
  for (LabelReader label(entry.labels); label.Next();) {
    for (size_t i = 0; i < matchers_.size(); ++i) {
      if (matchers_[i].name() == label.name()) mark->held[i] = matchers_[i].Matches(label.value());
    }
  }
  for (const auto& [name, value] : external_) {
    mark->clash |= std::any_of(task.labels.begin(), task.labels.end(),
                               [&name = name](const auto& label) { return label.first == name; });
  }
  const std::optional<ProbeResult> fresh = FreshResult(task, tally, now_);
  ++states_[static_cast<size_t>(StateOf(task, fresh))];
  mark->fresh = fresh && now_ - EndOf(*fresh) <= kOldest;
  const WallTime ended = tally.last_run();
  mark->counted = ended.ns == 0 || now_ - ended <= std::min(StaleAfter(task), kOldest);
}

// Whether a selector can choose series of this name with these constant labels. `row`: of a task,
// whose own labels then decide by the matchers of `mask`; null: there are no other labels.
bool FederatePage::Fits(const Range& selector, std::string_view name, std::string_view constant,
                        const FederateRow* row, MatcherSet* mask) const {
  for (size_t i = selector.first; i < selector.last; ++i) {
    const LabelMatcher& matcher = matchers_[i];
    bool holds = absent_[i];
    if (matcher.name() == kMetricName) {
      holds = matcher.Matches(name);
    } else {
      bool constant_label = false;
      for (LabelReader label(constant); label.Next() && !constant_label;) {
        constant_label = label.name() == matcher.name();
        if (constant_label) holds = matcher.Matches(label.value());
      }
      const bool of_task =
          row != nullptr && (!row->always || HasLabel(kIdentityBlock, matcher.name()));
      if (!constant_label && of_task) {
        mask->set(i);
        continue;
      }
    }
    if (!holds) return false;
  }
  return true;
}

// External labels that stand in none of the three blocks, each after a comma.
std::string FederatePage::Suffix(std::string_view constant, std::string_view labels,
                                 std::string_view more) const {
  std::string suffix;
  for (const auto& [name, value] : external_) {
    if (HasLabel(constant, name) || HasLabel(labels, name) || HasLabel(more, name)) continue;
    std::string label;
    AppendLabel(&label, name, value);
    suffix.append(",").append(label);
  }
  return suffix;
}

void FederatePage::Plan() {
  PlanRows();
  PlanProcess();
  planned_ = true;
}

void FederatePage::PlanRows() {
  for (const FederateRow& row : FederateRows()) {
    Choice choice;
    choice.row = &row;
    for (const Range& selector : selectors_) {
      MatcherSet mask;
      if (!Fits(selector, row.name, row.labels, &row, &mask)) continue;
      choice.masks.push_back(mask);
      choice.selectors.push_back(selector);
    }
    if (choice.masks.empty()) continue;
    choice.head = LineHead(row.name, row.labels);
    choice.suffix = Suffix(row.labels, BlockOf(row), {});
    if (steps_.empty() || steps_.back().name != row.name) steps_.push_back({row.name, {}, {}});
    steps_.back().choices.push_back(std::move(choice));
  }
}

// The process's own series, as /metrics has them, line by line.
void FederatePage::PlanProcess() {
  std::string page;
  Exposition out(Format::kText, &page);
  if (process_) process_(out, states_);
  std::map<std::string, Step, std::less<>> steps;
  for (Step& step : steps_) steps.emplace(step.name, std::move(step));
  std::string_view rest = page;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.empty() || line.front() == '#') continue;
    const std::string_view name = line.substr(0, line.find_first_of("{ "));
    const size_t blank = line.rfind(' ');  // numbers have none
    std::string_view labels;
    if (line[name.size()] == '{') labels = line.substr(name.size() + 1, blank - name.size() - 2);
    const bool chosen = std::any_of(selectors_.begin(), selectors_.end(), [&](const Range& range) {
      return Fits(range, name, labels, nullptr, nullptr);
    });
    if (!chosen) continue;
    Step& step = steps.try_emplace(std::string(name)).first->second;
    step.name = name;
    std::string block(labels);
    block += Suffix(labels, {}, {});
    if (labels.empty() && !block.empty()) block.erase(0, 1);  // the comma
    step.ready.append(name);
    if (!block.empty()) step.ready.append("{").append(block).append("}");
    step.ready.append(line.substr(blank)).append(" ");
    AppendMillis(&step.ready, now_);
    step.ready.push_back('\n');
  }
  steps_.clear();
  for (auto& [name, step] : steps) steps_.push_back(std::move(step));
}

// ---- what is written ----------------------------------------------------------------------------

// False: the chunk is full or the slice of work used up; go on from place_ next time.
bool FederatePage::RunStep(size_t full, size_t* work) {
  const Step& step = steps_[step_];
  const size_t end = step.choices.empty() ? 0 : tasks_.size();
  for (; place_ < end; ++place_) {
    if (out_->size() >= full || *work >= kWork) return false;
    *work += step.choices.size();
    if (marks_[place_].there) WriteTask(step, *tasks_[place_], marks_[place_]);
  }
  if (step.ready.empty()) return true;
  if (!head_written_) out_->append("# TYPE ").append(step.name).append(" untyped\n");
  out_->append(step.ready);
  return true;
}

FederatePage::Writer FederatePage::WriterOf(FederateSource source) {
  constexpr std::array<Writer, 9> kWriters = {
      &FederatePage::WriteResults, &FederatePage::WriteFacts,   &FederatePage::WriteFailures,
      &FederatePage::WriteBuckets, &FederatePage::WriteSum,     &FederatePage::WriteCount,
      &FederatePage::WriteRatios,  &FederatePage::WriteLastRun, &FederatePage::WriteTexts};
  static_assert(kWriters.size() == static_cast<size_t>(FederateSource::kText) + 1);
  return kWriters[static_cast<size_t>(source)];
}

// A number and its stamp must be of the same run, for the next answer may give that stamp again:
// with another number Prometheus would refuse it.
void FederatePage::WriteTask(const Step& step, const CatalogEntry& entry, const Mark& mark) {
  constexpr int kTries = 4;
  const FederateRow& row = *step.choices.front().row;
  const bool shown = row.always ? mark.counted : mark.fresh && entry.families.Has(row.group);
  if (!shown) return;
  const Writer writer = WriterOf(row.source);
  const size_t begin = out_->size();
  const bool head = head_written_;
  for (int i = 0; i < kTries; ++i) {
    const WallTime ended = entry.record->tally.last_run();
    (this->*writer)(step, entry, mark, ended.ns == 0 ? now_ : ended);
    if (entry.record->tally.last_run() == ended || i + 1 == kTries) return;
    out_->resize(begin);
    head_written_ = head;
  }
}

bool FederatePage::Chosen(const Line& line) const {
  if (!line.more.empty()) return ChosenWithMore(line);
  const MatcherSet& held = line.mark.held;
  return std::any_of(line.choice.masks.begin(), line.choice.masks.end(),
                     [&held](const MatcherSet& mask) { return (held & mask) == mask; });
}

// A label of the text comes before what the task's labels say, which do not have it.
bool FederatePage::ChosenWithMore(const Line& line) const {
  MatcherSet held = line.mark.held;
  for (LabelReader label(line.more); label.Next();) {
    for (const Range& selector : line.choice.selectors) {
      for (size_t i = selector.first; i < selector.last; ++i) {
        if (matchers_[i].name() == label.name()) held[i] = matchers_[i].Matches(label.value());
      }
    }
  }
  return std::any_of(line.choice.masks.begin(), line.choice.masks.end(),
                     [&held](const MatcherSet& mask) { return (held & mask) == mask; });
}

template <typename Number>
void FederatePage::Write(const Step& step, const Line& line, Number value, WallTime at) {
  if (!Chosen(line)) return;
  if (!head_written_) out_->append("# TYPE ").append(step.name).append(" untyped\n");
  head_written_ = true;
  const FederateRow& row = *line.choice.row;
  const std::string_view labels =
      row.always ? line.entry.identity() : std::string_view(line.entry.labels);
  out_->append(line.choice.head).append(labels);
  if (!line.more.empty()) out_->append(",").append(line.more);
  if (!line.more.empty() || (line.mark.clash && !row.always)) {
    out_->append(Suffix(row.labels, labels, line.more));
  } else {
    out_->append(line.choice.suffix);
  }
  char number[kNumberBytes];
  out_->append("} ").append(number, static_cast<size_t>(WriteNumber(number, value) - number));
  out_->push_back(' ');
  AppendMillis(out_, at);
  out_->push_back('\n');
}

void FederatePage::WriteResults(const Step& step, const CatalogEntry& entry, const Mark& mark,
                                WallTime at) {
  const Tally::Counts counts = entry.record->tally.counts();
  for (const Choice& choice : step.choices) {
    Write(step, {choice, entry, mark, {}}, choice.row->index == 0 ? counts.success : counts.failed,
          at);
  }
}

void FederatePage::WriteFacts(const Step& step, const CatalogEntry& entry, const Mark& mark,
                              WallTime) {
  const std::optional<ProbeResult> last = entry.record->tally.last();
  if (!last) return;
  for (const Choice& choice : step.choices) {
    const auto value = last->facts.Get(static_cast<Fact>(choice.row->index));
    if (value) Write(step, {choice, entry, mark, {}}, *value, EndOf(*last));
  }
}

void FederatePage::WriteFailures(const Step& step, const CatalogEntry& entry, const Mark& mark,
                                 WallTime at) {
  reasons_.clear();
  entry.record->tally.Reasons(&reasons_);
  for (const Tally::Reason& reason : reasons_) {
    for (const Choice& choice : step.choices) {
      if (choice.row->index != static_cast<size_t>(reason.outcome)) continue;
      Write(step, {choice, entry, mark, {}}, uint64_t{reason.count}, at);
    }
  }
}

void FederatePage::WriteBuckets(const Step& step, const CatalogEntry& entry, const Mark& mark,
                                WallTime at) {
  const Tally::Latency latency = entry.record->tally.latency();
  std::array<uint64_t, kLatencyBuckets> below{};
  uint64_t count = 0;
  for (size_t i = 0; i < kLatencyBuckets; ++i) below[i] = count += latency.buckets[i];
  for (const Choice& choice : step.choices) {
    Write(step, {choice, entry, mark, {}}, below[choice.row->index], at);
  }
}

void FederatePage::WriteSum(const Step& step, const CatalogEntry& entry, const Mark& mark,
                            WallTime at) {
  Write(step, {step.choices.front(), entry, mark, {}}, entry.record->tally.latency().sum_seconds,
        at);
}

void FederatePage::WriteCount(const Step& step, const CatalogEntry& entry, const Mark& mark,
                              WallTime at) {
  Write(step, {step.choices.front(), entry, mark, {}}, entry.record->tally.latency().count, at);
}

// Windows that end with the run, not with the request: they would change under the same stamp.
void FederatePage::WriteRatios(const Step& step, const CatalogEntry& entry, const Mark& mark,
                               WallTime at) {
  for (const Choice& choice : step.choices) {
    const auto window = static_cast<Window>(choice.row->index);
    const std::optional<double> value = entry.record->tally.ratio(window, at).value();
    if (value) Write(step, {choice, entry, mark, {}}, *value, at);
  }
}

void FederatePage::WriteLastRun(const Step& step, const CatalogEntry& entry, const Mark& mark,
                                WallTime at) {
  const auto millis = static_cast<double>(at.ns / 1'000'000);
  Write(step, {step.choices.front(), entry, mark, {}}, millis / 1000, at);
}

void FederatePage::WriteTexts(const Step& step, const CatalogEntry& entry, const Mark& mark,
                              WallTime) {
  const std::optional<ProbeResult> last = entry.record->tally.last();
  if (!last || !entry.words || entry.words->texts_hash != last->texts_hash) return;
  const Choice& choice = step.choices.front();
  for (const ShownText& text : entry.words->texts) {
    if (static_cast<size_t>(text.family) != choice.row->index) continue;
    Write(step, {choice, entry, mark, text.labels}, uint64_t{1}, EndOf(*last));
  }
}

}  // namespace sonde
