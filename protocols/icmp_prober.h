// The icmp protocol: one echo request or several, loss and round-trip times (blackbox_contract 4.9,
// 7.6, 8.5; for users: docs/icmp.md).
#pragma once

#include "engine/contract/task.h"

namespace sonde {

const Prober& IcmpProber();

}  // namespace sonde
