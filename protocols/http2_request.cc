#include "protocols/http2_request.h"

#include <algorithm>

#include "protocols/url.h"

namespace sonde {
namespace {

// RFC 9113 section 8.2.2, and Host, which has become :authority.
constexpr std::string_view kLeftOut[] = {"connection",        "host",    "http2-settings",
                                         "keep-alive",        "upgrade", "proxy-connection",
                                         "transfer-encoding", "trailer"};

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// What stands before `end`, which is dropped from `text` with it.
std::string_view TakeUntil(std::string_view end, std::string_view* text) {
  const size_t at = text->find(end);
  const std::string_view piece = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + end.size());
  return piece;
}

bool MayTravel(std::string_view name, std::string_view value) {
  if (EqualsIgnoreCase(name, "te")) return EqualsIgnoreCase(value, "trailers");
  return std::none_of(std::begin(kLeftOut), std::end(kLeftOut),
                      [&](std::string_view known) { return EqualsIgnoreCase(known, name); });
}

}  // namespace

Http2Request MakeHttp2Request(std::string_view text) {
  Http2Request made;
  std::string_view first = TakeUntil("\r\n", &text);
  const std::string_view method = TakeUntil(" ", &first);
  const std::string_view path = TakeUntil(" ", &first);
  made.fields = {{":method", method}, {":scheme", "https"}, {":authority", ""}, {":path", path}};
  while (true) {
    std::string_view line = TakeUntil("\r\n", &text);
    if (line.empty()) break;
    const std::string_view name = TakeUntil(":", &line);
    const std::string_view value = Trim(line);
    if (EqualsIgnoreCase(name, "host")) made.fields[2].second = value;
    if (MayTravel(name, value)) made.fields.emplace_back(name, value);
  }
  made.body = text;
  return made;
}

}  // namespace sonde
