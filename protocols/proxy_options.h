// The proxies of a module (blackbox_contract 4.7; for users: docs/http.md). Parsed once on the
// loader's thread, immutable afterwards, read on shards.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/contract/config_node.h"
#include "engine/contract/conversation.h"
#include "engine/contract/tls_profile.h"
#include "protocols/no_proxy.h"
#include "protocols/url.h"

namespace sonde {

struct Proxy {
  enum class Kind : uint8_t { kHttp, kHttps, kSocks5 };
  Kind kind = Kind::kHttp;
  std::string scheme;     // "http", "https", "socks5": for the probe policy
  std::string host;       // name or literal address, without brackets
  std::string authority;  // "host:port", for people
  std::string username, password;
  uint16_t port = 0;
  bool has_userinfo = false;

  // "http://user:password@host:3128"; https, socks5 and socks5h likewise. Errors never show the
  // text, for it may hold a password: kInvalidArgument for what is no URL, kUnimplemented for a URL
  // that is no proxy's.
  static absl::StatusOr<Proxy> Parse(std::string_view url);

  // The value of Proxy-Authorization; empty: none is sent.
  std::string Authorization() const;
};

struct ProxyOptions {
  // Of http and of https targets; none: they are reached directly.
  std::optional<Proxy> for_http, for_https;
  std::optional<NoProxy> no_proxy;  // none: no exceptions, not even loopback
  bool skip_resolve = false;        // the proxy is told names, nothing is resolved here
  std::string connect_headers;      // lines of a CONNECT after Host
  NetworkOptions network;           // of the way to the proxy: any family will do
  NetworkOptions other_family;      // the same, for the family that is not preferred
  TlsProfile tls;                   // with an https proxy
  std::string fault;                // why none of it can be used; empty: nothing

  // The proxy for a hop; null: none. `address`: what the URL's host resolved to, null: unknown.
  const Proxy* For(const Url& url, const Address* address) const;
};

// Reads proxy_url, no_proxy, proxy_from_environment, proxy_connect_header and
// skip_resolve_phase_with_proxy, after network options and tls_config were read. Null: no proxy.
std::unique_ptr<const ProxyOptions> ReadProxyOptions(ConfigReader& in,
                                                     const NetworkOptions& network,
                                                     const TlsProfile& tls);

}  // namespace sonde
