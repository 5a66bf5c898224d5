#include "engine/loop/clock_watch.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "absl/status/status.h"

namespace sonde {

Duration WallMinusMonotonic() {
  // The reading with the least time between its two stamps is the truest.
  Duration best{}, shortest{std::numeric_limits<int64_t>::max()};
  for (int i = 0; i < 5; ++i) {
    const Instant before = MonotonicNow();
    const WallTime wall = WallNow();
    const Duration took = MonotonicNow() - before;
    if (took >= shortest) continue;
    shortest = took;
    best = {wall.ns - before.ns - took.ns / 2};
  }
  return best;
}

absl::StatusOr<std::unique_ptr<ClockWatch>> ClockWatch::Make(
    Poller& poller, std::function<void(Duration)> stepped) {
  const int timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (timer < 0) return absl::ErrnoToStatus(errno, "timerfd_create");
  std::unique_ptr<ClockWatch> watch(new ClockWatch(poller, timer, std::move(stepped)));
  if (!watch->Arm()) return absl::ErrnoToStatus(errno, "timerfd_settime");
  if (const int error = poller.Add(timer, EPOLLIN | EPOLLET, watch.get())) {
    return absl::ErrnoToStatus(error, "epoll_ctl");
  }
  return watch;
}

ClockWatch::ClockWatch(Poller& poller, int timer, std::function<void(Duration)> stepped)
    : poller_(poller), timer_(timer), stepped_(std::move(stepped)) {}

ClockWatch::~ClockWatch() {
  poller_.Remove(timer_);
  close(timer_);
}

bool ClockWatch::Arm() {
  itimerspec never{};
  never.it_value.tv_sec = std::numeric_limits<int32_t>::max();
  never.it_value.tv_sec *= 2;                // year 2106
  for (int tries = 0; tries < 4; ++tries) {  // ECANCELED: armed, but the clock was set meanwhile
    if (timerfd_settime(timer_, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr) ==
        0) {
      return true;
    }
    if (errno != ECANCELED) return false;
  }
  return true;
}

void ClockWatch::OnReady(int fd, uint32_t, Instant) {
  uint64_t expirations;
  // Armed before the clocks are read: a step in between is told once more, none is missed.
  const bool cancelled = read(fd, &expirations, sizeof expirations) < 0 && errno == ECANCELED;
  Arm();
  if (cancelled) stepped_(WallMinusMonotonic());
}

}  // namespace sonde
