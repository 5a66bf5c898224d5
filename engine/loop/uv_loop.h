// The libuv loop of a shard. It sits in the shard's poller as a single descriptor and runs when
// that is readable (uv_backend_fd), so that what libuv watches costs a turn nothing.
#pragma once

#include <uv.h>

#include <memory>

#include "absl/status/statusor.h"
#include "engine/loop/poller.h"

namespace sonde {

// Made, run and destroyed where the poller is.
class UvLoop final : private Poller::Handler {
 public:
  static absl::StatusOr<std::unique_ptr<UvLoop>> Make(Poller& poller);
  ~UvLoop();
  UvLoop(const UvLoop&) = delete;
  UvLoop& operator=(const UvLoop&) = delete;

  // Any thread, while this lives: the poller's next sleep ends at once. What the caller wrote
  // before is seen by who wakes up.
  void Wake() { uv_async_send(&wake_); }

 private:
  explicit UvLoop(Poller& poller) : poller_(poller) {}
  absl::Status Open();
  void OnReady(int, uint32_t, Instant) override { uv_run(&loop_, UV_RUN_NOWAIT); }

  Poller& poller_;
  uv_loop_t loop_{};
  uv_async_t wake_{};
  bool loop_open_ = false, wake_open_ = false, watched_ = false;
};

}  // namespace sonde
