// A network without sockets and a clock without time: what the shard sees of the world is written
// by a test, or drawn from one printed seed.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/shard/network.h"

namespace sonde {

// Events in order of time; events of one instant in the order they were asked for.
class SimClock {
 public:
  explicit SimClock(Instant start) : now_(start) {}
  Instant now() const { return now_; }
  void After(Duration delay, std::function<void()> action);
  std::optional<Instant> Next() const;
  // Moves to `to` and runs every event up to it. Events see now() == to: as after a stand-still,
  // whatever happened meanwhile is noticed then.
  void AdvanceTo(Instant to);

 private:
  struct Event {
    Instant at;
    uint64_t order;
    std::function<void()> action;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  Instant now_;
  uint64_t order_ = 0;
  std::priority_queue<Event> events_;
};

class SimNetwork;

// The peer's end of one connection. Dies with the prober's Close.
class SimConnection {
 public:
  // Delivered in the order of the calls; `delay` counts from now, but nothing overtakes.
  void Send(std::string bytes, Duration delay = {});
  void SendEachByte(std::string_view bytes, Duration gap, Duration delay = {});
  void End(Duration delay = {});    // FIN
  void Reset(Duration delay = {});  // RST
  SlotRef slot() const { return slot_; }
  uint64_t serial() const { return serial_; }  // no other connection of the network has it

  // Bytes Send takes before it says EAGAIN; more room with OpenWindow.
  size_t window = SIZE_MAX;
  void OpenWindow(size_t bytes);

  std::shared_ptr<void> state;  // the peer's own

 private:
  friend class SimNetwork;
  void Later(Duration delay, std::function<void(SimConnection&)> action);
  Instant busy_until_;
  SimNetwork* network_ = nullptr;
  SlotRef slot_;
  StreamId id_ = kNoStream;
  uint64_t serial_ = 0;
  class SimPeer* peer_ = nullptr;
  bool connected_ = false;
  std::deque<std::string> inbound_;
  bool ended_ = false;
  bool reset_ = false;
};

// A message on its way to a peer.
struct SimDatagram {
  SocketId socket = kNoSocket;
  Transport transport = Transport::kUdp;
  Address to;
  std::string bytes;  // UDP: the payload; ICMP: from the type on
};

// What stands behind an address and port.
class SimPeer {
 public:
  virtual ~SimPeer() = default;
  // nullopt: silence. error 0: accepted after `delay`.
  struct Answer {
    int error = 0;
    Duration delay = Milliseconds(1);
  };
  virtual std::optional<Answer> OnConnect() { return Answer{}; }
  // A half-open connection is accepted when the ACK that was held back leaves.
  virtual void OnAccepted(SimConnection&) {}
  virtual void OnBytes(SimConnection&, std::string_view) {}
  virtual void OnDatagram(SimNetwork&, const SimDatagram&) {}
};

// The reply to an echo request, IPv4 or IPv6.
std::string EchoReplyTo(const SimDatagram& request);
// An ICMP error of this type and code that quotes the request, and `quoted` bytes of it at most
// after its IP header.
std::string IcmpErrorAbout(const SimDatagram& request, int type, int code,
                           size_t quoted = SIZE_MAX);

struct SimName {
  Outcome outcome = Outcome::kOk;
  std::vector<Address> addresses;
  Duration delay = Milliseconds(1);
  bool silent = false;  // no answer ever comes
};

class SimNetwork : public Network {
 public:
  explicit SimNetwork(SimClock& clock) : clock_(clock) {}
  void SetEvents(NetworkEvents* events) { events_ = events; }

  // Peers are found by "10.0.0.1:80", then by "*"; for datagrams by "udp 10.0.0.1:53", "icmp
  // 10.0.0.1", then "udp *", "icmp *". A peer nobody added is silent there.
  void AddPeer(const std::string& host_port, std::shared_ptr<SimPeer> peer);
  void AddName(const std::string& name, SimName answer);
  // Errors of the prober's own making: the next `count` connects fail with `error`.
  void FailConnects(int error, int count);

  // A message from `from` arrives at the socket after `delay`, stamped then.
  void Deliver(SocketId socket, const Address& from, std::string bytes, Duration delay,
               int ttl = 64, StampClock stamps = StampClock::kKernel);
  // The kernel hears, after `delay`, an ICMP error about what was sent there (UDP).
  void DeliverError(const SimDatagram& about, int error, int type, int code, Duration delay,
                    bool quotes = true);
  uint64_t receive_drops = 0;          // of every socket
  int send_error = 0;                  // of the next datagrams
  uint64_t datagrams_queued_ever = 0;  // by the shard
  std::function<void(const SimDatagram&)> on_datagram;

  SimClock& clock() { return clock_; }
  bool IsOpen(const SimConnection* connection) const;
  size_t open_streams() const { return connections_.size(); }
  uint64_t connects() const { return connects_; }
  uint64_t resolves_pending() const { return resolving_.size(); }
  size_t descriptors = 20'000;     // that may be open at once
  size_t first_window = SIZE_MAX;  // of new connections
  // Told of every close, with the style asked for.
  std::function<void(NetworkOptions::Close)> on_close;
  // Told of everything sent, before the peer is.
  std::function<void(SimConnection&, std::string_view)> on_send;
  std::function<void(const Address&)> on_connect;

  Instant Stamp() override { return clock_.now(); }
  std::optional<ResolveAnswer> Resolve(SlotRef slot, std::string_view host,
                                       const NetworkOptions& options) override;
  void CancelResolve(SlotRef slot) override;
  ConnectResult Connect(SlotRef slot, const Address& to, const NetworkOptions& options) override;
  bool HandOver(StreamId stream, SlotRef slot) override;
  IoResult Send(StreamId stream, Bytes bytes) override;
  IoResult Receive(StreamId stream, std::span<uint8_t> into) override;
  void Close(StreamId stream, NetworkOptions::Close how) override;
  TcpInfo Inspect(StreamId) override { return tcp_info; }
  TcpInfo tcp_info;
  SharedSocket Join(Transport transport, IpFamily family, const NetworkOptions& options,
                    const DatagramOptions& datagram) override;
  void Leave(SocketId) override { --socket_users_; }
  void Queue(SocketId socket, const Address& to, Bytes message, SlotRef slot,
             uint16_t number) override;
  size_t queued() const override { return queue_.size(); }
  std::span<const SentDatagram> SendQueued() override;
  uint64_t ReceiveDrops(SocketId, bool) override { return receive_drops; }
  int64_t socket_users() const { return socket_users_; }
  int join_error = 0;  // of the next joins; EPERM: misconfigured
  size_t DescriptorsLeft() const override {
    return descriptors > connections_.size() ? descriptors - connections_.size() : 0;
  }

 private:
  friend class SimConnection;
  SimConnection* Find(StreamId id, uint64_t serial);

  SimClock& clock_;
  NetworkEvents* events_ = nullptr;
  std::unordered_map<std::string, std::shared_ptr<SimPeer>> peers_;
  std::unordered_map<std::string, SimName> names_;
  std::unordered_map<StreamId, std::unique_ptr<SimConnection>> connections_;
  std::vector<StreamId> free_ids_;
  StreamId next_id_ = 3;
  uint64_t serial_ = 0;
  uint64_t connects_ = 0;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> resolving_;  // slot -> serial
  int fail_error_ = 0;
  int fail_count_ = 0;

  struct Queued {
    SimDatagram datagram;
    SlotRef slot;
    uint16_t number;
  };
  std::vector<Queued> queue_;
  std::vector<SentDatagram> sent_;
  int64_t socket_users_ = 0;
};

}  // namespace sonde
