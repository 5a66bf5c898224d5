// How many series /metrics will have for tasks that have not run yet. Counted by rendering: a task
// of each kind, with a result such as its prober usually reports, goes through the page itself.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "engine/contract/family_set.h"
#include "engine/contract/task.h"

namespace sonde {

struct SeriesCount {
  uint64_t results = 0;  // health_check_results, which is in no group
  std::array<uint64_t, kFamilyGroupNames.size()> groups{};

  uint64_t total() const;
};

// Any thread. Takes about a microsecond a task.
class SeriesCounter {
 public:
  // Of the groups the task shows. Counts an enabled task as one whose last run went well and whose
  // target says what its kind usually says; of the failures it may have, none was counted yet.
  // `runs`: it does so at all.
  void Add(const std::shared_ptr<const Task>& task, bool runs = true);

  const SeriesCount& count() const { return count_; }

 private:
  // Tasks alike in this have as many series each.
  struct Kind {
    const Prober* prober;
    bool runs;
    uint8_t families;
    uint64_t facts;
    uint32_t texts;
    auto operator<=>(const Kind&) const = default;
  };
  SeriesCount Render(const std::shared_ptr<const Task>& task, const UsualReport& usual,
                     bool runs) const;

  std::map<Kind, SeriesCount> kinds_;
  SeriesCount count_;
};

// Series that are no task's: the engine's with so many shards and task types, the process's. What
// the HTTP server counts about requests comes on top, a few dozen.
uint64_t CountProcessSeries(size_t shards, std::span<const std::string_view> types);

}  // namespace sonde
