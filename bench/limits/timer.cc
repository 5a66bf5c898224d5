// A timer every millisecond and nothing else: how late this machine wakes anybody.
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "bench/limits/limits.h"

namespace sonde::limits {

void RunTimer(const Options& options) {
  constexpr int64_t kEachNs = 1'000'000;
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (fd < 0) Die("timerfd_create", errno);
  std::vector<double> late_us;
  late_us.reserve(static_cast<size_t>((options.seconds + options.warm_up + 1) * 1000));
  Meter meter(options);
  int64_t due = NowNs();
  while (meter.Going()) {
    due = std::max(due + kEachNs, NowNs());
    const itimerspec at{.it_value = {due / 1'000'000'000, due % 1'000'000'000}};
    uint64_t ticks = 0;
    if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, nullptr) != 0 ||
        read(fd, &ticks, sizeof ticks) != sizeof ticks) {
      Die("timerfd", errno);
    }
    late_us.push_back(static_cast<double>(NowNs() - due) / 1e3);
    meter.Done();
  }
  close(fd);
  std::sort(late_us.begin(), late_us.end());
  const auto quantile = [&](double q) {
    return std::to_string(
        late_us[static_cast<size_t>(q * static_cast<double>(late_us.size() - 1))]);
  };
  meter.Print("timer", ", \"late_us\": {\"p50\": " + quantile(0.5) +
                           ", \"p99\": " + quantile(0.99) + ", \"p99.9\": " + quantile(0.999) +
                           ", \"max\": " + quantile(1) + "}");
}

}  // namespace sonde::limits
