#include "engine/loop/epoll_network.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "engine/loop/kernel_stamp.h"
#include "engine/loop/socket_address.h"
#include "engine/loop/socket_options.h"

namespace sonde {
namespace {

constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr uint32_t kReadable = EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP;
// Less than a segment, more than most answers to a probe.
constexpr size_t kFirstRead = 1024;
// A peer that nobody connected to for so long may be gone. Of those so many go in a turn.
constexpr Duration kSpareRest = Minutes(10);
constexpr int kMostTrimmed = 16;
constexpr uint32_t kEnding = EPOLLRDHUP | EPOLLERR | EPOLLHUP;

int BindSource(int fd, const Address& source, const Address& to) {
  if (source.family != to.family) return EAFNOSUPPORT;
  // Without this the kernel picks a port that is free for every destination: 28,000 connections in
  // all instead of 28,000 per destination.
  if (const int error = SetSocketOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)) return error;
  Address local = source;
  local.port = 0;
  const SocketAddress name(local);
  return bind(fd, name.get(), name.size()) == 0 ? 0 : errno;
}

// Only what the module asks for: each option is a system call per probe.
int Configure(int fd, const Address& to, const NetworkOptions& options) {
  if (const int error = BindToInterface(fd, options.interface)) return error;
  if (const int error = SetDscp(fd, to.family, options.dscp)) return error;
  // The ACK of the peer's SYN waits for 200 ms (tcp(7), TCP_DELACK_MAX): by then we have closed.
  if (options.half_open) {
    if (const int error = SetSocketOption(fd, IPPROTO_TCP, TCP_QUICKACK, 0)) return error;
  }
  if (options.source.family != IpFamily::kNone) return BindSource(fd, options.source, to);
  return 0;
}

int SocketError(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

// An RST while the connection was being opened is ECONNREFUSED. These two say that it was open
// before the peer tore it down: connecting succeeded, reading will not.
bool TornDownAfterOpening(int error) { return error == ECONNRESET || error == EPIPE; }

}  // namespace

EpollNetwork::EpollNetwork(Poller& poller, Resolver& resolver, size_t max_streams,
                           const DatagramSockets::Options& datagrams)
    : poller_(poller),
      resolver_(resolver),
      max_streams_(max_streams),
      spares_(max_streams / 2),
      datagrams_(poller, datagrams) {}

EpollNetwork::~EpollNetwork() {
  for (size_t fd = 0; fd < streams_.size(); ++fd) {
    if (streams_[fd].open) Close(static_cast<StreamId>(fd), NetworkOptions::Close::kFin);
  }
  while (spares() > 0) Discard(spares_.TakeOldest());
}

std::optional<ResolveAnswer> EpollNetwork::Resolve(SlotRef slot, std::string_view host,
                                                   const NetworkOptions& options) {
  return resolver_.Resolve(slot, host, options, MonotonicNow());
}

void EpollNetwork::CancelResolve(SlotRef slot) { resolver_.Cancel(slot); }

ConnectResult EpollNetwork::Connect(SlotRef slot, const Address& to,
                                    const NetworkOptions& options) {
  ConnectResult result;
  result.at = MonotonicNow();
  const SocketAddress peer(to);
  if (peer.size() == 0) {
    result.error = EAFNOSUPPORT;
    return result;
  }
  if (open_ >= max_streams_) {
    result.error = EMFILE;
    return result;
  }
  // While events wait to be told, one of them may be about what a spare was before. A stream that
  // cannot take one leaves none: they would become more and more.
  const bool with_spares = options.plain() && !poller_.has_untold();
  int fd = with_spares ? spares_.Take(to) : -1;
  const bool spare = fd >= 0;
  if (!spare) fd = OpenSocket(peer.get()->sa_family);
  if (fd < 0) {
    result.error = errno;
    return result;
  }
  result.error = Configure(fd, to, options);
  result.misconfigured = result.error != 0;
  if (result.error == 0) {
    result.at = MonotonicNow();
    if (connect(fd, peer.get(), peer.size()) != 0 && errno != EINPROGRESS) result.error = errno;
  }
  // Registered only now: a socket that is not connecting yet would report a hang-up. What happened
  // since, also a connection made at once, is reported by the registration itself.
  if (result.error == 0 && !spare) result.error = poller_.Add(fd, kInterest, this);
  if (result.error != 0) {
    if (spare) poller_.Forget(fd);
    close(fd);
    return result;
  }
  if (static_cast<size_t>(fd) >= streams_.size()) streams_.resize(static_cast<size_t>(fd) + 64);
  Stream& stream = StreamOf(fd);
  const uint32_t generation = stream.generation + 1;
  const bool stamps = spare && stream.stamps;
  stream = Stream{};
  stream.slot = slot;
  stream.generation = generation;
  stream.open = true;
  stream.connecting = true;
  stream.leaves_spare = with_spares;
  stream.to = to;
  stream.stamps = stamps;
  ++open_;
  result.stream = fd;
  return result;
}

// Whatever comes after the last Receive is an event of its own.
bool EpollNetwork::HandOver(StreamId id, SlotRef slot) {
  Stream& stream = StreamOf(id);
  if (stream.filled || stream.ending || stream.owed || stream.pending_error != 0) return false;
  stream.slot = slot;
  return true;
}

IoResult EpollNetwork::Send(StreamId id, Bytes bytes) {
  Stream& stream = StreamOf(id);
  IoResult result;
  if (stream.pending_error != 0) {
    result.error = std::exchange(stream.pending_error, 0);
    result.at = MonotonicNow();
    return result;
  }
  stream.awaits = true;
  if (stream.sends == 0) stream.stamped = stream.stamps = stream.stamps || StampArrivals(id);
  // A request is one send. A second small one would wait for the peer's delayed acknowledgement of
  // the first (Nagle).
  if (stream.sends == 1) SetSocketOption(id, IPPROTO_TCP, TCP_NODELAY, 1);
  if (stream.sends < 2) ++stream.sends;
  ssize_t count;
  do {
    count = send(id, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    result.error = errno;
  } else {
    result.count = static_cast<size_t>(count);
  }
  if (result.error == EAGAIN || (result.error == 0 && result.count < bytes.size())) {
    stream.wants_write = true;
  }
  result.at = stream.last = MonotonicNow();
  return result;
}

// As recv. `at` is moved to the moment the last of the bytes arrived, if the kernel knows it.
ssize_t EpollNetwork::ReceiveStamped(StreamId id, std::span<uint8_t> into, Instant* at) {
  iovec piece{into.data(), into.size()};
  alignas(cmsghdr) std::array<uint8_t, kStampControlBytes> control;
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t count = recvmsg(id, &header, 0);
  const int error = errno;
  const ClockReading now = ReadClocks();
  *at = now.mono;
  if (count > 0) {
    const Instant arrived = StampOf(header, now);
    if (arrived.stamped()) *at = std::max(arrived, StreamOf(id).last);
  }
  errno = error;
  return count;
}

IoResult EpollNetwork::Receive(StreamId id, std::span<uint8_t> into) {
  Stream& stream = StreamOf(id);
  // The stamp is of the last byte read: a small read keeps the beginning of an answer apart.
  if (stream.stamped && stream.awaits) into = into.first(std::min(into.size(), kFirstRead));
  IoResult result;
  ssize_t count;
  do {
    if (stream.stamped) {
      count = ReceiveStamped(id, into, &result.at);
    } else {
      count = recv(id, into.data(), into.size(), 0);
      result.at = MonotonicNow();
    }
  } while (count < 0 && errno == EINTR);
  stream.last = result.at;
  if (count > 0) stream.awaits = false;
  stream.filled = count > 0 && static_cast<size_t>(count) == into.size();
  if (count > 0) {
    result.count = static_cast<size_t>(count);
    // The kernel announced bytes and end in one event and will not announce the end again, but a
    // short count tells the reader that the socket is empty.
    if (result.count < into.size() && stream.ending) OweReadable(id);
  } else if (stream.pending_error != 0) {
    result.error = std::exchange(stream.pending_error, 0);
  } else if (count < 0) {
    result.error = errno;
  }
  return result;
}

void EpollNetwork::Close(StreamId id, NetworkOptions::Close how) {
  const bool reset = how == NetworkOptions::Close::kReset;
  StreamOf(id).open = false;
  --open_;
  if (reset && KeepAsSpare(id)) return;
  if (reset) {
    const linger now{1, 0};
    setsockopt(id, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  Discard(id);
}

// A socket within `max_streams`; -1: errno. Spares give way to it.
int EpollNetwork::OpenSocket(int family) {
  if (open_ + spares() >= max_streams_) Discard(spares_.TakeOldest());
  constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const int fd = socket(family, kType, 0);
  if (fd >= 0 || spares() == 0 || (errno != EMFILE && errno != ENFILE)) return fd;
  Discard(spares_.TakeOldest());
  return socket(family, kType, 0);
}

// The peer gets the RST that closing with SO_LINGER 0 sends: both are tcp_disconnect of
// net/ipv4/tcp.c. It goes on from the sequence numbers of this connection in the next one, so that
// nobody but this peer may have the socket: others could answer in the next one's place.
bool EpollNetwork::KeepAsSpare(int fd) {
  if (!StreamOf(fd).leaves_spare) return false;
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  return connect(fd, &nobody, sizeof nobody) == 0 && spares_.Keep(fd, StreamOf(fd).to, now_);
}

void EpollNetwork::TrimSpares() {
  for (int i = 0; i < kMostTrimmed; ++i) {
    const int fd = spares_.TakeOldest(now_ - kSpareRest);
    if (fd < 0) return;
    Discard(fd);
  }
}

void EpollNetwork::Discard(int fd) {
  poller_.Forget(fd);
  close(fd);
}

TcpInfo EpollNetwork::Inspect(StreamId id) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(id, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  // Before any data, what was sent again was a SYN.
  TcpInfo result{.syn_retransmits = static_cast<int>(info.tcpi_total_retrans)};
  if (info.tcpi_rtt > 0) result.rtt = Microseconds(info.tcpi_rtt);
  return result;
}

bool EpollNetwork::DispatchEvents(NetworkEvents& events) {
  sink_ = &events;
  now_ = MonotonicNow();
  TrimSpares();
  datagrams_.BeginDispatch(events);
  const int count = poller_.DispatchOnce();
  datagrams_.EndDispatch();
  resolver_.DispatchAnswers(events);
  DispatchOwed();
  sink_ = nullptr;
  return count == Poller::kBatch || pending();
}

void EpollNetwork::OnReady(int fd, uint32_t events, Instant at) {
  if (!StreamOf(fd).open) return;  // a spare: it has no connection (EPOLLHUP)
  const uint32_t generation = StreamOf(fd).generation;
  if (StreamOf(fd).connecting && !Opened(fd, events, at)) return;
  // Every call out may close this stream, and open another on the same descriptor.
  const auto alive = [&] { return StreamOf(fd).open && StreamOf(fd).generation == generation; };
  if (!alive()) return;
  if ((events & kEnding) != 0) StreamOf(fd).ending = true;
  if ((events & EPOLLOUT) != 0 && std::exchange(StreamOf(fd).wants_write, false)) {
    sink_->OnWritable(StreamOf(fd).slot, at);
    if (!alive()) return;
  }
  if ((events & kReadable) != 0) sink_->OnReadable(StreamOf(fd).slot, at);
}

// True when the stream is open now and was announced.
bool EpollNetwork::Opened(int fd, uint32_t events, Instant at) {
  Stream& stream = StreamOf(fd);
  int error = 0;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    error = SocketError(fd);
  } else if ((events & EPOLLOUT) == 0) {
    return false;  // nothing about connecting
  }
  stream.connecting = false;
  if (error != 0 && !TornDownAfterOpening(error)) {
    sink_->OnConnectFailed(stream.slot, error, at);
    return false;
  }
  stream.pending_error = error;
  sink_->OnConnected(stream.slot, at);
  return true;
}

void EpollNetwork::OweReadable(int fd) {
  Stream& stream = StreamOf(fd);
  if (stream.owed) return;
  stream.owed = true;
  owed_.push_back({fd, stream.generation});
}

void EpollNetwork::DispatchOwed() {
  if (owed_.empty()) return;
  owed_now_.swap(owed_);
  for (const Owed& owed : owed_now_) {
    Stream& stream = StreamOf(owed.fd);
    if (!stream.open || stream.generation != owed.generation) continue;
    stream.owed = false;
    sink_->OnReadable(stream.slot, MonotonicNow());
  }
  owed_now_.clear();
}

}  // namespace sonde
