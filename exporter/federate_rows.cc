#include "exporter/federate_rows.h"

#include <algorithm>
#include <limits>

#include "engine/contract/outcome.h"
#include "engine/contract/tally.h"
#include "exporter/exposition.h"

namespace sonde {
namespace {

using Rows = std::vector<FederateRow>;

std::string Label(std::string_view name, std::string_view value) {
  std::string labels;
  AppendLabel(&labels, name, value);
  return labels;
}

void Add(Rows* rows, std::string_view name, std::string labels, FederateSource source,
         FamilyGroup group, size_t index = 0) {
  rows->push_back({std::string(name), std::move(labels), source, group,
                   source == FederateSource::kResults, index});
}

void AddFacts(Rows* rows) {
  for (const FactInfo& info : Facts()) {
    if (info.shown == Shown::kProbe) continue;
    Add(rows, info.family, std::string(info.label), FederateSource::kFact, info.group,
        static_cast<size_t>(info.fact));
  }
}

void AddFailures(Rows* rows) {
  for (const OutcomeInfo& info : Outcomes()) {
    if (VerdictOf(info.outcome) != Verdict::kFailed) continue;
    std::string labels = Label("phase", PhaseName(info.phase));
    AppendLabel(&labels, "reason", info.reason);
    Add(rows, "probe_failures_total", std::move(labels), FederateSource::kFailures,
        FamilyGroup::kCore, static_cast<size_t>(info.outcome));
  }
}

void AddLatency(Rows* rows) {
  for (size_t i = 0; i < kLatencyBuckets; ++i) {
    const double bound =
        i < kLatencyBounds.size() ? kLatencyBounds[i] : std::numeric_limits<double>::infinity();
    Add(rows, "probe_latency_seconds_bucket", Label("le", BoundText(bound, false)),
        FederateSource::kBucket, FamilyGroup::kHistogram, i);
  }
  Add(rows, "probe_latency_seconds_sum", "", FederateSource::kLatencySum, FamilyGroup::kHistogram);
  Add(rows, "probe_latency_seconds_count", "", FederateSource::kLatencyCount,
      FamilyGroup::kHistogram);
}

Rows MakeRows() {
  Rows rows;
  Add(&rows, "health_check_results", Label("status", "success"), FederateSource::kResults,
      FamilyGroup::kCore, 0);
  Add(&rows, "health_check_results", Label("status", "failed"), FederateSource::kResults,
      FamilyGroup::kCore, 1);
  AddFacts(&rows);
  AddFailures(&rows);
  AddLatency(&rows);
  for (size_t i = 0; i < kWindows.size(); ++i) {
    Add(&rows, "probe_success_ratio", Label("window", kWindows[i].name), FederateSource::kRatio,
        FamilyGroup::kRatios, i);
  }
  Add(&rows, "probe_last_run_timestamp_seconds", "", FederateSource::kLastRun, FamilyGroup::kCore);
  for (const TextFamilyInfo& info : TextFamilies()) {
    Add(&rows, info.name, "", FederateSource::kText, info.group, static_cast<size_t>(info.family));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const FederateRow& a, const FederateRow& b) { return a.name < b.name; });
  return rows;
}

}  // namespace

const std::vector<FederateRow>& FederateRows() {
  static const Rows rows = MakeRows();
  return rows;
}

}  // namespace sonde
