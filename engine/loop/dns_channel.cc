#include "engine/loop/dns_channel.h"

#include <ares.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "absl/status/status.h"
#include "engine/loop/socket_address.h"

namespace sonde {
namespace {

constexpr struct {
  int status;
  Outcome outcome;
} kStatuses[] = {
    {ARES_SUCCESS, Outcome::kOk},
    {ARES_ENODATA, Outcome::kDnsNoAddress},
    {ARES_ENOTFOUND, Outcome::kDnsNotFound},
    {ARES_EBADNAME, Outcome::kDnsNotFound},  // no such name can exist
    {ARES_ESERVFAIL, Outcome::kDnsServerFailure},
    {ARES_ENOTIMP, Outcome::kDnsServerFailure},
    {ARES_EREFUSED, Outcome::kDnsRefused},
    {ARES_EFORMERR, Outcome::kDnsMalformed},
    {ARES_EBADRESP, Outcome::kDnsMalformed},
    {ARES_ECONNREFUSED, Outcome::kDnsUnreachable},
    {ARES_ETIMEOUT, Outcome::kDnsTimeout},
    {ARES_ENOMEM, Outcome::kProberMemory},
    {ARES_ECANCELLED, Outcome::kProberCancelled},
    {ARES_EDESTRUCTION, Outcome::kProberCancelled},
};

Outcome OutcomeOf(int status) {
  for (const auto& row : kStatuses) {
    if (row.status == status) return row.outcome;
  }
  return Outcome::kProberInternal;
}

DnsAnswer AnswerOf(int status, IpFamily family, const ares_addrinfo* found) {
  DnsAnswer answer;
  answer.outcome = OutcomeOf(status);
  if (status != ARES_SUCCESS) return answer;
  int ttl = INT32_MAX;
  for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
    Address address = AddressFrom(node->ai_addr);
    if (address.family != family) continue;
    address.port = 0;
    if (answer.first.family == IpFamily::kNone) answer.first = address;
    answer.last = address;
    ttl = std::min(ttl, node->ai_ttl);
  }
  if (answer.first.family == IpFamily::kNone) answer.outcome = Outcome::kDnsNoAddress;
  for (const ares_addrinfo_cname* alias = found->cnames; alias != nullptr; alias = alias->next) {
    ttl = std::min(ttl, alias->ttl);
  }
  answer.ttl = Seconds(std::max(ttl, 0));
  return answer;
}

absl::Status AresStatus(int status, const char* what) {
  if (status == ARES_SUCCESS) return absl::OkStatus();
  return absl::InternalError(std::string(what) + ": " + ares_strerror(status));
}

// Several channels may be made at once by shards that start.
int InitLibrary() {
  static std::once_flag once;
  static int status;
  std::call_once(once, [] { status = ares_library_init(ARES_LIB_INIT_ALL); });
  return status;
}

int ServerCount(ares_channel channel) {
  ares_addr_port_node* servers = nullptr;
  if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS) return 0;
  int count = 0;
  for (const ares_addr_port_node* at = servers; at != nullptr; at = at->next) ++count;
  ares_free_data(servers);
  return count;
}

int SetServers(ares_channel channel, const std::vector<Address>& servers) {
  std::vector<ares_addr_port_node> nodes(servers.size());
  for (size_t i = 0; i < servers.size(); ++i) {
    ares_addr_port_node& node = nodes[i];
    node.next = i + 1 < nodes.size() ? &nodes[i + 1] : nullptr;
    node.udp_port = node.tcp_port = servers[i].port != 0 ? servers[i].port : 53;
    if (servers[i].family == IpFamily::kV4) {
      node.family = AF_INET;
      std::memcpy(&node.addr.addr4, servers[i].bytes.data(), 4);
    } else {
      node.family = AF_INET6;
      std::memcpy(&node.addr.addr6, servers[i].bytes.data(), 16);
    }
  }
  return ares_set_servers_ports(channel, nodes.data());
}

}  // namespace

