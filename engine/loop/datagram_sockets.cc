#include "engine/loop/datagram_sockets.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/loop/icmp_filter.h"
#include "engine/loop/message_arena.h"
#include "engine/loop/socket_options.h"

namespace sonde {
namespace {

constexpr uint32_t kInterest = EPOLLIN | EPOLLERR | EPOLLET;
// Batches read from one socket before the others have their turn.
constexpr int kBatchesPerRead = 16;
// How far a kernel's stamp of sending may lie from ours and still be of the same message.
constexpr Duration kStampTolerance = Milliseconds(20);
// What taking a civil stamp to the monotonic clock may be wrong by.
constexpr Duration kClockTolerance = Microseconds(2);

}  // namespace

DatagramSockets::DatagramSockets(Poller& poller, const Options& options)
    : poller_(poller),
      options_(options),
      random_(options.random_seed),
      arena_(std::make_unique<MessageArena>()) {}

DatagramSockets::~DatagramSockets() {
  for (auto& socket : sockets_) {
    if (socket->open) Close(*socket);
  }
}

void DatagramSockets::OpenDefaults() {
  const NetworkOptions network;
  const DatagramOptions echo{.ttl = 64};
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    const SharedSocket icmp = Join(Transport::kIcmp, family, network, echo);
    if (icmp.socket != kNoSocket) Leave(icmp.socket);
    for (turn_in_pool_ = 0; turn_in_pool_ < kUdpPool; ++turn_in_pool_) {
      const SharedSocket udp = Join(Transport::kUdp, family, network, {});
      if (udp.socket != kNoSocket) Leave(udp.socket);
    }
  }
}

// ---- sockets ------------------------------------------------------------------------------------

SharedSocket DatagramSockets::Join(Transport transport, IpFamily family,
                                   const NetworkOptions& options, const DatagramOptions& datagram) {
  const auto matches = [&](const Socket& socket) {
    const Key& key = socket.key;
    return socket.open && key.transport == transport && key.family == family &&
           key.dscp == options.dscp && key.datagram == datagram && key.source == options.source &&
           key.interface == options.interface;
  };
  const size_t pool = transport == Transport::kUdp ? kUdpPool : 1;
  // What was chosen last will do for the whole turn, mostly.
  Joined& last = joined_[static_cast<size_t>(transport)];
  if (last.socket != kNoSocket && (pool == 1 || last.turn == turn_in_pool_) &&
      matches(*sockets_[static_cast<size_t>(last.socket)])) {
    return Use(last.socket);
  }
  size_t found = 0;
  SocketId first = kNoSocket, chosen = kNoSocket;
  const size_t wanted = turn_in_pool_ % pool;
  for (size_t i = 0; i < sockets_.size() && chosen == kNoSocket; ++i) {
    if (!matches(*sockets_[i])) continue;
    if (first == kNoSocket) first = static_cast<SocketId>(i);
    if (found++ == wanted) chosen = static_cast<SocketId>(i);
  }
  SharedSocket result;
  bool opened = false;
  if (chosen == kNoSocket && found < pool) {
    opened = true;
    chosen = Open({transport, family, options.source, options.interface, options.dscp, datagram},
                  &result);
  }
  if (chosen == kNoSocket) chosen = first;  // a smaller pool will do
  if (chosen == kNoSocket) return result;
  last = {chosen, turn_in_pool_};
  result = Use(chosen);
  result.opened = opened;
  return result;
}

SharedSocket DatagramSockets::Use(SocketId id) {
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  ++socket.users;
  ++users_;
  return {.socket = id, .echo_id = socket.echo_id};
}

void DatagramSockets::Leave(SocketId socket) {
  --sockets_[static_cast<size_t>(socket)]->users;
  --users_;
}

SocketId DatagramSockets::Open(const Key& key, SharedSocket* result) {
  if (open_ >= kMostSockets) Evict();
  if (open_ >= kMostSockets) {
    result->error = EMFILE;
    return kNoSocket;
  }
  auto free = std::find_if(sockets_.begin(), sockets_.end(), [](auto& s) { return !s->open; });
  if (free == sockets_.end()) free = sockets_.insert(free, std::make_unique<Socket>());
  Socket& socket = **free;
  socket = Socket{};
  socket.key = key;
  const auto id = static_cast<SocketId>(free - sockets_.begin());
  const OpenedDatagramSocket opened = OpenDatagramSocket({.transport = key.transport,
                                                          .family = key.family,
                                                          .source = key.source,
                                                          .interface = key.interface,
                                                          .dscp = key.dscp,
                                                          .datagram = key.datagram,
                                                          .receive_buffer = kReceiveBuffer});
  result->error = opened.error;
  result->misconfigured = opened.misconfigured;
  if (opened.error != 0) return kNoSocket;
  socket.fd = opened.fd;
  socket.raw = opened.raw;
  if (socket.raw) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    socket.echo_id = static_cast<uint16_t>(random_ >> 48);
    result->error = AttachIcmpFilter(socket.fd, key.family, socket.echo_id);
  }
  if (result->error == 0) {
    result->error = poller_.Add(socket.fd, kInterest, this, Poller::Urgency::kCanWait);
  }
  if (result->error != 0) {
    close(socket.fd);
    return kNoSocket;
  }
  socket.stamped.resize(kStamped);
  socket.open = true;
  ++open_;
  const auto fd = static_cast<size_t>(socket.fd);
  if (fd >= by_fd_.size()) by_fd_.resize(fd + 16, kNoSocket);
  by_fd_[fd] = id;
  return id;
}

