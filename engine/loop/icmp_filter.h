// The kernel-side filter of a raw ICMP socket.
#pragma once

#include <cstdint>

#include "engine/contract/address.h"

namespace sonde {

// Lets through echo replies with this identifier and errors that quote an echo request with it;
// everything else never wakes the socket. 0 or an errno.
int AttachIcmpFilter(int fd, IpFamily family, uint16_t echo_id);

}  // namespace sonde
