// Names and queries as they go on the wire (RFC 1035 sections 3.1, 4.1 and 5.1). Runs at load.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/contract/address.h"

namespace sonde {

// "www.example" or "www.example." to wire form; "." and "" are the root. `\.` is a dot within a
// label, `\DDD` a byte by its number. False: `*error` says what is wrong.
bool ParseDnsName(std::string_view text, std::string* wire, std::string* error);

// The name reverse lookups ask for: "7.2.0.192.in-addr.arpa.", RFC 3596 section 2.5 for IPv6.
std::string ReverseDnsName(const Address& address);

struct DnsQuery {
  std::string question;  // name in wire form, type, class
  bool recursion_desired = true;
  uint16_t edns_size = 0;  // UDP payload we take; 0: no EDNS
  bool dnssec_ok = false;  // with EDNS only
};

std::string DnsQuestion(std::string_view wire_name, uint16_t type, uint16_t klass);

// The message without its first two bytes, the id.
std::string DnsQueryAfterId(const DnsQuery& query);

}  // namespace sonde
