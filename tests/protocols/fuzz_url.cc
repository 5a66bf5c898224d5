// Input: a target, a line feed, and a reference seen from it. What is accepted can stand in a
// request, and reads the same a second time.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "protocols/http_cookies.h"
#include "protocols/http_date.h"
#include "protocols/url.h"

namespace {

using namespace sonde;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckSane(const Url& url) {
  Require(url.scheme == "http" || url.scheme == "https");
  Require(!url.host.empty() && url.port != 0);
  Require(url.path.substr(0, 1) == "/");
  Require(url.query.empty() || url.query[0] == '?');
  for (const char c : url.Target()) {
    const auto byte = static_cast<unsigned char>(c);
    Require(byte > 0x20 && byte < 0x7f);
  }
  for (const char c : url.authority) {
    const auto byte = static_cast<unsigned char>(c);
    Require(byte > 0x20 && byte != 0x7f && c != '@' && c != '/');
  }
  // Escaping triples a byte at most, so that a URL may outgrow the limit on its way back.
  if (url.Text().size() > 16 * 1024) return;
  const auto again = Url::Parse(url.Text());
  Require(again.ok());
  Require(again->Text() == url.Text());
  Require(again->port == url.port);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const std::string_view reference =
      line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
  ParseHttpDate(text);
  CookieJar jar;
  jar.Set(text, "www.example.com");
  Require(jar.For("www.example.com", true).size() <= CookieJar::kMaxCookieBytes + 1);
  Require(jar.For("other.example", true).empty());

  const auto url = Url::ParseTarget(text.substr(0, line));
  if (!url.ok()) return 0;
  CheckSane(*url);
  bool absolute = false;
  const auto next = url->Resolve(reference, &absolute);
  if (!next.ok()) return 0;
  CheckSane(*next);
  if (!absolute) Require(next->host == url->host && next->port == url->port);
  return 0;
}
