// DNS messages off the wire (RFC 1035 section 4, RFC 6891 for EDNS): read in place, nothing is
// allocated. Peers are hostile: every length is checked, compression pointers lead backwards only
// and not into the header, a name has at most 255 bytes and 127 pointers, and a message no more
// records than it has bytes for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/contract/conversation.h"

namespace sonde {

inline constexpr size_t kDnsHeaderBytes = 12;
inline constexpr size_t kDnsNameBytes = 255;
inline constexpr int kDnsNamePointers = 127;

namespace dns_flag {
inline constexpr uint16_t kResponse = 0x8000, kAuthoritative = 0x0400, kTruncated = 0x0200,
                          kRecursionDesired = 0x0100, kRecursionAvailable = 0x0080,
                          kAuthentic = 0x0020, kCheckingDisabled = 0x0010;
}

// The caller looks at the size.
inline uint16_t DnsNumber16(Bytes bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
inline uint32_t DnsNumber32(Bytes bytes, size_t at) {
  return uint32_t{DnsNumber16(bytes, at)} << 16 | DnsNumber16(bytes, at + 2);
}

// Walks the name at `*at`, calls visit(Bytes label) for each label and moves `*at` behind the name
// as it stands there. False when it is malformed; labels may have been visited by then.
template <typename Visit>
bool WalkDnsName(Bytes message, size_t* at, Visit&& visit) {
  size_t next = *at;
  size_t begin = *at;  // of the labels being read: a pointer leads before it
  size_t length = 1;   // of the whole name, its end included
  int pointers = 0;
  for (;;) {
    if (next >= message.size()) return false;
    const size_t byte = message[next];
    if (byte == 0) {
      if (pointers == 0) *at = next + 1;
      return true;
    }
    if (byte < 0x40) {
      length += byte + 1;
      if (byte + 1 > message.size() - next || length > kDnsNameBytes) return false;
      visit(message.subspan(next + 1, byte));
      next += byte + 1;
      continue;
    }
    if (byte < 0xc0 || message.size() - next < 2) return false;
    if (pointers == 0) *at = next + 2;
    next = DnsNumber16(message, next) & 0x3fff;
    if (next < kDnsHeaderBytes || next >= begin || ++pointers > kDnsNamePointers) return false;
    begin = next;
  }
}

enum class DnsSection : uint8_t { kAnswer, kAuthority, kAdditional, kCount };
inline constexpr size_t kDnsSections = static_cast<size_t>(DnsSection::kCount);
std::string_view DnsSectionName(DnsSection section);  // answer, authority, additional

struct DnsRecord {
  size_t owner = 0;  // where its name begins
  uint16_t type = 0, klass = 0;
  uint32_t ttl = 0;
  size_t data = 0, data_size = 0;
};

// What an answer says. Views the message it was read from.
struct DnsReply {
  Bytes message;
  uint16_t id = 0, flags = 0;
  uint16_t rcode = 0;                  // with the upper bits of EDNS
  uint16_t counts[kDnsSections] = {};  // records
  uint32_t serial = 0;                 // of the last SOA record of the answer section; 0: none
  size_t records_at = 0;               // where the first record begins

  // What is wrong with a malformed one, in words, and the record it is about.
  std::string_view fault;
  DnsSection fault_section = DnsSection::kCount;
  uint16_t fault_record = 0;  // from 1

  bool truncated() const { return (flags & dns_flag::kTruncated) != 0; }
};

enum class DnsRead : uint8_t {
  kReply,          // well-formed, and an answer to the question
  kMalformed,      // see DnsReply::fault
  kOtherQuestion,  // an answer to something else
};

// Reads a whole answer and checks each record. `question` is the one asked, as it went out: name
// without compression, type, class. An answer may leave the question out, and may be a header alone
// (servers refuse that way). What follows the last record is nobody's business.
DnsRead ReadDnsReply(Bytes message, Bytes question, DnsReply* out);

// The first look at a message that may be about our question: whether it is an answer to it.
bool AnswersDnsQuestion(Bytes message, Bytes question);

// The records of an answer in order, section by section.
//   for (DnsRecords records(reply); records.Next();) Use(records.record(), records.section());
// Ends early where a message is cut or malformed.
class DnsRecords {
 public:
  explicit DnsRecords(const DnsReply& reply);
  bool Next();

  const DnsRecord& record() const { return record_; }
  DnsSection section() const { return section_; }
  uint16_t number() const { return number_; }  // within its section, from 1

 private:
  const DnsReply& reply_;
  size_t at_;
  DnsSection section_ = DnsSection::kAnswer;
  uint16_t number_ = 0;
  DnsRecord record_;
};

}  // namespace sonde
