// /metrics as a stream: family by family over all tasks, in pieces, on the exporter's loop. It
// reads tallies and stops nobody.
//
// Samples of a family must stand together, so every family is one pass over the tasks. What a pass
// needs of a task's last result was copied before, in batches of families: one batch for all
// families as long as that copy stays within kSampleBytes (any fleet up to 300,000 tasks), more
// and smaller batches beyond. Within a batch a task's last result is one result; memory per scrape
// is bounded whatever the number of tasks. Counters, buckets and windows are read where they are.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/contract/family_set.h"
#include "engine/contract/instant.h"
#include "exporter/catalog.h"
#include "exporter/exposition.h"
#include "exporter/http_message.h"
#include "exporter/task_state.h"

namespace sonde {

using StateCounts = std::array<uint64_t, kTaskStates>;

class MetricsPage : public BodySource {
 public:
  static constexpr size_t kSampleBytes = 64 * 1024 * 1024;
  static constexpr size_t kVisits = 1024;  // tasks looked at in one call of Next, at most

  // Writes what is not a task's: called once, at the end, with the states counted on the way.
  using ProcessPart = std::function<void(Exposition& out, const StateCounts& states)>;

  // `families`: what is looked for; a task shows of it what its own set has (CatalogEntry). `now`
  // is the moment of the scrape. `sample_bytes` is for tests.
  MetricsPage(SampleSnapshot tasks, FamilySet families, Format format, WallTime now,
              ProcessPart process, size_t sample_bytes = kSampleBytes);

  // kMore with nothing appended is possible: a large fleet is read in slices too.
  BodyStep Next(std::string& chunk) override;

 private:
  using Visit = void (MetricsPage::*)(size_t place, const CatalogEntry& entry);

  // One pass over the tasks. A pass that writes has a family; the head is written before the first
  // sample, so that a family without samples leaves no trace.
  struct Step {
    Visit visit = nullptr;
    MetricFamilyHead family;
    FamilyGroup group = FamilyGroup::kCore;
    uint64_t facts = 0;  // rows of the fact table: what to copy, or what to write
    TextFamily text = TextFamily::kCount;
  };

  void PlanFacts(FamilySet families, size_t sample_bytes);
  void Add(Visit visit, const MetricFamilyHead& family, FamilyGroup group = FamilyGroup::kCore);
  void StartStep();
  bool RunStep(const std::string& chunk, size_t full, size_t* visits);
  void Head();
  bool Fresh(size_t place) const;
  bool Shows(size_t place, const CatalogEntry& entry) const;

  void CopyFacts(size_t place, const CatalogEntry& entry);
  void MarkState(size_t place, const CatalogEntry& entry, const std::optional<ProbeResult>& fresh);
  void WriteResults(size_t place, const CatalogEntry& entry);
  void WriteFacts(size_t place, const CatalogEntry& entry);
  void WriteFailures(size_t place, const CatalogEntry& entry);
  void WriteLatency(size_t place, const CatalogEntry& entry);
  void WriteRatios(size_t place, const CatalogEntry& entry);
  void WriteLastRun(size_t place, const CatalogEntry& entry);
  void WriteText(size_t place, const CatalogEntry& entry);

  struct Row {
    uint64_t present = 0;  // of the facts copied in this batch
    uint32_t first = 0;    // their values, packed, in values_
  };

  SampleSnapshot tasks_;
  FamilySet families_;
  Exposition out_;
  WallTime now_;
  ProcessPart process_;
  HistogramLines latency_;

  std::vector<Step> plan_;
  size_t step_ = 0;
  size_t place_ = 0;
  bool head_written_ = false;

  std::vector<uint8_t> marks_;  // per place: the state, and whether the texts are of that result
  std::vector<Row> rows_;
  std::vector<double> values_;
  std::vector<Tally::Reason> reasons_;
  NativeCounts native_;
  StateCounts states_{};
};

}  // namespace sonde
