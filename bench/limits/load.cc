// Asks one path of an HTTP server over and over, on connections that are kept: load for `/probe`.
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "bench/limits/limits.h"

namespace sonde::limits {
namespace {

constexpr size_t kMostBytes = 1 << 20;

// The value of a header; empty when it is not there. Servers may write names in any case.
std::string_view HeaderOf(std::string_view head, std::string_view name) {
  for (size_t at = head.find("\r\n"); at != head.npos && at + 2 < head.size();) {
    const size_t start = at + 2;
    at = head.find("\r\n", start);
    const std::string_view line = head.substr(start, at - start);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        strncasecmp(line.data(), name.data(), name.size()) == 0) {
      return line.substr(name.size() + 1);
    }
  }
  return {};
}

// Whether an answer is there to its end (RFC 9112 section 6: a length, or chunks).
bool IsWhole(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  if (end == answer.npos) return false;
  const std::string_view head = std::string_view(answer).substr(0, end);
  if (HeaderOf(head, "transfer-encoding").ends_with("chunked"))
    return answer.ends_with("0\r\n\r\n");
  const std::string length(HeaderOf(head, "content-length"));
  return answer.size() >= end + 4 + std::strtoul(length.c_str(), nullptr, 10);
}

// What a whole answer says, out of its chunks if there are any.
std::string BodyOf(std::string_view answer) {
  const size_t end = answer.find("\r\n\r\n");
  std::string_view rest = answer.substr(end + 4);
  if (!HeaderOf(answer.substr(0, end), "transfer-encoding").ends_with("chunked")) {
    return std::string(rest);
  }
  std::string body;
  while (!rest.empty()) {
    const size_t size = std::strtoul(std::string(rest.substr(0, 16)).c_str(), nullptr, 16);
    const size_t start = rest.find("\r\n");
    if (size == 0 || start == rest.npos || start + 4 > rest.size()) break;
    rest.remove_prefix(start + 2);
    body += rest.substr(0, size);
    rest.remove_prefix(std::min(rest.size(), size + 2));
  }
  return body;
}

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options),
        request_("GET " + options.path +
                 " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(options.port) + "\r\n\r\n"),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        meter_(options),
        answers_(65536) {}
  ~Load() { close(epoll_); }

  void Run() {
    for (int i = 0; i < options_.in_flight; ++i) Open();
    epoll_event events[256];
    while (meter_.Going()) {
      const int count = epoll_wait(epoll_, events, 256, 100);
      for (int i = 0; i < count; ++i) OnReadable(events[i].data.fd);
    }
    meter_.Print("load");
  }

 private:
  void Open() {
    const sockaddr_in to = TargetAddress(options_, 0);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      Die("connect", errno);
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl", errno);
    Ask(fd);
  }

  void Ask(int fd) {
    answers_[static_cast<size_t>(fd)].clear();
    if (send(fd, request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size())) {
      Die("send", errno);
    }
  }

  void OnReadable(int fd) {
    std::string& answer = answers_[static_cast<size_t>(fd)];
    const ssize_t count = recv(fd, buffer_, sizeof buffer_, MSG_DONTWAIT);
    if (count <= 0) {
      if (count < 0 && errno == EAGAIN) return;
      meter_.Failed("the server ended a connection", count < 0 ? errno : 0);
      close(fd);
      return Open();
    }
    answer.append(buffer_, static_cast<size_t>(count));
    if (answer.size() > kMostBytes) Die("an endless answer", 0);
    if (!IsWhole(answer)) return;
    if (BodyOf(answer).find(options_.expect) == std::string::npos) {
      meter_.Failed(("an answer without what was expected:\n" + answer.substr(0, 500)).c_str(), 0);
    } else {
      meter_.Done();
    }
    Ask(fd);
  }

  const Options options_;
  const std::string request_;
  const int epoll_;
  Meter meter_;
  std::vector<std::string> answers_;  // what came so far, by descriptor
  char buffer_[65536];
};

}  // namespace

void RunLoad(const Options& options) { Load(options).Run(); }

}  // namespace sonde::limits
