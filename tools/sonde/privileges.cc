#include "tools/sonde/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace sonde {
namespace {

constexpr unsigned kKept = CAP_NET_RAW;
static_assert(kKept < 32 && CAP_SETPCAP < 32, "both are in the first word");

using CapabilityWords = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

// Of the calling thread. There is no wrapper of these two calls but libcap's.
bool CapabilityCall(long call, CapabilityWords* words) {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  return syscall(call, &header, words->data()) == 0;
}

// Only who may is asked to; without it the set stays, and no_new_privs keeps it from mattering.
bool CutBoundingSet() {
  for (unsigned capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (capability != kKept && prctl(PR_CAPBSET_DROP, capability) != 0) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> GiveUpPrivileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) {
    return absl::ErrnoToStatus(errno, "no_new_privs");
  }
  CapabilityWords words{};
  if (!CapabilityCall(SYS_capget, &words)) return absl::ErrnoToStatus(errno, "capget");
  if ((words[0].effective & (1U << CAP_SETPCAP)) != 0 && !CutBoundingSet()) {
    return absl::ErrnoToStatus(errno, "bounding set of capabilities");
  }
  // Emptying the inheritable set empties the ambient one with it.
  const uint32_t kept = words[0].permitted & (1U << kKept);
  words = {};
  words[0].permitted = words[0].effective = kept;
  if (!CapabilityCall(SYS_capset, &words)) return absl::ErrnoToStatus(errno, "capset");
  return kept != 0 ? "cap_net_raw" : "none";
}

}  // namespace sonde
