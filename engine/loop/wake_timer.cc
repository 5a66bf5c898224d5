#include "engine/loop/wake_timer.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/status/status.h"

namespace sonde {

absl::StatusOr<std::unique_ptr<WakeTimer>> WakeTimer::Make(Poller& poller) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (timer < 0) return absl::ErrnoToStatus(errno, "timerfd_create");
  std::unique_ptr<WakeTimer> made(new WakeTimer(poller, timer));
  // Edge-triggered: each expiry is one event, and nobody has to read the count.
  if (const int error = poller.Add(timer, EPOLLIN | EPOLLET, made.get())) {
    return absl::ErrnoToStatus(error, "epoll_ctl");
  }
  return made;
}

WakeTimer::~WakeTimer() {
  poller_.Remove(timer_);
  close(timer_);
}

void WakeTimer::WakeBy(Instant at) {
  if (armed_.stamped() && armed_ <= at) return;
  armed_ = std::max(at, Instant{1});  // zero would disarm
  itimerspec spec{};
  spec.it_value.tv_sec = armed_.ns / 1'000'000'000;
  spec.it_value.tv_nsec = armed_.ns % 1'000'000'000;
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

void WakeTimer::OnReady(int, uint32_t, Instant) { armed_ = {}; }

}  // namespace sonde
