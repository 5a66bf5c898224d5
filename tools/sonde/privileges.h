// What a process may do that has started: send echo requests, and nothing else a user may not.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sonde {

// Gives up every capability but CAP_NET_RAW, which raw ICMP sockets need whenever they are opened,
// and the ways to any: the inheritable and ambient sets are emptied, the bounding set too where
// that is allowed (CAP_SETPCAP), and no program executed later gains anything (no_new_privs).
// All of these belong to threads and are inherited: call it before the first thread is started, and
// after the last thing that takes a privilege (a port below 1024 is bound). Root without
// capabilities is a user like any other to files of others.
// Returns what is kept, for people: "cap_net_raw", or "none" where there was not even that.
absl::StatusOr<std::string> GiveUpPrivileges();

}  // namespace sonde
