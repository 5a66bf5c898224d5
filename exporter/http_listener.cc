#include "exporter/http_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "exporter/http_socket.h"

namespace sonde {
namespace {

constexpr int kBacklog = 511;

bool MachineHasIpv6() {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

sockaddr_storage ToSockaddr(const Address& address) {
  sockaddr_storage out{};
  if (address.family == IpFamily::kV4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    std::memcpy(&v4->sin_addr, address.bytes.data(), 4);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    v6->sin6_scope_id = address.scope;
    std::memcpy(&v6->sin6_addr, address.bytes.data(), 16);
  }
  return out;
}

absl::Status ListenError(const Address& address, int error) {
  const std::string text = "listen on " + address.HostPort() + ": " + uv_strerror(error);
  if (error == UV_EADDRINUSE) return absl::AlreadyExistsError(text);
  return absl::FailedPreconditionError(text);
}

}  // namespace

absl::StatusOr<ListenAddress> ListenAddress::Parse(std::string_view text) {
  const auto bad = [&](const std::string& why) {
    return absl::InvalidArgumentError("listen address '" + std::string(text) + "': " + why);
  };
  if (text.find("://") != std::string_view::npos) return bad("only HOST:PORT is supported");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("the port is missing (HOST:PORT)");
  ListenAddress listen;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return bad("']' is missing");
    host = host.substr(1, host.size() - 2);
    const auto literal = Address::ParseLiteral(host);
    if (!literal || literal->family != IpFamily::kV6) return bad("bad IPv6 address");
  } else if (host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address needs brackets ([::1]:9815)");
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), listen.port);
  if (error != std::errc() || end != port.data() + port.size()) return bad("bad port");
  listen.host = std::string(host);
  return listen;
}

absl::StatusOr<std::vector<Address>> ResolveListenAddress(const ListenAddress& listen) {
  std::vector<Address> found;
  if (listen.host.empty()) {
    Address any;
    any.family = MachineHasIpv6() ? IpFamily::kV6 : IpFamily::kV4;
    any.port = listen.port;
    found.push_back(any);
    return found;
  }
  if (const auto literal = Address::ParseLiteral(listen.host, listen.port)) {
    found.push_back(*literal);
    return found;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  if (const int error = getaddrinfo(listen.host.c_str(), nullptr, &hints, &list); error != 0) {
    return absl::InvalidArgumentError("listen address '" + listen.host +
                                      "': " + gai_strerror(error));
  }
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    Address address = AddressOf(entry->ai_addr);
    address.port = listen.port;
    const bool seen = std::find(found.begin(), found.end(), address) != found.end();
    if (address.family != IpFamily::kNone && !seen) found.push_back(address);
    if (listen.port == 0 && !found.empty()) break;  // several would get different ports
  }
  freeaddrinfo(list);
  return found;
}

absl::StatusOr<BoundSocket> BoundSocket::Bind(const Address& address) {
  const bool v6 = address.family == IpFamily::kV6;
  const int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ListenError(address, -errno);
  BoundSocket bound(fd, address);
  const int on = 1, off = 0;
  const sockaddr_storage name = ToSockaddr(address);
  const socklen_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  sockaddr_storage own{};
  socklen_t own_size = sizeof own;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
      bind(fd, reinterpret_cast<const sockaddr*>(&name), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) != 0) {
    return ListenError(address, -errno);
  }
  bound.address_ = AddressOf(reinterpret_cast<const sockaddr*>(&own));
  return bound;
}

absl::StatusOr<BoundSocket> BoundSocket::Adopt(int fd) {
  BoundSocket adopted(fd, {});
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  int type = 0;
  socklen_t type_size = sizeof type;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
      getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_STREAM) {
    adopted.address_ = AddressOf(reinterpret_cast<const sockaddr*>(&own));
  }
  if (adopted.address_.family == IpFamily::kNone) {
    return absl::FailedPreconditionError("listen on inherited descriptor " + std::to_string(fd) +
                                         ": it is no TCP socket");
  }
  return adopted;
}

BoundSocket::~BoundSocket() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<ListenSockets> ListenSockets::Bind(const std::vector<std::string>& addresses) {
  ListenSockets all;
  for (const std::string& text : addresses) {
    if (absl::Status status = all.BindAll(text); !status.ok()) return status;
  }
  return all;
}

absl::StatusOr<ListenSockets> ListenSockets::Inherit(const std::vector<int>& descriptors) {
  ListenSockets all;
  for (const int fd : descriptors) {
    auto socket = BoundSocket::Adopt(fd);
    if (!socket.ok()) return socket.status();
    all.sockets_.push_back(*std::move(socket));
  }
  return all;
}

absl::Status ListenSockets::BindAll(const std::string& text) {
  const auto listen = ListenAddress::Parse(text);
  if (!listen.ok()) return listen.status();
  const auto addresses = ResolveListenAddress(*listen);
  if (!addresses.ok()) return addresses.status();
  std::vector<Address> candidates = *addresses;
  const bool any_host = listen->host.empty();
  if (any_host && candidates[0].family == IpFamily::kV6) {
    candidates.push_back({});  // where IPv6 is compiled in but switched off
    candidates[1].family = IpFamily::kV4;
    candidates[1].port = listen->port;
  }
  absl::Status last;
  size_t bound = 0;
  for (const Address& address : candidates) {
    auto socket = BoundSocket::Bind(address);
    if (!socket.ok()) {
      last = socket.status();
      // A name may stand for an address family this machine lacks; a taken port is never fine.
      if (absl::IsAlreadyExists(last)) return last;
      continue;
    }
    sockets_.push_back(*std::move(socket));
    ++bound;
    if (any_host) break;
  }
  if (bound == 0) return last;
  hosts_.push_back(listen->host);
  return absl::OkStatus();
}

struct HttpListener::Box {
  uv_tcp_t tcp;
  HttpListener* owner = nullptr;

  uv_handle_t* handle() { return reinterpret_cast<uv_handle_t*>(&tcp); }
  static void OnArrival(uv_stream_t* stream, int status) {
    HttpListener* owner = static_cast<Box*>(stream->data)->owner;
    if (owner != nullptr) owner->on_connection_(stream, status);
  }
  static void OnClose(uv_handle_t* handle) { delete static_cast<Box*>(handle->data); }
};

absl::StatusOr<std::unique_ptr<HttpListener>> HttpListener::Open(uv_loop_s* loop,
                                                                 BoundSocket socket,
                                                                 OnConnection on_connection) {
  const Address& address = socket.address();
  auto box = std::make_unique<Box>();
  if (const int error = uv_tcp_init(loop, &box->tcp); error != 0) {
    return ListenError(address, error);
  }
  std::unique_ptr<HttpListener> listener(new HttpListener);
  listener->on_connection_ = std::move(on_connection);
  box->owner = listener.get();
  box->tcp.data = box.get();
  listener->box_ = box.release();  // closed by the destructor from here on
  uv_tcp_t* tcp = &listener->box_->tcp;

  if (const int error = uv_tcp_open(tcp, socket.fd()); error != 0) {
    return ListenError(address, error);
  }
  socket.Release();
  const int error = uv_listen(reinterpret_cast<uv_stream_t*>(tcp), kBacklog, Box::OnArrival);
  if (error != 0) return ListenError(address, error);
  listener->bound_ = address;
  return listener;
}

HttpListener::~HttpListener() {
  if (box_ == nullptr) return;
  box_->owner = nullptr;
  uv_close(box_->handle(), Box::OnClose);
}

}  // namespace sonde
