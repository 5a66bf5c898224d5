#include "tools/sonde/node.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "engine/loop/engine.h"
#include "engine/loop/thread_setup.h"

namespace sonde {
namespace {

constexpr char kGroups[] = "/sys/fs/cgroup";

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of one group, by either version's files.
double CoresOf(const std::string& group) {
  const double cores = QuotaCores(FirstLine(group + "/cpu.max"));
  if (cores > 0) return cores;
  return QuotaCores(FirstLine(group + "/cpu.cfs_quota_us") + " " +
                    FirstLine(group + "/cpu.cfs_period_us"));
}

// The smaller quota; 0 is none.
double Least(double a, double b) { return a > 0 && b > 0 ? std::min(a, b) : std::max(a, b); }

// The smallest quota of a hierarchy from the process's group up to the root. Within a container the
// path may be the host's: then the root is the container's group.
double HierarchyCores(const std::string& root, std::string path) {
  double least = 0;
  for (int depth = 0; depth < 64; ++depth) {
    least = Least(least, CoresOf(root + path));
    const size_t slash = path.rfind('/');
    if (slash == path.npos) break;
    path.resize(slash);
  }
  return least;
}

// Lines of /proc/self/cgroup are "5:cpu,cpuacct:/a/b", and "0::/a/b" of version 2 (cgroups(7)).
double GroupCores() {
  double least = 0;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version2 = controllers.empty();
    if (!version2 && ("," + controllers + ",").find(",cpu,") == line.npos) continue;
    const std::string root = version2 ? kGroups : std::string(kGroups) + "/" + controllers;
    least = Least(least, HierarchyCores(root, line.substr(second + 1)));
  }
  return least;
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
  node.cores = static_cast<double>(UsableCpus().size());
  node.shards = settings.shards > 0 ? settings.shards : node.cores;
  if (const double quota = GroupCores(); quota > 0) node.cores = std::min(node.cores, quota);
  node.in_flight = static_cast<double>(settings.max_in_flight);
  // A handshake is part of a run.
  node.handshakes = node.in_flight;
  if (settings.max_handshakes > 0) {
    node.handshakes = std::min(node.handshakes, static_cast<double>(settings.max_handshakes));
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  node.descriptors = static_cast<double>(
      Engine::DescriptorsFor(limit.rlim_max, settings, Engine::Options().descriptors_reserve));
  // Over io_uring connections need none: what bounds them is in_flight.
  if (settings.io == EngineSettings::Io::kUring && settings.max_descriptors == 0) {
    node.descriptors = std::max(node.descriptors, node.in_flight);
  }
  return node;
}

std::string ShortageText(const Demand& demand, const NodeLimits& node) {
  const Headroom headroom = HeadroomOf(CostModel(), demand, node, HeldSeconds());
  if (headroom.ratio() >= 0) return "";
  struct Words {
    const char *of, *things;
  };
  constexpr Words kWords[Headroom::kLimits] = {{"about ", " cores"},
                                               {"about ", " runs in flight"},
                                               {"about ", " descriptors"},
                                               {"about ", " TLS handshakes in progress"}};
  const Headroom::Limit first = headroom.first();
  const Headroom::Use& use = headroom.use(first);
  const Words& words = kWords[static_cast<size_t>(first)];
  return std::string("asks for ") + words.of + Fixed(use.asked) + " of " + Fixed(use.has) +
         words.things + ": slots of the schedule will be skipped (sonde plan says more)";
}

}  // namespace sonde
