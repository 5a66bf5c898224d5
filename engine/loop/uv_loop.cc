#include "engine/loop/uv_loop.h"

#include <sys/epoll.h>

#include <string>

#include "absl/status/status.h"

namespace sonde {
namespace {

absl::Status UvStatus(int error, const char* what) {
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(std::string(what) + ": " + uv_strerror(error));
}

}  // namespace

absl::StatusOr<std::unique_ptr<UvLoop>> UvLoop::Make(Poller& poller) {
  std::unique_ptr<UvLoop> made(new UvLoop(poller));
  if (const absl::Status status = made->Open(); !status.ok()) return status;
  return made;
}

absl::Status UvLoop::Open() {
  if (const int error = uv_loop_init(&loop_)) return UvStatus(error, "uv_loop_init");
  loop_open_ = true;
  const int error = uv_async_init(&loop_, &wake_, [](uv_async_t*) {});  // that it woke us is all
  if (error != 0) return UvStatus(error, "uv_async_init");
  wake_open_ = true;
  uv_run(&loop_, UV_RUN_NOWAIT);  // handles reach libuv's own epoll when it runs
  if (const int failed = poller_.Add(uv_backend_fd(&loop_), EPOLLIN, this)) {
    return absl::ErrnoToStatus(failed, "epoll_ctl");
  }
  watched_ = true;
  return absl::OkStatus();
}

UvLoop::~UvLoop() {
  if (watched_) poller_.Remove(uv_backend_fd(&loop_));
  if (wake_open_) uv_close(reinterpret_cast<uv_handle_t*>(&wake_), nullptr);
  if (!loop_open_) return;
  uv_run(&loop_, UV_RUN_DEFAULT);
  uv_loop_close(&loop_);
}

}  // namespace sonde
