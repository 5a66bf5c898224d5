// What a simulated target does next on one connection, as data: a list of steps that a worker
// carries out as the peer and the clock allow.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/contract/instant.h"

namespace sonde {

struct FarmStep {
  enum class Kind : uint8_t {
    kSend,      // bytes or owned
    kFill,      // `amount` filler bytes
    kWait,      // `amount` nanoseconds
    kDrip,      // from here on one byte at a time, `amount` nanoseconds apart
    kNext,      // the answer is complete, the connection stays
    kShutdown,  // FIN (or close_notify), still reading
    kClose,     // orderly
    kCut,       // FIN without TLS's close_notify
    kReset,     // RST
    kHold,      // nothing more until the peer goes
    kSecure,    // TLS from here on (STARTTLS)
  };
  Kind kind = Kind::kNext;
  std::string_view bytes;  // of the listener: outlives the connection
  std::string owned;
  int64_t amount = 0;

  std::string_view text() const { return owned.empty() ? bytes : std::string_view(owned); }
};

class FarmSteps {
 public:
  void Send(std::string_view lasting) { Add(FarmStep::Kind::kSend).bytes = lasting; }
  void SendOwned(std::string text) { Add(FarmStep::Kind::kSend).owned = std::move(text); }
  void Fill(int64_t count) { Add(FarmStep::Kind::kFill).amount = count; }
  void Wait(Duration time) {
    if (time.ns > 0) Add(FarmStep::Kind::kWait).amount = time.ns;
  }
  void Drip(Duration pace) { Add(FarmStep::Kind::kDrip).amount = pace.ns; }
  FarmStep& Add(FarmStep::Kind kind) {
    steps_.emplace_back().kind = kind;
    return steps_.back();
  }

  FarmStep* current() { return at_ < steps_.size() ? &steps_[at_] : nullptr; }
  void Advance() {
    if (++at_ < steps_.size()) return;
    steps_.clear();
    at_ = 0;
  }
  void Clear() {
    steps_.clear();
    at_ = 0;
  }
  bool empty() const { return at_ >= steps_.size(); }
  const std::vector<FarmStep>& all() const { return steps_; }

 private:
  std::vector<FarmStep> steps_;
  size_t at_ = 0;
};

}  // namespace sonde
