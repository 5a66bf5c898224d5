#include "tools/farm/dns_message.h"

#include <algorithm>

namespace sonde {
namespace {

constexpr uint16_t kIsAnswer = 0x8000;
constexpr uint16_t kRecursionDesired = 0x0100;

uint16_t U16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// RFC 6891 section 6.1.2: options are code, length and that many bytes.
bool OptionsFit(std::span<const uint8_t> options) {
  size_t at = 0;
  while (at < options.size()) {
    if (options.size() - at < 4) return false;
    const size_t size = 4 + size_t{U16(options, at + 2)};
    if (options.size() - at < size) return false;
    at += size;
  }
  return true;
}

// One additional record; false when it makes the query malformed.
bool ReadAdditional(std::span<const uint8_t> message, size_t* at, FarmDnsQuery* query) {
  const size_t name = FarmDnsNameSize(message, *at);
  constexpr size_t kFixed = 10;  // type, class, TTL, length
  if (name == 0 || message.size() - *at - name < kFixed) return false;
  const size_t fixed = *at + name;
  const size_t data_size = U16(message, fixed + 8);
  if (message.size() - fixed - kFixed < data_size) return false;
  *at = fixed + kFixed + data_size;
  if (U16(message, fixed) != kDnsOpt) return true;
  if (query->edns || name != 1) return false;
  query->edns = true;
  query->edns_size = U16(message, fixed + 2);
  query->edns_version = message[fixed + 5];
  return OptionsFit(message.subspan(fixed + kFixed, data_size));
}

}  // namespace

size_t FarmDnsQuery::udp_limit() const {
  if (!edns) return kDnsPlainLimit;
  return std::clamp<size_t>(edns_size, kDnsPlainLimit, kDnsEdnsLimit);
}

size_t FarmDnsNameSize(std::span<const uint8_t> bytes, size_t at) {
  const size_t start = at;
  while (at < bytes.size() && at - start < kDnsLongestName) {
    const size_t label = bytes[at];
    if (label == 0) return at + 1 - start;
    if (label > kDnsLongestLabel) return 0;  // a pointer, or of a kind nobody uses
    at += 1 + label;
  }
  return 0;
}

FarmDnsParse ReadFarmDnsQuery(std::span<const uint8_t> message, FarmDnsQuery* query) {
  if (message.size() < kDnsHeaderSize) return FarmDnsParse::kIgnore;
  const uint16_t flags = U16(message, 2);
  if (flags & kIsAnswer) return FarmDnsParse::kIgnore;  // two servers would talk for ever
  query->id = U16(message, 0);
  query->opcode = static_cast<uint8_t>(flags >> 11 & 15);
  query->recursion_desired = (flags & kRecursionDesired) != 0;
  query->name_size = 0;
  query->edns = false;
  query->edns_version = 0;
  if (query->opcode != 0) return FarmDnsParse::kNotImplemented;
  const size_t additional = U16(message, 10);
  if (U16(message, 4) != 1 || U16(message, 6) != 0 || U16(message, 8) != 0 ||
      additional > kDnsMostAdditional) {
    return FarmDnsParse::kMalformed;
  }
  const size_t name = FarmDnsNameSize(message, kDnsHeaderSize);
  if (name == 0 || message.size() - kDnsHeaderSize - name < 4) return FarmDnsParse::kMalformed;
  size_t at = kDnsHeaderSize + name;
  query->type = U16(message, at);
  query->klass = U16(message, at + 2);
  at += 4;
  for (size_t i = 0; i < additional; ++i) {
    if (!ReadAdditional(message, &at, query)) return FarmDnsParse::kMalformed;
  }
  if (at != message.size()) return FarmDnsParse::kMalformed;
  std::memcpy(query->name.data(), message.data() + kDnsHeaderSize, name);
  query->name_size = static_cast<uint8_t>(name);
  return FarmDnsParse::kGood;
}

}  // namespace sonde
