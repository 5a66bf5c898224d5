// Which probe a UDP answer belongs to: the leg with this socket, this peer and this token (the
// first two bytes of the message, network order). Everything is O(1) but for strays, and allocates
// only when it grows. One per shard.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/contract/address.h"
#include "engine/contract/engine_stats.h"
#include "engine/shard/network.h"

namespace sonde {

class TokenTable {
 public:
  static constexpr uint32_t kNobody = UINT32_MAX;

  // Enters the slot's leg under `wanted`, or the next token that is free for this socket and peer.
  // nullopt: all 65,536 are taken.
  std::optional<uint16_t> Add(uint32_t slot, SocketId socket, const Address& peer, uint16_t wanted);
  // The leg ends. `answered`: what comes later is a duplicate, not late. Not entered: nothing.
  void Remove(uint32_t slot, bool answered);

  uint32_t Find(SocketId socket, const Address& peer, uint16_t token) const;

  // What a message nobody waits for is, as far as is remembered.
  StrayReason ReasonOf(SocketId socket, const Address& peer, uint16_t token) const;

  // Legs to this peer over this socket, the latest first, at most `most`; then those with this
  // token anywhere else. Stops when `visit(slot)` is true, and then returns true.
  template <typename Visit>
  bool VisitPeer(SocketId socket, const Address& peer, int most, Visit&& visit) const {
    if (!by_token_) return false;
    for (uint32_t i = by_peer_[PeerBucket(socket, peer)]; i != kNobody && most > 0;) {
      const Node& node = nodes_[i];
      const uint32_t next = node.next_by_peer;  // the visit may end the leg
      if (node.socket == socket && node.peer == peer) {
        --most;
        if (visit(i)) return true;
      }
      i = next;
    }
    return false;
  }
  template <typename Visit>
  bool VisitToken(uint16_t token, int most, Visit&& visit) const {
    if (!by_token_) return false;
    for (uint32_t i = (*by_token_)[token]; i != kNobody && most > 0; --most) {
      const uint32_t next = nodes_[i].next_by_token;
      if (visit(i)) return true;
      i = next;
    }
    return false;
  }

  size_t size() const { return size_; }

 private:
  struct Node {
    Address peer;
    SocketId socket = kNoSocket;
    uint32_t next_by_token = kNobody;
    uint32_t next_by_peer = kNobody, previous_by_peer = kNobody;
    uint16_t token = 0;
    bool entered = false;
  };
  // A leg that ended lately: a hash of what named it, the last bit says whether it was answered.
  static constexpr size_t kRemembered = 8192;
  static constexpr size_t kPeerBuckets = 4096;
  using TokenHeads = std::array<uint32_t, 65536>;

  static size_t PeerBucket(SocketId socket, const Address& peer);
  static uint32_t Trace(SocketId socket, const Address& peer, uint16_t token);

  std::vector<Node> nodes_;  // by slot
  std::unique_ptr<TokenHeads> by_token_;
  std::vector<uint32_t> by_peer_;
  std::vector<uint32_t> ended_;
  size_t size_ = 0;
};

}  // namespace sonde