// Makes room: options that nobody uses any more, after many reloads.
void DatagramSockets::Evict() {
  for (auto& socket : sockets_) {
    if (socket->open && socket->users == 0 && socket->messages.empty()) Close(*socket);
  }
}

void DatagramSockets::Close(Socket& socket) {
  poller_.Forget(socket.fd);
  close(socket.fd);
  by_fd_[static_cast<size_t>(socket.fd)] = kNoSocket;
  queued_ -= socket.messages.size() - socket.first;
  socket = Socket{};
  --open_;
}

// ---- sending ------------------------------------------------------------------------------------

void DatagramSockets::Queue(SocketId id, const Address& to, Bytes message, SlotRef slot,
                            uint16_t number) {
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  if (socket.messages.empty()) to_send_.push_back(id);
  socket.messages.push_back({static_cast<uint32_t>(socket.bytes.size()),
                             static_cast<uint32_t>(message.size()), to, slot, number});
  socket.bytes.insert(socket.bytes.end(), message.begin(), message.end());
  ++queued_;
}

std::span<const SentDatagram> DatagramSockets::SendQueued() {
  sent_.clear();
  size_t kept = 0;
  for (const SocketId id : to_send_) {
    Socket& socket = *sockets_[static_cast<size_t>(id)];
    if (!socket.blocked) SendFrom(socket);
    if (socket.first == socket.messages.size()) {
      socket.messages.clear();
      socket.bytes.clear();
      socket.first = 0;
    } else {
      to_send_[kept++] = id;
    }
  }
  to_send_.resize(kept);
  ++turn_in_pool_;
  return sent_;
}

void DatagramSockets::SendFrom(Socket& socket) {
  bool tried = false;
  while (socket.first < socket.messages.size()) {
    const size_t count = std::min(kBatch, socket.messages.size() - socket.first);
    const bool stamped = options_.transmit_stamps || count <= kStampedBatch;
    arena_->BeginSend(stamped);
    for (size_t i = 0; i < count; ++i) {
      const Message& message = socket.messages[socket.first + i];
      arena_->Add({socket.bytes.data() + message.offset, message.size}, message.to);
    }
    const Instant began = MonotonicNow();
    const int sent = arena_->Send(socket.fd);
    const Instant ended = MonotonicNow();
    if (sent > 0) ReportSent(socket, static_cast<size_t>(sent), stamped, began, ended);
    if (stamped && sent != static_cast<int>(count)) {  // the kernel may count what it did not send
      RestartStampIds(socket.fd);
      socket.stamp_base = socket.stamp_id;
    }
    if (sent > 0) {
      tried = false;
      continue;
    }
    if (sent == -EAGAIN) {
      socket.blocked = poller_.Modify(socket.fd, kInterest | EPOLLOUT) == 0;
      return;
    }
    // The kernel hands an ICMP error about an earlier message to whichever call comes next; it
    // stands in the error queue as well. Only what fails twice is about this message.
    if (!std::exchange(tried, true)) continue;
    const Message& message = socket.messages[socket.first++];
    sent_.push_back({.slot = message.slot, .number = message.number, .error = -sent, .at = ended});
    --queued_;
    tried = false;
  }
}

// The kernel sends one after the other, each taking about as long.
void DatagramSockets::ReportSent(Socket& socket, size_t count, bool stamped, Instant began,
                                 Instant ended) {
  const int64_t whole = (ended - began).ns;
  for (size_t i = 0; i < count; ++i) {
    const Message& message = socket.messages[socket.first++];
    const Instant at{began.ns + whole * static_cast<int64_t>(i) / static_cast<int64_t>(count)};
    const SentDatagram sent{.slot = message.slot, .number = message.number, .at = at};
    if (stamped) socket.stamped[socket.stamp_id++ % kStamped] = {sent, began};
    sent_.push_back(sent);
  }
  queued_ -= count;
}

// ---- receiving ----------------------------------------------------------------------------------

