#include "protocols/dns_options.h"

#include <algorithm>
#include <utility>

#include "engine/contract/scalar_text.h"
#include "protocols/content_hash.h"
#include "protocols/dns_query.h"
#include "protocols/dns_types.h"

namespace sonde {
namespace {

constexpr Duration kLeastRetransmit = Milliseconds(50);

// Reads one block; each function one group of keys.
class ModuleReader {
 public:
  ModuleReader(ConfigReader& in, DnsModule& module) : in_(in), module_(module) {}

  void Read() {
    in_.Bool("strict", &strict_);
    ReadNetworkOptions(in_, &module_.network);
    ReadTransport();
    ReadQuestion();
    ReadServer();
    ReadRcodes();
    static constexpr std::string_view kRules[kDnsSections] = {
        "validate_answer_rrs", "validate_authority_rrs", "validate_additional_rrs"};
    for (size_t i = 0; i < kDnsSections; ++i) {
      ReadRules(kRules[i], &module_.rules[i]);
      module_.has_rules = module_.has_rules || !module_.rules[i].empty();
    }
    ReadEdns();
    ReadTruncation();
    in_.Finish();
  }

 private:
  // What blackbox_exporter finds out when it probes: such files load here too, unless asked to be
  // strict.
  void Complain(ConfigReader& in, std::string_view key, const std::string& message) {
    if (strict_) {
      in.Error(key, message);
    } else {
      in.Warn(key, message + ": probes of this module fail");
    }
  }

  void ReadTransport() {
    std::string text;
    if (in_.String("transport_protocol", &text) && !text.empty()) {
      module_.transport = text == "udp"   ? DnsModule::Transport::kUdp
                          : text == "tcp" ? DnsModule::Transport::kTcp
                                          : DnsModule::Transport::kUnknown;
      if (module_.transport == DnsModule::Transport::kUnknown) {
        Complain(in_, "transport_protocol", Quote(text) + " is neither udp nor tcp");
      }
    }
    in_.Bool("dns_over_tls", &module_.tls);
    ReadTlsConfig(in_, "tls_config", &module_.tls_profile, &module_.files);
    if (module_.tls && module_.transport == DnsModule::Transport::kUdp) {
      Complain(in_, "dns_over_tls", "TLS needs transport_protocol: tcp");
    }
  }

  void ReadQuestion() {
    in_.String("query_name", &module_.query_name);
    std::string wire, error;
    if (!ParseDnsName(module_.query_name, &wire, &error)) {
      in_.Error("query_name", Quote(module_.query_name) + " is not a name: " + error);
    }
    std::string text;
    if (in_.String("query_type", &text) && !text.empty()) {
      const DnsType* type = FindDnsType(text);
      if (type) {
        module_.query_type = type->number;
      } else {
        in_.Error("query_type", "query type " + Quote(text) + " is not valid");
      }
    }
    text.clear();
    if (in_.String("query_class", &text) && !text.empty()) {
      const auto klass = FindDnsClass(text);
      if (klass) {
        module_.query_class = *klass;
      } else {
        in_.Error("query_class", "query class " + Quote(text) + " is not valid");
      }
    }
    in_.Bool("recursion_desired", &module_.recursion_desired);
  }

  void ReadServer() {
    std::string text, error;
    const bool given = in_.String("server", &text) && !text.empty();
    if (!module_.query_name.empty()) {
      if (given) in_.Error("server", "goes without query_name: with it the target is the server");
      return;
    }
    module_.server = DnsModule::Server::kSystem;
    module_.names_server = given;
    if (given && text != "system") {
      module_.server = DnsModule::Server::kNamed;
      if (!ParseDnsServer(text, module_.port(), &module_.server_address, &error)) {
        in_.Error("server", error);
      }
    } else if (!given && !module_.network.name_servers.empty()) {
      const Address& first = module_.network.name_servers.front();
      module_.server = DnsModule::Server::kNamed;
      module_.server_address = {first.Host(), first.port};
    } else {
      module_.files.emplace_back(kResolvConf);
    }
  }

