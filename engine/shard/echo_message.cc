#include "engine/shard/echo_message.h"

#include <algorithm>

namespace sonde {
namespace {

constexpr uint8_t kEchoRequest4 = 8, kEchoReply4 = 0;
constexpr uint8_t kEchoRequest6 = 128, kEchoReply6 = 129;
constexpr uint8_t kProtocolIcmp4 = 1, kProtocolIcmp6 = 58;
constexpr size_t kHeader6 = 40;

uint16_t Read16(Bytes bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// RFC 1071, in the order of the machine: section 2 (B) has why that comes to the same, and (C) why
// words may be wider.
uint16_t Checksum(Bytes bytes) {
  uint64_t sum = 0;
  size_t at = 0;
  for (; bytes.size() - at >= sizeof(uint32_t); at += sizeof(uint32_t)) {
    uint32_t word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    sum += word;
  }
  if (at < bytes.size()) {
    uint32_t word = 0;
    std::memcpy(&word, bytes.data() + at, bytes.size() - at);
    sum += word;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

struct ErrorRow {
  IpFamily family;
  uint8_t type;
  int16_t code;  // -1: every other
  IcmpErrorInfo info;
};
// https://www.iana.org/assignments/icmp-parameters and icmpv6-parameters.
constexpr ErrorRow kErrors[] = {
    {IpFamily::kV4, 3, 0, {Outcome::kConnectNetworkUnreachable, "network unreachable"}},
    {IpFamily::kV4, 3, 1, {Outcome::kConnectHostUnreachable, "host unreachable"}},
    {IpFamily::kV4, 3, 2, {Outcome::kConnectRefused, "protocol unreachable"}},
    {IpFamily::kV4, 3, 3, {Outcome::kConnectRefused, "port unreachable"}},
    {IpFamily::kV4, 3, 4, {Outcome::kConnectTooBig, "fragmentation needed"}},
    {IpFamily::kV4, 3, 5, {Outcome::kConnectNetworkUnreachable, "source route failed"}},
    {IpFamily::kV4, 3, 6, {Outcome::kConnectNetworkUnreachable, "network unknown"}},
    {IpFamily::kV4, 3, 7, {Outcome::kConnectHostUnreachable, "host unknown"}},
    {IpFamily::kV4, 3, 9, {Outcome::kConnectDenied, "network prohibited"}},
    {IpFamily::kV4, 3, 10, {Outcome::kConnectDenied, "host prohibited"}},
    {IpFamily::kV4, 3, 11, {Outcome::kConnectNetworkUnreachable, "network unreachable for TOS"}},
    {IpFamily::kV4, 3, 12, {Outcome::kConnectHostUnreachable, "host unreachable for TOS"}},
    {IpFamily::kV4, 3, 13, {Outcome::kConnectDenied, "administratively prohibited"}},
    {IpFamily::kV4, 3, -1, {Outcome::kConnectHostUnreachable, "destination unreachable"}},
    {IpFamily::kV4, 11, 0, {Outcome::kConnectTtlExceeded, "time to live exceeded"}},
    {IpFamily::kV4, 11, -1, {Outcome::kConnectError, "fragments were lost"}},
    {IpFamily::kV4, 12, -1, {Outcome::kConnectError, "parameter problem"}},
    {IpFamily::kV6, 1, 0, {Outcome::kConnectNetworkUnreachable, "no route"}},
    {IpFamily::kV6, 1, 1, {Outcome::kConnectDenied, "administratively prohibited"}},
    {IpFamily::kV6, 1, 3, {Outcome::kConnectHostUnreachable, "address unreachable"}},
    {IpFamily::kV6, 1, 4, {Outcome::kConnectRefused, "port unreachable"}},
    {IpFamily::kV6, 1, 5, {Outcome::kConnectDenied, "source address failed policy"}},
    {IpFamily::kV6, 1, 6, {Outcome::kConnectDenied, "route rejects"}},
    {IpFamily::kV6, 1, -1, {Outcome::kConnectHostUnreachable, "destination unreachable"}},
    {IpFamily::kV6, 2, -1, {Outcome::kConnectTooBig, "packet too big"}},
    {IpFamily::kV6, 3, 0, {Outcome::kConnectTtlExceeded, "hop limit exceeded"}},
    {IpFamily::kV6, 3, -1, {Outcome::kConnectError, "fragments were lost"}},
    {IpFamily::kV6, 4, -1, {Outcome::kConnectError, "parameter problem"}},
};

const ErrorRow* FindError(IpFamily family, int type, int code) {
  for (const ErrorRow& row : kErrors) {
    if (row.family == family && row.type == type && (row.code == code || row.code < 0)) return &row;
  }
  return nullptr;
}

// The echo request an error quotes, with the header of the packet it went in. The header may have
// options (IPv4); extension headers (IPv6) we never send.
std::optional<EchoAnswer> ParseQuoted(IpFamily family, Bytes packet) {
  EchoAnswer answer;
  answer.error = true;
  answer.to.family = family;
  size_t header = kHeader6;
  if (family == IpFamily::kV4) {
    if (packet.size() < 20 || packet[0] >> 4 != 4) return std::nullopt;
    header = size_t{4} * (packet[0] & 0xf);
    if (header < 20 || packet[9] != kProtocolIcmp4) return std::nullopt;
    std::copy_n(packet.begin() + 16, 4, answer.to.bytes.begin());
  } else {
    if (packet.size() < kHeader6 || packet[0] >> 4 != 6) return std::nullopt;
    if (packet[6] != kProtocolIcmp6) return std::nullopt;
    std::copy_n(packet.begin() + 24, 16, answer.to.bytes.begin());
  }
  if (packet.size() < header + kEchoHeaderBytes) return std::nullopt;
  const Bytes request = packet.subspan(header);
  if (request[0] != (family == IpFamily::kV4 ? kEchoRequest4 : kEchoRequest6)) return std::nullopt;
  answer.id = Read16(request, 4);
  answer.sequence = Read16(request, 6);
  answer.payload = request.subspan(kEchoHeaderBytes);
  return answer;
}

}  // namespace

void AppendEchoRequest(IpFamily family, uint16_t id, uint16_t sequence, uint64_t cookie,
                       Bytes payload, std::vector<uint8_t>* out) {
  const size_t begin = out->size();
  const uint64_t type = family == IpFamily::kV4 ? kEchoRequest4 : kEchoRequest6;
  const uint64_t header = NetworkOrder(type << 56 | uint64_t{id} << 16 | sequence);
  cookie = NetworkOrder(cookie);
  out->resize(begin + kEchoHeaderBytes + payload.size());
  uint8_t* message = out->data() + begin;
  std::memcpy(message, &header, sizeof header);
  std::copy(payload.begin(), payload.end(), message + kEchoHeaderBytes);
  if (payload.size() >= kEchoCookieBytes) {
    std::memcpy(message + kEchoHeaderBytes, &cookie, sizeof cookie);
  }
  if (family != IpFamily::kV4) return;
  const uint16_t sum = Checksum(Bytes(*out).subspan(begin));
  std::memcpy(message + 2, &sum, sizeof sum);
}

std::optional<EchoAnswer> ParseEchoAnswer(IpFamily family, Bytes message) {
  if (message.size() < kEchoHeaderBytes) return std::nullopt;
  const uint8_t type = message[0];
  if (type == (family == IpFamily::kV4 ? kEchoReply4 : kEchoReply6)) {
    if (message[1] != 0) return std::nullopt;
    EchoAnswer answer;
    answer.id = Read16(message, 4);
    answer.sequence = Read16(message, 6);
    answer.payload = message.subspan(kEchoHeaderBytes);
    return answer;
  }
  const ErrorRow* row = FindError(family, type, message[1]);
  if (!row) return std::nullopt;
  std::optional<EchoAnswer> answer = ParseQuoted(family, message.subspan(kEchoHeaderBytes));
  if (answer) {
    answer->outcome = row->info.outcome;
    answer->words = row->info.words;
  }
  return answer;
}

IcmpErrorInfo IcmpErrorOf(IpFamily family, int type, int code) {
  const ErrorRow* row = FindError(family, type, code);
  return row ? row->info : IcmpErrorInfo{Outcome::kConnectError, "ICMP error"};
}

}  // namespace sonde
