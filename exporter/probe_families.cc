#include "exporter/probe_families.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "exporter/exposition.h"

namespace sonde {
namespace {

struct Series {
  std::string labels;
  double value;
};
struct Family {
  std::string_view help;
  std::vector<Series> series;
};
using Families = std::map<std::string_view, Family>;

void AddFacts(const FactSet& facts, bool details, Families* families) {
  std::string_view help;  // stands in a family's first row
  for (const FactInfo& info : Facts()) {
    if (!info.help.empty()) help = info.help;
    const auto value = facts.Get(info.fact);
    if (!value || (info.shown == Shown::kScheduled && !details)) continue;
    Family& family = (*families)[info.family];
    family.help = help;
    family.series.push_back({std::string(info.label), *value});
  }
}

void AddTexts(const Texts& texts, Families* families) {
  for (const Text& text : texts) {
    auto labels = text.labels;
    std::sort(labels.begin(), labels.end());
    std::string shown;
    for (const auto& [name, value] : labels) AppendLabel(&shown, name, value);
    const TextFamilyInfo& info = TextFamilies()[static_cast<size_t>(text.family)];
    Family& family = (*families)[info.name];
    family.help = info.help;
    family.series.push_back({std::move(shown), 1});
  }
}

void AddFailure(Outcome outcome, Families* families) {
  const OutcomeInfo& info = Info(outcome);
  std::string labels;
  AppendLabel(&labels, "phase", PhaseName(info.phase));
  AppendLabel(&labels, "reason", info.reason);
  (*families)["probe_failure_info"] = {"Where the probe failed and why", {{labels, 1}}};
}

}  // namespace

std::string ProbeFamilies(const FactSet& facts, const Texts& texts, Outcome outcome,
                          const ProbeFamiliesOptions& options) {
  Families families;
  AddFacts(facts, options.details, &families);
  AddTexts(texts, &families);
  if (options.details && outcome != Outcome::kOk) AddFailure(outcome, &families);

  std::string page;
  Exposition out(Format::kText, &page);
  for (auto& [name, family] : families) {
    std::sort(family.series.begin(), family.series.end(),
              [](const Series& a, const Series& b) { return a.labels < b.labels; });
    // Equal labels would make the whole answer unreadable.
    const auto end =
        std::unique(family.series.begin(), family.series.end(),
                    [](const Series& a, const Series& b) { return a.labels == b.labels; });
    family.series.erase(end, family.series.end());
    out.Begin({name, MetricType::kGauge, family.help});
    for (const Series& series : family.series) out.Sample(name, series.labels, series.value);
  }
  return page;
}

}  // namespace sonde
