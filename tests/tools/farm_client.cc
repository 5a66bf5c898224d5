#include "tests/tools/farm_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

namespace sonde {

FarmClient::FarmClient(uint16_t port, const std::string& address, int timeout_ms)
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));  // connect's too
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) return;
  error_ = errno;
  close(fd_);
  fd_ = -1;
}

FarmClient::~FarmClient() {
  if (fd_ >= 0) close(fd_);
}

FarmClient& FarmClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return *this;
}

void FarmClient::HalfClose() { shutdown(fd_, SHUT_WR); }

FarmClient& FarmClient::Get(std::string_view path, bool close, std::string_view method) {
  return Send(std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: farm.test\r\n" +
              (close ? "Connection: close\r\n\r\n" : "\r\n"));
}

bool FarmClient::ReadSome() {
  if (end_ != End::kOpen || fd_ < 0) return false;
  char bytes[65536];
  const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
  if (size > 0) {
    got_.append(bytes, static_cast<size_t>(size));
    ++reads_;
    return true;
  }
  end_ = size == 0 ? End::kClosed : errno == EAGAIN ? End::kTimeout : End::kReset;
  return false;
}

const std::string& FarmClient::ReadAtLeast(size_t count) {
  while (got_.size() < count && ReadSome()) {}
  return got_;
}

const std::string& FarmClient::ReadUntil(std::string_view mark) {
  while (got_.find(mark) == std::string::npos && ReadSome()) {}
  return got_;
}

}  // namespace sonde
