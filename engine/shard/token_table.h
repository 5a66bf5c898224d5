// Which probe a UDP answer belongs to: the leg with this socket, this peer and this token (the
// first two bytes of the message, network order). Everything is O(1) but for strays, and allocates
// only when it grows. One per shard.
#pragma once

#include <cstdint>
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
    if (by_peer_.empty()) return false;
    for (uint32_t i = PeerHead(HashOf(socket, peer)); i != kNobody && most > 0;) {
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
    if (by_token_.empty()) return false;
    for (uint32_t i = TokenHead(token); i != kNobody && most > 0;) {
      const uint32_t next = nodes_[i].next_by_token;
      if (nodes_[i].token == token) {
        --most;
        if (visit(i)) return true;
      }
      i = next;
    }
    return false;
  }

  size_t size() const { return size_; }

 private:
  struct Node {
    Address peer;
    uint64_t hash = 0;  // of socket and peer
    SocketId socket = kNoSocket;
    uint32_t next_by_token = kNobody;
    uint32_t next_by_peer = kNobody, previous_by_peer = kNobody;
    uint16_t token = 0;
    bool entered = false;
  };
  // A leg that ended lately: a hash of what named it, the last bit says whether it was answered.
  static constexpr size_t kRemembered = 8192;
  // As many lists of each kind as there are slots, so that they are short and, with few slots, in
  // the processor's caches: which of them a leg is in is random.
  static constexpr size_t kFewestLists = 256, kMostLists = 65536;

  static uint64_t HashOf(SocketId socket, const Address& peer);
  static uint32_t Trace(uint64_t hash, uint16_t token);
  uint32_t& TokenHead(uint16_t token) { return by_token_[token & (by_token_.size() - 1)]; }
  uint32_t TokenHead(uint16_t token) const { return by_token_[token & (by_token_.size() - 1)]; }
  uint32_t& PeerHead(uint64_t hash) { return by_peer_[hash & (by_peer_.size() - 1)]; }
  uint32_t PeerHead(uint64_t hash) const { return by_peer_[hash & (by_peer_.size() - 1)]; }
  void Grow(uint32_t slot);
  void Enter(uint32_t slot);

  std::vector<Node> nodes_;         // by slot
  std::vector<uint32_t> by_token_;  // the first leg of each list; their number is a power of two
  std::vector<uint32_t> by_peer_;
  std::vector<uint32_t> ended_;
  size_t size_ = 0;
};

}  // namespace sonde
