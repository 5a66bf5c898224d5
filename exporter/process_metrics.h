// The process as the kernel sees it: process_cpu_seconds_total, process_resident_memory_bytes and
// their kin, the names every Prometheus client library uses.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "exporter/exposition.h"

namespace sonde {

struct ProcessNumbers {
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t threads = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;  // 0: no limit known
  double start_time_seconds = 0;
};

// Fields of /proc/<pid>/stat (proc_pid_stat(5)); `stat` is the file's text, `ticks` and `page` are
// sysconf's. The command's name may hold anything, also `)`. nullopt when it is not such a text.
// Leaves descriptors and start_time_seconds alone; *start_ticks is the start after boot.
std::optional<ProcessNumbers> ParseProcStat(std::string_view stat, long ticks, long page,
                                            uint64_t* start_ticks);

// Reads /proc/self; what cannot be read stays 0. Any thread; memory only, no disk.
ProcessNumbers ReadProcess();

void WriteProcessFamilies(Exposition& out, const ProcessNumbers& process);

}  // namespace sonde
