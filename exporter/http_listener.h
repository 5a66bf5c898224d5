// Listen addresses and listening sockets.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "engine/contract/address.h"

struct uv_loop_s;
struct uv_stream_s;

namespace sonde {

// A listen address as written: "HOST:PORT", "[V6]:PORT", ":PORT".
struct ListenAddress {
  std::string host;  // empty: every address of the machine
  uint16_t port = 0;
  static absl::StatusOr<ListenAddress> Parse(std::string_view text);
};

// The addresses to bind: one dual-stack [::] for an empty host (0.0.0.0 where IPv6 is off), one for
// a literal, what the system resolves for a name. Blocks: at start-up only.
absl::StatusOr<std::vector<Address>> ResolveListenAddress(const ListenAddress& listen);

// A socket with an address that does not listen yet, of no loop. Errors name the address: "listen
// on 127.0.0.1:9815: address already in use".
class BoundSocket {
 public:
  static absl::StatusOr<BoundSocket> Bind(const Address& address);
  // Takes over a socket of somebody else's; it may listen already.
  static absl::StatusOr<BoundSocket> Adopt(int fd);
  BoundSocket(BoundSocket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), address_(other.address_) {}
  BoundSocket& operator=(BoundSocket&&) = delete;
  ~BoundSocket();

  const Address& address() const { return address_; }  // as bound: the port is never 0
  int fd() const { return fd_; }
  void Release() { fd_ = -1; }  // somebody else closes it

 private:
  BoundSocket(int fd, const Address& address) : fd_(fd), address_(address) {}
  int fd_;
  Address address_;
};

// The sockets of a server. They may be bound before anything else there is: a port below 1024 takes
// a privilege, which can then be given up.
class ListenSockets {
 public:
  // ":9815" (IPv4 and IPv6), "127.0.0.1:9815", "[::1]:9815", "localhost:9815"; port 0 takes a free
  // one. All or none. Blocks: names are resolved.
  static absl::StatusOr<ListenSockets> Bind(const std::vector<std::string>& addresses);
  // Those a service manager passes (systemd's socket activation).
  static absl::StatusOr<ListenSockets> Inherit(const std::vector<int>& descriptors);

  const std::vector<std::string>& hosts() const { return hosts_; }  // as written, without port
  std::vector<BoundSocket>& sockets() { return sockets_; }          // a name may give several

 private:
  absl::Status BindAll(const std::string& text);
  std::vector<std::string> hosts_;
  std::vector<BoundSocket> sockets_;
};

// A listening socket. Loop thread, or while the loop does not run.
class HttpListener {
 public:
  using OnConnection = absl::AnyInvocable<void(uv_stream_s* listener, int status)>;

  // Takes the socket over and listens. Errors name the address, as BoundSocket's.
  static absl::StatusOr<std::unique_ptr<HttpListener>> Open(uv_loop_s* loop, BoundSocket socket,
                                                            OnConnection on_connection);
  ~HttpListener();
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;

  const Address& bound() const { return bound_; }

 private:
  struct Box;  // freed by the close callback
  HttpListener() = default;

  Box* box_ = nullptr;
  Address bound_;
  OnConnection on_connection_;
};

}  // namespace sonde
