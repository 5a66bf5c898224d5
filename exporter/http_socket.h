// A TCP connection of libuv as an HttpTransport. Loop thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/contract/address.h"
#include "exporter/http_transport.h"

struct sockaddr;
struct uv_loop_s;
struct uv_stream_s;

namespace sonde {

// IPv4-mapped IPv6 addresses come out as IPv4. kNone for other families.
Address AddressOf(const sockaddr* address);

class HttpSocket final : public HttpTransport {
 public:
  explicit HttpSocket(uv_loop_s* loop);
  // Also from inside an event, as the last thing that event does.
  ~HttpSocket() override;
  HttpSocket(const HttpSocket&) = delete;
  HttpSocket& operator=(const HttpSocket&) = delete;

  // Takes a waiting connection of the listener; the peer's address, or nullopt when it has gone.
  std::optional<Address> Accept(uv_stream_s* listener);
  // Begins to read. `events` outlives the socket or is told OnClosed first.
  void Start(HttpTransportEvents* events);
  // Sends what the kernel takes at once, for a connection that is turned away; then Close.
  void TryWrite(std::string_view bytes);

  void Write(std::string bytes) override;
  size_t pending() const override;
  void SetReading(bool on) override;
  void ShutdownWrite() override;
  void Close() override;
  void Reset() override;

 private:
  struct Box;  // the handle and its requests; freed by the close callback
  struct WriteRequest;

  Box* box_;
  HttpTransportEvents* events_ = nullptr;
};

}  // namespace sonde
