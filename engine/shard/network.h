// The seam between a shard and the world. In production engine/loop implements it over epoll and
// c-ares; in tests SimNetwork does. Everything here runs on the shard's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "engine/contract/address.h"
#include "engine/contract/conversation.h"
#include "engine/contract/instant.h"
#include "engine/contract/outcome.h"

namespace sonde {

// A probe slot. Every event carries the reference it was asked with; the shard ignores events whose
// generation is not the slot's own, so a late one never meets a reused slot.
struct SlotRef {
  uint32_t index = 0;
  uint32_t generation = 0;
  bool operator==(const SlotRef&) const = default;
};

struct ResolveAnswer {
  Outcome outcome = Outcome::kOk;  // or one of phase dns, or prober/*
  Address address;                 // family and bytes; the port is the caller's business
  Instant at;                      // when the answer was known
  bool cached = false;
};

struct IoResult {
  size_t count = 0;
  int error = 0;  // errno; EAGAIN: try again at the next event. Receive: 0 and count 0 = end (FIN)
  Instant at;     // stamped around the system call
};

// A stream of the network's; meaning is the network's own (a descriptor).
using StreamId = int32_t;
inline constexpr StreamId kNoStream = -1;

struct ConnectResult {
  StreamId stream = kNoStream;  // kNoStream: error says why, no event follows
  int error = 0;
  Instant at;                  // right before connect(2)
  bool misconfigured = false;  // the error is about the module's source address, interface or DSCP:
                               // the prober's own trouble, whatever the errno
};

// The kernel's view of a TCP connection (TCP_INFO, linux/tcp.h).
struct TcpInfo {
  int syn_retransmits = -1;  // -1: unknown
  Duration rtt{-1};
};

// ---- datagrams ----------------------------------------------------------------------------------
// A few sockets carry the datagrams of all legs. Messages are queued and sent in batches, so that
// neither probe costs system calls of its own.

// A shared socket of the network's.
using SocketId = int32_t;
inline constexpr SocketId kNoSocket = -1;

struct SharedSocket {
  SocketId socket = kNoSocket;  // kNoSocket: error says why
  int error = 0;
  bool misconfigured = false;  // as ConnectResult's; also: ICMP is not allowed to this process
  bool opened = false;         // a new one, which took time
  uint16_t echo_id = 0;        // ICMP: the identifier of its echo messages
};

// What became of one queued message.
struct SentDatagram {
  SlotRef slot;
  uint16_t number = 0;
  int error = 0;  // errno; 0: it left
  Instant at;
  StampClock clock = StampClock::kUser;
};

// One message that arrived.
struct ReceivedDatagram {
  SocketId socket = kNoSocket;
  Transport transport = Transport::kUdp;
  Bytes bytes;  // UDP: the payload. ICMP: the message from its type on, without IP header
  Address from;
  int ttl = -1;  // or hop limit; of echoes
  Instant at;
  StampClock clock = StampClock::kUser;
};

// The kernel's error queue: what an ICMP error said about a message of a UDP or ping socket.
struct DatagramError {
  SocketId socket = kNoSocket;
  Transport transport = Transport::kUdp;
  int error = 0;  // errno the kernel made of it
  int type = 0;   // of the ICMP message, and its code
  int code = 0;
  Address from;  // who sent it
  Address to;    // where our message went
  Bytes quoted;  // what it quotes of our message, from the UDP payload or the ICMP type on
  Instant at;
};

// What the shard is told. Called between polls, never from within a Network call.
class NetworkEvents {
 public:
  virtual ~NetworkEvents() = default;
  virtual void OnResolved(SlotRef slot, const ResolveAnswer& answer) = 0;
  virtual void OnConnected(SlotRef slot, Instant at) = 0;
  virtual void OnConnectFailed(SlotRef slot, int error, Instant at) = 0;
  // Edge-triggered: bytes, an end or an error wait in the stream. Receive until EAGAIN, end or
  // error; a short count alone says nothing, an end may stand behind it.
  virtual void OnReadable(SlotRef slot, Instant at) = 0;
  virtual void OnWritable(SlotRef slot, Instant at) = 0;  // after a Send that met EAGAIN

  virtual void OnDatagram(const ReceivedDatagram& message) = 0;
  virtual void OnDatagramError(const DatagramError& error) = 0;
  // The kernel's own stamp of a message that was told as sent before.
  virtual void OnDatagramStamped(const SentDatagram& sent) = 0;
};

class Network {
 public:
  virtual ~Network() = default;

  // The clock at the socket's edge: CLOCK_MONOTONIC read now, or the simulated time.
  virtual Instant Stamp() = 0;

  // Literal addresses, the hosts file and cached answers are returned at once; otherwise nullopt
  // and exactly one OnResolved follows, unless cancelled. `host` is copied if it must be kept.
  virtual std::optional<ResolveAnswer> Resolve(SlotRef slot, std::string_view host,
                                               const NetworkOptions& options) = 0;
  virtual void CancelResolve(
      SlotRef slot) = 0;  // no OnResolved will follow; unknown slots are fine

  // Starts a non-blocking TCP connection. One of OnConnected / OnConnectFailed follows, always as
  // an event, also when the kernel connected at once.
  virtual ConnectResult Connect(SlotRef slot, const Address& to, const NetworkOptions& options) = 0;

  // From now on the stream's events are `slot`'s. False: something waits in it unread, or may, and
  // nothing changed. Default: streams stay with the slot that asked for them.
  virtual bool HandOver(StreamId /*stream*/, SlotRef /*slot*/) { return false; }

  virtual IoResult Send(StreamId stream, Bytes bytes) = 0;
  virtual IoResult Receive(StreamId stream, std::span<uint8_t> into) = 0;

  // Frees the stream at once. No event of it is delivered afterwards.
  virtual void Close(StreamId stream, NetworkOptions::Close how) = 0;

  virtual TcpInfo Inspect(StreamId stream) = 0;

  // A socket for messages to `family` under these options: an open one, or a new one. The caller
  // counts as its user until Leave.
  virtual SharedSocket Join(Transport transport, IpFamily family, const NetworkOptions& options,
                            const DatagramOptions& datagram) = 0;
  virtual void Leave(SocketId socket) = 0;

  // Copies the message; SendQueued sends it.
  virtual void Queue(SocketId socket, const Address& to, Bytes message, SlotRef slot,
                     uint16_t number) = 0;
  virtual size_t queued() const = 0;
  // Sends what is queued, in order per socket, and tells what became of it; valid until the next
  // call. What a full send buffer keeps back stays queued.
  virtual std::span<const SentDatagram> SendQueued() = 0;

  // Messages the kernel dropped so far because the socket's receive queue was full. Exact when
  // `fresh`; otherwise as last seen, which costs nothing.
  virtual uint64_t ReceiveDrops(SocketId socket, bool fresh) = 0;

  // Descriptors this network may still open; admission keeps away from zero.
  virtual size_t DescriptorsLeft() const = 0;
};

}  // namespace sonde
