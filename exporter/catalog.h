// The exporter's view of the tasks: in a stable order, with everything rendered that does not
// change from run to run. Loop thread only; the tallies behind it are written by the shards.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/contract/family_set.h"
#include "engine/contract/task_set.h"
#include "exporter/texts_inbox.h"

namespace sonde {

// A text as it stands in its series: `version="TLS 1.3"`, escaped, without the task's own labels.
struct ShownText {
  TextFamily family;
  std::string labels;
};

// The last words of a task. Written by Catalog::Receive.
struct TaskWords {
  uint64_t texts_hash = 0;
  std::vector<ShownText> texts;
  Outcome outcome = Outcome::kOk;  // of the run `detail` is about
  std::string detail;
};

// One task at one version. All but `words` is immutable; a changed task gets a new entry.
struct CatalogEntry {
  std::shared_ptr<TaskRecord> record;
  std::shared_ptr<const Task> task;
  // name="..",type="..",target="..",application="..", then the task's own; escaped, no braces.
  std::string labels;
  uint32_t identity_length = 0;      // of `name="..",type=".."` at the front
  FamilySet families;                // what it shows: the task's, at hand
  std::unique_ptr<TaskWords> words;  // null: nothing was said yet

  std::string_view identity() const { return std::string_view(labels).substr(0, identity_length); }
};

// The tasks as they stood at one moment. Copying is cheap; a task removed meanwhile stays valid
// until the last snapshot holding it goes.
class SampleSnapshot {
 public:
  using Entries = std::vector<std::shared_ptr<CatalogEntry>>;

  SampleSnapshot() = default;
  explicit SampleSnapshot(std::shared_ptr<const Entries> entries) : entries_(std::move(entries)) {}

  // Places, not tasks: a place a removed task left is null until the catalog closes ranks.
  size_t size() const { return entries_ ? entries_->size() : 0; }
  const CatalogEntry* operator[](size_t i) const { return (*entries_)[i].get(); }

 private:
  std::shared_ptr<const Entries> entries_;
};

class Catalog {
 public:
  Catalog();

  // The delta the engine gets, before the engine gets it (what a task's first run says would find
  // no entry otherwise). New tasks are added at the end, changed ones keep their place and, with
  // the same record, their words.
  void Apply(const TaskDelta& delta);

  // Takes what the shards said since the last call. Words about unknown tasks are dropped.
  void Receive(TextsInbox& inbox);

  SampleSnapshot Snapshot() const { return SampleSnapshot(entries_); }
  size_t size() const { return places_.size(); }
  // Every group that some task shows.
  FamilySet families() const;
  const CatalogEntry* Find(uint64_t id) const;  // null: no such task; valid until the next Apply

 private:
  SampleSnapshot::Entries& Writable();
  void CloseRanks();
  void Count(FamilySet families, int tasks);

  std::shared_ptr<SampleSnapshot::Entries> entries_;  // copied before a write while shared
  absl::flat_hash_map<uint64_t, uint32_t> places_;    // id -> place
  std::array<int64_t, kFamilyGroups> showing_{};      // tasks per group
};

// The label block of a task; sets *identity_length.
std::string TaskLabels(const Task& task, uint32_t* identity_length);

}  // namespace sonde
