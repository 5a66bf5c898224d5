// An Address as the socket calls want it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "engine/contract/address.h"

namespace sonde {

class SocketAddress {
 public:
  SocketAddress() = default;
  // size() is 0 when the address has no family.
  explicit SocketAddress(const Address& address);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }

 private:
  union {
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_{};
  socklen_t size_ = 0;
};

// Family kNone for anything but IPv4 and IPv6.
Address AddressFrom(const sockaddr* name);

}  // namespace sonde
