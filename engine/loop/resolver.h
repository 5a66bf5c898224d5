// Names to addresses for the probes of one shard: literals, the hosts file, a cache by TTL, and
// name servers through c-ares, one channel per set of servers. Which address is chosen follows
// blackbox_exporter: fallback false asks for the preferred family only;
// fallback true takes the first address of the preferred family, else the last of the other.
//
// The shard's thread only. Never touches a disk but when a channel is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/contract/instant.h"
#include "engine/loop/dns_cache.h"
#include "engine/loop/dns_channel.h"
#include "engine/loop/hosts_table.h"
#include "engine/loop/poller.h"
#include "engine/shard/network.h"

namespace sonde {

struct ResolverOptions {
  Duration timeout = Milliseconds(1500);  // of the first try of a query; doubles each round
  int tries = 3;                          // per server
  size_t max_lookups = 16'384;            // outstanding; more are inconclusive (prober/memory)
  size_t max_server_sets = 256;           // idle ones beyond are dropped
  std::string resolv_conf;                // a file in place of /etc/resolv.conf; for tests
  DnsCacheOptions cache;
};

class Resolver final : private DnsChannel::Listener {
 public:
  struct Counters {
    uint64_t hits = 0;     // answered from the cache
    uint64_t misses = 0;   // asked of a server, or waiting for one already asked
    uint64_t queries = 0;  // names x families asked
    uint64_t refused = 0;  // more than max_lookups
  };

  // `poller` outlives this.
  Resolver(Poller& poller, const ResolverOptions& options);
  ~Resolver();

  // See Network::Resolve. `now` dates the cache. Allocates nothing when answering at once.
  std::optional<ResolveAnswer> Resolve(SlotRef slot, std::string_view host,
                                       const NetworkOptions& options, Instant now);
  void Cancel(SlotRef slot);

  // Hands out the answers that arrived since.
  void DispatchAnswers(NetworkEvents& events);
  bool pending() const { return !completed_.empty(); }

  // Lets time-outs pass when they are due. NextTimeout: unstamped when nothing is outstanding.
  void Tick(Instant now);
  Instant NextTimeout() const;

  // A new hosts file (never null). What is outstanding goes on.
  void SetHosts(std::shared_ptr<const HostsTable> hosts) { hosts_ = std::move(hosts); }
  // resolv.conf changed: new questions go to the new servers, outstanding ones end as they may.
  void ReloadSystemServers();

  const Counters& counters() const { return counters_; }
  size_t outstanding() const { return outstanding_; }
  size_t cached() const { return cache_.size(); }

 private:
  struct ServerSet {
    uint32_t number = 0;  // never used twice: part of the cache's key
    std::unique_ptr<DnsChannel> channel;
  };
  struct Waiter {
    SlotRef slot;
    uint64_t request;
  };
  struct Lookup {
    std::string name;
    DnsCache::Key key;    // views `name`
    bool shared = false;  // others may wait for it too, and the cache keeps it
    std::vector<Waiter> waiters;
  };
  struct Request {
    uint64_t number = 0;
    SlotRef slot;
    IpFamily preferred = IpFamily::kV6;
    bool fallback = true;
    std::optional<DnsAnswer> of_preferred, of_other;
  };
  struct Completed {
    Lookup* lookup;
    DnsAnswer answer;
    Instant at;
  };
  struct KeyHash {
    size_t operator()(const DnsCache::Key& key) const;
  };

  std::optional<ResolveAnswer> FromHosts(std::string_view name, const NetworkOptions& options,
                                         Instant now) const;
  std::optional<ResolveAnswer> Ask(Request request, std::string_view name,
                                   const NetworkOptions& options, Instant now);
  bool Wait(const Request& request, const DnsCache::Key& key, bool shared, DnsChannel& channel,
            Instant now);
  ServerSet* SetFor(const std::vector<Address>& servers);
  void DropIdleSets();
  void OnAnswer(void* query, const DnsAnswer& answer) override;
  void Deliver(const Completed& completed, NetworkEvents& events);
  static std::optional<ResolveAnswer> Decide(const Request& request, Instant at);

  Poller& poller_;
  const ResolverOptions options_;
  Counters counters_;
  std::shared_ptr<const HostsTable> hosts_;
  DnsCache cache_;

  std::map<std::vector<Address>, ServerSet> sets_;  // empty servers: the system's
  uint32_t next_set_ = 1;
  std::vector<std::unique_ptr<DnsChannel>> draining_;

  std::unordered_map<Lookup*, std::unique_ptr<Lookup>> lookups_;
  std::unordered_map<DnsCache::Key, Lookup*, KeyHash> shared_;
  std::unordered_map<uint32_t, Request> requests_;  // by slot index
  uint64_t next_request_ = 1;
  size_t outstanding_ = 0;
  Instant next_tick_;
  std::vector<Completed> completed_, completed_now_;
};

}  // namespace sonde
