#include "engine/loop/socket_options.h"

#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "engine/loop/socket_address.h"

namespace sonde {
namespace {

int OpenDescriptor(const DatagramSocketPlan& plan, bool* raw) {
  const bool v4 = plan.family == IpFamily::kV4;
  const int domain = v4 ? AF_INET : AF_INET6;
  constexpr int kFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (plan.transport == Transport::kUdp) return socket(domain, SOCK_DGRAM | kFlags, 0);
  const int protocol = v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
  const int fd = socket(domain, SOCK_RAW | kFlags, protocol);
  *raw = fd >= 0;
  if (fd >= 0 || (errno != EPERM && errno != EACCES)) return fd;
  return socket(domain, SOCK_DGRAM | kFlags, protocol);
}

// Undivided packets do not go by what the kernel remembers of the path: they find out. Those that
// need no dividing need no identification either (RFC 6864 section 4.1), which the kernel would
// draw for each that may be divided.
int SetFragments(int fd, bool v4, DatagramOptions::Fragments fragments) {
  using Fragments = DatagramOptions::Fragments;
  if (v4) {
    if (fragments != Fragments::kAllowed) {
      const int error = SetSocketOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
      if (error == 0 || fragments == Fragments::kForbidden) return error;
    }
    return SetSocketOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  }
  if (fragments != Fragments::kForbidden) return 0;
  if (const int error = SetSocketOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)) {
    return error;
  }
  return SetSocketOption(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
}

// What the module asks for.
int SetWishes(int fd, const DatagramSocketPlan& plan) {
  const bool v4 = plan.family == IpFamily::kV4;
  if (const int error = BindToInterface(fd, plan.interface)) return error;
  if (const int error = SetDscp(fd, plan.family, plan.dscp)) return error;
  if (plan.datagram.ttl > 0) {
    const int error = v4 ? SetSocketOption(fd, IPPROTO_IP, IP_TTL, plan.datagram.ttl)
                         : SetSocketOption(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, plan.datagram.ttl);
    if (error != 0) return error;
  }
  if (const int error = SetFragments(fd, v4, plan.datagram.fragments)) return error;
  if (plan.source.family == IpFamily::kNone) return 0;
  if (plan.source.family != plan.family) return EAFNOSUPPORT;
  Address local = plan.source;
  local.port = 0;
  const SocketAddress name(local);
  return bind(fd, name.get(), name.size()) == 0 ? 0 : errno;
}

// What we want to know. Old kernels may refuse one or the other: then it stays unknown.
void SetReports(int fd, const DatagramSocketPlan& plan, bool raw) {
  const bool v4 = plan.family == IpFamily::kV4;
  RestartStampIds(fd);
  SetSocketOption(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
  if (SetSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, plan.receive_buffer) != 0) {
    SetSocketOption(fd, SOL_SOCKET, SO_RCVBUF, plan.receive_buffer);
  }
  const bool echo = plan.transport == Transport::kIcmp;  // whose hop limit is a fact
  if (v4) {
    if (echo && !raw) SetSocketOption(fd, IPPROTO_IP, IP_RECVTTL, 1);
    if (!raw) SetSocketOption(fd, IPPROTO_IP, IP_RECVERR, 1);
  } else {
    if (echo) SetSocketOption(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    if (!raw) SetSocketOption(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
  }
}

}  // namespace

int SetSocketOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : errno;
}

int BindToInterface(int fd, const std::string& interface) {
  if (interface.empty()) return 0;
  return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                    static_cast<socklen_t>(interface.size())) == 0
             ? 0
             : errno;
}

int SetDscp(int fd, IpFamily family, int dscp) {
  if (dscp < 0) return 0;
  const bool v6 = family == IpFamily::kV6;
  return SetSocketOption(fd, v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP}, v6 ? IPV6_TCLASS : IP_TOS,
                         dscp << 2);
}

OpenedDatagramSocket OpenDatagramSocket(const DatagramSocketPlan& plan) {
  OpenedDatagramSocket opened;
  opened.fd = OpenDescriptor(plan, &opened.raw);
  if (opened.fd < 0) {
    opened.error = errno;
    opened.misconfigured = opened.error == EPERM || opened.error == EACCES;
    return opened;
  }
  opened.error = SetWishes(opened.fd, plan);
  if (opened.error != 0) {
    opened.misconfigured = true;
    close(std::exchange(opened.fd, -1));
    return opened;
  }
  SetReports(opened.fd, plan, opened.raw);
  return opened;
}

// The kernel's counter begins anew when the option is switched on. Stamps of sending are asked for
// message by message.
void RestartStampIds(int fd) {
  constexpr int kStamps =
      SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;
  SetSocketOption(fd, SOL_SOCKET, SO_TIMESTAMPING,
                  SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
  SetSocketOption(fd, SOL_SOCKET, SO_TIMESTAMPING, kStamps | SOF_TIMESTAMPING_OPT_ID);
}

std::optional<uint64_t> ReadDrops(int fd) {
  uint32_t info[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof info;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) != 0) return std::nullopt;
  if (size <= SK_MEMINFO_DROPS * sizeof *info) return std::nullopt;
  return info[SK_MEMINFO_DROPS];
}

}  // namespace sonde
