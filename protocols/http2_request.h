// A request of HTTP/1.1's words in those of HTTP/2 (RFC 9113 sections 8.2 and 8.3).
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace sonde {

struct Http2Request {
  // Names in any case (what sends them lowers it), pseudo-fields first. Point into the text.
  std::vector<std::pair<std::string_view, std::string_view>> fields;
  std::string_view body;
};

// `text` as RenderHttpRequest writes it, for a leg with TLS. Host becomes :authority; fields that
// are about one connection of HTTP/1.1 are left out.
Http2Request MakeHttp2Request(std::string_view text);

}  // namespace sonde
