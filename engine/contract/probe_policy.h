// What may be probed. Asked before a task starts, on the resolved address of every leg, and again
// on every redirect hop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/address.h"
#include "engine/contract/config_node.h"
#include "engine/contract/engine_stats.h"

namespace sonde {

// One line of `policy: {allow: [...], deny: [...]}`:
//   10.0.0.0/8   2001:db8::/32   192.0.2.7      addresses
//   *.internal   shop.example                   names (`*.` matches every depth below)
//   :25   :8000-8999                            ports
//   scheme:http                                 schemes (http, https, tcp, dns, icmp)
//   link-local   loopback   private   metadata  presets of addresses
// Deny wins. With any allow line of a kind, what matches none of that kind is denied.
class ProbePolicy {
 public:
  struct Decision {
    bool allowed = true;
    std::string_view rule;  // the line that refused, or "no allow rule"; lives with the policy
    PolicyKind kind = PolicyKind::kAddress;  // of what was refused
  };

  // Reads the `policy:` block; an empty policy allows everything.
  static ProbePolicy Parse(const ConfigNode* block, const std::string& path,
                           Diagnostics& diagnostics);

  // Before resolving: name, port and scheme.
  Decision CheckName(std::string_view host, uint16_t port, std::string_view scheme) const;
  // After resolving.
  Decision CheckAddress(const Address& address) const;
  bool empty() const { return rules_.empty(); }
  // True when only certain names or addresses are allowed.
  bool names_targets() const;

  // The same as a block's: for flags. False: that is no rule.
  bool Add(std::string_view rule, bool allow) { return ParseRule(rule, allow, &rules_); }

 private:
  struct Rule {
    using Kind = PolicyKind;
    Kind kind;
    bool allow;
    Address network;
    uint8_t prefix_bits = 0;
    uint16_t port_first = 0, port_last = 0;
    std::string name;  // lower case; with a leading '.' for `*.`; or the scheme
    std::string text;  // as written
  };
  template <typename Match>
  Decision Judge(Rule::Kind kind, Match&& match) const;
  static bool ParseRule(std::string_view text, bool allow, std::vector<Rule>* out);

  std::vector<Rule> rules_;
};

}  // namespace sonde
