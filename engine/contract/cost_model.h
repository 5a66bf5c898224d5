// What probes cost a machine, and what a set of tasks asks of it: for the headroom a process shows,
// for warnings about tasks it cannot carry, and for plans. No clock, no system call; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "engine/contract/task.h"

namespace sonde {

// What costs apart is counted apart. A handshake comes on top of its probe, and so do the turns of
// the loop, which probes share the more of the more there are.
enum class CostKind : uint8_t {
  kDns,
  kHttp,
  kIcmp,
  kTcp,
  kOther,
  kHandshake,
  kResumption,
  kTurn,
  kCount,
};
inline constexpr size_t kCostKinds = static_cast<size_t>(CostKind::kCount);
inline constexpr std::array<std::string_view, kCostKinds> kCostKindNames = {
    "dns", "http", "icmp", "tcp", "other", "tls_handshake", "tls_resumption", "turn"};

CostKind CostKindOf(std::string_view prober);

// How many of each kind were done, or are wanted a second.
struct Work {
  std::array<double, kCostKinds> count{};

  double& operator[](CostKind kind) { return count[static_cast<size_t>(kind)]; }
  double operator[](CostKind kind) const { return count[static_cast<size_t>(kind)]; }
  double runs() const;  // of all kinds that are runs
};

// What a run of the task takes of connections and handshakes in the mean, once it goes on for a
// while: kept connections are opened now and then, and sessions are resumed as often as the task
// asks for.
struct Openings {
  bool kept = false;  // a connection waits between runs
  double connections = 0;
  double full = 0, resumed = 0;  // handshakes
};
Openings OpeningsOf(const Task& task);

// What tasks ask for. Cron tasks count with the shortest distance of their slots.
struct Demand {
  Work per_second;              // but for turns
  double connections = 0;       // runs a second that hold a descriptor of their own
  double silent_in_flight = 0;  // runs in flight when no target answers: rate by time-out, summed
  double silent_descriptors = 0;
  double silent_handshakes = 0;  // when targets accept and are silent then

  void Add(const Task& task);  // disabled tasks ask for nothing
};
Demand DemandOf(std::span<const std::shared_ptr<const Task>> tasks);

// Processor time by kind: measured elsewhere to begin with (docs/performance.md), then what this
// machine shows.
class CostModel {
 public:
  CostModel();

  // `done` within `elapsed` seconds took `shards` loops `seconds` of processor time. Each kind
  // moves by its share of what was expected (a multiplicative gradient step): one alone is learnt
  // at once, kinds that always come together keep their proportion, and one that was not seen moves
  // with the machine.
  void Observe(const Work& done, double seconds, double elapsed, double shards);

  double seconds(CostKind kind) const;
  // Of `per_second` work on `shards` loops, in cores. Turns are worked out, whatever it says of
  // them.
  double Cores(const Work& per_second, double shards) const;
  bool measured() const { return measured_; }

  // Turns of a loop a second, for so many runs a second: a few for each run at first, shared by all
  // of them at last.
  static double Turns(double runs_per_second, double shards);

 private:
  double Expected(const Work& work) const;

  std::array<double, kCostKinds> seconds_;
  std::array<bool, kCostKinds> seen_{};
  double machine_ = 1;  // this machine's time for a second of the defaults
  double turns_ = 1;    // its turns for one that Turns says
  bool measured_ = false;
};

// What there is.
struct NodeLimits {
  double shards = 1;
  double cores = 1;        // this process may use
  double other_cores = 0;  // used by its other threads
  double in_flight = 8000;
  double descriptors = 20000;
  double handshakes = 2000;  // in progress
};

// What is asked of what there is.
struct Headroom {
  enum class Limit : uint8_t { kCpu, kInFlight, kDescriptors, kHandshakes, kCount };
  static constexpr size_t kLimits = static_cast<size_t>(Limit::kCount);
  static constexpr std::array<std::string_view, kLimits> kNames = {"cpu", "in_flight",
                                                                   "descriptors", "handshakes"};
  struct Use {
    double asked = 0;
    double has = 1;
    double ratio() const { return has > 0 ? asked / has : asked > 0 ? 1e9 : 0; }
  };
  std::array<Use, kLimits> uses;

  const Use& use(Limit limit) const { return uses[static_cast<size_t>(limit)]; }
  Limit first() const;  // the limit that comes first
  // 1: idle; 0: the first limit is reached; below: more is asked for than there is.
  double ratio() const { return 1 - use(first()).ratio(); }
};

// How long what is limited is held, on average; by that and the rate, how many are held at a time
// (Little's law). Assumed where nothing has shown it.
struct HeldSeconds {
  double run = 0.05;
  double descriptor = 0.05;
  double handshake = 0.05;
};

Headroom HeadroomOf(const CostModel& costs, const Demand& demand, const NodeLimits& node,
                    const HeldSeconds& held);
// The same when no target answers: each run waits for its time-out.
Headroom SilentHeadroomOf(const CostModel& costs, const Demand& demand, const NodeLimits& node);

}  // namespace sonde
