// Under which address people and proxies reach this process: --web.external-url and
// --web.route-prefix (blackbox_contract 1.1 and 2).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sonde {

struct WebAddress {
  std::string url;     // without a slash at its end; derived when none was given
  std::string host;    // of a given URL; "" otherwise
  std::string prefix;  // "" or "/x"

  // `route_prefix` "" means the URL's path. A URL that begins or ends with a quote is an error, and
  // so is one that holds blanks or controls.
  static absl::StatusOr<WebAddress> Of(std::string_view external_url, std::string_view route_prefix,
                                       const std::vector<std::string>& listen_addresses,
                                       std::string_view scheme = "http");
};

}  // namespace sonde
