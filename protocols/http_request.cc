#include "protocols/http_request.h"

#include <algorithm>
#include <memory>

#include "protocols/http_words.h"

namespace sonde {
namespace {

#ifndef SONDE_VERSION
#define SONDE_VERSION "0.0.0"
#endif
constexpr std::string_view kUserAgent = "sonde/" SONDE_VERSION;

// Headers that describe a body, or that only the module's first host may see.
constexpr std::string_view kBodyHeaders[] = {"content-type", "content-encoding", "content-language",
                                             "content-location"};
constexpr std::string_view kSensitiveHeaders[] = {"authorization", "cookie", "cookie2",
                                                  "proxy-authorization", "www-authenticate"};

template <size_t N>
bool IsOneOf(std::string_view name, const std::string_view (&names)[N]) {
  return std::any_of(std::begin(names), std::end(names),
                     [&](std::string_view known) { return EqualsIgnoreCase(known, name); });
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

class Renderer {
 public:
  Renderer(const HttpModule& module, const HttpHop& hop, const Files* files, std::string* out,
           HttpRequestError* error)
      : module_(module), hop_(hop), files_(files), out_(*out), error_(*error) {}

  bool Render() {
    std::string body_storage;
    if (hop_.with_body && !module_.body_file.empty()) {
      error_.body = true;
      if (!Read(module_.body_file, &body_storage)) return false;
      error_.body = false;
    }
    const std::string_view body = !hop_.with_body             ? std::string_view()
                                  : module_.body_file.empty() ? std::string_view(module_.body)
                                                              : std::string_view(body_storage);
    out_.append(hop_.method).append(" ").append(hop_.url->path).append(hop_.url->query);
    out_.append(" HTTP/1.1\r\n");
    Line("Host", hop_.host);
    UserAgent();
    ContentLength(body);
    if (!Authorization()) return false;
    ModuleHeaders();
    if (!ExtraHeaders()) return false;
    const bool kept = module_.keep > Duration{};
    if (!kept && !module_.FindHeader("connection")) Line("Connection", "close");
    if (!hop_.referer.empty() && !module_.FindHeader("referer")) Line("Referer", hop_.referer);
    Cookies();
    out_.append("\r\n").append(body);
    return true;
  }

 private:
  void Line(std::string_view name, std::string_view value) {
    out_.append(name).append(": ").append(value).append("\r\n");
  }

  bool Fail(std::string text) {
    error_.text = std::move(text);
    return false;
  }

  bool Read(const std::string& path, std::string* out) {
    if (!files_) return Fail("file '" + path + "' is not loaded");
    const std::shared_ptr<const FileContent> content = files_->Find(path);
    if (!content->ok()) return Fail(content->error);
    *out = content->data;
    return true;
  }

  bool Read(const HttpSecret& secret, std::string* out) {
    if (secret.file.empty()) {
      *out = secret.text;
      return true;
    }
    std::string whole;
    if (!Read(secret.file, &whole)) return false;
    *out = std::string(Trim(whole));
    return true;
  }

  // The value of a header that may come from a file.
  bool ReadValue(const HttpSecret& secret, std::string* out) {
    if (!Read(secret, out)) return false;
    if (IsHttpFieldValue(*out)) return true;
    return Fail("file '" + secret.file + "' holds bytes that a header may not hold");
  }

  void UserAgent() {
    const HttpHeader* own = module_.FindHeader("user-agent");
    if (!own) return Line("User-Agent", kUserAgent);
    if (!own->value.empty()) Line("User-Agent", own->value);  // an empty one suppresses it
  }

  void ContentLength(std::string_view body) {
    const std::string_view method = hop_.method;
    const bool expected = method == "POST" || method == "PUT" || method == "PATCH";
    if (!body.empty() || expected) Line("Content-Length", std::to_string(body.size()));
  }

  bool Authorization() {
    const bool own = module_.FindHeader("authorization") != nullptr;
    if (own && hop_.trusted) return true;  // comes with the module's headers, and wins
    if (hop_.credentials && hop_.credentials->has_userinfo) {
      Basic(hop_.credentials->username, hop_.credentials->password);
      return true;
    }
    if (!hop_.trusted) return true;
    if (module_.auth == HttpModule::Auth::kBasic) {
      std::string username, password;
      if (!Read(module_.username, &username) || !Read(module_.password, &password)) return false;
      Basic(username, password);
    } else if (module_.auth == HttpModule::Auth::kHeader) {
      std::string credentials;
      if (!ReadValue(module_.credentials, &credentials)) return false;
      Line("Authorization", module_.auth_type + " " + credentials);
    }
    return true;
  }

  void Basic(const std::string& username, const std::string& password) {
    Line("Authorization", "Basic " + EncodeBase64(username + ":" + password));
  }

  void ModuleHeaders() {
    for (const HttpHeader& header : module_.headers) {
      if (EqualsIgnoreCase(header.name, "user-agent")) continue;
      if (!hop_.with_body && IsOneOf(header.name, kBodyHeaders)) continue;
      if (!hop_.trusted && IsOneOf(header.name, kSensitiveHeaders)) continue;
      if (EqualsIgnoreCase(header.name, "cookie") && !hop_.cookies.empty()) continue;
      Line(header.name, header.value);
    }
  }

  bool ExtraHeaders() {
    for (const HttpExtraHeader& header : module_.extra_headers) {
      if (header.secret && !hop_.trusted) continue;
      std::string value;
      if (!ReadValue(header.value, &value)) return false;
      Line(header.name, value);
    }
    return true;
  }

  // One Cookie line (RFC 6265 section 5.4): the module's own and those received.
  void Cookies() {
    if (hop_.cookies.empty()) return;
    const HttpHeader* own = hop_.trusted ? module_.FindHeader("cookie") : nullptr;
    Line("Cookie", own ? own->value + "; " + std::string(hop_.cookies) : std::string(hop_.cookies));
  }

  const HttpModule& module_;
  const HttpHop& hop_;
  const Files* files_;
  std::string& out_;
  HttpRequestError& error_;
};

}  // namespace

std::string_view HttpUserAgent() { return kUserAgent; }

bool RenderHttpRequest(const HttpModule& module, const HttpHop& hop, const Files* files,
                       std::string* out, HttpRequestError* error) {
  return Renderer(module, hop, files, out, error).Render();
}

std::string_view HostHeaderOf(const HttpModule& module, const HttpTarget& target) {
  if (!target.host.empty()) return target.host;
  return module.host.empty() ? target.url.authority : module.host;
}

std::string LogicalHost(std::string_view host_header) {
  if (!host_header.empty() && host_header[0] == '[') {
    const size_t end = host_header.find(']');
    return LowerCase(host_header.substr(1, end == std::string_view::npos ? end : end - 1));
  }
  const size_t colon = host_header.rfind(':');
  const bool port = colon != std::string_view::npos && host_header.find(':') == colon;
  return LowerCase(port ? host_header.substr(0, colon) : host_header);
}

std::string EncodeBase64(std::string_view text) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((text.size() + 2) / 3 * 4);
  for (size_t i = 0; i < text.size(); i += 3) {
    const size_t left = std::min<size_t>(3, text.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (k < left ? static_cast<unsigned char>(text[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += k <= left ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

}  // namespace sonde
