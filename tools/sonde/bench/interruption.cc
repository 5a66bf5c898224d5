#include "tools/sonde/bench/interruption.h"

#include <pthread.h>

#include <ctime>

namespace sonde {

Interruption::Interruption() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

bool Interruption::WaitUntil(WallTime time) {
  while (!asked_) {
    const Duration left = time - BenchNow();
    if (left.ns <= 0) break;
    const timespec most{left.ns / Seconds(1).ns, left.ns % Seconds(1).ns};
    asked_ = sigtimedwait(&signals_, nullptr, &most) > 0;
  }
  return !asked_;
}

bool Interruption::Wait(Duration time) { return WaitUntil(BenchNow() + time); }

WallTime BenchNow() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec * Seconds(1).ns + now.tv_nsec};
}

}  // namespace sonde
