// DNS messages as far as a simulated server needs them (RFC 1035 section 4, RFC 6891): queries read
// strictly, messages written into memory of a fixed size. Nothing here allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace sonde {

inline constexpr size_t kDnsHeaderSize = 12;
inline constexpr size_t kDnsLongestName = 255;  // on the wire, with the root's zero
inline constexpr size_t kDnsLongestLabel = 63;
inline constexpr size_t kDnsLargest = 65535;     // what TCP's two bytes of length can say
inline constexpr size_t kDnsPlainLimit = 512;    // over UDP without EDNS
inline constexpr size_t kDnsEdnsLimit = 4096;    // over UDP, whatever the client offers
inline constexpr size_t kDnsMostAdditional = 8;  // records a query may bring: OPT, a signature

enum FarmDnsType : uint16_t {
  kDnsA = 1,
  kDnsNs = 2,
  kDnsCname = 5,
  kDnsSoa = 6,
  kDnsPtr = 12,
  kDnsMx = 15,
  kDnsTxt = 16,
  kDnsAaaa = 28,
  kDnsSrv = 33,
  kDnsOpt = 41,
  kDnsAny = 255,
};
inline constexpr uint16_t kDnsClassIn = 1, kDnsClassAny = 255;

enum class FarmDnsCode : uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16,  // RFC 6891: the upper bits stand in the OPT record
};

struct FarmDnsQuery {
  uint16_t id = 0;
  bool recursion_desired = false;
  uint8_t opcode = 0;
  uint16_t type = 0, klass = 0;
  bool edns = false;
  uint8_t edns_version = 0;
  uint16_t edns_size = 0;                     // the largest UDP payload the client takes
  uint8_t name_size = 0;                      // 0: no question was read
  std::array<uint8_t, kDnsLongestName> name;  // as it was asked, letters' case included

  std::string_view name_text() const {
    return {reinterpret_cast<const char*>(name.data()), name_size};
  }
  size_t udp_limit() const;
};

enum class FarmDnsParse : uint8_t {
  kGood,
  kIgnore,     // too short for an id, or an answer: nothing is said to it
  kMalformed,  // FORMERR; id and opcode are read
  kNotImplemented,
};
// One whole message and nothing behind it: exactly one question, no answers, no compression, at
// most kDnsMostAdditional further records of which one may be OPT.
FarmDnsParse ReadFarmDnsQuery(std::span<const uint8_t> message, FarmDnsQuery* query);

// Bytes an uncompressed name takes at `at`, its zero included; 0 when it is none.
size_t FarmDnsNameSize(std::span<const uint8_t> bytes, size_t at);

// Writes numbers in network order; what does not fit is not written, and said by overflow().
class FarmDnsWriter {
 public:
  explicit FarmDnsWriter(std::span<uint8_t> out) : out_(out) {}

  void U8(uint8_t value) { Bytes(&value, 1); }
  void U16(uint16_t value) {
    const uint8_t bytes[] = {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
    Bytes(bytes, sizeof(bytes));
  }
  void U32(uint32_t value) {
    U16(static_cast<uint16_t>(value >> 16));
    U16(static_cast<uint16_t>(value));
  }
  void Bytes(const void* from, size_t size) {
    if (overflow_ || size > out_.size() - size_) {
      overflow_ = true;
      return;
    }
    std::memcpy(out_.data() + size_, from, size);
    size_ += size;
  }
  void Text(std::string_view bytes) { Bytes(bytes.data(), bytes.size()); }
  void PatchU16(size_t at, uint16_t value) {
    if (at + 2 > size_) return;
    out_[at] = static_cast<uint8_t>(value >> 8);
    out_[at + 1] = static_cast<uint8_t>(value);
  }
  void CutTo(size_t size) {
    size_ = size;
    overflow_ = false;
  }

  size_t size() const { return size_; }
  bool overflow() const { return overflow_; }

 private:
  std::span<uint8_t> out_;
  size_t size_ = 0;
  bool overflow_ = false;
};

}  // namespace sonde
