#include "exporter/probe_history.h"

#include <utility>

namespace sonde {

std::string_view ProbeVerdictName(ProbeVerdict verdict) {
  constexpr std::string_view kNames[] = {"Success", "Failure", "Inconclusive"};
  return kNames[static_cast<size_t>(verdict)];
}

std::string ProbeRecord::DebugText() const {
  std::string text = "Logs for the probe:\n";
  text.append(logs).append("\n\n\nMetrics that would have been returned:\n");
  text.append(metrics).append("\n\n\nModule configuration:\n");
  if (configuration != nullptr) text.append(*configuration);
  return text;
}

uint64_t ProbeHistory::Add(ProbeRecord record) {
  record.id = next_id_++;
  if (limit_ == 0) return record.id;
  recent_.push_back(std::move(record));
  if (recent_.size() > limit_) {
    if (recent_.front().verdict != ProbeVerdict::kSuccess) {
      preserved_.push_back(std::move(recent_.front()));
      if (preserved_.size() > limit_) preserved_.pop_front();
    }
    recent_.pop_front();
  }
  return next_id_ - 1;
}

const ProbeRecord* ProbeHistory::Find(uint64_t id) const {
  for (const auto* list : {&preserved_, &recent_}) {
    for (const ProbeRecord& record : *list) {
      if (record.id == id) return &record;
    }
  }
  return nullptr;
}

const ProbeRecord* ProbeHistory::FindTarget(std::string_view target,
                                            std::string_view module) const {
  for (const auto* list : {&preserved_, &recent_}) {
    for (const ProbeRecord& record : *list) {
      if (record.target == target && (module.empty() || record.module == module)) return &record;
    }
  }
  return nullptr;
}

std::vector<const ProbeRecord*> ProbeHistory::Listed() const {
  std::vector<const ProbeRecord*> listed;
  for (const auto* list : {&recent_, &preserved_}) {
    for (auto record = list->rbegin(); record != list->rend(); ++record) listed.push_back(&*record);
  }
  return listed;
}

}  // namespace sonde
