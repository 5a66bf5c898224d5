#include "tools/sonde/bench/process_watch.h"

#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace sonde {
namespace {

namespace fs = std::filesystem;

std::string FolderOf(pid_t pid) { return "/proc/" + std::to_string(pid); }

std::string FirstLine(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::vector<std::string> EntriesOf(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  return names;
}

}  // namespace

std::vector<ProcessorTime> ThreadTimes(pid_t pid, std::string_view name) {
  std::vector<ProcessorTime> times;
  const std::string folder = FolderOf(pid) + "/task";
  std::vector<long> threads;
  for (const std::string& entry : EntriesOf(folder)) threads.push_back(std::stol(entry));
  std::sort(threads.begin(), threads.end());
  for (const long thread : threads) {
    const fs::path at = fs::path(folder) / std::to_string(thread);
    if (!FirstLine(at / "comm").starts_with(name)) continue;
    std::istringstream in(FirstLine(at / "schedstat"));
    ProcessorTime time;
    if (in >> time.ran >> time.waited) times.push_back({time.ran / 1e9, time.waited / 1e9});
  }
  return times;
}

double ProcessSeconds(pid_t pid) {
  if (pid == getpid()) {
    timespec used{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
  }
  double seconds = 0;
  for (const ProcessorTime& time : ThreadTimes(pid)) seconds += time.ran;
  return seconds;
}

uint64_t ResidentBytes(pid_t pid) {
  std::istringstream in(FirstLine(FolderOf(pid) + "/statm"));
  uint64_t size = 0, resident = 0;
  in >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

size_t OpenDescriptors(pid_t pid) { return EntriesOf(FolderOf(pid) + "/fd").size(); }

uint64_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

uint64_t LoopbackBytes() {
  std::ifstream in("/sys/class/net/lo/statistics/rx_bytes");
  uint64_t bytes = 0;
  in >> bytes;
  return bytes;
}

void StayOn(pid_t thread, const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  sched_setaffinity(thread, sizeof set, &set);
}

}  // namespace sonde