  void ReadRcodes() {
    std::vector<std::string> names;
    if (!in_.StringList("valid_rcodes", &names)) {
      module_.valid_rcodes = {0};
      return;
    }
    if (names.empty()) Complain(in_, "valid_rcodes", "an empty list accepts nothing");
    for (const std::string& name : names) {
      if (const auto rcode = FindDnsRcode(name)) {
        module_.valid_rcodes.push_back(*rcode);
      } else {
        Complain(in_, "valid_rcodes", "there is no response code " + Quote(name));
        if (module_.unknown_rcode.empty()) module_.unknown_rcode = Quote(name);
      }
    }
  }

  void ReadRules(std::string_view key, DnsRules* out) {
    const ConfigNode* block = in_.Mapping(key);
    if (!block) return;
    ConfigReader rules(block, in_.PathOf(key), in_.diagnostics());
    ReadPatterns(rules, "fail_if_matches_regexp", &out->matches);
    ReadPatterns(rules, "fail_if_all_match_regexp", &out->all_match);
    ReadPatterns(rules, "fail_if_not_matches_regexp", &out->not_matches);
    ReadPatterns(rules, "fail_if_none_matches_regexp", &out->none_matches);
    rules.Finish();
  }

  void ReadPatterns(ConfigReader& rules, std::string_view key, std::vector<DnsPattern>* out) {
    std::vector<std::string> texts;
    rules.StringList(key, &texts);
    for (std::string& text : texts) {
      std::string error;
      auto regex = Regex::Compile(text, &error);
      if (!regex) Complain(rules, key, error);
      out->push_back({std::move(text), std::move(regex)});
    }
  }

  void ReadEdns() {
    int64_t size = 0;
    if (in_.Int("edns_size", &size, 0, 65535) && size != 0 && size < DnsModule::kMinUdpBytes) {
      in_.Error("edns_size", "must be 0, for no EDNS, or 512 to 65535");
    }
    in_.Bool("dnssec_ok", &module_.dnssec_ok);
    if (module_.dnssec_ok && size == 0) size = DnsModule::kDefaultEdnsSize;
    module_.edns_size = static_cast<uint16_t>(size);
  }

  void ReadTruncation() {
    in_.Bool("retry_over_tcp", &module_.retry_over_tcp);
    in_.Bool("fail_if_truncated", &module_.fail_if_truncated);
    Duration interval;
    if (in_.Time("retransmit_interval", &interval)) {
      if (interval < kLeastRetransmit) in_.Error("retransmit_interval", "must be at least 50ms");
      module_.retransmit = interval;
    }
    if (module_.transport != DnsModule::Transport::kTcp) return;
    for (const std::string_view key : {"retry_over_tcp", "retransmit_interval"}) {
      if (in_.Has(key)) in_.Warn(key, "is for udp only");
    }
  }

  ConfigReader& in_;
  DnsModule& module_;
  bool strict_ = false;
};

}  // namespace

std::shared_ptr<DnsModule> ParseDnsModule(const ConfigNode* block, const std::string& path,
                                          Diagnostics& diagnostics) {
  const size_t errors = diagnostics.errors();
  auto module = std::make_shared<DnsModule>();
  module->has_block = block != nullptr && block->kind != ConfigNode::Kind::kNull;
  ConfigReader in(block, path, diagnostics);
  ModuleReader(in, *module).Read();
  // An empty block is not the same as none.
  module->content_hash =
      ContentHash().Add("dns").Add(uint64_t{module->has_block}).Add(block).value();
  return diagnostics.errors() == errors ? module : nullptr;
}

bool ParseDnsServer(std::string_view text, uint16_t default_port, HostPort* out,
                    std::string* error) {
  std::string_view host = text;
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    host = text.substr(1, text.size() - 2);
  }
  if (Address::ParseLiteral(host)) {
    *out = {std::string(host), default_port};
    return true;
  }
  if (text.find(':') != std::string_view::npos) return ParseHostPort(text, out, error);
  return ParseHostPort(std::string(text) + ":" + std::to_string(default_port), out, error);
}

std::string_view FirstNameServer(std::string_view text) {
  static constexpr std::string_view kKey = "nameserver";
  static constexpr std::string_view kBlanks = " \t\r";
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(kKey)) continue;
    line.remove_prefix(kKey.size());
    const size_t begin = line.find_first_not_of(kBlanks);
    if (begin == 0 || begin == std::string_view::npos) continue;
    line.remove_prefix(begin);
    line = line.substr(0, line.find_first_of(kBlanks));
    if (Address::ParseLiteral(line)) return line;
  }
  return "127.0.0.1";
}

}  // namespace sonde
