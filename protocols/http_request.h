// The bytes of an HTTP/1.1 request (RFC 9112).
#pragma once

#include <string>
#include <string_view>

#include "engine/contract/files.h"
#include "protocols/http_options.h"

namespace sonde {

// What differs between the hops of one probe.
struct HttpHop {
  std::string_view method;
  const Url* url = nullptr;          // of this hop
  std::string_view host;             // value of the Host header
  const Url* credentials = nullptr;  // whose userinfo counts as credentials; null: no userinfo
  bool trusted = true;               // the module's credentials, cookies and secrets may be shown
  bool with_body = true;             // false once a redirect turned the method into GET
  std::string_view referer;
  std::string_view cookies;  // "a=b; c=d", beside a Cookie header of the module
};

// Why a request could not be rendered; the text names the file and never shows its content.
struct HttpRequestError {
  std::string text;
  bool body = false;  // the body's file: found out before a request would be attempted
};

// What requests say they come from, unless the module says otherwise.
std::string_view HttpUserAgent();

// Appends the request to `out`. False when a file the module names is missing or holds what a
// header may not hold. `files` may be null when the module names none.
bool RenderHttpRequest(const HttpModule& module, const HttpHop& hop, const Files* files,
                       std::string* out, HttpRequestError* error);

// The Host header of a first request: the target's own, else the module's, else the URL's.
std::string_view HostHeaderOf(const HttpModule& module, const HttpTarget& target);

// "Shop.Example:8443" -> "shop.example"; the name that credentials and cookies belong to.
std::string LogicalHost(std::string_view host_header);

std::string EncodeBase64(std::string_view text);

}  // namespace sonde
