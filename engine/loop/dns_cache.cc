#include "engine/loop/dns_cache.h"

#include <algorithm>
#include <functional>

namespace sonde {

size_t DnsCache::Hash::operator()(const Key& key) const {
  const size_t salt = size_t{key.servers} << 8 | static_cast<size_t>(key.family);
  return std::hash<std::string_view>()(key.name) ^ (salt * 0x9e3779b97f4a7c15u);
}

const DnsAnswer* DnsCache::Find(const Key& key, Instant now) {
  const auto found = index_.find(key);
  if (found == index_.end() || found->second->expires <= now) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->answer;
}

Duration DnsCache::Lifetime(const DnsAnswer& answer) const {
  switch (answer.outcome) {
    case Outcome::kOk:
      return std::clamp(answer.ttl, options_.min_ttl, options_.max_ttl);
    case Outcome::kDnsNotFound:
    case Outcome::kDnsNoAddress:
      return options_.negative_ttl;
    case Outcome::kDnsServerFailure:
    case Outcome::kDnsRefused:
    case Outcome::kDnsMalformed:
    case Outcome::kDnsUnreachable:
      return options_.failure_ttl;
    default:
      return {};
  }
}

void DnsCache::Store(const Key& key, const DnsAnswer& answer, Instant now) {
  const Duration lifetime = Lifetime(answer);
  if (lifetime.ns <= 0 || options_.entries == 0) return;
  if (const auto found = index_.find(key); found != index_.end()) {
    found->second->answer = answer;
    found->second->expires = now + lifetime;
    entries_.splice(entries_.begin(), entries_, found->second);
    return;
  }
  if (index_.size() >= options_.entries) {
    index_.erase(entries_.back().key);
    entries_.pop_back();
    ++evictions_;
  }
  Entry& entry = entries_.emplace_front();
  entry.name = key.name;
  entry.key = {entry.name, key.servers, key.family};
  entry.answer = answer;
  entry.expires = now + lifetime;
  index_.emplace(entry.key, entries_.begin());
}

}  // namespace sonde
