// How an HTTP probe of a module with proxies gets to where it can write a hop's request. Part of
// http_conversation.
#pragma once

#include <string>
#include <string_view>

#include "protocols/http_conversation.h"
#include "protocols/proxy_tunnel.h"

namespace sonde {

struct HttpConversation::Way {
  enum class Stage : uint8_t {
    kTarget,  // its address is looked up and judged, nothing is connected
    kDirect,  // no proxy for this hop
    kProxy,   // the leg to the proxy is being opened
    kTunnel,  // the proxy is asked for the target
    kInner,   // TLS with the target, through the tunnel
  };
  Stage stage = Stage::kTarget;
  const Url* url = nullptr;      // of the hop
  std::string_view server_name;  // the hop's, for TLS
  const Proxy* proxy = nullptr;
  bool other_family = false;  // the proxy's first address did not answer
  Address target;             // family kNone: unknown, the proxy resolves it
  Leg connection;             // to the proxy
  ProxyTunnel tunnel;
  std::string request;  // with the whole URL in it

  // A leg as it counts: looking up whom to connect to is part of connecting, resolve is the
  // target's name alone.
  Leg Told(const Leg& leg) const;
  // A proxy that is told whole URLs: http through HTTP and HTTPS proxies.
  bool tells_url() const {
    return stage == Stage::kProxy && proxy->kind != Proxy::Kind::kSocks5 && !url->secure();
  }
};

}  // namespace sonde
