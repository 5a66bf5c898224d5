// Sockets as modules want them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/contract/address.h"
#include "engine/contract/conversation.h"

namespace sonde {

// One integer option. 0 or an errno, as all of these.
int SetSocketOption(int fd, int level, int option, int value);
int BindToInterface(int fd, const std::string& interface);
int SetDscp(int fd, IpFamily family, int dscp);

struct DatagramSocketPlan {
  Transport transport = Transport::kUdp;  // or kIcmp
  IpFamily family = IpFamily::kV4;
  Address source;  // family kNone: the kernel's choice
  std::string interface;
  int dscp = -1;
  DatagramOptions datagram;
  int receive_buffer = 0;  // bytes wanted; beyond net.core.rmem_max only with CAP_NET_ADMIN
};

struct OpenedDatagramSocket {
  int fd = -1;
  bool raw = false;  // ICMP: a raw socket, not a ping socket
  int error = 0;
  bool misconfigured = false;  // the plan cannot be carried out on this machine
};

// Non-blocking, bound, with kernel receive stamps, hop limits, drop counter, and (UDP, ping) the
// error queue.
OpenedDatagramSocket OpenDatagramSocket(const DatagramSocketPlan& plan);

// Has the kernel count the messages it stamps from zero, as it does on a fresh socket.
void RestartStampIds(int fd);

// Messages the kernel dropped because the receive queue was full (SO_MEMINFO).
std::optional<uint64_t> ReadDrops(int fd);

}  // namespace sonde
