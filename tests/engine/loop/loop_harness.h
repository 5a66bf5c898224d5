// What the tests of engine/loop share: a recorder of network events, a poll loop with an end, and
// plain sockets for the other side. Nothing sleeps: everything waits for a descriptor.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/loop/epoll_network.h"
#include "engine/loop/poller.h"
#include "engine/loop/resolver.h"
#include "engine/loop/socket_address.h"
#include "engine/loop/uring_network.h"

namespace sonde {

inline constexpr Duration kPatience = Seconds(20);

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Descriptor() { Reset(); }
  int get() const { return fd_; }
  void Reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

inline Address Local(const char* host, uint16_t port) { return *Address::ParseLiteral(host, port); }

inline Address NameOf(int fd, bool peer = false) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  sockaddr* const name = reinterpret_cast<sockaddr*>(&storage);
  EXPECT_EQ(peer ? getpeername(fd, name, &size) : getsockname(fd, name, &size), 0);
  return AddressFrom(name);
}

// A listening TCP socket on port 0. -1 when the family is not there (no IPv6).
inline Descriptor Listen(const char* host = "127.0.0.1", int backlog = 128) {
  const SocketAddress at(Local(host, 0));
  Descriptor fd(socket(at.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0 || bind(fd.get(), at.get(), at.size()) != 0) return Descriptor();
  EXPECT_EQ(listen(fd.get(), backlog), 0);
  return fd;
}

inline Descriptor Accept(const Descriptor& listener) {
  pollfd waits{listener.get(), POLLIN, 0};
  EXPECT_EQ(poll(&waits, 1, static_cast<int>(kPatience.ns / 1'000'000)), 1);
  return Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

inline void CloseWithReset(Descriptor fd) {
  const linger now{1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

struct NetworkEvent {
  enum class Kind { kResolved, kConnected, kConnectFailed, kReadable, kWritable };
  Kind kind;
  SlotRef slot;
  int error = 0;
  ResolveAnswer answer;
  Instant at;
};

class Recorder : public NetworkEvents {
 public:
  using Kind = NetworkEvent::Kind;
  std::vector<NetworkEvent> all;
  std::function<void(const NetworkEvent&)> react;  // may be empty

  void OnResolved(SlotRef slot, const ResolveAnswer& answer) override {
    Add({Kind::kResolved, slot, 0, answer, answer.at});
  }
  void OnConnected(SlotRef slot, Instant at) override { Add({Kind::kConnected, slot, 0, {}, at}); }
  void OnConnectFailed(SlotRef slot, int error, Instant at) override {
    Add({Kind::kConnectFailed, slot, error, {}, at});
  }
  void OnReadable(SlotRef slot, Instant at) override { Add({Kind::kReadable, slot, 0, {}, at}); }
  void OnWritable(SlotRef slot, Instant at) override { Add({Kind::kWritable, slot, 0, {}, at}); }
  void OnDatagram(const ReceivedDatagram& message) override {
    datagrams.push_back(message);
    payloads.emplace_back(AsText(message.bytes));
    datagrams.back().bytes = {};
  }
  void OnDatagramError(const DatagramError& error) override {
    errors.push_back(error);
    quoted.emplace_back(AsText(error.quoted));
    errors.back().quoted = {};
  }
  void OnDatagramStamped(const SentDatagram& sent) override { stamped.push_back(sent); }
  std::vector<ReceivedDatagram> datagrams;
  std::vector<std::string> payloads;  // of the datagrams
  std::vector<DatagramError> errors;
  std::vector<std::string> quoted;  // of the errors
  std::vector<SentDatagram> stamped;

  size_t Count(Kind kind, SlotRef slot) const {
    size_t count = 0;
    for (const NetworkEvent& event : all) count += event.kind == kind && event.slot == slot;
    return count;
  }
  const NetworkEvent* Last(Kind kind, SlotRef slot) const {
    for (size_t i = all.size(); i-- > 0;) {
      if (all[i].kind == kind && all[i].slot == slot) return &all[i];
    }
    return nullptr;
  }

 private:
  void Add(NetworkEvent event) {
    all.push_back(event);
    if (react) react(event);
  }
};

// A poller with network and resolver, turned by hand.
class LoopTest : public testing::Test {
 protected:
  LoopTest() { Open({}); }

  void Open(const ResolverOptions& options, size_t max_streams = 64,
            const DatagramSockets::Options& datagrams = {}) {
    network_.reset();
    resolver_.reset();
    poller_ = *Poller::Make();
    resolver_ = std::make_unique<Resolver>(*poller_, options);
    auto epoll = std::make_unique<EpollNetwork>(*poller_, *resolver_, max_streams, datagrams);
    if (uring_table_ == 0) {
      network_ = std::move(epoll);
    } else {
      network_ = *UringNetwork::Make(*poller_, std::move(epoll), max_streams, uring_table_);
    }
  }

  // Turns the loop until `done`. `aside` is polled too and then `serve` is called: the other side's
  // work.
  bool RunUntil(const std::function<bool()>& done, int aside = -1,
                const std::function<void()>& serve = {}) {
    const Instant end = MonotonicNow() + kPatience;
    while (!done()) {
      if (MonotonicNow() > end) return false;
      pollfd waits[] = {{poller_->fd(), POLLIN, 0}, {aside, POLLIN, 0}};
      if (!network_->pending()) poll(waits, 2, 10);
      if (serve) serve();
      network_->DispatchEvents(events_);
      resolver_->Tick(MonotonicNow());
    }
    return true;
  }
  bool RunUntil(NetworkEvent::Kind kind, SlotRef slot) {
    return RunUntil([&] { return events_.Count(kind, slot) > 0; });
  }

  std::unique_ptr<Poller> poller_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<LoopNetwork> network_;
  size_t uring_table_ = 0;  // not 0: streams over io_uring from the next Open on
  Recorder events_;
};

}  // namespace sonde
