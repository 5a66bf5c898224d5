// The kernel's own stamps of packets (SO_TIMESTAMPING), taken to the monotonic clock.
#pragma once

#include <sys/socket.h>
#include <time.h>

#include <cstddef>

#include "engine/contract/instant.h"

namespace sonde {

// Both clocks at one moment, to take the kernel's civil stamps to the monotonic clock.
struct ClockReading {
  Instant mono;
  Duration wall_minus_mono;
};
ClockReading ReadClocks();

// Room for the control message of a stamp: three timespec (linux/errqueue.h).
inline constexpr size_t kStampControlBytes = CMSG_SPACE(3 * sizeof(timespec));

// Unstamped: there is none, or none that can be true: the wall clock was set since.
Instant InstantOf(const timespec& kernel_stamp, const ClockReading& now);

// The stamp among the control messages of `received`; unstamped: there is none.
Instant StampOf(const msghdr& received, const ClockReading& now);

// Has the kernel stamp what arrives at the socket; recvmsg tells. False: it cannot.
bool StampArrivals(int fd);

}  // namespace sonde
