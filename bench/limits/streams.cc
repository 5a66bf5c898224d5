// Connections: opened and closed, with an HTTP exchange in between, or kept for many of them.
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/limits/limits.h"

namespace sonde::limits {
namespace {

enum class Kind { kConnect, kHalfOpen, kHttp, kHttpKept };
enum class State : uint8_t { kNone, kConnecting, kWaiting };

constexpr std::string_view kRequest =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: limits\r\nConnection: close\r\n\r\n";
constexpr std::string_view kRequestKept =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: limits\r\n\r\n";
constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

class Streams {
 public:
  Streams(const Options& options, Kind kind)
      : options_(options),
        kind_(kind),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        pacer_(options, epoll_),
        meter_(options),
        states_(65536),
        targets_(65536),
        stamped_(65536),
        spares_(static_cast<size_t>(options.addresses), -1) {}
  ~Streams() { close(epoll_); }

  void Run(const char* name) {
    epoll_event events[256];
    Start();
    while (meter_.Going()) {
      const int count = epoll_wait(epoll_, events, 256, 100);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == pacer_.fd()) {
          pacer_.Tick();
        } else {
          OnReady(events[i].data.fd, events[i].events);
        }
      }
      Start();
    }
    meter_.Print(name, pacer_.Late());
  }

 private:
  void Start() {
    for (int left = pacer_.Take(busy_); left > 0; --left) {
      pacer_.Begin(1);
      if (kept_ < static_cast<size_t>(options_.in_flight)) {
        Open();
      } else {
        AskAgain();
      }
    }
  }

  // At a rate: the connection that rests for longest. None rests: this exchange is not begun.
  void AskAgain() {
    if (resting_.empty()) return;
    const int fd = resting_.front();
    resting_.pop_front();
    ++busy_;
    Ask(fd);
  }

  void Open() {
    const unsigned target = next_++ % static_cast<unsigned>(options_.addresses);
    const sockaddr_in to = TargetAddress(options_, target);
    const bool spare = spares_[target] >= 0;
    const int fd = spare ? std::exchange(spares_[target], -1)
                         : socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return meter_.Failed("socket", errno);
    targets_[static_cast<size_t>(fd)] = target;
    if (kind_ == Kind::kHalfOpen) {  // the last ACK is held back, and never sent
      const int off = 0;
      setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
    }
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      meter_.Failed("connect", errno);
      close(fd);
      return;
    }
    epoll_event event{};
    event.events = kInterest;
    event.data.fd = fd;
    if (!spare && epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl", errno);
    states_[static_cast<size_t>(fd)] = State::kConnecting;
    ++busy_;
    if (kind_ == Kind::kHttpKept) ++kept_;
  }

  // Takes the connection back with RST: the socket serves the next one to the same target.
  bool Spare(int fd) {
    int& spare = spares_[targets_[static_cast<size_t>(fd)]];
    if (!options_.spares || spare >= 0) return false;
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    if (connect(fd, &nobody, sizeof nobody) != 0) Die("connect to nobody", errno);
    spare = fd;
    return true;
  }

  void Close(int fd) {
    states_[static_cast<size_t>(fd)] = State::kNone;
    --busy_;
    if (kind_ == Kind::kHttpKept) --kept_;
    if (Spare(fd)) return;
    if (options_.reset) {
      const linger now{1, 0};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    stamped_[static_cast<size_t>(fd)] = 0;
    close(fd);
  }

  void Fail(int fd, const char* what, int error) {
    meter_.Failed(what, error);
    Close(fd);
  }

  void OnReady(int fd, uint32_t events) {
    State& state = states_[static_cast<size_t>(fd)];
    if (state == State::kConnecting) {
      if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Fail(fd, "connecting failed", 0);
      if ((events & EPOLLOUT) == 0) return;
      tcp_info info;
      socklen_t size = sizeof info;
      getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
      if (kind_ == Kind::kConnect || kind_ == Kind::kHalfOpen) {
        meter_.Done();
        return Close(fd);
      }
      state = State::kWaiting;
      if (options_.stamps) Stamp(fd);
      if (!Ask(fd)) return;
    }
    if (state == State::kWaiting && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) Answered(fd);
  }

  void Stamp(int fd) {
    if (std::exchange(stamped_[static_cast<size_t>(fd)], 1) != 0) return;
    const int stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps);
  }

  ssize_t Receive(int fd) {
    if (!options_.stamps) return recv(fd, buffer_, sizeof buffer_, 0);
    alignas(cmsghdr) char control[128];
    iovec piece{buffer_, sizeof buffer_};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    return recvmsg(fd, &header, 0);
  }

  bool Ask(int fd) {
    const std::string_view request = kind_ == Kind::kHttp ? kRequest : kRequestKept;
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(request.size())) {
      return true;
    }
    Fail(fd, "send", errno);
    return false;
  }

  // The farm's answer is small: it comes whole or not at all.
  void Answered(int fd) {
    const ssize_t count = Receive(fd);
    if (count < 0 && errno == EAGAIN) return;
    if (count < 16 || std::memcmp(buffer_ + 9, "200", 3) != 0 ||
        memmem(buffer_, static_cast<size_t>(count), "\r\n\r\n", 4) == nullptr) {
      return Fail(fd, "no HTTP answer of status 200", count < 0 ? errno : 0);
    }
    meter_.Done();
    if (kind_ == Kind::kHttp) return Close(fd);
    if (options_.rate == 0) {
      Ask(fd);
    } else {
      --busy_;
      resting_.push_back(fd);
    }
  }

  const Options options_;
  const Kind kind_;
  const int epoll_;
  Pacer pacer_;
  Meter meter_;
  std::vector<State> states_;      // by descriptor
  std::vector<unsigned> targets_;  // the same
  std::vector<char> stamped_;      // the same
  std::vector<int> spares_;        // by target; -1: none
  int busy_ = 0;
  size_t kept_ = 0;          // connections that stay open
  std::deque<int> resting_;  // of them those that wait for the next exchange
  unsigned next_ = 0;
  char buffer_[65536];
};

}  // namespace

void RunConnect(const Options& options) { Streams(options, Kind::kConnect).Run("tcp"); }
void RunHalfOpen(const Options& options) { Streams(options, Kind::kHalfOpen).Run("tcp-half-open"); }
void RunHttpNew(const Options& options) { Streams(options, Kind::kHttp).Run("http"); }
void RunHttpKept(const Options& options) { Streams(options, Kind::kHttpKept).Run("http-kept"); }

}  // namespace sonde::limits
