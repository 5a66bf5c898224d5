// The farm as targets of a bench: a process of its own on processors of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/sonde/bench/bench_type.h"
#include "tools/sonde/bench/child_process.h"

namespace sonde {

// Main thread.
class FarmProcess {
 public:
  // Listens for every type given, answering and silent. `program` "": the farm beside this binary.
  static absl::StatusOr<std::unique_ptr<FarmProcess>> Start(
      const std::string& program, const std::vector<const BenchType*>& types,
      const std::vector<int>& cpus, Interruption& interruption);
  ~FarmProcess();

  int Port(std::string_view listener) const;  // of a row's listener; 0: it has none
  const std::string& authority() const { return authority_; }  // path of ca.pem
  // The share of a processor its busiest thread took, since the last call.
  double Busy();
  ChildProcess& process() { return *process_; }

 private:
  FarmProcess() = default;

  std::string folder_, authority_;  // certificates; a temporary folder
  std::vector<std::string_view> listeners_;
  std::vector<int> ports_;
  std::unique_ptr<ChildProcess> process_;
  WallTime looked_at_;
  std::vector<double> seconds_;  // of each thread, then
};

}  // namespace sonde
