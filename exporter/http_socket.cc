#include "exporter/http_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <uv.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace sonde {
namespace {

constexpr size_t kReadBuffer = 64 * 1024;
// Bytes the kernel may hold unsent for one connection: a slow reader's share stays small, a fast
// one's throughput stays whole.
constexpr int kUnsentLimit = 128 * 1024;

// One for all connections of the thread: libuv fills it and hands it over before it reads again.
char* ReadBuffer() {
  thread_local const std::unique_ptr<char[]> buffer(new char[kReadBuffer]);
  return buffer.get();  // NOLINT(clang-analyzer-cplusplus.NewDelete): lives as long as the thread
}

void OnAllocate(uv_handle_t*, size_t, uv_buf_t* out) {
  *out = uv_buf_init(ReadBuffer(), static_cast<unsigned>(kReadBuffer));
}

}  // namespace

Address AddressOf(const sockaddr* address) {
  Address out;
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    out.family = IpFamily::kV4;
    out.port = ntohs(v4->sin_port);
    std::memcpy(out.bytes.data(), &v4->sin_addr, 4);
  } else if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    out.port = ntohs(v6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
      out.family = IpFamily::kV4;
      std::memcpy(out.bytes.data(), v6->sin6_addr.s6_addr + 12, 4);
    } else {
      out.family = IpFamily::kV6;
      out.scope = v6->sin6_scope_id;
      std::memcpy(out.bytes.data(), v6->sin6_addr.s6_addr, 16);
    }
  }
  return out;
}

struct HttpSocket::WriteRequest {
  uv_write_t request;
  std::string bytes;
  Box* box;
};

struct HttpSocket::Box {
  uv_tcp_t tcp;
  uv_shutdown_t shutdown;
  HttpSocket* owner;
  size_t writes = 0;  // requests libuv still holds; all come back before the close callback

  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&tcp); }
  uv_handle_t* handle() { return reinterpret_cast<uv_handle_t*>(&tcp); }

  // The trampolines below touch nothing after their one call to the owner: it may be gone.
  static void OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
    HttpSocket* owner = static_cast<Box*>(stream->data)->owner;
    if (owner == nullptr || size == 0) return;
    if (size > 0) {
      owner->events_->OnBytes({buffer->base, static_cast<size_t>(size)});
    } else if (size == UV_EOF) {
      uv_read_stop(stream);
      owner->events_->OnEnd();
    } else {
      owner->Close();
    }
  }

  static void OnWritten(uv_write_t* raw, int status) {
    const std::unique_ptr<WriteRequest> request(static_cast<WriteRequest*>(raw->data));
    Box* box = request->box;
    --box->writes;
    if (box->owner == nullptr || uv_is_closing(box->handle())) return;
    if (status < 0) {
      box->owner->Close();
    } else if (box->writes == 0) {
      box->owner->events_->OnDrained();
    }
  }

  static void OnClose(uv_handle_t* handle) {
    const std::unique_ptr<Box> box(static_cast<Box*>(handle->data));
    if (box->owner == nullptr) return;
    HttpSocket* owner = std::exchange(box->owner, nullptr);
    owner->box_ = nullptr;
    if (owner->events_ != nullptr) owner->events_->OnClosed();
  }
};

HttpSocket::HttpSocket(uv_loop_s* loop) : box_(new Box) {
  box_->owner = this;
  // Cannot fail without a descriptor being made.
  uv_tcp_init(loop, &box_->tcp);
  box_->tcp.data = box_;
}

HttpSocket::~HttpSocket() {
  if (box_ == nullptr) return;
  box_->owner = nullptr;
  if (!uv_is_closing(box_->handle())) uv_close(box_->handle(), Box::OnClose);
}

std::optional<Address> HttpSocket::Accept(uv_stream_s* listener) {
  if (uv_accept(listener, box_->stream()) != 0) return std::nullopt;
  sockaddr_storage peer{};
  int size = sizeof peer;
  if (uv_tcp_getpeername(&box_->tcp, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    return std::nullopt;
  }
  uv_tcp_nodelay(&box_->tcp, 1);
  uv_os_fd_t fd = -1;
  if (uv_fileno(box_->handle(), &fd) == 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentLimit, sizeof kUnsentLimit);
  }
  return AddressOf(reinterpret_cast<const sockaddr*>(&peer));
}

void HttpSocket::Start(HttpTransportEvents* events) {
  events_ = events;
  SetReading(true);
}

void HttpSocket::TryWrite(std::string_view bytes) {
  const uv_buf_t buffer =
      uv_buf_init(const_cast<char*>(bytes.data()), static_cast<unsigned>(bytes.size()));
  uv_try_write(box_->stream(), &buffer, 1);
}

void HttpSocket::Write(std::string bytes) {
  if (box_ == nullptr || uv_is_closing(box_->handle())) return;
  auto request = std::make_unique<WriteRequest>();
  request->bytes = std::move(bytes);
  request->box = box_;
  request->request.data = request.get();
  const uv_buf_t buffer =
      uv_buf_init(request->bytes.data(), static_cast<unsigned>(request->bytes.size()));
  if (uv_write(&request->request, box_->stream(), &buffer, 1, Box::OnWritten) != 0) {
    Close();
    return;
  }
  ++box_->writes;
  request.release();  // OnWritten frees it
}

size_t HttpSocket::pending() const {
  return box_ == nullptr ? 0 : uv_stream_get_write_queue_size(box_->stream());
}

void HttpSocket::SetReading(bool on) {
  if (box_ == nullptr || uv_is_closing(box_->handle())) return;
  if (!on) {
    uv_read_stop(box_->stream());
  } else if (uv_read_start(box_->stream(), OnAllocate, Box::OnRead) != 0) {
    Close();
  }
}

void HttpSocket::ShutdownWrite() {
  if (box_ == nullptr || uv_is_closing(box_->handle())) return;
  if (uv_shutdown(&box_->shutdown, box_->stream(), [](uv_shutdown_t*, int) {}) != 0) Close();
}

void HttpSocket::Close() {
  if (box_ == nullptr || uv_is_closing(box_->handle())) return;
  uv_close(box_->handle(), Box::OnClose);
}

void HttpSocket::Reset() {
  if (box_ == nullptr || uv_is_closing(box_->handle())) return;
  // Refused after ShutdownWrite: everything has been said then.
  if (uv_tcp_close_reset(&box_->tcp, Box::OnClose) != 0) Close();
}

}  // namespace sonde
