// One end of a line: a TUN device in some network namespace. It is gone when this is.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sonde {

class TunDevice {
 public:
  // `place` is NAMESPACE:DEVICE. NAMESPACE: a name (`ip netns`), a path such as /proc/PID/ns/net,
  // or nothing for our own. The device must not exist yet; it is down and has no address. Enters
  // the namespace and comes back: only while the process has one thread. Needs root.
  static absl::StatusOr<std::unique_ptr<TunDevice>> Open(const std::string& place, int mtu);
  ~TunDevice();
  TunDevice(const TunDevice&) = delete;

  int fd() const { return fd_; }  // non-blocking; a packet per read and write

 private:
  explicit TunDevice(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace sonde
