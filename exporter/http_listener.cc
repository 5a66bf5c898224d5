#include "exporter/http_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
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
                                                                 const Address& address,
                                                                 OnConnection on_connection) {
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

  const sockaddr_storage name = ToSockaddr(address);
  int error = uv_tcp_bind(tcp, reinterpret_cast<const sockaddr*>(&name), 0);
  if (error == 0) {
    error = uv_listen(reinterpret_cast<uv_stream_t*>(tcp), kBacklog, Box::OnArrival);
  }
  if (error != 0) return ListenError(address, error);

  sockaddr_storage bound{};
  int size = sizeof bound;
  error = uv_tcp_getsockname(tcp, reinterpret_cast<sockaddr*>(&bound), &size);
  if (error != 0) return ListenError(address, error);
  listener->bound_ = AddressOf(reinterpret_cast<const sockaddr*>(&bound));
  return listener;
}

HttpListener::~HttpListener() {
  if (box_ == nullptr) return;
  box_->owner = nullptr;
  uv_close(box_->handle(), Box::OnClose);
}

}  // namespace sonde
