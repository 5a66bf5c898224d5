#include "exporter/catalog.h"

#include <algorithm>
#include <utility>

#include "engine/contract/label_name.h"
#include "exporter/exposition.h"
#include "exporter/label_text.h"

namespace sonde {
namespace {

constexpr size_t kHolesKept = 64;  // and an eighth of all places, before ranks are closed

bool IsTaskLabel(const Task& task, std::string_view name) {
  for (const std::string_view own : {"name", "type", "target", "application"}) {
    if (name == own) return true;
  }
  return std::any_of(task.labels.begin(), task.labels.end(),
                     [name](const auto& label) { return label.first == name; });
}

// A label twice in one series makes Prometheus refuse the whole scrape, and the names of expect
// labels are the user's: what clashes with the task's own labels, or came before, is left out.
std::string RenderText(const Text& text, const Task& task) {
  std::string out;
  for (size_t i = 0; i < text.labels.size(); ++i) {
    const auto& [name, value] = text.labels[i];
    const bool repeated =
        std::any_of(text.labels.begin(), text.labels.begin() + static_cast<ptrdiff_t>(i),
                    [&name = name](const auto& label) { return label.first == name; });
    const bool legal = IsLegalLabelName(name) && !name.starts_with("__");
    if (legal && !repeated && !IsTaskLabel(task, name)) AppendLabel(&out, name, value);
  }
  return out;
}

// The same for a rendered text whose task got other labels.
std::string WithoutClashes(std::string_view rendered, const Task& task) {
  std::string out;
  for (LabelReader label(rendered); label.Next();) {
    if (IsTaskLabel(task, label.name())) continue;
    if (!out.empty()) out.push_back(',');
    out.append(label.written());
  }
  return out;
}

std::shared_ptr<CatalogEntry> MakeEntry(const TaskDelta::Upsert& upsert) {
  auto entry = std::make_shared<CatalogEntry>();
  entry->record = upsert.record;
  entry->task = upsert.task;
  entry->labels = TaskLabels(*upsert.task, &entry->identity_length);
  entry->families = upsert.task->metrics.families;
  return entry;
}

// Words stay with the record: the shard says texts again only when they change.
void InheritWords(const CatalogEntry& old, CatalogEntry* entry) {
  if (!old.words || old.record != entry->record) return;
  entry->words = std::make_unique<TaskWords>(*old.words);
  if (old.task->labels == entry->task->labels) return;
  for (ShownText& text : entry->words->texts) {
    text.labels = WithoutClashes(text.labels, *entry->task);
  }
}

}  // namespace

std::string TaskLabels(const Task& task, uint32_t* identity_length) {
  std::string out;
  AppendLabel(&out, "name", task.name);
  AppendLabel(&out, "type", task.prober->name());
  *identity_length = static_cast<uint32_t>(out.size());
  AppendLabel(&out, "target", task.target);
  AppendLabel(&out, "application", task.application);
  for (const auto& [name, value] : task.labels) AppendLabel(&out, name, value);
  out.shrink_to_fit();
  return out;
}

Catalog::Catalog() : entries_(std::make_shared<SampleSnapshot::Entries>()) {}

SampleSnapshot::Entries& Catalog::Writable() {
  // Snapshots live and die on this thread, so that the count cannot grow behind our back.
  if (entries_.use_count() > 1) entries_ = std::make_shared<SampleSnapshot::Entries>(*entries_);
  return *entries_;
}

void Catalog::Apply(const TaskDelta& delta) {
  SampleSnapshot::Entries& entries = Writable();
  for (const uint64_t id : delta.removals) {
    const auto found = places_.find(id);
    if (found == places_.end()) continue;
    Count(entries[found->second]->families, -1);
    entries[found->second] = nullptr;
    places_.erase(found);
  }
  for (const TaskDelta::Upsert& upsert : delta.upserts) {
    std::shared_ptr<CatalogEntry> entry = MakeEntry(upsert);
    Count(entry->families, 1);
    const auto [found, added] =
        places_.try_emplace(upsert.task->id, static_cast<uint32_t>(entries.size()));
    if (added) {
      entries.push_back(std::move(entry));
    } else {
      Count(entries[found->second]->families, -1);
      InheritWords(*entries[found->second], entry.get());
      entries[found->second] = std::move(entry);
    }
  }
  CloseRanks();
}

void Catalog::Count(FamilySet families, int tasks) {
  for (size_t i = 0; i < kFamilyGroups; ++i) {
    if (families.Has(static_cast<FamilyGroup>(i))) showing_[i] += tasks;
  }
}

FamilySet Catalog::families() const {
  FamilySet all;
  for (size_t i = 0; i < kFamilyGroups; ++i) {
    if (showing_[i] > 0) all.Add(static_cast<FamilyGroup>(i));
  }
  return all;
}

void Catalog::CloseRanks() {
  const size_t holes = entries_->size() - places_.size();
  if (holes <= std::max(kHolesKept, entries_->size() / 8)) return;
  std::erase(*entries_, nullptr);
  for (uint32_t i = 0; i < entries_->size(); ++i) places_[(*entries_)[i]->task->id] = i;
}

void Catalog::Receive(TextsInbox& inbox) {
  for (auto& [id, word] : inbox.Take()) {
    const auto found = places_.find(id);
    if (found == places_.end()) continue;
    CatalogEntry& entry = *(*entries_)[found->second];
    if (!entry.words) entry.words = std::make_unique<TaskWords>();
    TaskWords& words = *entry.words;
    if (word.has_texts) {
      words.texts_hash = word.texts_hash;
      words.texts.clear();
      for (const Text& text : word.texts) {
        words.texts.push_back({text.family, RenderText(text, *entry.task)});
      }
    }
    if (word.has_detail) {
      words.outcome = word.outcome;
      words.detail = std::move(word.detail);
    }
  }
}

const CatalogEntry* Catalog::Find(uint64_t id) const {
  const auto found = places_.find(id);
  return found == places_.end() ? nullptr : (*entries_)[found->second].get();
}

}  // namespace sonde
