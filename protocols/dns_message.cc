#include "protocols/dns_message.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "protocols/dns_record_text.h"
#include "protocols/dns_types.h"

namespace sonde {
namespace {

uint8_t LowerCase(uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<uint8_t>(c + ('a' - 'A')) : c;
}

bool EqualLabels(Bytes a, Bytes b) {
  if (a.size() != b.size()) return false;
  if (std::memcmp(a.data(), b.data(), a.size()) == 0) return true;  // nearly always
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](uint8_t x, uint8_t y) { return LowerCase(x) == LowerCase(y); });
}

// Compares the question at `*at` and moves it on. False when it is malformed.
bool ReadQuestion(Bytes message, size_t* at, Bytes asked, bool* same) {
  *same = true;
  // Nearly always: byte for byte what was asked, which is well-formed.
  if (message.size() - *at >= asked.size() &&
      std::memcmp(message.data() + *at, asked.data(), asked.size()) == 0) {
    *at += asked.size();
    return true;
  }
  size_t mine = 0;
  const bool whole = WalkDnsName(message, at, [&](Bytes label) {
    if (!*same) return;
    const size_t length = asked[mine];
    *same = length != 0 && EqualLabels(label, asked.subspan(mine + 1, length));
    if (*same) mine += length + 1;
  });
  if (!whole || message.size() - *at < 4) return false;
  // The rest of both: the end of the name (ours, not walked yet), type and class.
  const Bytes rest = message.subspan(*at, 4);
  *at += 4;
  *same =
      *same && asked.size() == mine + 5 && asked[mine] == 0 &&
      std::equal(rest.begin(), rest.end(), asked.begin() + static_cast<std::ptrdiff_t>(mine + 1));
  return true;
}

// Moves `*at` behind the record.
bool ReadRecord(Bytes message, size_t* at, DnsRecord* out) {
  out->owner = *at;
  if (!WalkDnsName(message, at, [](Bytes) {}) || message.size() - *at < 10) return false;
  out->type = DnsNumber16(message, *at);
  out->klass = DnsNumber16(message, *at + 2);
  out->ttl = DnsNumber32(message, *at + 4);
  out->data_size = DnsNumber16(message, *at + 8);
  out->data = *at + 10;
  if (out->data_size > message.size() - out->data) return false;
  *at = out->data + out->data_size;
  return true;
}

// Of a record whose data was checked.
uint32_t SerialOf(Bytes message, const DnsRecord& soa) {
  size_t at = soa.data;
  WalkDnsName(message, &at, [](Bytes) {});
  WalkDnsName(message, &at, [](Bytes) {});
  return DnsNumber32(message, at);
}

DnsRead Malformed(std::string_view fault, DnsReply* out) {
  out->fault = fault;
  return DnsRead::kMalformed;
}

DnsRead ReadRecords(DnsReply* out) {
  DnsRecords records(*out);
  size_t read = 0;
  while (records.Next()) {
    const DnsRecord& record = records.record();
    if (!CheckDnsRecord(out->message, record)) {
      out->fault_section = records.section();
      out->fault_record = records.number();
      return Malformed("the record's data has not the form of its type", out);
    }
    ++read;
    if (record.data_size > 0 && record.type == kDnsTypeSoa &&
        records.section() == DnsSection::kAnswer) {
      out->serial = SerialOf(out->message, record);
    }
    if (record.type == kDnsTypeOpt && records.section() == DnsSection::kAdditional) {
      out->rcode = static_cast<uint16_t>((out->rcode & 0xf) | (record.ttl >> 24) << 4);
    }
  }
  if (read == size_t{out->counts[0]} + out->counts[1] + out->counts[2]) return DnsRead::kReply;
  out->fault_section = records.section();
  out->fault_record = records.number();
  return Malformed("the record is cut or malformed", out);
}

}  // namespace

std::string_view DnsSectionName(DnsSection section) {
  static constexpr std::array<std::string_view, kDnsSections> kNames = {"answer", "authority",
                                                                        "additional"};
  return section == DnsSection::kCount ? std::string_view() : kNames[static_cast<size_t>(section)];
}

DnsRead ReadDnsReply(Bytes message, Bytes question, DnsReply* out) {
  *out = DnsReply{};
  out->message = message;
  if (message.size() < kDnsHeaderBytes) return Malformed("shorter than a header", out);
  out->id = DnsNumber16(message, 0);
  out->flags = DnsNumber16(message, 2);
  out->rcode = out->flags & 0xf;
  out->records_at = kDnsHeaderBytes;
  if ((out->flags & dns_flag::kResponse) == 0) return Malformed("a query, not an answer", out);
  if (message.size() == kDnsHeaderBytes) return DnsRead::kReply;
  const uint16_t questions = DnsNumber16(message, 4);
  if (questions > 1) return Malformed("more than one question", out);
  if (questions == 1) {
    bool same = false;
    if (!ReadQuestion(message, &out->records_at, question, &same)) {
      return Malformed("the question is cut or malformed", out);
    }
    if (!same) return DnsRead::kOtherQuestion;
  }
  for (size_t i = 0; i < kDnsSections; ++i) out->counts[i] = DnsNumber16(message, 6 + 2 * i);
  const DnsRead read = ReadRecords(out);
  if (read != DnsRead::kReply) std::fill(std::begin(out->counts), std::end(out->counts), 0);
  return read;
}

bool AnswersDnsQuestion(Bytes message, Bytes question) {
  if (message.size() <= kDnsHeaderBytes || DnsNumber16(message, 4) != 1 ||
      (DnsNumber16(message, 2) & dns_flag::kResponse) == 0) {
    return false;
  }
  size_t at = kDnsHeaderBytes;
  bool same = false;
  return ReadQuestion(message, &at, question, &same) && same;
}

DnsRecords::DnsRecords(const DnsReply& reply) : reply_(reply), at_(reply.records_at) {}

bool DnsRecords::Next() {
  while (section_ != DnsSection::kCount &&
         number_ >= reply_.counts[static_cast<size_t>(section_)]) {
    section_ = static_cast<DnsSection>(static_cast<size_t>(section_) + 1);
    number_ = 0;
  }
  if (section_ == DnsSection::kCount) return false;
  ++number_;
  return ReadRecord(reply_.message, &at_, &record_);
}

}  // namespace sonde
