#include "exporter/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace sonde {
namespace {

std::string ReadText(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::optional<uint64_t> ToNumber(std::string_view text) {
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc()) return std::nullopt;
  return value;
}

// Boot time, seconds since the epoch; does not change while we run.
uint64_t BootTime() {
  static const uint64_t boot = [] {
    const std::string text = ReadText("/proc/stat");
    const size_t at = text.find("\nbtime ");
    if (at == std::string::npos) return uint64_t{0};
    return ToNumber(std::string_view(text).substr(at + 7)).value_or(0);
  }();
  return boot;
}

uint64_t CountDescriptors() {
  struct stat info {};
  // Linux 6.2 and later tell the number as the directory's size.
  if (::stat("/proc/self/fd", &info) == 0 && info.st_size > 0) {
    return static_cast<uint64_t>(info.st_size);
  }
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count > 0 ? count - 1 : 0;  // not the one just closed
}

}  // namespace

std::optional<ProcessNumbers> ParseProcStat(std::string_view stat, long ticks, long page,
                                            uint64_t* start_ticks) {
  // The name ends at the last parenthesis; field 3 (state) follows it.
  const size_t end_of_name = stat.rfind(')');
  if (end_of_name == std::string_view::npos || ticks <= 0 || page <= 0) return std::nullopt;
  std::string_view rest = stat.substr(end_of_name + 1);
  std::vector<std::string_view> fields;  // fields[0] is field 3
  while (fields.size() < 22) {
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\n')) rest.remove_prefix(1);
    if (rest.empty()) return std::nullopt;
    const size_t length = rest.find_first_of(" \n");
    fields.push_back(rest.substr(0, length));
    rest.remove_prefix(std::min(rest.size(), length));
  }
  constexpr size_t kFirst = 3, kUser = 14, kSystem = 15, kThreads = 20, kStart = 22, kVirtual = 23,
                   kResident = 24;
  const auto field = [&](size_t number) { return ToNumber(fields[number - kFirst]); };
  for (const size_t number : {kUser, kSystem, kThreads, kStart, kVirtual, kResident}) {
    if (!field(number)) return std::nullopt;
  }
  ProcessNumbers out;
  out.cpu_seconds =
      static_cast<double>(*field(kUser) + *field(kSystem)) / static_cast<double>(ticks);
  out.threads = *field(kThreads);
  out.virtual_bytes = *field(kVirtual);
  out.resident_bytes = *field(kResident) * static_cast<uint64_t>(page);
  *start_ticks = *field(kStart);
  return out;
}

ProcessNumbers ReadProcess() {
  const long ticks = ::sysconf(_SC_CLK_TCK);
  uint64_t start_ticks = 0;
  ProcessNumbers out =
      ParseProcStat(ReadText("/proc/self/stat"), ticks, ::sysconf(_SC_PAGESIZE), &start_ticks)
          .value_or(ProcessNumbers{});
  if (ticks > 0) {
    out.start_time_seconds = static_cast<double>(BootTime()) +
                             static_cast<double>(start_ticks) / static_cast<double>(ticks);
  }
  out.open_fds = CountDescriptors();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    out.max_fds = limit.rlim_cur;
  }
  return out;
}

void WriteProcessFamilies(Exposition& out, const ProcessNumbers& process) {
  const auto write = [&out](std::string_view name, MetricType type, std::string_view help,
                            auto value) {
    out.Begin({name, type, help});
    out.Sample(name, {}, value);
  };
  constexpr MetricType kGauge = MetricType::kGauge;
  write("process_cpu_seconds_total", MetricType::kCounter, "User and system CPU time spent",
        process.cpu_seconds);
  write("process_resident_memory_bytes", kGauge, "Resident memory", process.resident_bytes);
  write("process_virtual_memory_bytes", kGauge, "Virtual memory", process.virtual_bytes);
  write("process_threads", kGauge, "Threads of the process", process.threads);
  write("process_open_fds", kGauge, "Open descriptors", process.open_fds);
  write("process_max_fds", kGauge, "Descriptors the process may open", process.max_fds);
  write("process_start_time_seconds", kGauge, "When the process started, since the Unix epoch",
        process.start_time_seconds);
}

}  // namespace sonde
