// Notices when somebody sets the wall clock.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/contract/instant.h"
#include "engine/loop/poller.h"

namespace sonde {

// CLOCK_REALTIME minus CLOCK_MONOTONIC, to a microsecond or so. Any thread.
Duration WallMinusMonotonic();

// A timer on CLOCK_REALTIME that never fires, but is cancelled by the kernel when that clock is set
// (TFD_TIMER_CANCEL_ON_SET). Slewing does not count: it moves both clocks.
class ClockWatch final : private Poller::Handler {
 public:
  // `stepped` is called on the poller's thread with the new difference. The poller outlives this.
  static absl::StatusOr<std::unique_ptr<ClockWatch>> Make(Poller& poller,
                                                          std::function<void(Duration)> stepped);
  ~ClockWatch();
  ClockWatch(const ClockWatch&) = delete;
  ClockWatch& operator=(const ClockWatch&) = delete;

 private:
  ClockWatch(Poller& poller, int timer, std::function<void(Duration)> stepped);
  void OnReady(int fd, uint32_t events, Instant at) override;
  bool Arm();

  Poller& poller_;
  int timer_;
  std::function<void(Duration)> stepped_;
};

}  // namespace sonde
