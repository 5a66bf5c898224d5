#include "tools/sonde/web_address.h"

#include <unistd.h>

#include <algorithm>

#include "exporter/http_host.h"
#include "exporter/site.h"

namespace sonde {
namespace {

std::string MachineName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

bool IsQuote(char c) { return c == '"' || c == '\''; }

}  // namespace

absl::StatusOr<WebAddress> WebAddress::Of(std::string_view external_url,
                                          std::string_view route_prefix,
                                          const std::vector<std::string>& listen_addresses,
                                          std::string_view scheme) {
  WebAddress address;
  std::string url(external_url);
  if (url.empty()) {
    const std::string listen = listen_addresses.empty() ? "" : listen_addresses.front();
    url = std::string(scheme) + "://" + MachineName() +
          listen.substr(std::min(listen.rfind(':'), listen.size())) + "/";
  }
  const auto bad = [&](const char* why) {
    return absl::InvalidArgumentError("--web.external-url '" + url + "': " + why);
  };
  if (IsQuote(url.front()) || IsQuote(url.back())) return bad("must not begin or end with a quote");
  const bool clean = std::all_of(url.begin(), url.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != 0x7f;
  });
  if (!clean) return bad("holds a blank or a control character");

  while (url.ends_with('/')) url.pop_back();
  const size_t colon = url.find("://");
  const size_t begin = colon == std::string::npos ? 0 : colon + 3;
  const size_t slash = std::min(url.find('/', begin), url.size());
  Authority authority;
  if (colon != std::string::npos) {
    if (!Authority::Parse(url.substr(begin, slash - begin), authority)) return bad("has no host");
    if (!external_url.empty()) address.host = authority.host;
  }
  const std::string path = colon == std::string::npos ? url : url.substr(slash);
  address.url = url;
  address.prefix = RoutePrefix(route_prefix.empty() ? std::string_view(path) : route_prefix);
  return address;
}

}  // namespace sonde
