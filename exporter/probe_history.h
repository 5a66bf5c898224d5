// What /probe did lately, for people: the landing page lists it, /logs shows one of it whole
// (blackbox_contract 2.5 and 2.6). Memory only. Loop thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sonde {

enum class ProbeVerdict : uint8_t { kSuccess, kFailure, kInconclusive };
std::string_view ProbeVerdictName(ProbeVerdict verdict);  // Success, Failure, Inconclusive

struct ProbeRecord {
  uint64_t id = 0;
  std::string module;
  std::string target;
  ProbeVerdict verdict = ProbeVerdict::kFailure;
  std::string logs;                                  // a line each
  std::string metrics;                               // as it was, or would have been, answered
  std::shared_ptr<const std::string> configuration;  // the module as it was, shared by its probes

  // The three blocks of `debug=true`.
  std::string DebugText() const;
};

// Two lists of at most `limit` records: the recent ones, and those that did not succeed and were
// pushed out of the recent list.
class ProbeHistory {
 public:
  explicit ProbeHistory(size_t limit) : limit_(limit) {}

  // Numbers the record and keeps it. Ids count from 0, also while nothing is kept.
  uint64_t Add(ProbeRecord record);

  const ProbeRecord* Find(uint64_t id) const;  // null: not there, or no longer; until the next Add
  // The oldest one kept of that target; `module` "" stands for any.
  const ProbeRecord* FindTarget(std::string_view target, std::string_view module) const;

  // Newest first.
  std::vector<const ProbeRecord*> Listed() const;

 private:
  const size_t limit_;
  uint64_t next_id_ = 0;
  std::deque<ProbeRecord> preserved_, recent_;  // oldest first
};

}  // namespace sonde
