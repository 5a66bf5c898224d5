#include "tools/sonde/bench/machine.h"

#include <sys/utsname.h>

#include <cstdlib>
#include <ctime>
#include <fstream>

#include "engine/loop/thread_setup.h"
#include "tools/sonde/bench/process_watch.h"

namespace sonde {
namespace {

// The rest of the first line of a file that begins with `key`, without what separates it.
std::string Field(const char* path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const size_t at = line.find_first_not_of(" \t:", key.size());
    return at == std::string::npos ? "" : line.substr(at);
  }
  return "";
}

}  // namespace

Machine ThisMachine() {
  Machine machine;
  machine.processor = Field("/proc/cpuinfo", "model name");
  if (machine.processor.empty()) machine.processor = "unknown processor";
  machine.memory_bytes = std::atof(Field("/proc/meminfo", "MemAvailable").c_str()) * 1024;
  utsname names{};
  if (uname(&names) == 0) machine.kernel = names.release;
  std::ifstream("/proc/loadavg") >> machine.load;
  double low = 32768, high = 60999;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> low >> high;
  machine.ports = high - low + 1;
  machine.cores = static_cast<unsigned>(UsableCpus().size());
  char date[40];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M", std::localtime(&now));
  machine.date = date;
  return machine;
}

Placement PlacementOf(const std::vector<int>& cpus, unsigned shards) {
  if (cpus.size() <= shards) return {};
  const auto first = cpus.end() - static_cast<std::ptrdiff_t>(shards);
  return {{first, cpus.end()}, {cpus.begin(), first}};
}

}  // namespace sonde
