// A line between two network namespaces, in user space: two TUN devices, and what lies between.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tools/farm/line_options.h"
#include "tools/farm/tun_device.h"

namespace sonde {

class Line {
 public:
  // Makes both devices. One thread until Run.
  static absl::StatusOr<std::unique_ptr<Line>> Open(const LineOptions& options);
  ~Line();

  void Run();   // until Stop
  void Stop();  // any thread, and signal handlers
  // Makes Run print the numbers, as Stop does; any thread, and signal handlers.
  void Report();
  std::string StatsJson() const;  // the thread of Run, or after it

 private:
  Line(const LineOptions& options, std::unique_ptr<TunDevice> near, std::unique_ptr<TunDevice> far);
  bool TakeAll();  // true: something came
  bool GiveDue();
  void Sleep(int64_t now_ns);
  void Wake();

  const LineOptions options_;
  std::unique_ptr<TunDevice> ends_[PacketQueue::kDirections];
  PacketQueue queue_;
  int epoll_ = -1, wake_ = -1;
  std::atomic<bool> stop_{false}, report_{false};
  struct {
    uint64_t delivered = 0;
    uint64_t refused = 0;                // the device did not take it: it is down
    int64_t late_ns = 0, latest_ns = 0;  // sum and most of how late packets left
  } out_[PacketQueue::kDirections];
};

}  // namespace sonde
