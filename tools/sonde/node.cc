#include "tools/sonde/node.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "engine/loop/engine.h"

namespace sonde {
namespace {

constexpr char kGroups[] = "/sys/fs/cgroup";

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The smallest quota from the process's group (/proc/self/cgroup, "0::/a/b") up to the root.
double GroupCores() {
  std::string path = FirstLine("/proc/self/cgroup");
  const size_t colons = path.find("::");
  path = colons == path.npos ? "" : path.substr(colons + 2);
  double least = 0;
  for (int depth = 0; depth < 64; ++depth) {
    const double cores = QuotaCores(FirstLine(kGroups + path + "/cpu.max"));
    if (cores > 0 && (least == 0 || cores < least)) least = cores;
    const size_t slash = path.rfind('/');
    if (slash == path.npos) break;
    path.resize(slash);
  }
  return least;
}

double AffinityCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

std::string Fixed(double value) {
  char text[40];
  std::snprintf(text, sizeof text, value < 10 ? "%.2g" : "%.0f", value);
  return text;
}

}  // namespace

double QuotaCores(std::string_view cpu_max) {
  const std::string text(cpu_max);
  char* rest = nullptr;
  const double quota = std::strtod(text.c_str(), &rest);
  if (rest == text.c_str() || text.starts_with("max")) return 0;
  const double period = std::strtod(rest, nullptr);
  return quota > 0 && period > 0 ? quota / period : 0;
}

NodeLimits LimitsOf(const EngineSettings& settings) {
  NodeLimits node;
  node.cores = AffinityCores();
  node.shards = settings.shards > 0 ? settings.shards : node.cores;
  if (const double quota = GroupCores(); quota > 0) node.cores = std::min(node.cores, quota);
  node.in_flight = static_cast<double>(settings.max_in_flight);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  node.descriptors = static_cast<double>(
      Engine::DescriptorsFor(limit.rlim_max, settings, Engine::Options().descriptors_reserve));
  return node;
}

std::string ShortageText(const Demand& demand, const NodeLimits& node) {
  const Headroom headroom = HeadroomOf(CostModel(), demand, node, kAssumedRunSeconds);
  if (headroom.ratio() >= 0) return "";
  struct Words {
    const char *of, *things;
  };
  constexpr Words kWords[Headroom::kLimits] = {
      {"about ", " cores"}, {"about ", " runs in flight"}, {"about ", " descriptors"}};
  const Headroom::Limit first = headroom.first();
  const Headroom::Use& use = headroom.use(first);
  const Words& words = kWords[static_cast<size_t>(first)];
  return std::string("asks for ") + words.of + Fixed(use.asked) + " of " + Fixed(use.has) +
         words.things + ": slots of the schedule will be skipped (sonde plan says more)";
}

}  // namespace sonde