void DatagramSockets::EndDispatch() {
  hungry_now_.swap(hungry_);
  for (const SocketId id : hungry_now_) {
    Socket& socket = *sockets_[static_cast<size_t>(id)];
    socket.hungry = false;
    if (socket.open) Receive(id);
  }
  hungry_now_.clear();
  sink_ = nullptr;
}

void DatagramSockets::OnReady(int fd, uint32_t events, Instant) {
  const SocketId id = by_fd_[static_cast<size_t>(fd)];
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  if ((events & EPOLLOUT) != 0 && socket.blocked) {
    socket.blocked = false;
    poller_.Modify(fd, kInterest);
  }
  // Stamps of sending before the answers they belong to.
  if ((events & EPOLLERR) != 0) {
    for (int i = 0; i < kBatchesPerRead && ReceiveErrors(id); ++i) {}
  }
  if ((events & EPOLLIN) != 0) Receive(id);
}

void DatagramSockets::Receive(SocketId id) {
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  for (int i = 0; i < kBatchesPerRead; ++i) {
    const int count = arena_->Receive(socket.fd, 0);
    // An error of an earlier message is told once, in the place of what waits.
    if (count < 0 && count != -EAGAIN) continue;
    if (count <= 0) return;
    const ClockReading now = ReadClocks();
    for (int k = 0; k < count; ++k) Tell(id, arena_->At(static_cast<size_t>(k), now), now.mono);
    if (static_cast<size_t>(count) < kBatch) return;
  }
  if (!std::exchange(socket.hungry, true)) hungry_.push_back(id);
}

void DatagramSockets::Tell(SocketId id, const ArrivedMessage& arrived, Instant now) {
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  if (arrived.drops) NoteDrops(socket, *arrived.drops);
  ReceivedDatagram message{.socket = id,
                           .transport = socket.key.transport,
                           .bytes = arrived.bytes,
                           .from = arrived.name,
                           .ttl = arrived.ttl,
                           .at = now};
  stamped_ = arrived.stamp.stamped();
  if (stamped_) {
    message.at = arrived.stamp;
    message.clock = StampClock::kKernel;
  }
  if (socket.raw &&
      socket.key.family == IpFamily::kV4) {  // raw IPv4 sockets give the IP header too
    if (message.bytes.size() < 20) return;
    const size_t header = size_t{4} * (message.bytes[0] & 0xf);
    if (header < 20 || header > message.bytes.size()) return;
    message.ttl = message.bytes[8];
    message.bytes = message.bytes.subspan(header);
  }
  sink_->OnDatagram(message);
}

bool DatagramSockets::ReceiveErrors(SocketId id) {
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  const int count = arena_->Receive(socket.fd, MSG_ERRQUEUE);
  if (count <= 0) return false;
  const ClockReading now = ReadClocks();
  for (int k = 0; k < count; ++k) TellError(id, arena_->At(static_cast<size_t>(k), now), now.mono);
  return static_cast<size_t>(count) == kBatch;
}

void DatagramSockets::TellError(SocketId id, const ArrivedMessage& arrived, Instant now) {
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  if (arrived.sent_stamp_of) {
    if (socket.stamped.empty() || !arrived.stamp.stamped()) return;
    const Stamped& stamped =
        socket.stamped[(socket.stamp_base + *arrived.sent_stamp_of) % kStamped];
    // Left over from before the numbers began anew, or lost and come back: of another message.
    if (arrived.stamp < stamped.began - kClockTolerance) return;
    if (arrived.stamp - stamped.sent.at > kStampTolerance) return;
    SentDatagram sent = stamped.sent;
    sent.at = arrived.stamp;
    sent.clock = StampClock::kKernel;
    sink_->OnDatagramStamped(sent);
    return;
  }
  if (arrived.icmp_error == 0) return;  // of this machine: the send call told it
  sink_->OnDatagramError({.socket = id,
                          .transport = socket.key.transport,
                          .error = arrived.icmp_error,
                          .type = arrived.icmp_type,
                          .code = arrived.icmp_code,
                          .from = arrived.offender,
                          .to = arrived.name,
                          .quoted = arrived.bytes,
                          .at = arrived.stamp.stamped() ? arrived.stamp : now});
}

void DatagramSockets::NoteDrops(Socket& socket, uint64_t drops) {
  if (drops <= socket.drops) return;
  dropped_ += drops - socket.drops;
  socket.drops = drops;
}

uint64_t DatagramSockets::ReceiveDrops(SocketId id, bool fresh) {
  Socket& socket = *sockets_[static_cast<size_t>(id)];
  if (fresh && socket.drops_read != dispatch_) {
    socket.drops_read = dispatch_;
    if (const auto drops = ReadDrops(socket.fd)) NoteDrops(socket, *drops);
  }
  return socket.drops;
}

}  // namespace sonde
