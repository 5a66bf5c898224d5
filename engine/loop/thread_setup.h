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

// CPUs the calling thread may use; never none.
std::vector<int> UsableCpus();

// Keeps the calling thread on one CPU. False when that CPU is not ours.
bool PinThread(unsigned cpu);

}  // namespace sonde
