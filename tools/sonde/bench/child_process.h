// A program of ours, started and ended by us: the farm, or `sonde serve`.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/instant.h"
#include "tools/sonde/bench/interruption.h"

namespace sonde {

// Main thread. In a process group of its own, so that Ctrl-C reaches us alone; ends with us,
// however we end.
class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> words;  // the program's path first
    std::vector<int> cpus;           // where it may run; none: anywhere
    std::string_view ready;          // what it prints when it is
    Duration patience = Seconds(20);
  };
  // Errors: it cannot be started, it ended, it said nothing in time; with what it printed.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const Options& options,
                                                             Interruption& interruption);
  ~ChildProcess();  // SIGTERM, after two seconds SIGKILL
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // What it printed so far, both streams; keeps its pipe from filling. At most 1 MiB is kept.
  const std::string& Output();
  bool Ended();

 private:
  ChildProcess() = default;

  pid_t pid_ = -1;
  int pipe_ = -1;
  bool ended_ = false;
  std::string output_;
};

// The program that stands beside this one.
std::string ProgramBeside(std::string_view name);

}  // namespace sonde
