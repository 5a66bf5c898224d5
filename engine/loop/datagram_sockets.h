// The shared UDP and ICMP sockets of a shard: messages in batches, stamps from the kernel.
//
// One socket (UDP: a small pool) per family and set of options. Sending: sendmmsg, each message
// stamped by interpolation between the readings before and after its batch. The kernel's own stamps
// follow through the error queue for small batches, where the way into the kernel is long beside
// what is measured, and for all with transmit_stamps. Receiving: recvmmsg until empty, with the
// kernel's receive stamp, hop limit and drop counter. ICMP: raw sockets with a filter on the
// socket's own identifier, so that each packet wakes one socket; unprivileged ping sockets where
// raw ones are not allowed. One thread only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/loop/message_arena.h"
#include "engine/loop/poller.h"
#include "engine/shard/network.h"

namespace sonde {

class DatagramSockets final : private Poller::Handler {
 public:
  static constexpr size_t kMostSockets = 256;
  static constexpr size_t kBatch = MessageArena::kMessages;
  static constexpr size_t kUdpPool =
      4;  // sockets per set of options, by turns: ports and ids to go round
  static constexpr int kReceiveBuffer = 8 << 20;

  struct Options {
    uint64_t random_seed = 1;      // of ICMP identifiers
    bool transmit_stamps = false;  // ask the kernel when a message left, also in large batches
  };

  DatagramSockets(Poller& poller, const Options& options);
  ~DatagramSockets();
  DatagramSockets(const DatagramSockets&) = delete;
  DatagramSockets& operator=(const DatagramSockets&) = delete;

  // Opens the sockets that default options use: their first packets, which carry no stamp, are not
  // a probe's then. Failures show when they are wanted.
  void OpenDefaults();

  // As Network's.
  SharedSocket Join(Transport transport, IpFamily family, const NetworkOptions& options,
                    const DatagramOptions& datagram);
  void Leave(SocketId socket);
  void Queue(SocketId socket, const Address& to, Bytes message, SlotRef slot, uint16_t number);
  size_t queued() const { return queued_; }
  std::span<const SentDatagram> SendQueued();
  uint64_t ReceiveDrops(SocketId socket, bool fresh);

  // Around the poll: events of these sockets go to `events`.
  void BeginDispatch(NetworkEvents& events) {
    sink_ = &events;
    ++dispatch_;
  }
  void EndDispatch();
  // A socket may hold more than was read.
  bool pending() const { return !hungry_.empty(); }

  // Legs wait for answers, and the kernel says when each came: they may be read later.
  bool may_wait() const { return users_ > 0 && stamped_; }

  size_t open() const { return open_; }
  uint64_t dropped() const { return dropped_; }  // by the kernel, of all sockets so far

 private:
  // What makes two legs share a socket.
  struct Key {
    Transport transport = Transport::kUdp;
    IpFamily family = IpFamily::kNone;
    Address source;
    std::string interface;
    int dscp = -1;
    DatagramOptions datagram;
  };
  struct Message {
    uint32_t offset, size;  // in `bytes`
    Address to;
    SlotRef slot;
    uint16_t number;
  };
  static constexpr size_t kStampedBatch = 8;  // the largest that is always stamped by the kernel
  static constexpr size_t kStamped = 4096;
  struct Stamped {
    SentDatagram sent;
    Instant began;  // the call that sent it
  };
  struct Socket {
    int fd = -1;
    Key key;
    bool raw = false;
    bool open = false;
    bool blocked = false;  // its send buffer was full
    bool hungry = false;   // waits in hungry_
    uint16_t echo_id = 0;
    size_t users = 0;
    uint64_t drops = 0;
    uint64_t drops_read = 0;        // in which dispatch
    uint32_t stamp_id = 0;          // of the next message the kernel stamps
    uint32_t stamp_base = 0;        // the one the kernel calls 0
    std::vector<Message> messages;  // queued
    size_t first = 0;               // of them, not sent yet
    std::vector<uint8_t> bytes;     // of the queued messages
    std::vector<Stamped> stamped;   // by stamp_id modulo kStamped
  };

  struct Joined {
    SocketId socket = kNoSocket;
    size_t turn = 0;
  };

  SharedSocket Use(SocketId id);
  SocketId Open(const Key& key, SharedSocket* result);
  void Evict();
  void Close(Socket& socket);
  void SendFrom(Socket& socket);
  void ReportSent(Socket& socket, size_t count, bool stamped, Instant began, Instant ended);
  void OnReady(int fd, uint32_t events, Instant at) override;
  void Receive(SocketId id);
  bool ReceiveErrors(SocketId id);  // false: there were no more
  void Tell(SocketId id, const ArrivedMessage& arrived, Instant now);
  void TellError(SocketId id, const ArrivedMessage& arrived, Instant now);
  void NoteDrops(Socket& socket, uint64_t drops);

  Poller& poller_;
  const Options options_;
  uint64_t random_;
  std::unique_ptr<MessageArena> arena_;
  std::vector<std::unique_ptr<Socket>> sockets_;  // by SocketId
  std::vector<SocketId> by_fd_;
  std::array<Joined, 3> joined_;  // by transport
  size_t turn_in_pool_ = 0;       // what is queued together leaves through one socket
  size_t open_ = 0;
  size_t users_ = 0;     // of all sockets
  bool stamped_ = true;  // the last message that came carried the kernel's stamp
  size_t queued_ = 0;
  uint64_t dropped_ = 0;
  uint64_t dispatch_ = 0;
  std::vector<SocketId> to_send_;  // sockets with queued messages
  std::vector<SentDatagram> sent_;
  std::vector<SocketId> hungry_, hungry_now_;
  NetworkEvents* sink_ = nullptr;  // between BeginDispatch and EndDispatch
};

}  // namespace sonde
