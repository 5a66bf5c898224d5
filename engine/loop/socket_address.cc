#include "engine/loop/socket_address.h"

#include <arpa/inet.h>

#include <cstring>

namespace sonde {

SocketAddress::SocketAddress(const Address& address) {
  if (address.family == IpFamily::kV4) {
    storage_.v4.sin_family = AF_INET;
    storage_.v4.sin_port = htons(address.port);
    std::memcpy(&storage_.v4.sin_addr, address.bytes.data(), 4);
    size_ = sizeof storage_.v4;
  } else if (address.family == IpFamily::kV6) {
    storage_.v6 = {};
    storage_.v6.sin6_family = AF_INET6;
    storage_.v6.sin6_port = htons(address.port);
    storage_.v6.sin6_scope_id = address.scope;
    std::memcpy(&storage_.v6.sin6_addr, address.bytes.data(), 16);
    size_ = sizeof storage_.v6;
  }
}

Address AddressFrom(const sockaddr* name) {
  Address address;
  if (name->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, name, sizeof v4);
    address.family = IpFamily::kV4;
    address.port = ntohs(v4.sin_port);
    std::memcpy(address.bytes.data(), &v4.sin_addr, 4);
  } else if (name->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, name, sizeof v6);
    address.family = IpFamily::kV6;
    address.port = ntohs(v6.sin6_port);
    address.scope = v6.sin6_scope_id;
    std::memcpy(address.bytes.data(), &v6.sin6_addr, 16);
  }
  return address;
}

}  // namespace sonde
