#include "protocols/http_options.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "engine/contract/scalar_text.h"
#include "protocols/http_words.h"
#include "protocols/options.h"

namespace sonde {
namespace {

// Header names http_headers may not set (blackbox_contract 4.7).
constexpr std::string_view kReservedHeaders[] = {"authorization",
                                                 "host",
                                                 "content-encoding",
                                                 "content-length",
                                                 "content-type",
                                                 "user-agent",
                                                 "connection",
                                                 "keep-alive",
                                                 "proxy-authenticate",
                                                 "proxy-authorization",
                                                 "www-authenticate",
                                                 "accept-encoding",
                                                 "x-prometheus-remote-write-version",
                                                 "x-prometheus-remote-read-version",
                                                 "x-prometheus-scrape-timeout-seconds",
                                                 "x-amz-date",
                                                 "x-amz-security-token",
                                                 "x-amz-content-sha256"};

// Headers that follow from the request itself; values of the module's are not sent.
constexpr std::string_view kFramingHeaders[] = {"content-length", "transfer-encoding", "trailer"};

template <size_t N>
bool IsOneOf(std::string_view name, const std::string_view (&names)[N]) {
  return std::any_of(std::begin(names), std::end(names),
                     [&](std::string_view known) { return EqualsIgnoreCase(known, name); });
}

bool HasLineBreakOrNul(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

// RFC 9110 section 9.2.2: asking twice is asking once. A connection that was kept may end as it is
// used, and the request is sent again.
constexpr std::string_view kIdempotentMethods[] = {"GET",   "HEAD", "OPTIONS",
                                                   "TRACE", "PUT",  "DELETE"};

// Reads one block; each function one group of keys.
class ModuleReader {
 public:
  ModuleReader(ConfigReader& in, HttpModule& module) : in_(in), module_(module) {}

  void Read() {
    ReadNetworkOptions(in_, &module_.network);
    ReadTlsConfig(in_, "tls_config", &module_.tls, &module_.files);
    in_.Bool("export_untrusted_certificates", &module_.export_untrusted_certificates);
    ReadMethod();
    ReadHeaders();
    ReadBody();
    ReadCredentials();
    ReadExtraHeaders();
    ReadRedirects();
    ReadProxy();
    ReadOauth2();
    ReadCompression();
    ReadKeepAlive();
    ReadVersions();
    ReadRules();
    in_.Finish();
    module_.has_credentials = ShowsSecrets();
    module_.names_files = !module_.body_file.empty() || !module_.username.file.empty() ||
                          !module_.password.file.empty() || !module_.credentials.file.empty() ||
                          std::any_of(module_.extra_headers.begin(), module_.extra_headers.end(),
                                      [](const auto& h) { return !h.value.file.empty(); });
  }

 private:
  bool ShowsSecrets() const {
    return module_.auth != HttpModule::Auth::kNone ||
           module_.FindHeader("authorization") != nullptr ||
           module_.FindHeader("cookie") != nullptr ||
           std::any_of(module_.extra_headers.begin(), module_.extra_headers.end(),
                       [](const HttpExtraHeader& header) { return header.secret; });
  }

  // A key of blackbox_exporter's that does not work yet: the file loads, the probe is refused.
  void NotYet(std::string_view key) {
    in_.Warn(key,
             "'" + std::string(key) + "' is not supported yet: probes of this module are refused");
    Refuse("'" + std::string(key) + "' is not supported yet", true);
    if (module_.unsupported.empty()) module_.unsupported = std::string(key);
  }

  void Refuse(std::string text, bool before_resolving) {
    if (!module_.refusal.empty() && !before_resolving) return;
    module_.refusal = std::move(text);
    module_.refused_before_resolving = before_resolving;
  }

  void AddFile(const std::string& path) {
    if (!path.empty()) module_.files.push_back(path);
  }

  void ReadMethod() {
    in_.String("method", &module_.method);
    if (module_.method.empty()) module_.method = "GET";
    if (HasLineBreakOrNul(module_.method)) {
      in_.Error("method", "a method may not hold CR, LF or NUL");
    } else if (!IsHttpToken(module_.method)) {
      in_.Warn("method", Quote(module_.method) + " is not a method: probes of this module fail");
      Refuse("invalid method " + Quote(module_.method), false);
    } else if (module_.method == "CONNECT") {
      in_.Warn("method", "CONNECT is for proxies: probes of this module are refused");
      Refuse("method CONNECT asks for a tunnel, not for an answer", false);
    }
  }

  void ReadHeaders() {
    std::vector<std::pair<std::string, std::string>> pairs;
    if (!in_.StringMap("headers", &pairs)) return;
    for (auto& [name, value] : pairs) {
      if (!IsHttpToken(name)) {
        in_.Error("headers", Quote(name) + " is not a header name");
      } else if (!IsHttpFieldValue(value)) {
        in_.Error("headers", "header '" + name + "' holds CR, LF, NUL or another control");
      } else if (EqualsIgnoreCase(name, "host")) {
        SetHost(value);
      } else if (IsOneOf(name, kFramingHeaders)) {
        in_.Warn("headers", "header '" + name + "' follows from the body and is not sent");
      } else {
        SetHeader(std::move(name), std::move(value));
      }
    }
  }

  void SetHost(const std::string& value) {
    if (!IsHostHeader(value)) {
      in_.Error("headers", "Host " + Quote(value) + " is not a host");
    } else {
      module_.host = value;
    }
  }

  void SetHeader(std::string name, std::string value) {
    for (HttpHeader& header : module_.headers) {
      if (!EqualsIgnoreCase(header.name, name)) continue;
      header.value = std::move(value);
      return;
    }
    module_.headers.push_back({std::move(name), std::move(value)});
  }

  void ReadBody() {
    in_.String("body", &module_.body);
    in_.String("body_file", &module_.body_file);
    if (!module_.body.empty() && !module_.body_file.empty()) {
      in_.Error("body", "setting body and body_file both are not allowed");
    }
    AddFile(module_.body_file);
  }

  // NAME, NAME_file and NAME_ref of which one may be set.
  void ReadSecret(ConfigReader& in, std::string_view key, std::string_view file_key,
                  std::string_view ref_key, HttpSecret* out) {
    std::string ref;
    in.String(key, &out->text);
    in.String(file_key, &out->file);
    if (!ref_key.empty()) in.String(ref_key, &ref);
    if (int{!out->text.empty()} + int{!out->file.empty()} + int{!ref.empty()} > 1) {
      in.Error(key, "at most one of " + std::string(key) + ", " + std::string(file_key) +
                        (ref_key.empty() ? "" : ", " + std::string(ref_key)) +
                        " must be configured");
    } else if (!ref.empty()) {
      in.Warn(ref_key,
              std::string(ref_key) +
                  " cannot be used: there is no secret manager, probes of this module fail");
      Refuse(std::string(ref_key) + ": there is no secret manager", false);
    }
    AddFile(out->file);
  }

  void ReadCredentials() {
    const bool basic = in_.Has("basic_auth");
    const bool header = in_.Has("authorization");
    const bool oauth2 = in_.Has("oauth2");
    HttpSecret bearer;
    ReadSecret(in_, "bearer_token", "bearer_token_file", "", &bearer);
    if (int{basic} + int{header} + int{oauth2} > 1) {
      in_.Error(basic ? "basic_auth" : "authorization",
                "at most one of basic_auth, oauth2 & authorization must be configured");
    }
    if (!bearer.empty() && (basic || header || oauth2)) {
      in_.Error("bearer_token",
                "at most one of basic_auth, oauth2, authorization, bearer_token & "
                "bearer_token_file must be configured");
    }
    if (basic) ReadBasic();
    if (header) ReadAuthorization();
    if (!bearer.empty()) {
      module_.auth = HttpModule::Auth::kHeader;
      module_.auth_type = "Bearer";
      module_.credentials = std::move(bearer);
      CheckValue("bearer_token", module_.credentials.text);
    }
  }

  void CheckValue(std::string_view key, const std::string& value) {
    if (IsHttpFieldValue(value)) return;
    in_.Error(key, "holds CR, LF, NUL or another control, which a header may not");
  }

  void ReadBasic() {
    ConfigReader block(in_.Mapping("basic_auth"), in_.PathOf("basic_auth"), in_.diagnostics());
    ReadSecret(block, "username", "username_file", "username_ref", &module_.username);
    ReadSecret(block, "password", "password_file", "password_ref", &module_.password);
    block.Finish();
    module_.auth = HttpModule::Auth::kBasic;
  }

  void ReadAuthorization() {
    ConfigReader block(in_.Mapping("authorization"), in_.PathOf("authorization"),
                       in_.diagnostics());
    module_.auth_type = "Bearer";
    block.String("type", &module_.auth_type);
    module_.auth_type.erase(0, module_.auth_type.find_first_not_of(" \t"));
    module_.auth_type.erase(module_.auth_type.find_last_not_of(" \t") + 1);
    if (module_.auth_type.empty()) module_.auth_type = "Bearer";
    if (EqualsIgnoreCase(module_.auth_type, "basic")) {
      block.Error("type",
                  "authorization type cannot be set to \"basic\", use \"basic_auth\" instead");
    }
    ReadSecret(block, "credentials", "credentials_file", "credentials_ref", &module_.credentials);
    block.Finish();
    CheckValue("authorization", module_.auth_type + module_.credentials.text);
    module_.auth = HttpModule::Auth::kHeader;
  }

  void ReadExtraHeaders() {
    const ConfigNode* block = in_.Mapping("http_headers");
    if (!block) return;
    for (const ConfigEntry& entry : block->entries) {
      const std::string path = in_.PathOf("http_headers") + "." + std::string(entry.key);
      if (!IsHttpToken(entry.key) || IsOneOf(entry.key, kReservedHeaders)) {
        in_.diagnostics().Error(entry.mark, path,
                                "setting header " + Quote(entry.key) + " is not allowed");
      }
      ConfigReader values(&entry.value, path, in_.diagnostics());
      AddExtra(values, entry, "values", false);
      AddExtra(values, entry, "secrets", true);
      std::vector<std::string> files;
      values.StringList("files", &files);
      for (std::string& file : files) {
        AddFile(file);
        module_.extra_headers.push_back({std::string(entry.key), {"", std::move(file)}, true});
      }
      values.Finish();
    }
  }

  void AddExtra(ConfigReader& values, const ConfigEntry& entry, std::string_view key, bool secret) {
    std::vector<std::string> texts;
    values.StringList(key, &texts);
    for (std::string& text : texts) {
      if (!IsHttpFieldValue(text)) {
        values.Error(key, "holds CR, LF, NUL or another control, which a header may not");
      }
      module_.extra_headers.push_back({std::string(entry.key), {std::move(text), ""}, secret});
    }
  }

  void ReadRedirects() {
    in_.Bool("follow_redirects", &module_.follow_redirects);
    bool no_follow = false;
    if (in_.Bool("no_follow_redirects", &no_follow)) {
      in_.Warn("no_follow_redirects",
               "'no_follow_redirects' is deprecated, and overrides 'follow_redirects'");
      module_.follow_redirects = !no_follow;
    }
  }

  void ReadProxy() {
    module_.proxies = ReadProxyOptions(in_, module_.network, module_.tls);
    if (module_.proxies && !module_.proxies->fault.empty()) Refuse(module_.proxies->fault, false);
  }

  void ReadKeepAlive() {
    bool keeps = false;
    in_.Bool("keep_alive", &keeps);
    Duration age = HttpModule::kDefaultKeep;
    in_.Time("keep_alive_max_age", &age);
    if (age <= Duration{}) in_.Error("keep_alive_max_age", "must be longer than 0s");
    if (!keeps) return;
    if (std::find(std::begin(kIdempotentMethods), std::end(kIdempotentMethods), module_.method) ==
        std::end(kIdempotentMethods)) {
      in_.Warn("keep_alive", "a request of method " + Quote(module_.method) +
                                 " may not be sent twice: its connections are not kept");
    } else if (module_.proxies) {
      in_.Warn("keep_alive", "connections of modules with a proxy are not kept");
    } else {
      module_.keep = age;
    }
  }

  void ReadOauth2() {
    const ConfigNode* node = in_.Mapping("oauth2");
    if (!node) return;
    ConfigReader block(node, in_.PathOf("oauth2"), in_.diagnostics());
    std::string client_id, token_url;
    block.String("client_id", &client_id);
    block.String("token_url", &token_url);
    int secrets = 0;
    for (const std::string_view key :
         {"client_secret", "client_secret_file", "client_secret_ref"}) {
      secrets += block.Has(key) ? 1 : 0;
    }
    for (const std::string_view key :
         {"scopes", "endpoint_params", "tls_config", "proxy_url", "no_proxy",
          "proxy_from_environment", "proxy_connect_header", "grant_type", "client_certificate_key",
          "client_certificate_key_file", "client_certificate_key_ref", "client_certificate_key_id",
          "signature_algorithm", "iss", "audience", "claims"}) {
      block.Has(key);
    }
    block.Finish();
    if (client_id.empty()) block.Error("client_id", "oauth2 client_id must be configured");
    if (token_url.empty()) block.Error("token_url", "oauth2 token_url must be configured");
    if (secrets > 1) {
      block.Error("client_secret",
                  "at most one of client_secret, client_secret_file & client_secret_ref must be "
                  "configured using grant-type=client_credentials");
    }
    NotYet("oauth2");
  }

  void ReadCompression() {
    std::string word;
    in_.String("compression", &word);
    module_.compression = ParseCompression(word);
    if (module_.compression == Compression::kUnknown) {
      in_.Warn("compression", Quote(word) + " is not a compression: probes of this module fail");
    }
    const HttpHeader* accept = module_.FindHeader("accept-encoding");
    if (!word.empty() && accept && !accept->value.empty() &&
        !AcceptEncodingAllows(accept->value, word)) {
      in_.Error("compression", "invalid configuration \"" + accept->name + ": " + accept->value +
                                   "\", \"compression: " + word + "\"");
    }
    int64_t limit = 0;
    if (in_.Size("body_size_limit", &limit) && limit > 0) {
      module_.body_size_limit = static_cast<uint64_t>(limit);
    }
    int64_t headers = HttpModule::kDefaultHeaderLimit;
    if (!in_.Size("header_size_limit", &headers)) return;
    if (headers < 1 || headers > HttpModule::kMaxHeaderLimit) {
      in_.Error("header_size_limit", "must be between 1B and 16MiB");
    } else {
      module_.header_size_limit = static_cast<uint64_t>(headers);
    }
  }

  void ReadVersions() {
    std::vector<std::string> versions;
    in_.StringList("valid_http_versions", &versions);
    bool http3 = false, http2 = true;
    in_.Bool("enable_http2", &http2);
    in_.Bool("enable_http3", &http3);
    const auto lists = [&](std::string_view version) {
      return std::find(versions.begin(), versions.end(), version) != versions.end();
    };
    if (!http3 && lists("HTTP/3.0")) {
      in_.Error("valid_http_versions", "HTTP/3.0 is listed, but enable_http3 is false");
    }
    if (http3 && (lists("HTTP/1.1") || lists("HTTP/2.0"))) {
      in_.Error("valid_http_versions",
                "HTTP/1.1 and HTTP/2.0 cannot be listed when enable_http3 is true");
    } else if (http3 && http2) {
      in_.Error("enable_http3", "when enable_http3 is true, enable_http2 must be set to false");
    }
    if (http3) NotYet("enable_http3");
    if (module_.keep > Duration{}) {
      if (in_.Has("enable_http2") && http2) {
        in_.Error("keep_alive",
                  "connections of HTTP/2 are not kept: leave enable_http2 out, or set it to false");
      }
      http2 = false;
    }
    // HTTP/2 knows no upgrades: who asks for one (a web socket) means HTTP/1.1. So does Go.
    if (http2 && !module_.FindHeader("upgrade")) {
      module_.tls.alpn.emplace_back(HttpModule::kAlpn2);
    }
    module_.tls.alpn.emplace_back(HttpModule::kAlpn1);
    for (const std::string& version : versions) AddVersion(version);
  }

  void AddVersion(const std::string& version) {
    module_.limits_versions = true;
    if (const HttpVersionInfo* known = FindHttpVersion(version)) {
      module_.valid_versions |= static_cast<uint8_t>(known->version);
    } else if (version != "HTTP/3.0") {
      in_.Warn("valid_http_versions", Quote(version) +
                                          " is never met: HTTP/1.0, HTTP/1.1 and "
                                          "HTTP/2.0 are spoken");
    }
  }

  void ReadRules() {
    if (!StatusSet::Read(in_, "valid_status_codes", &module_.valid_status) ||
        module_.valid_status.empty()) {
      module_.valid_status = StatusSet::Success();
    }
    in_.Bool("fail_if_ssl", &module_.fail_if_ssl);
    in_.Bool("fail_if_not_ssl", &module_.fail_if_not_ssl);
    ReadBodyRules("fail_if_body_matches_regexp", &module_.body_matches);
    ReadBodyRules("fail_if_body_not_matches_regexp", &module_.body_not_matches);
    ReadHeaderRules("fail_if_header_matches", &module_.header_matches);
    ReadHeaderRules("fail_if_header_not_matches", &module_.header_not_matches);
    for (const std::string_view key :
         {"fail_if_body_json_matches_cel", "fail_if_body_json_not_matches_cel"}) {
      std::string program;
      if (!in_.String(key, &program)) continue;
      if (program.empty()) {
        in_.Error(key, "\"Could not compile CEL program\" expression=\"\"");
      } else {
        NotYet(key);
      }
    }
  }

  void ReadBodyRules(std::string_view key, RegexList* out) {
    std::vector<std::string> patterns;
    in_.StringList(key, &patterns);
    for (const std::string& pattern : patterns) {
      std::string error;
      auto regex = Regex::Compile(pattern, &error);
      if (regex) {
        out->push_back(std::move(regex));
      } else {
        in_.Error(key, error);
      }
    }
  }

  void ReadHeaderRules(std::string_view key, std::vector<HttpHeaderRule>* out) {
    const ConfigNode* list = in_.Sequence(key);
    if (!list) return;
    for (size_t i = 0; i < list->items.size(); ++i) {
      ConfigReader rule(&list->items[i], in_.PathOf(key) + "[" + std::to_string(i) + "]",
                        in_.diagnostics());
      ReadHeaderRule(rule, out);
    }
  }

  void ReadHeaderRule(ConfigReader& rule, std::vector<HttpHeaderRule>* out) {
    HttpHeaderRule made;
    std::string name, pattern;
    rule.String("header", &name);
    rule.String("regexp", &pattern);
    rule.Bool("allow_missing", &made.allow_missing);
    rule.Finish();
    if (name.empty()) {
      rule.Error("header", "header name must be set for HTTP header matchers");
    } else if (name.size() > HttpModule::kMaxRuleName) {
      rule.Error("header", "header names of rules have at most 64 bytes");
    }
    if (pattern.empty()) {
      rule.Error("regexp", "regexp must be set for HTTP header matchers");
      return;
    }
    std::string error;
    made.name = LowerCase(name);
    made.regex = Regex::Compile(pattern, &error);
    if (!made.regex) {
      rule.Error("regexp", error);
      return;
    }
    out->push_back(std::move(made));
  }

  ConfigReader& in_;
  HttpModule& module_;
};

}  // namespace

const HttpHeader* HttpModule::FindHeader(std::string_view wanted) const {
  for (const HttpHeader& header : headers) {
    if (EqualsIgnoreCase(header.name, wanted)) return &header;
  }
  return nullptr;
}

namespace {

constexpr HttpVersionInfo kVersions[] = {
    {HttpModule::Version::k10, "HTTP/1.0", 1},
    {HttpModule::Version::k11, "HTTP/1.1", 1.1},
    {HttpModule::Version::k2, "HTTP/2.0", 2},
};

}  // namespace

const HttpVersionInfo& Info(HttpModule::Version version) {
  return *std::find_if(std::begin(kVersions), std::end(kVersions) - 1,
                       [&](const HttpVersionInfo& info) { return info.version == version; });
}

const HttpVersionInfo* FindHttpVersion(std::string_view name) {
  for (const HttpVersionInfo& info : kVersions) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

bool IsHostHeader(std::string_view value) {
  return IsHttpFieldValue(value) && value.find_first_of(" \t/\\?#@") == std::string_view::npos;
}

std::shared_ptr<HttpModule> ParseHttpModule(const ConfigNode* block, const std::string& path,
                                            Diagnostics& diagnostics) {
  auto module = std::make_shared<HttpModule>();
  const size_t errors = diagnostics.errors();
  ConfigReader in(block, path, diagnostics);
  ModuleReader(in, *module).Read();
  if (diagnostics.errors() != errors) return nullptr;
  module->content_hash = ContentHash().Add("http").Add(block).value();
  return module;
}

}  // namespace sonde
