// The dns protocol: a question to a server over UDP, TCP or TLS, and rules over what it answers
// (blackbox_contract 4.10, 7.5, 8.4; for users: docs/dns.md).
#pragma once

#include "engine/contract/task.h"

namespace sonde {

const Prober& DnsProber();

}  // namespace sonde
