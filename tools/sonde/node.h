// What this machine grants this process.
#pragma once

#include <string>
#include <string_view>

#include "engine/contract/cost_model.h"
#include "engine/contract/settings.h"

namespace sonde {

// Cores of a line of cgroup v2's cpu.max ("200000 100000", "max 100000"; version 1 has the two
// numbers in files of their own, -1 for none); 0: no limit, or no such line
// (Documentation/admin-guide/cgroup-v2.rst, Documentation/scheduler/sched-bwc.rst).
double QuotaCores(std::string_view cpu_max);

// Cores by affinity and by the quotas of its control groups; the rest by `settings` and
// RLIMIT_NOFILE (the hard one: serve raises the soft one to it).
NodeLimits LimitsOf(const EngineSettings& settings);

// "asks for 2.8 of 2 cores; more will be due than can run": what is wrong with a demand on a node,
// by the costs assumed; empty: nothing.
std::string ShortageText(const Demand& demand, const NodeLimits& node);

}  // namespace sonde
