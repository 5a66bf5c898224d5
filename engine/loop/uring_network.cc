#include "engine/loop/uring_network.h"

#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "engine/loop/socket_address.h"

namespace sonde {
namespace {

// The kernel reads these when it carries out what is queued.
constexpr linger kResetNow{1, 0};
constexpr int kOn = 1;
constexpr int kStampArrivals = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

// Direct descriptors are had as they are; whatever else the options ask for takes descriptors of
// the process.
bool Plain(const NetworkOptions& options) {
  return options.dscp < 0 && options.source.family == IpFamily::kNone &&
         options.interface.empty() && !options.half_open;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UringNetwork>> UringNetwork::Make(
    Poller& poller, std::unique_ptr<EpollNetwork> epoll, size_t max_streams, size_t table) {
  table = std::clamp<size_t>(table, 1, max_streams);
  std::unique_ptr<UringNetwork> made(
      new UringNetwork(poller, std::move(epoll), max_streams, table));
  if (const absl::Status status = made->AddRing(); !status.ok()) return status;
  return made;
}

UringNetwork::~UringNetwork() {
  for (auto& ring : rings_) poller_.Remove(ring->wake_fd());
  rings_.clear();  // with every operation, before what they write to goes
}

absl::Status UringNetwork::AddRing() {
  auto ring = Uring::Make(static_cast<unsigned>(table_));
  if (!ring.ok()) return ring.status();
  if (const int error = poller_.Add((*ring)->wake_fd(), EPOLLIN | EPOLLET, this)) {
    return absl::ErrnoToStatus(error, "epoll_ctl");
  }
  rings_.push_back(*std::move(ring));
  return absl::OkStatus();
}

size_t UringNetwork::DescriptorsLeft() const {
  const size_t most =
      no_more_rings_ ? std::min(max_streams_, rings_.size() * table_) : max_streams_;
  return std::min(most - std::min(most, open_), epoll_->DescriptorsLeft());
}

int UringNetwork::TakeIndex(uint32_t* index) {
  if (open_ >= max_streams_) return EMFILE;
  if (!free_.empty()) {
    *index = free_.back();
    free_.pop_back();
    return 0;
  }
  if (streams_.size() == rings_.size() * table_) {
    // A stream that is closed keeps its place for a moment: then one more ring may be needed.
    if (no_more_rings_ || streams_.size() >= max_streams_ + table_) return EMFILE;
    if (!AddRing().ok()) {
      no_more_rings_ = true;
      return EMFILE;
    }
  }
  *index = static_cast<uint32_t>(streams_.size());
  streams_.emplace_back();
  return 0;
}

ConnectResult UringNetwork::Connect(SlotRef slot, const Address& to,
                                    const NetworkOptions& options) {
  if (!Plain(options)) {
    ConnectResult result = epoll_->Connect(slot, to, options);
    if (result.stream != kNoStream) result.stream |= kEpoll;
    return result;
  }
  ConnectResult result;
  result.at = MonotonicNow();
  const SocketAddress peer(to);
  if (peer.size() == 0) {
    result.error = EAFNOSUPPORT;
    return result;
  }
  uint32_t index = 0;
  result.error = TakeIndex(&index);
  if (result.error != 0) return result;
  Stream& stream = streams_[index];
  stream.slot = slot;
  stream.open = stream.connecting = true;
  ++open_;
  result.stream = static_cast<StreamId>(index);
  Uring& ring = RingOf(index);
  ring.Submit();  // what was queued before must not come between the stamp and the connect
  ring.Open(DescriptorOf(index), peer.get()->sa_family, Tag(Op::kOpen, index));
  ring.Connect(DescriptorOf(index), peer, Tag(Op::kConnect, index));
  result.at = MonotonicNow();
  ring.Submit();
  return result;
}

bool UringNetwork::HandOver(StreamId id, SlotRef slot) {
  if ((id & kEpoll) != 0) return epoll_->HandOver(id & ~kEpoll, slot);
  const auto index = static_cast<uint32_t>(id);
  Stream& stream = streams_[index];
  if (stream.filled || stream.buffer >= 0 || stream.ended || stream.send_error != 0) return false;
  stream.slot = slot;
  stream.awaits = true;
  Arm(index);  // whatever comes now is an event of its own
  return true;
}

IoResult UringNetwork::Send(StreamId id, Bytes bytes) {
  if ((id & kEpoll) != 0) return epoll_->Send(id & ~kEpoll, bytes);
  const auto index = static_cast<uint32_t>(id);
  Stream& stream = streams_[index];
  IoResult result;
  if (stream.send_error != 0) {
    result.error = stream.send_error;
  } else if (stream.sending) {
    stream.wants_write = true;
    result.error = EAGAIN;
  } else {
    Uring& ring = RingOf(index);
    if (stream.sends == 0) {
      ring.SetOption(DescriptorOf(index), SOL_SOCKET, SO_TIMESTAMPING, &kStampArrivals,
                     sizeof kStampArrivals);
      stream.stamped = true;
    }
    // A request is one send. A second small one would wait for the peer's delayed acknowledgement
    // of the first (Nagle).
    if (stream.sends == 1) {
      ring.SetOption(DescriptorOf(index), IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
    }
    if (stream.sends < 2) ++stream.sends;
    stream.awaits = true;
    result.count = std::min(bytes.size(), kMostSend);
    if (!stream.out) stream.out = buffers_.Take();
    stream.out.Append(bytes.first(result.count));
    stream.out_sent = 0;
    SendRest(index);
  }
  result.at = stream.last = MonotonicNow();
  return result;
}

void UringNetwork::SendRest(uint32_t index) {
  Stream& stream = streams_[index];
  stream.sending = true;
  RingOf(index).Send(DescriptorOf(index), stream.out.bytes().subspan(stream.out_sent),
                     Tag(Op::kSend, index));
}

IoResult UringNetwork::Receive(StreamId id, std::span<uint8_t> into) {
  if ((id & kEpoll) != 0) return epoll_->Receive(id & ~kEpoll, into);
  const auto index = static_cast<uint32_t>(id);
  Stream& stream = streams_[index];
  IoResult result;
  if (stream.buffer >= 0) {
    Uring& ring = RingOf(index);
    const Bytes there = ring.BufferOf(stream.buffer, stream.from, stream.to);
    result.count = std::min(there.size(), into.size());
    std::memcpy(into.data(), there.data(), result.count);
    stream.from += result.count;
    result.at = stream.arrived.stamped() ? std::max(stream.arrived, stream.last) : MonotonicNow();
    stream.awaits = false;
    stream.filled = result.count == into.size();
    if (stream.from == stream.to) {
      if (stream.to == stream.piece.iov_len) stream.filled = true;
      ring.GiveBack(std::exchange(stream.buffer, -1));
    }
  } else {
    result.at = MonotonicNow();
    if (stream.ended) {
      result.error = stream.error != 0 ? stream.error : stream.send_error;
    } else {  // what arrived earlier may not be told yet: `last` stays
      stream.filled = false;
      result.error = EAGAIN;
      Arm(index);
      return result;
    }
  }
  stream.last = result.at;
  return result;
}

// Has the next bytes, the end or an error told.
void UringNetwork::Arm(uint32_t index) {
  Stream& stream = streams_[index];
  if (stream.receiving || stream.starved || stream.connecting) return;
  stream.receiving = true;
  // The stamp is of the last byte read: a small read keeps the beginning of an answer apart.
  stream.piece = {nullptr, stream.awaits ? kFirstRead : Uring::kBufferBytes};
  stream.header = {};
  stream.header.msg_iov = &stream.piece;
  stream.header.msg_iovlen = 1;
  stream.header.msg_control = stream.control.data();
  stream.header.msg_controllen = stream.control.size();
  RingOf(index).Receive(DescriptorOf(index), &stream.header, Tag(Op::kReceive, index));
}

// What found all buffers taken tries again after their readers have had their turn.
void UringNetwork::ArmStarved() {
  for (const uint32_t index : std::exchange(starved_, {})) {
    if (std::exchange(streams_[index].starved, false) && streams_[index].open) Arm(index);
  }
}

void UringNetwork::Close(StreamId id, NetworkOptions::Close how) {
  if ((id & kEpoll) != 0) return epoll_->Close(id & ~kEpoll, how);
  const auto index = static_cast<uint32_t>(id);
  Stream& stream = streams_[index];
  Uring& ring = RingOf(index);
  if (stream.buffer >= 0) ring.GiveBack(std::exchange(stream.buffer, -1));
  if (stream.connecting) ring.Cancel(Tag(Op::kConnect, index));
  if (stream.receiving) ring.Cancel(Tag(Op::kReceive, index));
  if (stream.sending) ring.Cancel(Tag(Op::kSend, index));
  if (how == NetworkOptions::Close::kReset) {
    ring.SetOption(DescriptorOf(index), SOL_SOCKET, SO_LINGER, &kResetNow, sizeof kResetNow);
  }
  ring.Close(DescriptorOf(index));
  stream.open = false;
  --open_;
  if (!stream.busy()) Recycle(index);
}

// Only when the last of its operations was told: none can meet the next stream of this place.
void UringNetwork::Recycle(uint32_t index) {
  Stream& stream = streams_[index];
  const uint32_t generation = stream.generation + 1;
  stream.~Stream();
  new (&stream) Stream;
  stream.generation = generation;
  free_.push_back(index);
}

TcpInfo UringNetwork::Inspect(StreamId id) {
  return (id & kEpoll) != 0 ? epoll_->Inspect(id & ~kEpoll) : TcpInfo{};
}

// ---- events -------------------------------------------------------------------------------------

bool UringNetwork::DispatchEvents(NetworkEvents& events) {
  bool more = epoll_->DispatchEvents(events);
  sink_ = &events;
  for (uint32_t ring = 0; ring < rings_.size(); ++ring) more |= Dispatch(ring);
  ArmStarved();
  sink_ = nullptr;
  return more;
}

// What was there is told, and what that has queued is handed to the kernel, which may be done with
// it at once. True: there was more than that.
bool UringNetwork::Dispatch(uint32_t number) {
  Uring& ring = *rings_[number];
  int left = kMostRounds, follow_ups = 2;
  while (left-- > 0 && ring.pending()) {
    const std::span<const Uring::Completion> done = ring.Collect();
    const bool more = ring.more();
    const Instant at = MonotonicNow();
    for (const Uring::Completion& one : done) OnDone(number, one, at);
    if (!more && (!ring.queued() || follow_ups-- == 0)) {
      ring.Submit();
      return false;
    }
  }
  return ring.pending();
}

// DispatchEvents looks at every ring anyway.
void UringNetwork::OnReady(int fd, uint32_t, Instant) {
  for (auto& ring : rings_) {
    if (ring->wake_fd() == fd) ring->Woken();
  }
}

void UringNetwork::Submit() {
  for (auto& ring : rings_) ring->Submit();
}

bool UringNetwork::pending() const {
  if (epoll_->pending() || !starved_.empty()) return true;
  return std::any_of(rings_.begin(), rings_.end(),
                     [](const auto& ring) { return ring->pending(); });
}

void UringNetwork::OnDone(uint32_t ring, const Uring::Completion& done, Instant at) {
  const auto index = static_cast<uint32_t>(done.tag >> 32);
  const auto op = static_cast<Op>(done.tag & 0xff);
  Stream& stream = streams_[index];
  if (done.tag != Tag(op, index)) {
    if (done.buffer >= 0) rings_[ring]->GiveBack(done.buffer);
    return;
  }
  switch (op) {
    case Op::kNone:
      break;
    case Op::kOpen:  // the connect behind it fails for want of it
      stream.error = -done.result;
      return;
    case Op::kConnect:
      stream.connecting = false;
      if (stream.open) return Connected(index, done.result < 0 ? -done.result : 0, at);
      break;
    case Op::kReceive:
      stream.receiving = false;
      if (stream.open) return Received(index, done, at);
      if (done.buffer >= 0) rings_[ring]->GiveBack(done.buffer);
      break;
    case Op::kSend:
      stream.sending = false;
      if (stream.open) return Sent(index, done.result, at);
      break;
  }
  if (!stream.open && !stream.busy()) Recycle(index);
}

void UringNetwork::Connected(uint32_t index, int error, Instant at) {
  Stream& stream = streams_[index];
  if (stream.error != 0) error = stream.error;  // there was no socket
  // As in EpollNetwork: these two say that it was open before the peer tore it down.
  if (error != 0 && error != ECONNRESET && error != EPIPE) {
    return sink_->OnConnectFailed(stream.slot, error, at);
  }
  stream.error = error;
  const uint32_t generation = stream.generation;
  sink_->OnConnected(stream.slot, at);
  // The call out may have closed this stream, and opened another in its place.
  if (stream.open && stream.generation == generation) Arm(index);
}

void UringNetwork::Received(uint32_t index, const Uring::Completion& done, Instant at) {
  Stream& stream = streams_[index];
  if (done.result == -ENOBUFS) {
    stream.starved = true;
    starved_.push_back(index);
    return;
  }
  if (done.result > 0) {
    stream.buffer = done.buffer;
    stream.from = 0;
    stream.to = static_cast<size_t>(done.result);
    stream.arrived = stream.stamped ? StampOf(stream.header, ReadClocks()) : Instant{};
  } else {
    if (done.buffer >= 0) RingOf(index).GiveBack(done.buffer);
    stream.ended = true;
    if (done.result < 0) stream.error = -done.result;
  }
  sink_->OnReadable(stream.slot, at);
}

void UringNetwork::Sent(uint32_t index, int result, Instant at) {
  Stream& stream = streams_[index];
  if (result < 0) {
    stream.send_error = -result;
  } else {
    stream.out_sent += static_cast<size_t>(result);
    if (stream.out_sent < stream.out.size()) return SendRest(index);
  }
  stream.out.Clear();
  if (std::exchange(stream.wants_write, false)) sink_->OnWritable(stream.slot, at);
}

}  // namespace sonde
