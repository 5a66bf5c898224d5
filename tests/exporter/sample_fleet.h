// A handful of tasks in every state the exporter can meet, at a fixed moment: for golden files, for
// the checks by foreign parsers, and as the helper of the tests here.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/engine_stats.h"
#include "engine/contract/family_set.h"
#include "exporter/catalog.h"
#include "exporter/exposition.h"
#include "exporter/metrics_page.h"

namespace sonde {

inline constexpr WallTime kSampleNow = {1'795'193'360'380'000'000};  // 2026-11-20 16:49:20.38 UTC

// A prober that has a name and nothing else; "http" and "tcp" are there.
const Prober& NamedProber(std::string_view name);

struct TaskSpec {
  std::string name = "shop";
  std::string type = "http";
  std::string target = "https://shop.example/health";
  std::string application = "shop";
  std::vector<std::pair<std::string, std::string>> labels = {};
  Duration interval = Seconds(15);
  bool enabled = true;
  TaskMetrics metrics = {};
};
std::shared_ptr<const Task> MakeTask(const TaskSpec& spec);
TaskDelta::Upsert MakeUpsert(const TaskSpec& spec);

// A finished run: success for kOk; probe_success and probe_duration_seconds are set.
ProbeResult MakeResult(Outcome outcome, Duration duration = Milliseconds(12),
                       WallTime started = kSampleNow - Seconds(5));

// Records `result` as the task's shard would.
void Record(TaskRecord& record, const ProbeResult& result);

// The whole page, with `chunk_limit` calls at most; "(endless)" beyond.
std::string RenderPage(const SampleSnapshot& tasks, Format format,
                       FamilySet families = FamilySet::All(), WallTime now = kSampleNow,
                       MetricsPage::ProcessPart process = nullptr,
                       size_t sample_bytes = MetricsPage::kSampleBytes);

// Fills `catalog` with the fleet; RenderSample writes its page, process part included.
void FillSampleCatalog(Catalog* catalog);
std::vector<ShardStats> SampleShards();
std::string RenderSample(Format format);

}  // namespace sonde
