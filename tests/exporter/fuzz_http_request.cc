// The server's request parser: whatever the bytes, any split gives the same requests or the same
// refusal, within the limits.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "exporter/basic_auth.h"
#include "exporter/http_request_parser.h"

namespace {

using sonde::HttpRequest;
using sonde::HttpRequestParser;

constexpr size_t kMaxBody = 300;

struct Outcome {
  std::vector<std::string> requests;
  int error = 0;
  bool operator==(const Outcome& other) const {
    return requests == other.requests && error == other.error;
  }
};

void Require(bool condition) {
  if (!condition) std::abort();
}

std::string Describe(const HttpRequest& request) {
  std::string text = request.method + '\n' + request.raw_path + '\n' + request.path + '\n' +
                     request.query + '\n' + std::to_string(request.version_minor) + '\n';
  for (const auto& header : request.headers) text += header.name + '=' + header.value + '\n';
  return text + '\n' + request.body;
}

void CheckPromises(const HttpRequest& request) {
  Require(!request.method.empty() && !request.raw_path.empty() && !request.path.empty());
  Require(request.raw_path[0] == '/' || request.raw_path == "*");
  Require(request.body.size() <= kMaxBody && request.headers.size() <= 20);
  for (const char c : request.path) Require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  for (const auto& header : request.headers) {
    Require(!header.name.empty());
    Require(header.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
  Require(!(request.FindHeader("Content-Length") && request.FindHeader("Transfer-Encoding")));
  (void)request.QueryParam("target");
  const auto header = request.Header("Authorization");
  if (const auto credentials = sonde::ParseBasicAuth(header)) {
    Require(credentials->user.find(':') == std::string::npos);
    Require(credentials->user.size() + credentials->password.size() < header.size());
  }
}

// Feeds in pieces of `step` bytes.
Outcome Parse(std::string_view bytes, size_t step) {
  Outcome outcome;
  HttpRequestParser parser({512, 20});
  std::string pending;
  for (size_t at = 0; at < bytes.size(); at += step) {
    pending += bytes.substr(at, step);
    std::string_view in = pending;
    for (;;) {
      const auto event = parser.Feed(in);
      if (event == HttpRequestParser::Event::kNeedMore) break;
      if (event == HttpRequestParser::Event::kError) {
        Require(parser.error_status() >= 400 && !parser.error_text().empty());
        outcome.error = parser.error_status();
        return outcome;
      }
      if (event == HttpRequestParser::Event::kHead) {
        parser.set_max_body(kMaxBody);
        continue;
      }
      const HttpRequest request = parser.TakeRequest();
      CheckPromises(request);
      outcome.requests.push_back(Describe(request));
    }
    Require(in.empty());  // kNeedMore means that everything was taken
    pending.clear();
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = Parse(bytes, size == 0 ? 1 : size);
  Require(whole == Parse(bytes, 1));
  Require(whole == Parse(bytes, 7));
  return 0;
}
