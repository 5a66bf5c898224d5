// What a process takes of the machine, ours or a child's, as the kernel counts it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace sonde {

// In seconds, as the scheduler counts them (proc(5), /proc/PID/schedstat).
struct ProcessorTime {
  double ran = 0;
  double waited = 0;  // ready to run, and no processor to run on
};

// Of each thread whose name begins with `name`; sorted by thread id. Empty when there is no such
// process.
std::vector<ProcessorTime> ThreadTimes(pid_t pid, std::string_view name = "");

// All threads together, also those that ended: of this process exact, of another its living ones.
double ProcessSeconds(pid_t pid);

uint64_t ResidentBytes(pid_t pid);
size_t OpenDescriptors(pid_t pid);

// What malloc has handed out in this process. 0 where another allocator counts (sanitizers).
uint64_t HeapBytes();

// Bytes that passed the loopback device, of everybody, both ways (each packet once).
uint64_t LoopbackBytes();

void StayOn(pid_t thread, const std::vector<int>& cpus);  // 0: the calling one; none: nothing

}  // namespace sonde
