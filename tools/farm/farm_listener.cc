#include "tools/farm/farm_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "engine/contract/address.h"

namespace sonde {
namespace {

constexpr int kBacklog = 65535;  // the kernel's somaxconn is the limit

struct SocketName {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketName NameOf(const std::string& address, uint16_t port) {
  SocketName name;
  const std::optional<Address> literal =
      Address::ParseLiteral(address == "loopback" ? "0.0.0.0" : address);
  if (literal && literal->family == IpFamily::kV6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&name.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    v6->sin6_scope_id = literal->scope;
    std::memcpy(&v6->sin6_addr, literal->bytes.data(), 16);
    name.size = sizeof(*v6);
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&name.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    if (literal) std::memcpy(&v4->sin_addr, literal->bytes.data(), 4);
    name.size = sizeof(*v4);
  }
  return name;
}

uint16_t BoundPort(int fd) {
  SocketName name;
  name.size = sizeof(name.storage);
  getsockname(fd, name.get(), &name.size);
  return ntohs(name.storage.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&name.storage)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&name.storage)->sin_port);
}

absl::Status Trouble(const char* call, uint16_t port) {
  return absl::UnavailableError(std::string(call) + " on port " + std::to_string(port) + ": " +
                                std::strerror(errno));
}

}  // namespace

FarmListener::~FarmListener() {
  for (const auto& of_worker : sockets) {
    for (const FarmSocket& socket : of_worker) close(socket.fd);
  }
  for (const int fd : fillers) close(fd);
}

absl::Status FarmListener::Open(int workers) {
  sockets.resize(static_cast<size_t>(workers));
  for (unsigned port = config.first_port; port <= config.last_port; ++port) {
    const absl::Status status = OpenPort(static_cast<uint16_t>(port), workers);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status FarmListener::OpenPort(uint16_t port, int workers) {
  using Kind = ListenerConfig::Kind;
  // Ports nobody accepts on need one socket only.
  const bool passive = config.kind == Kind::kRefused || config.kind == Kind::kBlackhole;
  for (int worker = 0; worker < (passive ? 1 : workers); ++worker) {
    SocketName name = NameOf(config.address, port);
    const int fd = socket(name.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return Trouble("socket", port);
    sockets[static_cast<size_t>(worker)].push_back({fd, port});
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (workers > 1 && !passive) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // accepted sockets inherit it
    if (config.address == "loopback") {
      // All of 127/8 through one socket, and nothing of the world. Where the kernel refuses, the
      // worker turns strangers away by their address.
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
    }
    if (bind(fd, name.get(), name.size) != 0) return Trouble("bind", port);
    port = BoundPort(fd);
    sockets[static_cast<size_t>(worker)].back().port = port;
    if (config.kind == Kind::kRefused) continue;
    if (listen(fd, config.kind == Kind::kBlackhole ? 0 : kBacklog) != 0) {
      return Trouble("listen", port);
    }
  }
  ports.push_back(port);
  return config.kind == Kind::kBlackhole ? FillQueue(port) : absl::OkStatus();
}

// With the accept queue full the kernel drops further SYNs: connecting takes for ever.
absl::Status FarmListener::FillQueue(uint16_t port) {
  constexpr int kFillers = 4;  // a backlog of 0 holds one; the others wait in SYN_SENT with us
  for (int i = 0; i < kFillers; ++i) {
    SocketName name =
        NameOf(config.address == "loopback" || config.address == "0.0.0.0" ? "127.0.0.1"
               : config.address == "::"                                    ? "::1"
                                                                           : config.address,
               port);
    const int fd = socket(name.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return Trouble("socket", port);
    fillers.push_back(fd);
    if (connect(fd, name.get(), name.size) != 0 && errno != EINPROGRESS) {
      return Trouble("connect", port);
    }
  }
  return absl::OkStatus();
}

}  // namespace sonde
