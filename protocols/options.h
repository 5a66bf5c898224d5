// Readers for the option keys that several protocols share (blackbox_contract 4.4 and 4.6, and
// sonde's own). All run on the loader's thread and report into the reader's diagnostics.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/config_node.h"
#include "engine/contract/conversation.h"
#include "engine/contract/tls_profile.h"
#include "protocols/content_hash.h"

namespace sonde {

// Reads, from a protocol's block:
//   preferred_ip_protocol: ip6 | ip4      "" and ip6 mean IPv6 first, any other text IPv4 (warned)
//   ip_protocol_fallback: true
//   source_ip_address: 192.0.2.1          unparsable: nothing is opened (warned)
//   source_interface: eth1                sonde's own from here on
//   dscp: 46                              0..63
//   close: fin | reset
//   resolver: {servers: [10.0.0.53, "[2001:db8::53]:5353"], cache: true}
// `out` keeps its defaults where keys are absent.
void ReadNetworkOptions(ConfigReader& in, NetworkOptions* out);

// Reads the block `key` (usually "tls_config"). Files it names are appended to `files`. Returns
// true when the block was there and good; false also when it was absent, which is no error.
// Errors: more than one of a file/inline/ref triple, certificate without key or the other way
// round, unknown versions. Any *_ref (there is no secret manager) and max_version below min_version
// are warnings: handshakes fail. sonde's own there: full_handshake_every (1) and
// full_handshake_max_age (1h).
bool ReadTlsConfig(ConfigReader& in, std::string_view key, TlsProfile* out,
                   std::vector<std::string>* files);

// "TLS12" -> kTls12; false for anything but TLS10 .. TLS13.
bool ParseTlsVersion(std::string_view text, TlsProfile::Version* out);

// "host:port" as targets and `resolver.servers` write it. The host is without brackets.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};

// Go's rules for host:port: IPv6 in brackets, exactly one port, which is a number in 1..65535 or
// a service name (a small table, then /etc/services). False: `*error` says what is wrong, with
// Go's key words ("missing port in address", "too many colons in address").
bool ParseHostPort(std::string_view text, HostPort* out, std::string* error);

// "name:80", "[2001:db8::1]:80", and "name", "2001:db8::1" of what has no port (0); lower case: the
// key of the per-destination limits.
std::string DestinationOf(std::string_view host, uint16_t port);

// Whether `text` may stand for a host: no longer than 255 bytes, without blanks, controls, '/', '@'
// and '\\'.
bool IsHostText(std::string_view text);

// A share: "0.2" or "20%", from nothing to all. nullopt for anything else.
std::optional<double> ParseShare(std::string_view text);

}  // namespace sonde
