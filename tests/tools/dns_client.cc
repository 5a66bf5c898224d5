#include "tests/tools/dns_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

namespace sonde {
namespace {

std::string U16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

// Reads forward; `bad` is set by what is not there.
struct Reader {
  std::string_view bytes;
  size_t at = 0;
  bool bad = false;

  uint32_t Number(size_t size) {
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      if (at >= bytes.size()) {
        bad = true;
        return 0;
      }
      value = value << 8 | static_cast<uint8_t>(bytes[at++]);
    }
    return value;
  }
  uint16_t U16() { return static_cast<uint16_t>(Number(2)); }
  std::string Name() {
    std::string name;
    size_t from = at, jumps = 0;
    for (;;) {
      if (from >= bytes.size() || jumps > 20) break;
      const auto label = static_cast<uint8_t>(bytes[from]);
      if (label >= 0xC0) {
        if (from + 1 >= bytes.size()) break;
        if (jumps++ == 0) at = from + 2;
        from = (label & 0x3Fu) << 8 | static_cast<uint8_t>(bytes[from + 1]);
      } else if (label == 0) {
        if (jumps == 0) at = from + 1;
        return name;
      } else {
        if (from + 1 + label > bytes.size()) break;
        if (!name.empty()) name += '.';
        name += bytes.substr(from + 1, label);
        from += 1u + label;
      }
    }
    bad = true;
    return name;
  }
  std::string Data() {
    const size_t size = U16();
    if (bad || bytes.size() - at < size) {
      bad = true;
      return {};
    }
    at += size;
    return std::string(bytes.substr(at - size, size));
  }
};

struct Name {
  sockaddr_storage storage{};
  socklen_t size = 0;
  Name(const std::string& address, uint16_t port, bool v6) {
    if (v6) {
      auto& of = reinterpret_cast<sockaddr_in6&>(storage);
      of.sin6_family = AF_INET6;
      of.sin6_port = htons(port);
      inet_pton(AF_INET6, address.c_str(), &of.sin6_addr);
      size = sizeof(of);
    } else {
      auto& of = reinterpret_cast<sockaddr_in&>(storage);
      of.sin_family = AF_INET;
      of.sin_port = htons(port);
      inet_pton(AF_INET, address.c_str(), &of.sin_addr);
      size = sizeof(of);
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

}  // namespace

std::string DnsAsk::Bytes() const {
  std::string out = U16(id) + U16(flags) + U16(1) + U16(0) + U16(0) + U16(edns_size >= 0);
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    out += static_cast<char>(end - at) + name.substr(at, end - at);
    at = end + 1;
  }
  out += '\0' + U16(type) + U16(klass);
  if (edns_size < 0) return out;
  return out + '\0' + U16(41) + U16(static_cast<unsigned>(edns_size)) + std::string(6, '\0');
}

std::vector<std::string> DnsSaid::Data(uint16_t of_type) const {
  std::vector<std::string> found;
  for (const Record& record : records) {
    if (record.type == of_type) found.push_back(record.data);
  }
  return found;
}

std::optional<DnsSaid> DnsSaid::Parse(std::string_view bytes) {
  DnsSaid said;
  Reader in{bytes};
  said.id = in.U16();
  said.flags = in.U16();
  for (uint16_t& count : said.counts) count = in.U16();
  if (said.counts[0] > 1) return std::nullopt;
  if (said.counts[0] == 1) {
    said.name = in.Name();
    said.type = in.U16();
    in.U16();
  }
  const size_t records = size_t{said.counts[1]} + said.counts[2] + said.counts[3];
  for (size_t i = 0; i < records && !in.bad; ++i) {
    Record record;
    record.name = in.Name();
    record.type = in.U16();
    record.klass = in.U16();
    record.ttl = in.Number(4);
    record.data = in.Data();
    said.records.push_back(record);
  }
  if (in.bad || in.at != bytes.size()) return std::nullopt;
  return said;
}

DnsDatagrams::DnsDatagrams(int timeout_ms, bool v6)
    : fd_(socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), v6_(v6) {
  const timeval timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  const Name any(v6 ? "::1" : "127.0.0.1", 0, v6);
  if (bind(fd_, any.get(), any.size) != 0) error_ = errno;
}

DnsDatagrams::~DnsDatagrams() { close(fd_); }

bool DnsDatagrams::ConnectTo(uint16_t port, const std::string& address) {
  const Name to(address, port, v6_);
  return connect(fd_, to.get(), to.size) == 0;
}

void DnsDatagrams::Send(uint16_t port, std::string_view bytes, const std::string& address) {
  const Name to(address, port, v6_);
  if (sendto(fd_, bytes.data(), bytes.size(), 0, to.get(), to.size) < 0) error_ = errno;
}

std::optional<DnsDatagrams::Datagram> DnsDatagrams::Receive() {
  std::string bytes(65536, '\0');
  sockaddr_storage from{};
  socklen_t size = sizeof(from);
  const ssize_t got =
      recvfrom(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (got < 0) {
    error_ = errno;
    return std::nullopt;
  }
  bytes.resize(static_cast<size_t>(got));
  Datagram datagram{std::move(bytes), std::string(INET6_ADDRSTRLEN, '\0'), 0};
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
  inet_ntop(from.ss_family, v6_ ? static_cast<const void*>(&v6.sin6_addr) : &v4.sin_addr,
            datagram.address.data(), INET6_ADDRSTRLEN);
  datagram.address.resize(datagram.address.find('\0'));
  datagram.port = ntohs(v6_ ? v6.sin6_port : v4.sin_port);
  return datagram;
}

std::optional<DnsSaid> DnsDatagrams::Ask(uint16_t port, const DnsAsk& ask,
                                         const std::string& address) {
  Send(port, ask.Bytes(), address);
  const auto got = Receive();
  return got ? DnsSaid::Parse(got->bytes) : std::nullopt;
}

}  // namespace sonde
