// What every thread of the engine does first.
#pragma once

#include <string_view>
#include <vector>

namespace sonde {

// Names the calling thread (15 bytes are kept) and blocks all signals that others handle: SIGINT,
// SIGTERM, SIGHUP and the like go to the main thread.
void SetUpThread(std::string_view name);

// Timers of the calling thread fire as exactly as the kernel can, not gathered within 50 us.
void SetExactTimers();

// Who has the CPU when the calling thread wakes gives it up within 0.1 ms, not at the end of a
// slice of some 3 ms (EEVDF: sched_setattr(2), sched_runtime). Needs no privilege; before
// Linux 6.12 nothing happens.
void AskForShortSlices();

// CPUs the calling thread may use; never none.
std::vector<int> UsableCpus();

// Keeps the calling thread on one CPU. False when that CPU is not ours.
bool PinThread(unsigned cpu);

}  // namespace sonde
