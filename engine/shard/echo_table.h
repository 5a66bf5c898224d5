// Which probe an ICMP answer belongs to. A 64-bit cookie in the payload names slot, generation and
// packet, and is masked by a keyed hash of the peer's address: nobody but that peer can have known
// it, and neither the 16-bit identifier nor the sequence number limits how many echoes are on
// their way. Payloads and quotes too short for a cookie go by sequence number. The hash is worked
// out once where an answer brings back what last went out under its sequence number. One per shard.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/contract/address.h"
#include "engine/contract/conversation.h"
#include "engine/shard/network.h"

namespace sonde {

class EchoTable {
 public:
  static constexpr uint32_t kGenerationMask = 0xfffff;  // of a slot's generation, in cookies
  static constexpr uint16_t kMostNumbers = 4096;        // echoes of one leg

  explicit EchoTable(uint64_t key) : key_(key) {}

  // What the next echo request carries.
  struct Mark {
    uint16_t sequence;
    uint64_t cookie;
  };
  Mark Next(SlotRef slot, uint16_t number, const Address& to);

  // Whose request an answer claims to be about. To be checked against the slot: the claim of a
  // short payload is as good as 16 bits.
  struct Claim {
    uint32_t index;
    uint32_t generation;  // kGenerationMask of it
    uint16_t number;
  };
  std::optional<Claim> Find(const Address& peer, uint16_t sequence, Bytes payload) const;

  // The same without the hash: the request that last went out under this number, if the payload
  // brings back its cookie. Nothing is known of who sent it: the slot must have asked that peer.
  // What this does not find, or the slot refutes, is Find's to say.
  std::optional<Claim> Recall(uint16_t sequence, Bytes payload) const;

 private:
  struct Sent {
    uint32_t index = UINT32_MAX;
    uint32_t generation_and_number = 0;
    uint64_t cookie = 0;
  };
  uint64_t Mask(const Address& peer) const;

  const uint64_t key_;
  uint16_t next_ = 0;
  std::unique_ptr<Sent[]> sent_;  // by sequence number; made for the first request
};

}  // namespace sonde
