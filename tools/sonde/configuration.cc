#include "tools/sonde/configuration.h"

#include <unordered_set>

#include "protocols/registry.h"

namespace sonde {

absl::StatusOr<LoadedFile> LoadFile(const std::string& path, Files* files) {
  absl::StatusOr<std::string> text = ReadFileBounded(path, kConfigFileLimit);
  if (!text.ok()) return text.status();
  Diagnostics diagnostics;
  LoadedFile loaded;
  loaded.file = ReadTaskFile(*text, Probers(), diagnostics);
  if (!diagnostics.ok()) return absl::InvalidArgumentError(diagnostics.ToString(path));
  loaded.warnings = diagnostics.ToString(path);
  if (files) {
    for (const std::string& named : loaded.file.files) files->Watch(named);
  }
  return loaded;
}

void PrintLines(std::FILE* to, const std::string& lines) {
  std::fwrite(lines.data(), 1, lines.size(), to);
  if (!lines.empty() && lines.back() != '\n') std::fputc('\n', to);
}

TaskDelta Configuration::Replace(const std::vector<std::shared_ptr<const Task>>& tasks) {
  TaskDelta delta;
  std::unordered_set<uint64_t> wanted;
  wanted.reserve(tasks.size());
  for (const auto& task : tasks) {
    wanted.insert(task->id);
    std::shared_ptr<TaskRecord>& record = records_[task->id];
    // A task of another type is another task, its counters start anew.
    const bool fresh = record == nullptr || record->task->prober != task->prober;
    if (!fresh && record->task->version == task->version) continue;
    if (fresh) {
      record = std::make_shared<TaskRecord>(task);
    } else {
      record->Adopt(task);
    }
    delta.upserts.push_back({record, task});
  }
  for (auto it = records_.begin(); it != records_.end();) {
    if (wanted.count(it->first) == 0) {
      delta.removals.push_back(it->first);
      it = records_.erase(it);
    } else {
      ++it;
    }
  }
  return delta;
}

}  // namespace sonde
