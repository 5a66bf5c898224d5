// A blocking DNS client of the tests: queries of any make, and answers taken apart by other code
// than the farm's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sonde {

// A query for `name` ("www.farm.test", the dot at the end may be left out).
struct DnsAsk {
  uint16_t id = 0x1234;
  uint16_t flags = 0x0100;  // RD
  std::string name = "farm.test";
  uint16_t type = 1, klass = 1;
  int edns_size = -1;  // -1: no OPT
  std::string Bytes() const;
};

struct DnsSaid {
  uint16_t id = 0, flags = 0;
  uint16_t counts[4] = {};
  std::string name;  // of the question
  uint16_t type = 0;
  struct Record {
    std::string name;
    uint16_t type = 0, klass = 0;
    uint32_t ttl = 0;
    std::string data;  // as on the wire
  };
  std::vector<Record> records;  // of the three sections, in order

  int code() const { return flags & 15; }
  bool truncated() const { return (flags & 0x0200) != 0; }
  std::vector<std::string> Data(uint16_t of_type) const;

  // nullopt: not a whole message with nothing behind it.
  static std::optional<DnsSaid> Parse(std::string_view bytes);
};

// One UDP socket of ours that takes from anybody.
class DnsDatagrams {
 public:
  struct Datagram {
    std::string bytes;
    std::string address;  // of the sender
    uint16_t port = 0;
  };

  explicit DnsDatagrams(int timeout_ms = 5000, bool v6 = false);
  ~DnsDatagrams();
  DnsDatagrams(const DnsDatagrams&) = delete;

  void Send(uint16_t port, std::string_view bytes, const std::string& address = "127.0.0.1");
  std::optional<Datagram> Receive();  // nullopt: nothing came in time
  // Send, Receive, Parse.
  std::optional<DnsSaid> Ask(uint16_t port, const DnsAsk& ask,
                             const std::string& address = "127.0.0.1");
  int error() const { return error_; }  // errno of the last Receive that failed
  bool ConnectTo(uint16_t port, const std::string& address);

 private:
  int fd_;
  bool v6_;
  int error_ = 0;
};

}  // namespace sonde
