#include "engine/loop/resolver.h"

#include <utility>

namespace sonde {
namespace {

constexpr size_t kLongestName = 255;

IpFamily Other(IpFamily family) { return family == IpFamily::kV4 ? IpFamily::kV6 : IpFamily::kV4; }

ResolveAnswer Failed(Outcome outcome, Instant at) {
  ResolveAnswer answer;
  answer.outcome = outcome;
  answer.at = at;
  return answer;
}

ResolveAnswer Found(const Address& address, Instant at) {
  ResolveAnswer answer;
  answer.address = address;
  answer.at = at;
  return answer;
}

// The name in lower case in `buffer`; empty when it cannot be one (too long, blanks, controls).
std::string_view LowerCase(std::string_view host, char (&buffer)[kLongestName + 1]) {
  if (host.size() > kLongestName) return {};
  for (size_t i = 0; i < host.size(); ++i) {
    const char c = host[i];
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return {};
    buffer[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return {buffer, host.size()};
}

const HostAddresses& LocalHost() {
  static const HostAddresses addresses = [] {
    HostAddresses local;
    local.first_v4 = local.last_v4 = *Address::ParseLiteral("127.0.0.1");
    local.first_v6 = local.last_v6 = *Address::ParseLiteral("::1");
    return local;
  }();
  return addresses;
}

bool IsLocalHost(std::string_view name) {  // RFC 6761, section 6.3
  return name == "localhost" || name.ends_with(".localhost");
}

// Both families failed: that the name does not exist says most; trouble says more than absence.
Outcome Combine(Outcome preferred, Outcome other) {
  if (preferred == Outcome::kDnsNotFound || other == Outcome::kDnsNotFound) {
    return Outcome::kDnsNotFound;
  }
  return preferred == Outcome::kDnsNoAddress ? other : preferred;
}

}  // namespace

size_t Resolver::KeyHash::operator()(const DnsCache::Key& key) const {
  return std::hash<std::string_view>()(key.name) * 31 + key.servers * 7 +
         static_cast<size_t>(key.family);
}

Resolver::Resolver(Poller& poller, const ResolverOptions& options)
    : poller_(poller),
      options_(options),
      hosts_(std::make_shared<HostsTable>()),
      cache_(options.cache) {}

Resolver::~Resolver() = default;

std::optional<ResolveAnswer> Resolver::Resolve(SlotRef slot, std::string_view host,
                                               const NetworkOptions& options, Instant now) {
  Cancel(slot);
  if (const std::optional<Address> literal = Address::ParseLiteral(host)) {
    const Address address = literal->Unmapped();  // as everything else connects to it
    if (!options.fallback && address.family != options.preferred_family) {
      return Failed(Outcome::kDnsNoAddress, now);
    }
    return Found(address, now);
  }
  char buffer[kLongestName + 1];
  const std::string_view name = LowerCase(host, buffer);
  if (name.empty() || name == ".") return Failed(Outcome::kDnsNotFound, now);
  if (auto answer = FromHosts(name, options, now)) return answer;
  Request request;
  request.slot = slot;
  request.preferred = options.preferred_family;
  request.fallback = options.fallback;
  return Ask(request, name, options, now);
}

// A name that stands in the hosts file is not asked of a server, whatever family is wanted.
std::optional<ResolveAnswer> Resolver::FromHosts(std::string_view name,
                                                 const NetworkOptions& options, Instant now) const {
  if (name.ends_with('.')) name.remove_suffix(1);
  const HostAddresses* addresses = hosts_->Find(name);
  if (addresses == nullptr && IsLocalHost(name)) addresses = &LocalHost();
  if (addresses == nullptr) return std::nullopt;
  const bool v4 = options.preferred_family == IpFamily::kV4;
  const Address& first = v4 ? addresses->first_v4 : addresses->first_v6;
  if (first.family != IpFamily::kNone) return Found(first, now);
  const Address& other = v4 ? addresses->last_v6 : addresses->last_v4;
  if (options.fallback && other.family != IpFamily::kNone) return Found(other, now);
  return Failed(Outcome::kDnsNoAddress, now);
}

std::optional<ResolveAnswer> Resolver::Ask(Request request, std::string_view name,
                                           const NetworkOptions& options, Instant now) {
  ServerSet* const set = SetFor(options.name_servers);
  if (set == nullptr) return Failed(Outcome::kProberConfig, now);
  const DnsCache::Key preferred{name, set->number, request.preferred};
  const DnsCache::Key other{name, set->number, Other(request.preferred)};
  if (options.resolver_cache) {
    if (const DnsAnswer* known = cache_.Find(preferred, now)) request.of_preferred = *known;
    if (request.fallback) {
      if (const DnsAnswer* known = cache_.Find(other, now)) request.of_other = *known;
    }
    if (auto answer = Decide(request, now)) {
      ++counters_.hits;
      answer->cached = true;
      return answer;
    }
  }
  ++counters_.misses;
  request.number = next_request_++;
  const bool shared = options.resolver_cache;
  DnsChannel& channel = *set->channel;
  if ((!request.of_preferred && !Wait(request, preferred, shared, channel, now)) ||
      (request.fallback && !request.of_other && !Wait(request, other, shared, channel, now))) {
    return Failed(Outcome::kProberMemory, now);
  }
  requests_[request.slot.index] = request;
  return std::nullopt;
}

// False when too much is outstanding.
bool Resolver::Wait(const Request& request, const DnsCache::Key& key, bool shared,
                    DnsChannel& channel, Instant now) {
  if (shared) {
    if (const auto running = shared_.find(key); running != shared_.end()) {
      running->second->waiters.push_back({request.slot, request.number});
      return true;
    }
  }
  if (outstanding_ >= options_.max_lookups) {
    ++counters_.refused;
    return false;
  }
  auto owned = std::make_unique<Lookup>();
  Lookup* const lookup = owned.get();
  lookup->name = key.name;
  lookup->key = {lookup->name, key.servers, key.family};
  lookup->shared = shared;
  lookup->waiters.push_back({request.slot, request.number});
  lookups_.emplace(lookup, std::move(owned));
  if (shared) shared_.emplace(lookup->key, lookup);
  if (outstanding_++ == 0) next_tick_ = now + DnsChannel::kTick;
  ++counters_.queries;
  channel.Query(lookup->name, key.family, lookup);
  return true;
}

Resolver::ServerSet* Resolver::SetFor(const std::vector<Address>& servers) {
  const auto known = sets_.find(servers);
  if (known != sets_.end()) return &known->second;
  if (sets_.size() >= options_.max_server_sets) DropIdleSets();
  DnsChannelOptions channel;
  channel.servers = servers;
  channel.resolv_conf = options_.resolv_conf;
  channel.timeout = options_.timeout;
  channel.tries = options_.tries;
  auto made = DnsChannel::Make(poller_, *this, channel);
  if (!made.ok()) return nullptr;
  ServerSet& set = sets_[servers];
  set.number = next_set_++;
  set.channel = *std::move(made);
  return &set;
}

void Resolver::DropIdleSets() {
  std::erase_if(sets_, [](const auto& set) { return set.second.channel->outstanding() == 0; });
}

void Resolver::Cancel(SlotRef slot) {
  const auto found = requests_.find(slot.index);
  if (found != requests_.end() && found->second.slot == slot) requests_.erase(found);
}

void Resolver::OnAnswer(void* query, const DnsAnswer& answer) {
  completed_.push_back({static_cast<Lookup*>(query), answer, MonotonicNow()});
}

void Resolver::DispatchAnswers(NetworkEvents& events) {
  if (completed_.empty()) return;
  completed_now_.swap(completed_);
  for (const Completed& completed : completed_now_) Deliver(completed, events);
  completed_now_.clear();
}

void Resolver::Deliver(const Completed& completed, NetworkEvents& events) {
  const auto node = lookups_.extract(completed.lookup);
  const Lookup& lookup = *node.mapped();
  --outstanding_;
  if (lookup.shared) {
    shared_.erase(lookup.key);
    cache_.Store(lookup.key, completed.answer, completed.at);
  }
  for (const Waiter& waiter : lookup.waiters) {
    const auto found = requests_.find(waiter.slot.index);
    if (found == requests_.end() || found->second.number != waiter.request) continue;
    Request& request = found->second;
    (lookup.key.family == request.preferred ? request.of_preferred : request.of_other) =
        completed.answer;
    const std::optional<ResolveAnswer> answer = Decide(request, completed.at);
    if (!answer) continue;
    requests_.erase(found);
    events.OnResolved(waiter.slot, *answer);
  }
}

std::optional<ResolveAnswer> Resolver::Decide(const Request& request, Instant at) {
  const auto& preferred = request.of_preferred;
  const auto& other = request.of_other;
  if (!preferred) return std::nullopt;
  if (preferred->outcome == Outcome::kOk) return Found(preferred->first, at);
  if (!request.fallback) return Failed(preferred->outcome, at);
  if (!other) return std::nullopt;
  if (other->outcome == Outcome::kOk) return Found(other->last, at);
  return Failed(Combine(preferred->outcome, other->outcome), at);
}

void Resolver::Tick(Instant now) {
  if (outstanding_ == 0 || now < next_tick_) return;
  next_tick_ = now + DnsChannel::kTick;
  for (auto& [servers, set] : sets_) set.channel->Tick();
  for (auto& channel : draining_) channel->Tick();
  std::erase_if(draining_, [](const auto& channel) { return channel->outstanding() == 0; });
}

Instant Resolver::NextTimeout() const { return outstanding_ == 0 ? Instant{} : next_tick_; }

void Resolver::ReloadSystemServers() {
  // Channels of modules too: their search list comes from the same file.
  for (auto& [servers, set] : sets_) {
    if (set.channel->outstanding() != 0) draining_.push_back(std::move(set.channel));
  }
  sets_.clear();
}

}  // namespace sonde
