// What one run came to. ProbeResult is the part kept for every run; Texts and Evidence are made
// only when somebody wants them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/contract/address.h"
#include "engine/contract/fact.h"
#include "engine/contract/instant.h"
#include "engine/contract/outcome.h"

namespace sonde {

// The waterfall every protocol shares; what it means per protocol stands in docs/results.md.
enum class Stage : uint8_t { kResolve, kConnect, kTls, kWait, kTransfer, kCount };
inline constexpr size_t kStageCount = static_cast<size_t>(Stage::kCount);
std::string_view StageName(Stage stage);  // resolve, connect, tls, wait, transfer

struct ProbeResult {
  WallTime due;                         // the slot of the schedule this run belongs to
  WallTime started;                     // when it was started; minus due = lateness
  Duration duration;                    // start to verdict, by the socket's stamps
  uint64_t texts_hash = 0;              // changes when a text of this probe would; 0 = no texts
  uint32_t stage_us[kStageCount] = {};  // summed over legs
  uint8_t stages_reached = 0;           // bit per Stage
  Outcome outcome = Outcome::kProberInternal;
  bool latency_recorded = false;  // false: a gap of the prober overlapped, or the run did not pass
  uint8_t legs = 0;               // connections opened
  FactSet facts;

  Verdict verdict() const { return VerdictOf(outcome); }
  // As one just made, but that the room for facts is not wiped.
  void Reset() {
    due = started = {};
    duration = {};
    texts_hash = 0;
    for (uint32_t& stage : stage_us) stage = 0;
    stages_reached = 0;
    outcome = Outcome::kProberInternal;
    latency_recorded = false;
    legs = 0;
    facts.Reset();
  }
  // Of its bytes those that say anything: the first so many.
  size_t bytes_used() const { return offsetof(ProbeResult, facts) + facts.bytes_used(); }
  void AddStage(Stage stage, Duration time) {
    stage_us[static_cast<size_t>(stage)] += static_cast<uint32_t>(time.ns / 1000);
    stages_reached = static_cast<uint8_t>(stages_reached | (1u << static_cast<unsigned>(stage)));
  }
};
static_assert(std::is_trivially_copyable_v<ProbeResult>);

// A family whose labels are the message; exported with the value 1.
struct Text {
  TextFamily family;
  std::vector<std::pair<std::string, std::string>> labels;
};
using Texts = std::vector<Text>;

// What the prober saw, for people. Bytes are raw and hostile: whoever shows them escapes them.
struct Evidence {
  static constexpr size_t kHeadLimit = 1024;
  static constexpr size_t kBodyLimit = 512;
  Address peer;        // of the last leg; family kNone when nothing was resolved
  std::string url;     // final URL or destination, when it is not the task's target
  std::string head;    // first bytes of the answer's head (status line and headers)
  std::string body;    // first bytes of the body, or of what the peer said
  std::string detail;  // one sentence more than the outcome: which rule, which file, ...
};

}  // namespace sonde
