#include "tools/farm/farm_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/contract/address.h"

namespace sonde {
namespace {

constexpr int kBacklog = 65535;                   // the kernel's somaxconn is the limit
constexpr int kDatagramBuffer = 8 * 1024 * 1024;  // bursts of queries wait in the socket

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

// An address of ours that a listener on `address` answers on.
std::string Reachable(const std::string& address) {
  if (address == "loopback" || address == "0.0.0.0") return "127.0.0.1";
  return address == "::" ? "::1" : address;
}

// All of 127/8 through one socket, and nothing of the world: where the kernel refuses, the worker
// turns strangers away by their address. `::` is IPv6 alone.
void BindTo(const ListenerConfig& config, int fd, int family) {
  const int on = 1;
  if (config.address == "loopback") setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
}

absl::Status Trouble(const char* call, uint16_t port) {
  return absl::UnavailableError(std::string(call) + " on port " + std::to_string(port) + ": " +
                                std::strerror(errno));
}

}  // namespace

double TargetUnit(uint64_t seed, uint16_t port, uint32_t v4_address) {
  uint64_t hash = Random::Mix(seed ^ port);
  if (v4_address != 0) hash = Random::Mix(hash ^ v4_address);
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

FarmListener::~FarmListener() {
  for (const auto* by_worker : {&sockets, &datagrams}) {
    for (const auto& of_worker : *by_worker) {
      for (const FarmSocket& socket : of_worker) close(socket.fd);
    }
  }
  for (const int fd : fillers) close(fd);
}

absl::Status FarmListener::Open(int workers) {
  if (!dns.status().ok()) return dns.status();
  sockets.resize(static_cast<size_t>(workers));
  datagrams.resize(static_cast<size_t>(workers));
  for (unsigned port = config.first_port; port <= config.last_port; ++port) {
    const absl::Status status = OpenPort(static_cast<uint16_t>(port), workers);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status FarmListener::OpenPort(uint16_t port, int workers) {
  // A port the kernel chose for TCP may be taken for UDP: then another one.
  constexpr int kAttempts = 20;
  // Ports nobody answers on need one socket only.
  const int holders = config.is_passive() ? 1 : workers;
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint16_t bound = port;
    status = config.wants_tcp() ? OpenStreams(&bound, holders) : absl::OkStatus();
    if (status.ok() && config.wants_udp()) status = OpenDatagrams(&bound, holders);
    if (status.ok()) {
      ports.push_back(bound);
      return config.kind == ListenerConfig::Kind::kBlackhole ? FillQueue(bound) : status;
    }
    if (port != 0) break;
    CloseLast();
  }
  return status;
}

// Forgets the sockets of a port that is not in `ports` yet.
void FarmListener::CloseLast() {
  for (auto* by_worker : {&sockets, &datagrams}) {
    for (auto& of_worker : *by_worker) {
      for (; of_worker.size() > ports.size(); of_worker.pop_back()) close(of_worker.back().fd);
    }
  }
}

absl::Status FarmListener::OpenStreams(uint16_t* port, int workers) {
  using Kind = ListenerConfig::Kind;
  for (int worker = 0; worker < workers; ++worker) {
    SocketName name = NameOf(config.address, *port);
    const int fd = socket(name.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return Trouble("socket", *port);
    sockets[static_cast<size_t>(worker)].push_back({fd, *port});
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (workers > 1) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // accepted sockets inherit it
    BindTo(config, fd, name.storage.ss_family);
    if (bind(fd, name.get(), name.size) != 0) return Trouble("bind", *port);
    *port = BoundPort(fd);
    sockets[static_cast<size_t>(worker)].back().port = *port;
    if (config.kind == Kind::kRefused) continue;
    if (listen(fd, config.kind == Kind::kBlackhole ? 0 : kBacklog) != 0) {
      return Trouble("listen", *port);
    }
  }
  return absl::OkStatus();
}

absl::Status FarmListener::OpenDatagrams(uint16_t* port, int workers) {
  for (int worker = 0; worker < workers; ++worker) {
    const int fd = OpenDatagram(*port, workers > 1);
    if (fd < 0) return Trouble("bind (UDP)", *port);
    *port = BoundPort(fd);
    datagrams[static_cast<size_t>(worker)].push_back({fd, *port});
    if (config.kind != ListenerConfig::Kind::kRefused) continue;
    // Connected to itself it takes nothing of others: they get a "port unreachable".
    SocketName self = NameOf(Reachable(config.address), *port);
    if (connect(fd, self.get(), self.size) != 0) return Trouble("connect (UDP)", *port);
  }
  return absl::OkStatus();
}

int FarmListener::OpenDatagram(uint16_t port, bool shared) const {
  SocketName name = NameOf(config.address, port);
  const int fd = socket(name.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1, buffer = kDatagramBuffer;
  if (shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (name.storage.ss_family == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
  } else {
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
  }
  for (const auto& [forced, plain] :
       {std::pair(SO_RCVBUFFORCE, SO_RCVBUF), std::pair(SO_SNDBUFFORCE, SO_SNDBUF)}) {
    if (setsockopt(fd, SOL_SOCKET, forced, &buffer, sizeof(buffer)) == 0) continue;
    setsockopt(fd, SOL_SOCKET, plain, &buffer, sizeof(buffer));  // as much as the system lets us
  }
  BindTo(config, fd, name.storage.ss_family);
  if (bind(fd, name.get(), name.size) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// With the accept queue full the kernel drops further SYNs: connecting takes for ever.
absl::Status FarmListener::FillQueue(uint16_t port) {
  constexpr int kFillers = 4;  // a backlog of 0 holds one; the others wait in SYN_SENT with us
  for (int i = 0; i < kFillers; ++i) {
    SocketName name = NameOf(Reachable(config.address), port);
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
