// What names came to, for as long as their records allow. Bounded; the entry that was not asked for
// the longest goes first. One thread only; told the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/contract/instant.h"
#include "engine/loop/dns_channel.h"

namespace sonde {

struct DnsCacheOptions {
  size_t entries = 65'536;
  Duration min_ttl = Seconds(1);
  Duration max_ttl = Seconds(300);
  Duration negative_ttl = Seconds(5);  // no such name, no address
  Duration failure_ttl =
      Seconds(1);  // SERVFAIL, REFUSED, no server reached; time-outs are not kept
};

class DnsCache {
 public:
  struct Key {
    std::string_view name;  // lower case
    uint32_t servers = 0;   // number of the server set
    IpFamily family = IpFamily::kV4;
    bool operator==(const Key&) const = default;
  };

  explicit DnsCache(const DnsCacheOptions& options) : options_(options) {}

  // Null when absent or out of date. Valid until the next call of Store. Does not allocate.
  const DnsAnswer* Find(const Key& key, Instant now);
  // Replaces what was there. Outcomes that are the prober's own trouble are not kept.
  void Store(const Key& key, const DnsAnswer& answer, Instant now);

  size_t size() const { return index_.size(); }
  uint64_t evictions() const { return evictions_; }  // of entries still in date or not

 private:
  struct Entry {
    std::string name;
    Key key;  // views `name`
    DnsAnswer answer;
    Instant expires;
  };
  struct Hash {
    size_t operator()(const Key& key) const;
  };
  Duration Lifetime(const DnsAnswer& answer) const;

  DnsCacheOptions options_;
  std::list<Entry> entries_;  // most recently asked for first
  std::unordered_map<Key, std::list<Entry>::iterator, Hash> index_;
  uint64_t evictions_ = 0;
};

}  // namespace sonde
