#include "engine/loop/kernel_stamp.h"

#include <linux/net_tstamp.h>

#include <cstring>

#include "engine/loop/poller.h"
#include "engine/loop/socket_options.h"

namespace sonde {

// A reading between two others that lie close together.
ClockReading ReadClocks() {
  ClockReading reading;
  for (int tries = 0; tries < 4; ++tries) {
    const Instant before = MonotonicNow();
    const WallTime wall = WallNow();
    const Instant after = MonotonicNow();
    reading.mono = after;
    reading.wall_minus_mono = {wall.ns - (before.ns + (after - before).ns / 2)};
    if (after - before < Microseconds(1)) break;
  }
  return reading;
}

Instant InstantOf(const timespec& kernel_stamp, const ClockReading& now) {
  if (kernel_stamp.tv_sec == 0 && kernel_stamp.tv_nsec == 0) return {};
  const Instant at{int64_t{kernel_stamp.tv_sec} * 1'000'000'000 + kernel_stamp.tv_nsec -
                   now.wall_minus_mono.ns};
  return at > now.mono || at < now.mono - Seconds(60) ? Instant{} : at;
}

Instant StampOf(const msghdr& received, const ClockReading& now) {
  msghdr header = received;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING) continue;
    timespec software{};  // the first of three (linux/errqueue.h)
    std::memcpy(&software, CMSG_DATA(c), sizeof software);
    return InstantOf(software, now);
  }
  return {};
}

bool StampArrivals(int fd) {
  return SetSocketOption(fd, SOL_SOCKET, SO_TIMESTAMPING,
                         SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE) == 0;
}

}  // namespace sonde
