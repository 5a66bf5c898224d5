// What finished runs say in words, on its way from the shards to the exporter's loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "engine/contract/task_set.h"

namespace sonde {

// Keeps the newest word per task, so that its size is bounded by the tasks that had something new
// to say since the last Take, and by `capacity`. Runs that succeeded with unchanged texts (nearly
// all) take no lock and no memory.
class TextsInbox : public ResultSink {
 public:
  static constexpr size_t kDetailLimit = 256;  // bytes kept of Evidence::detail

  struct Word {
    bool has_texts = false;
    uint64_t texts_hash = 0;
    Texts texts;  // when has_texts
    bool has_detail = false;
    Outcome outcome = Outcome::kOk;  // of the run `detail` is about
    std::string detail;
  };

  explicit TextsInbox(size_t capacity = 131'072) : capacity_(capacity) {}

  // Shards.
  void OnRun(const RunReport& report) override;

  // The exporter's loop: everything since the last call, by task id.
  std::unordered_map<uint64_t, Word> Take();

  // Words that did not fit. Any thread.
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Word> words_;  // under mutex_
  std::atomic<uint64_t> dropped_{0};
};

}  // namespace sonde
