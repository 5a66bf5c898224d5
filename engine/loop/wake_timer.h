// The one timer of a shard's loop: absolute, nanoseconds, CLOCK_MONOTONIC.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/contract/instant.h"
#include "engine/loop/poller.h"

namespace sonde {

// Makes the poller's descriptor readable at a given time. One thread only.
class WakeTimer final : private Poller::Handler {
 public:
  static absl::StatusOr<std::unique_ptr<WakeTimer>> Make(Poller& poller);
  ~WakeTimer();
  WakeTimer(const WakeTimer&) = delete;
  WakeTimer& operator=(const WakeTimer&) = delete;

  // To be woken at `at` or earlier; a time gone by means at once. Costs a system call only when the
  // timer fired since, or stands later than `at`.
  void WakeBy(Instant at);

 private:
  WakeTimer(Poller& poller, int timer) : poller_(poller), timer_(timer) {}
  void OnReady(int fd, uint32_t events, Instant at) override;

  Poller& poller_;
  int timer_;
  Instant armed_;  // unstamped: fired, or never armed
};

}  // namespace sonde
