#include "engine/shard/token_table.h"

#include <cstring>

namespace sonde {
namespace {

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t HashOf(SocketId socket, const Address& peer) {
  uint64_t hash = static_cast<uint64_t>(socket) << 32 | uint64_t{peer.port} << 8 |
                  static_cast<uint64_t>(peer.family);
  for (size_t i = 0; i < peer.bytes.size(); i += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, peer.bytes.data() + i, sizeof word);
    hash = Mix(hash ^ word);
  }
  return hash;
}

}  // namespace

size_t TokenTable::PeerBucket(SocketId socket, const Address& peer) {
  return HashOf(socket, peer) % kPeerBuckets;
}

uint32_t TokenTable::Trace(SocketId socket, const Address& peer, uint16_t token) {
  return static_cast<uint32_t>(Mix(HashOf(socket, peer) + token)) | 1u;
}

std::optional<uint16_t> TokenTable::Add(uint32_t slot, SocketId socket, const Address& peer,
                                        uint16_t wanted) {
  if (!by_token_) {
    by_token_ = std::make_unique<TokenHeads>();
    by_token_->fill(kNobody);
    by_peer_.assign(kPeerBuckets, kNobody);
    ended_.assign(kRemembered, 0);
  }
  if (slot >= nodes_.size()) nodes_.resize(slot + 64);
  int tries = 65536;
  while (Find(socket, peer, wanted) != kNobody) {
    ++wanted;
    if (--tries == 0) return std::nullopt;
  }
  Node& node = nodes_[slot];
  node.peer = peer;
  node.socket = socket;
  node.token = wanted;
  node.entered = true;
  node.next_by_token = (*by_token_)[wanted];
  (*by_token_)[wanted] = slot;
  uint32_t& head = by_peer_[PeerBucket(socket, peer)];
  node.next_by_peer = head;
  node.previous_by_peer = kNobody;
  if (head != kNobody) nodes_[head].previous_by_peer = slot;
  head = slot;
  ++size_;
  return wanted;
}

void TokenTable::Remove(uint32_t slot, bool answered) {
  if (slot >= nodes_.size() || !nodes_[slot].entered) return;
  Node& node = nodes_[slot];
  node.entered = false;
  --size_;
  // Few legs share a token: in flight / 65,536.
  uint32_t* link = &(*by_token_)[node.token];
  while (*link != slot) link = &nodes_[*link].next_by_token;
  *link = node.next_by_token;
  if (node.previous_by_peer != kNobody) {
    nodes_[node.previous_by_peer].next_by_peer = node.next_by_peer;
  } else {
    by_peer_[PeerBucket(node.socket, node.peer)] = node.next_by_peer;
  }
  if (node.next_by_peer != kNobody)
    nodes_[node.next_by_peer].previous_by_peer = node.previous_by_peer;
  const uint32_t trace = Trace(node.socket, node.peer, node.token);
  ended_[(trace >> 1) % kRemembered] = answered ? trace : trace & ~1u;
}

uint32_t TokenTable::Find(SocketId socket, const Address& peer, uint16_t token) const {
  if (!by_token_) return kNobody;
  for (uint32_t i = (*by_token_)[token]; i != kNobody; i = nodes_[i].next_by_token) {
    if (nodes_[i].socket == socket && nodes_[i].peer == peer) return i;
  }
  return kNobody;
}

StrayReason TokenTable::ReasonOf(SocketId socket, const Address& peer, uint16_t token) const {
  if (ended_.empty()) return StrayReason::kForeign;
  const uint32_t trace = Trace(socket, peer, token);
  const uint32_t ended = ended_[(trace >> 1) % kRemembered];
  if ((ended | 1u) != trace) return StrayReason::kForeign;
  return ended == trace ? StrayReason::kDuplicate : StrayReason::kLate;
}

}  // namespace sonde
