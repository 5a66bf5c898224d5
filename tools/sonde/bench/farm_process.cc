#include "tools/sonde/bench/farm_process.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "absl/status/status.h"
#include "tools/sonde/bench/process_watch.h"

namespace sonde {
namespace {

// "http 127.0.0.0/8 8080-8080": the ports in the order of the flags; ends at "ready".
std::vector<int> PortsIn(const std::string& output) {
  std::vector<int> ports;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line) && line != "ready";) {
    std::istringstream words(line);
    std::string kind, address, port;
    if (words >> kind >> address >> port) ports.push_back(std::atoi(port.c_str()));
  }
  return ports;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FarmProcess>> FarmProcess::Start(
    const std::string& program, const std::vector<const BenchType*>& types,
    const std::vector<int>& cpus, Interruption& interruption) {
  std::unique_ptr<FarmProcess> farm(new FarmProcess);
  for (const BenchType* type : types) {
    for (const std::string_view listener : {type->listener, type->silent_listener}) {
      const auto& known = farm->listeners_;
      if (listener.empty() || std::count(known.begin(), known.end(), listener) > 0) continue;
      farm->listeners_.push_back(listener);
    }
  }
  if (farm->listeners_.empty()) farm->listeners_.push_back("tcp:0");  // it wants one
  std::string folder = (std::filesystem::temp_directory_path() / "sonde-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return absl::ErrnoToStatus(errno, folder);
  farm->folder_ = folder;
  farm->authority_ = folder + "/ca.pem";

  ChildProcess::Options child;
  child.words = {program.empty() ? ProgramBeside("farm") : program, "--certificates=" + folder};
  child.words.push_back("--threads=" + std::to_string(std::clamp<size_t>(cpus.size(), 1, 8)));
  for (const std::string_view listener : farm->listeners_) {
    child.words.push_back("--listen=" + std::string(listener));
  }
  child.cpus = cpus;
  child.ready = "ready\n";
  if (access(child.words[0].c_str(), X_OK) != 0) {
    return absl::ErrnoToStatus(errno, "no targets: " + child.words[0] +
                                          " (tools/build makes it, --farm says where it is)");
  }
  auto started = ChildProcess::Start(child, interruption);
  if (!started.ok()) return started.status();
  farm->process_ = *std::move(started);
  farm->ports_ = PortsIn(farm->process_->Output());
  if (farm->ports_.size() != farm->listeners_.size()) {
    return absl::InternalError("the farm listens elsewhere: " + farm->process_->Output());
  }
  farm->Busy();
  return farm;
}

FarmProcess::~FarmProcess() {
  process_.reset();
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

int FarmProcess::Port(std::string_view listener) const {
  const auto found = std::find(listeners_.begin(), listeners_.end(), listener);
  return found == listeners_.end() ? 0 : ports_[static_cast<size_t>(found - listeners_.begin())];
}

double FarmProcess::Busy() {
  const WallTime now = BenchNow();
  const std::vector<ProcessorTime> times = ThreadTimes(process_->pid());
  const double passed = (now - looked_at_).seconds();
  double most = 0;
  for (size_t i = 0; i < times.size() && i < seconds_.size(); ++i) {
    most = std::max(most, (times[i].ran - seconds_[i]) / passed);
  }
  looked_at_ = now;
  seconds_.clear();
  for (const ProcessorTime& time : times) seconds_.push_back(time.ran);
  return most;
}

}  // namespace sonde
