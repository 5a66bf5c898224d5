#include "exporter/texts_inbox.h"

#include <utility>

namespace sonde {

void TextsInbox::OnRun(const RunReport& report) {
  if (report.texts == nullptr && report.evidence == nullptr) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  auto found = words_.find(report.task.id);
  if (found == words_.end()) {
    if (words_.size() >= capacity_) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    found = words_.try_emplace(report.task.id).first;
  }
  Word& word = found->second;
  if (report.texts != nullptr) {
    word.has_texts = true;
    word.texts_hash = report.result.texts_hash;
    word.texts = *report.texts;
  }
  if (report.evidence != nullptr) {
    word.has_detail = true;
    word.outcome = report.result.outcome;
    word.detail.assign(report.evidence->detail, 0, kDetailLimit);
  }
}

std::unordered_map<uint64_t, TextsInbox::Word> TextsInbox::Take() {
  std::unordered_map<uint64_t, Word> taken;
  const std::lock_guard<std::mutex> lock(mutex_);
  taken.swap(words_);
  return taken;
}

}  // namespace sonde
