#include "engine/shard/echo_table.h"

#include "engine/contract/siphash.h"
#include "engine/shard/echo_message.h"

namespace sonde {
namespace {

constexpr size_t kSequences = 1 << 16;

uint32_t Pack(uint32_t generation, uint16_t number) {
  return (generation & EchoTable::kGenerationMask) << 12 | (number & 0xfffu);
}

EchoTable::Claim Unpack(uint32_t index, uint32_t packed) {
  return {index, packed >> 12, static_cast<uint16_t>(packed & 0xfff)};
}

}  // namespace

uint64_t EchoTable::Mask(const Address& peer) const {
  const size_t size = peer.family == IpFamily::kV4 ? 4 : peer.bytes.size();
  return SipHash24(key_, static_cast<uint64_t>(peer.family), Bytes(peer.bytes).first(size));
}

EchoTable::Mark EchoTable::Next(SlotRef slot, uint16_t number, const Address& to) {
  if (!sent_) sent_ = std::make_unique<Sent[]>(kSequences);
  const uint32_t packed = Pack(slot.generation, number);
  const uint16_t sequence = next_++;
  const uint64_t cookie = (uint64_t{slot.index} << 32 | packed) ^ Mask(to);
  sent_[sequence] = {slot.index, packed, cookie};
  return {sequence, cookie};
}

std::optional<EchoTable::Claim> EchoTable::Recall(uint16_t sequence, Bytes payload) const {
  const auto cookie = CookieOf(payload);
  if (!cookie || !sent_) return std::nullopt;
  const Sent& sent = sent_[sequence];
  if (sent.cookie != *cookie || sent.index == UINT32_MAX) return std::nullopt;
  return Unpack(sent.index, sent.generation_and_number);
}

std::optional<EchoTable::Claim> EchoTable::Find(const Address& peer, uint16_t sequence,
                                                Bytes payload) const {
  if (const auto cookie = CookieOf(payload)) {
    const uint64_t plain = *cookie ^ Mask(peer);
    return Unpack(static_cast<uint32_t>(plain >> 32), static_cast<uint32_t>(plain));
  }
  if (!sent_ || sent_[sequence].index == UINT32_MAX) return std::nullopt;
  return Unpack(sent_[sequence].index, sent_[sequence].generation_and_number);
}

}  // namespace sonde
