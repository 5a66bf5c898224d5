// /federate as a stream: the series that selectors choose, in text 0.0.4, name by name over all
// tasks, in pieces, on the exporter's loop. Like /metrics it reads tallies and stops nobody.
//
// As another Prometheus would answer: names in order, every series `untyped`, each sample with the
// millisecond it is of, the external labels a series does not have itself, and an empty `instance`
// where there is none.
//
// A task's samples are as of the end of its run: values of the last conclusive result of that one,
// counters, buckets and windows of the last run of any verdict. What is of no run (a counter before
// the first one, the process's own series) is as of the request. What is older than kOldest, or too
// old to speak for its task, is left out: Prometheus takes it from nobody.
//
// Memory: kTaskBytes per task and request, whatever is selected.
#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/contract/instant.h"
#include "exporter/catalog.h"
#include "exporter/federate_rows.h"
#include "exporter/http_message.h"
#include "exporter/metrics_page.h"
#include "exporter/selector.h"

namespace sonde {

using ExternalLabels = std::vector<std::pair<std::string, std::string>>;

class FederatePage : public BodySource {
 public:
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";
  static constexpr Duration kOldest = Hours(1);
  static constexpr size_t kWork = 1024;  // comparisons and tasks of one call of Next, about

  // `external`: names legal and unique. `process`: what is not a task's; called once.
  FederatePage(SampleSnapshot tasks, const std::vector<Selector>& selectors,
               ExternalLabels external, WallTime now, MetricsPage::ProcessPart process);

  // kMore with nothing appended is possible.
  BodyStep Next(std::string& chunk) override;

 private:
  using MatcherSet = std::bitset<SelectorLimits::kMatchers>;

  // What is known of a task after the first pass.
  struct Mark {
    MatcherSet held;       // matchers that its labels fulfil
    bool there = false;    // and not removed
    bool fresh = false;    // its last conclusive result speaks for it
    bool counted = false;  // its counters are of now, or of a run that is not too old
    bool clash = false;    // an external label is among its own
  };
  static constexpr size_t kTaskBytes = sizeof(Mark);

  // Matchers [first, last) of matchers_.
  struct Range {
    size_t first, last;
  };

  // A row that some selector can choose.
  struct Choice {
    const FederateRow* row;
    std::string head;               // `name{phase="tls",`
    std::string suffix;             // external labels, for tasks that have none of them
    std::vector<MatcherSet> masks;  // one of them must hold
    std::vector<Range> selectors;   // the same, for labels that are not the task's
  };
  // All series of one name.
  struct Step {
    std::string name;
    std::vector<Choice> choices;  // of tasks
    std::string ready;            // of the process
  };

  // A sample's place: the line without its number.
  struct Line {
    const Choice& choice;
    const CatalogEntry& entry;
    const Mark& mark;
    std::string_view more;  // rendered labels that are neither constant nor the task's
  };

  bool MarkTasks(size_t* work);
  void MarkTask(const CatalogEntry& entry, Mark* mark);
  void Plan();
  void PlanRows();
  void PlanProcess();
  bool Fits(const Range& selector, std::string_view name, std::string_view constant,
            const FederateRow* row, MatcherSet* mask) const;
  std::string Suffix(std::string_view constant, std::string_view labels,
                     std::string_view more) const;

  bool RunStep(size_t full, size_t* work);
  void WriteTask(const Step& step, const CatalogEntry& entry, const Mark& mark);
  // One for each source; `at`: the end of the task's last run.
  using Writer = void (FederatePage::*)(const Step& step, const CatalogEntry& entry,
                                        const Mark& mark, WallTime at);
  static Writer WriterOf(FederateSource source);
  void WriteResults(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteFacts(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteFailures(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteBuckets(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteSum(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteCount(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteRatios(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteLastRun(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  void WriteTexts(const Step& step, const CatalogEntry& entry, const Mark& mark, WallTime at);
  bool Chosen(const Line& line) const;
  bool ChosenWithMore(const Line& line) const;
  template <typename Number>
  void Write(const Step& step, const Line& line, Number value, WallTime at);

  SampleSnapshot tasks_;
  std::vector<LabelMatcher> matchers_;  // of all selectors
  std::vector<Range> selectors_;
  MatcherSet absent_;  // matchers that a label that is not there fulfils
  size_t task_cost_ = 1;
  ExternalLabels external_;
  WallTime now_;
  MetricsPage::ProcessPart process_;

  std::vector<Mark> marks_;
  StateCounts states_{};
  std::vector<Step> steps_;
  bool planned_ = false;
  size_t place_ = 0;  // of the pass going on
  size_t step_ = 0;
  bool head_written_ = false;
  std::string* out_ = nullptr;  // the chunk, during Next
  std::vector<Tally::Reason> reasons_;
};

}  // namespace sonde
