#include "exporter/series_count.h"

#include <numeric>
#include <string>
#include <vector>

#include "engine/contract/engine_stats.h"
#include "exporter/engine_families.h"
#include "exporter/headroom_watch.h"
#include "exporter/metrics_page.h"
#include "exporter/process_metrics.h"
#include "exporter/self_metrics.h"

namespace sonde {
namespace {

constexpr WallTime kRendered{1'790'000'000'000'000'000};  // any time will do
constexpr size_t kDroppedQueues = 2;                      // sonde_messages_dropped_total

uint64_t CountSamples(std::string_view page) {
  uint64_t count = 0;
  for (size_t at = 0; at < page.size();) {
    if (page[at] != '#') ++count;
    const size_t end = page.find('\n', at);
    at = end == std::string_view::npos ? page.size() : end + 1;
  }
  return count;
}

uint64_t CountPage(const Catalog& catalog, FamilySet families) {
  MetricsPage page(catalog.Snapshot(), families, Format::kText, kRendered, nullptr);
  std::string text;
  while (page.Next(text) == BodyStep::kMore) {}
  return CountSamples(text);
}

}  // namespace

uint64_t SeriesCount::total() const {
  return std::accumulate(groups.begin(), groups.end(), results);
}

void SeriesCounter::Add(const std::shared_ptr<const Task>& task, bool runs) {
  const UsualReport usual = task->prober->Usual(*task);
  const Kind kind{task->prober, runs && task->enabled, task->metrics.families.bits(),
                  usual.facts.present(), usual.texts};
  auto found = kinds_.find(kind);
  if (found == kinds_.end()) found = kinds_.emplace(kind, Render(task, usual, kind.runs)).first;
  count_.results += found->second.results;
  for (size_t i = 0; i < count_.groups.size(); ++i) count_.groups[i] += found->second.groups[i];
}

SeriesCount SeriesCounter::Render(const std::shared_ptr<const Task>& task, const UsualReport& usual,
                                  bool runs) const {
  ProbeResult result;
  result.outcome = Outcome::kOk;
  result.started = kRendered;
  result.facts = usual.facts;
  for (const Fact fact : {Fact::kSuccess, Fact::kDuration, Fact::kTimeout}) {
    result.facts.Set(fact, 0);
  }
  result.texts_hash = 1;
  Texts texts;
  for (const TextFamilyInfo& info : TextFamilies()) {
    if (usual.texts >> static_cast<unsigned>(info.family) & 1) texts.push_back({info.family, {}});
  }
  TaskDelta delta;
  delta.upserts.push_back({std::make_shared<TaskRecord>(task), task});
  if (runs) delta.upserts[0].record->tally.Record(result, kRendered);
  Catalog catalog;
  catalog.Apply(delta);
  TextsInbox inbox;
  inbox.OnRun({*task, result, &texts, nullptr});
  catalog.Receive(inbox);

  SeriesCount count;
  count.results = CountPage(catalog, FamilySet::None());
  for (size_t i = 0; i < count.groups.size(); ++i) {
    const auto group = static_cast<FamilyGroup>(i);
    if (!task->metrics.families.Has(group)) continue;
    FamilySet one = FamilySet::None();
    one.Add(group);
    count.groups[i] = CountPage(catalog, one) - count.results;
  }
  return count;
}

uint64_t CountProcessSeries(size_t shards, std::span<const std::string_view> types) {
  std::vector<ShardStats> stats(shards);
  for (ShardStats& shard : stats) {
    for (const std::string_view type : types) shard.types.push_back({type, {}});
  }
  std::string text;
  Exposition out(Format::kText, &text);
  WriteEngineFamilies(out, stats);
  SelfMetrics self(BuildInfo{});
  self.SetReload(true, kRendered);
  self.Write(out);
  WriteProcessFamilies(out, ProcessNumbers{});
  return CountSamples(text) + kTaskStates + kDroppedQueues + HeadroomWatch::kSeries;
}

}  // namespace sonde
