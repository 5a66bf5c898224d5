// TCP streams over io_uring with direct descriptors (ADR 044). Names, datagrams, and streams that a
// module wants something special of (a source address, an interface, DSCP, half-open) are
// EpollNetwork's.
//
// Nothing of a stream is a system call of its own but its connect: operations are queued, and leave
// together when events have been told, or at the end of the turn. Opening and connecting leave at
// once, so that the stamp stands right before them. What differs from EpollNetwork:
// - Send takes bytes while none are on their way (EAGAIN, then OnWritable); what becomes of them is
//   known later: an error is told by the next Send, or by Receive in the place of the end.
// - Connects that fail at once are told by an event, as all are.
// - A connection is stamped when the loop sees it: TCP_INFO cannot be asked for (the kernel's
//   getsockopt by io_uring knows SOL_SOCKET only), so that SYNs sent again and the kernel's time of
//   the SYN-ACK stay unknown. Bytes that answer carry the kernel's stamp as there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/loop/epoll_network.h"
#include "engine/loop/kernel_stamp.h"
#include "engine/loop/uring.h"

namespace sonde {

class UringNetwork final : public LoopNetwork, private Poller::Handler {
 public:
  // A ring has a table of `table` descriptors, at most RLIMIT_NOFILE; more rings are made as they
  // are needed, up to `max_streams` streams in all. `poller` outlives this; `epoll` uses the same.
  static absl::StatusOr<std::unique_ptr<UringNetwork>> Make(Poller& poller,
                                                            std::unique_ptr<EpollNetwork> epoll,
                                                            size_t max_streams, size_t table);
  ~UringNetwork() override;
  UringNetwork(const UringNetwork&) = delete;
  UringNetwork& operator=(const UringNetwork&) = delete;

  Instant Stamp() override { return MonotonicNow(); }
  std::optional<ResolveAnswer> Resolve(SlotRef slot, std::string_view host,
                                       const NetworkOptions& options) override {
    return epoll_->Resolve(slot, host, options);
  }
  void CancelResolve(SlotRef slot) override { epoll_->CancelResolve(slot); }
  // EMFILE when `max_streams` are open, or no further ring can be had.
  ConnectResult Connect(SlotRef slot, const Address& to, const NetworkOptions& options) override;
  bool HandOver(StreamId stream, SlotRef slot) override;
  IoResult Send(StreamId stream, Bytes bytes) override;
  IoResult Receive(StreamId stream, std::span<uint8_t> into) override;
  void Close(StreamId stream, NetworkOptions::Close how) override;
  TcpInfo Inspect(StreamId stream) override;
  size_t DescriptorsLeft() const override;

  SharedSocket Join(Transport transport, IpFamily family, const NetworkOptions& options,
                    const DatagramOptions& datagram) override {
    return epoll_->Join(transport, family, options, datagram);
  }
  void Leave(SocketId socket) override { epoll_->Leave(socket); }
  void Queue(SocketId socket, const Address& to, Bytes message, SlotRef slot,
             uint16_t number) override {
    epoll_->Queue(socket, to, message, slot, number);
  }
  size_t queued() const override { return epoll_->queued(); }
  std::span<const SentDatagram> SendQueued() override { return epoll_->SendQueued(); }
  uint64_t ReceiveDrops(SocketId socket, bool fresh) override {
    return epoll_->ReceiveDrops(socket, fresh);
  }

  bool DispatchEvents(NetworkEvents& events) override;
  void Submit() override;
  void ComesBackSoon(bool soon) override { epoll_->ComesBackSoon(soon); }
  bool pending() const override;
  size_t open() const override { return open_ + epoll_->open(); }
  size_t spares() const override { return epoll_->spares(); }
  DatagramSockets& datagrams() override { return epoll_->datagrams(); }
  size_t rings() const { return rings_.size(); }

 private:
  enum class Op : uint8_t { kNone, kOpen, kConnect, kReceive, kSend };
  // Ids of streams that are EpollNetwork's have this bit.
  static constexpr StreamId kEpoll = StreamId{1} << 30;
  static constexpr size_t kMostSend = 64 * 1024;
  // As EpollNetwork's: less than a segment, more than most answers to a probe.
  static constexpr size_t kFirstRead = 1024;
  static constexpr int kMostRounds = 64;  // per ring and dispatch

  // Stays where it is while an operation is under way: the kernel writes into `header`.
  struct Stream {
    SlotRef slot;
    uint32_t generation = 0;
    bool open = false;
    bool connecting = false, receiving = false, sending = false;  // under way
    bool wants_write = false;                                     // Send met EAGAIN
    bool ended = false;    // nothing will be received any more; error says why, 0: the end
    bool stamped = false;  // the kernel stamps what arrives
    bool starved = false;  // waits for a buffer of the ring's
    bool filled = false;   // the last Receive had no more room: there may be more
    bool awaits = true;    // nothing came since it was opened, handed over or sent to
    uint8_t sends = 0;     // 0, 1, 2 = more
    int error = 0;         // of connecting or receiving
    int send_error = 0;
    int buffer = -1;  // received and not yet read: [from, to) of it
    size_t from = 0, to = 0;
    Instant arrived;  // the bytes of buffer, if the kernel knows
    Instant last;     // what Send or Receive said last: stamps never go back
    Buffer out;       // on its way, from out_sent on
    size_t out_sent = 0;
    msghdr header{};
    iovec piece{};
    alignas(cmsghdr) std::array<uint8_t, kStampControlBytes> control;
    bool busy() const { return connecting || receiving || sending; }
  };

  UringNetwork(Poller& poller, std::unique_ptr<EpollNetwork> epoll, size_t max_streams,
               size_t table)
      : poller_(poller), epoll_(std::move(epoll)), max_streams_(max_streams), table_(table) {}

  void OnReady(int fd, uint32_t, Instant) override;  // a ring's eventfd
  absl::Status AddRing();
  int TakeIndex(uint32_t* index);  // 0 or an errno
  bool Dispatch(uint32_t number);
  void OnDone(uint32_t ring, const Uring::Completion& done, Instant at);
  void Connected(uint32_t index, int error, Instant at);
  void Received(uint32_t index, const Uring::Completion& done, Instant at);
  void Sent(uint32_t index, int result, Instant at);
  void Arm(uint32_t index);
  void ArmStarved();
  void SendRest(uint32_t index);
  void Recycle(uint32_t index);

  Uring& RingOf(uint32_t index) { return *rings_[index / table_]; }
  unsigned DescriptorOf(uint32_t index) const { return static_cast<unsigned>(index % table_); }
  uint64_t Tag(Op op, uint32_t index) const {
    return uint64_t{index} << 32 | (streams_[index].generation & 0xffffff) << 8 |
           static_cast<uint8_t>(op);
  }

  Poller& poller_;
  std::unique_ptr<EpollNetwork> epoll_;
  const size_t max_streams_, table_;
  bool no_more_rings_ = false;
  size_t open_ = 0;
  BufferPool buffers_;  // outlives streams_
  std::vector<std::unique_ptr<Uring>> rings_;
  std::deque<Stream> streams_;  // stream i is descriptor i % table_ of ring i / table_
  std::vector<uint32_t> free_;
  std::vector<uint32_t> starved_;
  NetworkEvents* sink_ = nullptr;  // during DispatchEvents
};

}  // namespace sonde
