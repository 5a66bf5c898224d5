#include "engine/shard/token_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sonde {
namespace {

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t TokenTable::HashOf(SocketId socket, const Address& peer) {
  uint64_t hash = static_cast<uint64_t>(socket) << 32 | uint64_t{peer.port} << 8 |
                  static_cast<uint64_t>(peer.family);
  for (size_t i = 0; i < peer.bytes.size(); i += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, peer.bytes.data() + i, sizeof word);
    hash = Mix(hash ^ word);
  }
  return hash;
}

uint32_t TokenTable::Trace(uint64_t hash, uint16_t token) {
  return static_cast<uint32_t>(Mix(hash + token)) | 1u;
}

// Room for the slot, and lists as many as there is room for slots.
void TokenTable::Grow(uint32_t slot) {
  if (ended_.empty()) ended_.assign(kRemembered, 0);
  nodes_.resize(slot + 64);
  const size_t lists = std::clamp(std::bit_ceil(nodes_.size()), kFewestLists, kMostLists);
  if (lists == by_token_.size()) return;
  by_token_.assign(lists, kNobody);
  by_peer_.assign(lists, kNobody);
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].entered) Enter(i);
  }
}

void TokenTable::Enter(uint32_t slot) {
  Node& node = nodes_[slot];
  uint32_t& by_token = TokenHead(node.token);
  node.next_by_token = by_token;
  by_token = slot;
  uint32_t& by_peer = PeerHead(node.hash);
  node.next_by_peer = by_peer;
  node.previous_by_peer = kNobody;
  if (by_peer != kNobody) nodes_[by_peer].previous_by_peer = slot;
  by_peer = slot;
}

std::optional<uint16_t> TokenTable::Add(uint32_t slot, SocketId socket, const Address& peer,
                                        uint16_t wanted) {
  if (slot >= nodes_.size()) Grow(slot);
  int tries = 65536;
  while (Find(socket, peer, wanted) != kNobody) {
    ++wanted;
    if (--tries == 0) return std::nullopt;
  }
  Node& node = nodes_[slot];
  node.peer = peer;
  node.hash = HashOf(socket, peer);
  node.socket = socket;
  node.token = wanted;
  node.entered = true;
  Enter(slot);
  ++size_;
  return wanted;
}

void TokenTable::Remove(uint32_t slot, bool answered) {
  if (slot >= nodes_.size() || !nodes_[slot].entered) return;
  Node& node = nodes_[slot];
  node.entered = false;
  --size_;
  // Few legs share a list.
  uint32_t* link = &TokenHead(node.token);
  while (*link != slot) link = &nodes_[*link].next_by_token;
  *link = node.next_by_token;
  if (node.previous_by_peer != kNobody) {
    nodes_[node.previous_by_peer].next_by_peer = node.next_by_peer;
  } else {
    PeerHead(node.hash) = node.next_by_peer;
  }
  if (node.next_by_peer != kNobody)
    nodes_[node.next_by_peer].previous_by_peer = node.previous_by_peer;
  const uint32_t trace = Trace(node.hash, node.token);
  ended_[(trace >> 1) % kRemembered] = answered ? trace : trace & ~1u;
}

uint32_t TokenTable::Find(SocketId socket, const Address& peer, uint16_t token) const {
  if (by_token_.empty()) return kNobody;
  for (uint32_t i = TokenHead(token); i != kNobody; i = nodes_[i].next_by_token) {
    const Node& node = nodes_[i];
    if (node.token == token && node.socket == socket && node.peer == peer) return i;
  }
  return kNobody;
}

StrayReason TokenTable::ReasonOf(SocketId socket, const Address& peer, uint16_t token) const {
  if (ended_.empty()) return StrayReason::kForeign;
  const uint32_t trace = Trace(HashOf(socket, peer), token);
  const uint32_t ended = ended_[(trace >> 1) % kRemembered];
  if ((ended | 1u) != trace) return StrayReason::kForeign;
  return ended == trace ? StrayReason::kDuplicate : StrayReason::kLate;
}

}  // namespace sonde
