// The `dns` block of a module and what a task adds to it (blackbox_contract 4.10; for users:
// docs/dns.md). Parsed once on the loader's thread, immutable afterwards, read on shards.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "engine/contract/task.h"
#include "protocols/dns_message.h"
#include "protocols/options.h"
#include "protocols/regex.h"

namespace sonde {

// A pattern of blackbox_exporter's is compiled when it is used: a bad one loads, and fails probes.
struct DnsPattern {
  std::string text;
  std::unique_ptr<const Regex> regex;  // null: it does not compile
};

// The rules over the records of one section. Each list may be empty: no rule.
struct DnsRules {
  std::vector<DnsPattern> matches;       // fails when a record matches a pattern
  std::vector<DnsPattern> all_match;     // fails unless all records match all patterns
  std::vector<DnsPattern> not_matches;   // fails when a record misses a pattern, or there is none
  std::vector<DnsPattern> none_matches;  // fails unless a record matches a pattern

  bool empty() const {
    return matches.empty() && all_match.empty() && not_matches.empty() && none_matches.empty();
  }
};

// In place: an answer is judged without a look at another cache line.
using DnsRcodes = absl::InlinedVector<uint16_t, 8>;

struct DnsModule final : Module {
  static constexpr uint16_t kMinUdpBytes = 512;       // what answers without EDNS may have
  static constexpr uint16_t kDefaultEdnsSize = 1232;  // where `dnssec_ok` asks for EDNS

  enum class Transport : uint8_t { kUdp, kTcp, kUnknown };
  // Whom the question goes to.
  enum class Server : uint8_t {
    kTarget,  // the task's target: blackbox_exporter's form
    kNamed,   // `server`, or the first of `resolver.servers`
    kSystem,  // the first of resolv.conf
  };

  // Read by every run.
  Transport transport = Transport::kUdp;
  bool tls = false;        // dns_over_tls: needs tcp, and fails probes over udp
  bool has_rules = false;  // any of `rules`
  bool retry_over_tcp = false, fail_if_truncated = false;
  uint16_t edns_size = 0;  // 0: no EDNS
  Duration retransmit{};   // 0: never
  DnsRcodes valid_rcodes;
  // A name in valid_rcodes that is none: probes fail when they get there.
  std::string unknown_rcode;

  std::array<DnsRules, kDnsSections> rules;
  TlsProfile tls_profile;
  const TlsProfile* first_tls() const override { return tls ? &tls_profile : nullptr; }
  std::string query_name;  // "": the target is the name
  uint16_t query_type = 0, query_class = 0;
  bool recursion_desired = true;

  bool has_block = false;     // false: no `dns` block at all
  bool names_server = false;  // `server` is given
  Server server = Server::kTarget;
  HostPort server_address;  // kNamed

  bool dnssec_ok = false;

  uint16_t port() const { return tls ? 853 : 53; }
  // A larger answer over UDP is malformed, as for blackbox_exporter.
  size_t udp_limit() const { return edns_size > kMinUdpBytes ? edns_size : kMinUdpBytes; }
};

// The task's own `expect`. All of it must hold, besides the module's rules.
struct DnsExpect {
  static constexpr size_t kMaxTexts = 64;
  DnsRcodes rcodes;                          // in place of the module's; empty: those
  std::vector<std::string> answer_contains;  // each in some record of the answer section
  uint32_t min_answers = 0;
};

struct DnsTarget final : TargetPlan {
  DnsModule::Server server = DnsModule::Server::kTarget;
  HostPort address;      // of the server; kSystem: the port alone
  std::string question;  // as it goes on the wire: name, type, class
  std::string query;     // the whole message behind its id
  DnsExpect expect;
  bool asks_serial = false;  // the question is for an SOA record
};

// The file system servers are read from.
inline constexpr std::string_view kResolvConf = "/etc/resolv.conf";

// Null when there was an error; errors and warnings go to `diagnostics`.
std::shared_ptr<DnsModule> ParseDnsModule(const ConfigNode* block, const std::string& path,
                                          Diagnostics& diagnostics);
std::shared_ptr<DnsTarget> ParseDnsTarget(std::string_view target, Mark mark,
                                          const ConfigNode* expect, const DnsModule& module,
                                          const std::string& path, Diagnostics& diagnostics);

// "host", "host:port", "[v6]:port", a bare IPv6 address. False: `*error` says what is wrong.
bool ParseDnsServer(std::string_view text, uint16_t default_port, HostPort* out,
                    std::string* error);

// The first name server of a resolv.conf, as text: a view of `text`, or 127.0.0.1 when there is
// none (resolv.conf(5)).
std::string_view FirstNameServer(std::string_view text);

}  // namespace sonde
