// What DNS numbers are called: types, classes, response codes; and what the data of a type is made
// of. Constant tables; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sonde {

inline constexpr uint16_t kDnsTypeSoa = 6;
inline constexpr uint16_t kDnsTypePtr = 12;
inline constexpr uint16_t kDnsTypeOpt = 41;
inline constexpr uint16_t kDnsTypeAny = 255;
inline constexpr uint16_t kDnsClassIn = 1;

struct DnsType {
  uint16_t number;
  std::string_view name;
  // The fields of the record data, a letter each; what they mean stands in dns_record_text.cc.
  // Empty: the data is opaque and printed as RFC 3597 has it.
  std::string_view fields;
};

// nullptr for a number or name that is not known. Case counts, as in blackbox_exporter's modules;
// TYPE65 is no name.
const DnsType* FindDnsType(uint16_t number);
const DnsType* FindDnsType(std::string_view name);

// IN CS CH HS NONE ANY. The name of a number is empty for others, and for ANY, which is a type too.
std::optional<uint16_t> FindDnsClass(std::string_view name);
std::string_view DnsClassName(uint16_t number);

// NOERROR, NXDOMAIN, ... The name of a number is empty when it has none.
std::optional<uint16_t> FindDnsRcode(std::string_view name);
std::string_view DnsRcodeName(uint16_t number);

}  // namespace sonde