// One c-ares channel with its sockets on the poller.
struct DnsChannel::Part final : Poller::Handler {
  explicit Part(Poller& its_poller) : poller(its_poller) {}
  ~Part() {
    if (channel != nullptr) ares_destroy(channel);
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  int Open(const DnsChannelOptions& options, int flags);
  void OnReady(int fd, uint32_t events, Instant at) override;
  static void OnSocketState(void* self, ares_socket_t fd, int readable, int writable);

  Poller& poller;
  ares_channel channel = nullptr;
  std::vector<int> watched;  // a few: UDP and TCP per server
};

struct DnsChannel::Asked {
  DnsChannel* channel;
  void* query;
  std::string name;
  IpFamily family;
  bool may_ask_again;  // for the reason behind a "connection refused"
};

int DnsChannel::Part::Open(const DnsChannelOptions& options, int flags) {
  ares_options ares{};
  int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
             ARES_OPT_SOCK_STATE_CB;
  ares.flags = flags;
  ares.timeout = static_cast<int>(std::max<int64_t>(options.timeout.ns / 1'000'000, 1));
  ares.tries = options.tries;
  char lookups[] = "b";  // name servers only: the hosts file is read elsewhere
  ares.lookups = lookups;
  ares.sock_state_cb = OnSocketState;
  ares.sock_state_cb_data = this;
  std::string path = options.resolv_conf;
  if (!path.empty()) {
    mask |= ARES_OPT_RESOLVCONF;
    ares.resolvconf_path = path.data();
  }
  const int status = ares_init_options(&channel, &ares, mask);
  if (status != ARES_SUCCESS) {
    channel = nullptr;
    return status;
  }
  return options.servers.empty() ? ARES_SUCCESS : SetServers(channel, options.servers);
}

void DnsChannel::Part::OnSocketState(void* self, ares_socket_t fd, int readable, int writable) {
  Part& part = *static_cast<Part*>(self);
  const auto known = std::find(part.watched.begin(), part.watched.end(), fd);
  const uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
  if (events == 0) {  // c-ares closes it right after this
    if (known == part.watched.end()) return;
    part.poller.Forget(fd);
    part.watched.erase(known);
  } else if (known != part.watched.end()) {
    part.poller.Modify(fd, events);
  } else if (part.poller.Add(fd, events, &part) == 0) {
    part.watched.push_back(fd);  // unwatched, its queries end by time-out
  }
}

void DnsChannel::Part::OnReady(int fd, uint32_t events, Instant) {
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  ares_process_fd(channel, broken || (events & EPOLLIN) ? fd : ARES_SOCKET_BAD,
                  events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

DnsChannel::DnsChannel(Poller& poller, Listener& listener) : poller_(poller), listener_(listener) {}

DnsChannel::~DnsChannel() {
  closing_ = true;
  passing_over_.reset();
  telling_.reset();
}

absl::StatusOr<std::unique_ptr<DnsChannel>> DnsChannel::Make(Poller& poller, Listener& listener,
                                                             const DnsChannelOptions& options) {
  std::unique_ptr<DnsChannel> channel(new DnsChannel(poller, listener));
  if (const absl::Status status = channel->Open(options); !status.ok()) return status;
  return channel;
}

absl::Status DnsChannel::Open(const DnsChannelOptions& options) {
  if (const int status = InitLibrary()) return AresStatus(status, "ares_library_init");
  telling_ = std::make_unique<Part>(poller_);
  if (const int status = telling_->Open(options, ARES_FLAG_NOCHECKRESP)) {
    return AresStatus(status, "name servers");
  }
  if (ServerCount(telling_->channel) < 2) return absl::OkStatus();
  passing_over_ = std::make_unique<Part>(poller_);
  return AresStatus(passing_over_->Open(options, 0), "name servers");
}

void DnsChannel::Query(const std::string& name, IpFamily family, void* query) {
  ++outstanding_;
  const bool several = passing_over_ != nullptr;
  Ask(several ? *passing_over_ : *telling_,
      std::unique_ptr<Asked>(new Asked{this, query, name, family, several}));
}

void DnsChannel::Ask(Part& part, std::unique_ptr<Asked> asked) {
  ares_addrinfo_hints hints{};
  hints.ai_family = asked->family == IpFamily::kV4 ? AF_INET : AF_INET6;
  // A hostile answer may hold thousands of addresses, and sorting opens a socket for each. Servers
  // hand out addresses of one family in a sensible order.
  hints.ai_flags = ARES_AI_NOSORT;
  Asked* const raw = asked.release();  // OnAddresses takes it back, always
  ares_getaddrinfo(part.channel, raw->name.c_str(), nullptr, &hints, OnAddresses, raw);
}

void DnsChannel::OnAddresses(void* raw, int status, int, ares_addrinfo* found) {
  std::unique_ptr<Asked> asked(static_cast<Asked*>(raw));
  DnsChannel& self = *asked->channel;
  const DnsAnswer answer = AnswerOf(status, asked->family, found);
  ares_freeaddrinfo(found);
  if (self.closing_) return;
  if (status == ARES_ECONNREFUSED && asked->may_ask_again) {
    asked->may_ask_again = false;
    self.Ask(*self.telling_, std::move(asked));
    return;
  }
  --self.outstanding_;
  self.listener_.OnAnswer(asked->query, answer);
}

void DnsChannel::Tick() {
  if (outstanding_ == 0) return;
  if (passing_over_) ares_process_fd(passing_over_->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  ares_process_fd(telling_->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

}  // namespace sonde
