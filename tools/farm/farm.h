// Simulated targets in one process: what a prober meets, on demand and from a seed.
//
//   auto farm = Farm::Start(config);      // listens, starts its threads
//   (*farm)->Ports(0);                    // where the first listener stands
//   (*farm).reset();                      // ends everything
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/farm/farm_certificates.h"
#include "tools/farm/farm_config.h"

namespace sonde {

// Counted by one worker, read by anyone.
struct FarmCounters {
  std::atomic<uint64_t> accepted{0}, closed{0}, answers{0}, bytes_in{0}, bytes_out{0};
  std::atomic<uint64_t> bad_requests{0}, idle_closed{0}, accept_errors{0}, foreign{0};
  std::atomic<uint64_t> dropped{0};  // datagrams that could not be answered or sent
  std::atomic<uint64_t> shown[kBehaviourCount] = {};  // behaviours carried out

  static void Add(std::atomic<uint64_t>& counter, uint64_t n = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

struct FarmListener;
class FarmWorker;

class Farm {
 public:
  // Errors: a port in use, a directory that cannot be written. Needs no privileges.
  static absl::StatusOr<std::unique_ptr<Farm>> Start(FarmConfig config);
  ~Farm();  // stops and joins

  // Any thread, all of these.
  const std::vector<uint16_t>& Ports(size_t listener) const;
  std::string DescribeListeners() const;  // one line each, for people
  std::string StatsJson() const;
  // Every listener on `port` shows `behaviour` from now on, or its own mix again (nullopt). False:
  // nothing listens there.
  bool Override(uint16_t port, std::optional<Behaviour> behaviour);
  std::string CaPem() const { return certificates_.ca().Pem(); }

 private:
  Farm() = default;
  FarmConfig config_;
  FarmCertificates certificates_;
  std::vector<std::unique_ptr<FarmListener>> listeners_;
  std::vector<std::unique_ptr<FarmWorker>> workers_;
  std::vector<std::thread> threads_;
};

}  // namespace sonde
