// TCP streams and shared datagram sockets over the shard's epoll descriptor: the production side of
// engine/shard/network.h.
//
// A stream costs socket, connect, epoll_ctl, getsockopt (TCP_INFO), send, recv and
// close, and a share of epoll_wait; one that is written to also one setsockopt, other socket
// options are set only when a module asks for them. One that ends with RST leaves its socket to the
// next to the same peer (ADR 051): connect, getsockopt, send, recv, and a connect to nobody. Stamps
// are CLOCK_MONOTONIC read around the system call, or right before an event is handed on; but bytes
// that came after the first Send carry the moment the kernel saw them arrive (SO_TIMESTAMPING,
// Documentation/networking/timestamping.rst), however late the loop woke up for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/loop/datagram_sockets.h"
#include "engine/loop/loop_network.h"
#include "engine/loop/poller.h"
#include "engine/loop/resolver.h"
#include "engine/loop/spare_sockets.h"
#include "engine/shard/network.h"

namespace sonde {

class EpollNetwork final : public LoopNetwork, private Poller::Handler {
 public:
  // `poller` and `resolver` outlive this. `max_streams` bounds the descriptors opened here. Streams
  // still open at the end are closed.
  EpollNetwork(Poller& poller, Resolver& resolver, size_t max_streams,
               const DatagramSockets::Options& datagrams = {});
  ~EpollNetwork() override;
  EpollNetwork(const EpollNetwork&) = delete;
  EpollNetwork& operator=(const EpollNetwork&) = delete;

  Instant Stamp() override { return MonotonicNow(); }
  std::optional<ResolveAnswer> Resolve(SlotRef slot, std::string_view host,
                                       const NetworkOptions& options) override;
  void CancelResolve(SlotRef slot) override;
  // Errors are errnos as the kernel gave them; EMFILE also when `max_streams` are open,
  // EAFNOSUPPORT when `to` and the source address are of different families.
  ConnectResult Connect(SlotRef slot, const Address& to, const NetworkOptions& options) override;
  bool HandOver(StreamId stream, SlotRef slot) override;
  IoResult Send(StreamId stream, Bytes bytes) override;
  IoResult Receive(StreamId stream, std::span<uint8_t> into) override;
  void Close(StreamId stream, NetworkOptions::Close how) override;
  TcpInfo Inspect(StreamId stream) override;
  size_t DescriptorsLeft() const override { return max_streams_ - open_; }

  SharedSocket Join(Transport transport, IpFamily family, const NetworkOptions& options,
                    const DatagramOptions& datagram) override {
    return datagrams_.Join(transport, family, options, datagram);
  }
  void Leave(SocketId socket) override { datagrams_.Leave(socket); }
  void Queue(SocketId socket, const Address& to, Bytes message, SlotRef slot,
             uint16_t number) override {
    datagrams_.Queue(socket, to, message, slot, number);
  }
  size_t queued() const override { return datagrams_.queued(); }
  std::span<const SentDatagram> SendQueued() override { return datagrams_.SendQueued(); }
  uint64_t ReceiveDrops(SocketId socket, bool fresh) override {
    return datagrams_.ReceiveDrops(socket, fresh);
  }

  // One batch of the poller (sockets, timers, name servers), then the answers of the resolver and
  // the events owed. True: there may be more at once, call again before sleeping.
  bool DispatchEvents(NetworkEvents& events) override;
  void Submit() override {}
  void ComesBackSoon(bool soon) override { poller_.Hold(soon && datagrams_.may_wait()); }
  bool pending() const override {
    return !owed_.empty() || resolver_.pending() || datagrams_.pending();
  }
  size_t open() const override { return open_; }
  size_t spares() const override { return spares_.size(); }
  DatagramSockets& datagrams() override { return datagrams_; }

 private:
  struct Stream {
    SlotRef slot;
    uint32_t generation = 0;  // counts uses of this descriptor number
    int pending_error = 0;    // taken from the socket and not yet told by Send or Receive
    bool open = false;
    bool connecting = false;
    bool wants_write = false;   // Send met EAGAIN
    bool ending = false;        // an end or error stands behind the bytes in the socket
    bool owed = false;          // waits in owed_
    bool filled = false;        // the last Receive had no more room: there may be more
    bool stamped = false;       // what arrives is told with the kernel's stamp
    bool awaits = false;        // nothing came since the last Send
    bool leaves_spare = false;  // when it ends with RST
    bool stamps = false;        // the kernel stamps what arrives: of the socket, not of the stream
    uint8_t sends = 0;          // 0, 1, 2 = more
    Address to;
    Instant last;  // what Send or Receive said last: stamps never go back
  };
  struct Owed {
    int fd;
    uint32_t generation;
  };

  void OnReady(int fd, uint32_t events, Instant at) override;
  int OpenSocket(int family);
  bool KeepAsSpare(int fd);
  void TrimSpares();
  void Discard(int fd);
  bool Opened(int fd, uint32_t events, Instant at);
  ssize_t ReceiveStamped(StreamId id, std::span<uint8_t> into, Instant* at);
  void OweReadable(int fd);
  void DispatchOwed();
  Stream& StreamOf(int fd) { return streams_[static_cast<size_t>(fd)]; }

  Poller& poller_;
  Resolver& resolver_;
  const size_t max_streams_;
  size_t open_ = 0;
  std::vector<Stream> streams_;  // by descriptor
  SpareSockets spares_;          // still in the poller
  Instant now_;                  // when events were last dispatched
  std::vector<Owed> owed_;       // readable events the kernel will not repeat
  std::vector<Owed> owed_now_;
  DatagramSockets datagrams_;
  NetworkEvents* sink_ = nullptr;  // during DispatchEvents
};

}  // namespace sonde
