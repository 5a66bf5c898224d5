// A timer every millisecond and nothing else: how late this machine wakes anybody.
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "bench/limits/limits.h"

namespace sonde::limits {

void RunTimer(const Options& options) {
  constexpr int64_t kEachNs = 1'000'000;
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (fd < 0) Die("timerfd_create", errno);
  Lateness late;
  Meter meter(options);
  int64_t due = NowNs();
  while (meter.Going()) {
    due += kEachNs;  // what a pause made late is late, each step of it
    const itimerspec at{.it_value = {due / 1'000'000'000, due % 1'000'000'000}};
    uint64_t ticks = 0;
    if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, nullptr) != 0 ||
        read(fd, &ticks, sizeof ticks) != sizeof ticks) {
      Die("timerfd", errno);
    }
    late.Add(NowNs() - due);
    meter.Done();
  }
  close(fd);
  meter.Print("timer", late.Json());
}

}  // namespace sonde::limits
