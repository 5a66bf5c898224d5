// Listen addresses and listening sockets.
#pragma once

#include <memory>
#include <string>
#include <string_view>
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

// A listening socket. Loop thread, or while the loop does not run.
class HttpListener {
 public:
  using OnConnection = absl::AnyInvocable<void(uv_stream_s* listener, int status)>;

  // Errors name the address: "listen on 127.0.0.1:9815: address already in use".
  static absl::StatusOr<std::unique_ptr<HttpListener>> Open(uv_loop_s* loop, const Address& address,
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
