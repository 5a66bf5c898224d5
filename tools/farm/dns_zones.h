// The records a simulated name server knows: read from lines of a zone file (RFC 1035 section 5),
// found by name as RFC 1034 section 4.3.2 says, wildcards included. Immutable once built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/farm/dns_message.h"

namespace sonde {

// Names on the wire are kept as text: labels with their lengths, the root's zero at the end.
// "www.example.com." or, relative to `origin` (a name on the wire), "www"; "@" is the origin.
// `\.` and `\DDD` escape. Errors: empty or long labels, a long name.
absl::StatusOr<std::string> FarmDnsNameFromText(std::string_view text, std::string_view origin);
std::string FarmDnsLowerCase(std::string_view name);

struct FarmDnsRecordSet {
  uint16_t type = 0;
  uint32_t ttl = 0;
  std::vector<std::string> data;  // of each record, as on the wire, names uncompressed
};

class FarmDnsZones {
 public:
  struct Node {
    std::vector<FarmDnsRecordSet> sets;
    bool is_apex = false;
    const FarmDnsRecordSet* Find(uint16_t type) const;
  };
  enum class Found : uint8_t {
    kName,     // the name, or a wildcard that stands for it
    kNothing,  // the zone has no such name
    kForeign,  // no zone of ours
  };
  struct Result {
    Found found = Found::kForeign;
    const Node* node = nullptr;  // kName
    const Node* apex = nullptr;  // of the zone; not kForeign
    std::string_view apex_name;  // a part of the name that was looked for
  };

  // A zone without an SOA record gets one. `ttl`: of records that give none.
  absl::Status AddZone(std::string_view name, uint32_t ttl, const std::vector<std::string>& lines);

  // `name`: on the wire, in lower case.
  Result Find(std::string_view name) const;
  bool empty() const { return nodes_.empty(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  absl::Status AddRecord(std::string_view line, const std::string& origin, uint32_t ttl);
  Node& NodeOf(const std::string& name, const std::string& origin);

  // By name in lower case; the nodes between a name and its zone exist too, without records.
  std::unordered_map<std::string, Node, Hash, std::equal_to<>> nodes_;
};

}  // namespace sonde
