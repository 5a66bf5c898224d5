// Waiting that Ctrl-C ends.
#pragma once

#include <signal.h>

#include "engine/contract/instant.h"

namespace sonde {

// One per process, made before any other thread: SIGINT and SIGTERM no longer end the process,
// but whatever waits here. Main thread.
class Interruption {
 public:
  Interruption();

  // False when it was asked for, before or meanwhile.
  bool Wait(Duration time);
  bool WaitUntil(WallTime time);
  bool asked() const { return asked_; }

 private:
  sigset_t signals_;
  bool asked_ = false;
};

WallTime BenchNow();  // the wall clock

}  // namespace sonde
