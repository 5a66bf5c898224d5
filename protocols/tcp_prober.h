// The tcp protocol: connect, optionally TLS, optionally a dialogue (blackbox_contract 4.8, 7.4,
// 8.2; for users: docs/tcp.md).
#pragma once

#include "engine/contract/task.h"

namespace sonde {

const Prober& TcpProber();

}  // namespace sonde
