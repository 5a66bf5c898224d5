// What an HTTP probe needs beyond its plan once it leaves the plain path: a redirect was followed,
// or its request depends on files. Part of http_conversation.
#pragma once

#include <string>

#include "engine/contract/address.h"
#include "protocols/http_conversation.h"
#include "protocols/http_cookies.h"
#include "protocols/url.h"

namespace sonde {

struct HttpConversation::Detour {
  bool moved = false;  // a redirect was followed; what follows describes the present hop
  Url url;
  std::string method;
  std::string host;         // value of the Host header
  std::string server_name;  // for TLS
  Address address;          // of the hop before, for a relative redirect
  bool with_body = true;
  bool trusted = true;  // never left the first host and what lies below it
  CookieJar cookies;
  // Two, used in turn: the leg before may still be flushing the other one while it closes.
  std::string requests[2];
  size_t current = 0;

  std::string& NextRequest() {
    current = 1 - current;
    requests[current].clear();
    return requests[current];
  }
};

}  // namespace sonde
