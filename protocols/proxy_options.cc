#include "protocols/proxy_options.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "engine/contract/scalar_text.h"
#include "protocols/http_request.h"
#include "protocols/http_words.h"

namespace sonde {
namespace {

struct Scheme {
  std::string_view word, policy;
  Proxy::Kind kind;
  uint16_t port;
};
constexpr Scheme kSchemes[] = {{"http", "http", Proxy::Kind::kHttp, 80},
                               {"https", "https", Proxy::Kind::kHttps, 443},
                               {"socks5", "socks5", Proxy::Kind::kSocks5, 1080},
                               {"socks5h", "socks5", Proxy::Kind::kSocks5, 1080}};

// Header lines of a CONNECT that are its own business.
constexpr std::string_view kOwnLines[] = {"host", "content-length", "transfer-encoding", "trailer"};

bool IsScheme(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '-' || c == '.';
  }) && !(text[0] >= '0' && text[0] <= '9');
}

bool NamesPort(const Url& url) {
  const size_t colon = url.authority.rfind(':');
  return colon != std::string::npos && colon + 1 < url.authority.size() &&
         url.authority.back() != ']' && url.authority.find(']', colon) == std::string::npos;
}

// The first of both spellings that is set.
std::string Environment(const char* upper, const char* lower) {
  for (const char* name : {upper, lower}) {
    const char* value = std::getenv(name);
    if (value && *value) return value;
  }
  return "";
}

class Reader {
 public:
  Reader(ConfigReader& in, const NetworkOptions& network, const TlsProfile& tls)
      : in_(in), options_(std::make_unique<ProxyOptions>()) {
    options_->network = network;
    options_->network.fallback = true;
    options_->other_family = network;
    options_->other_family.fallback = false;
    options_->other_family.preferred_family =
        network.preferred_family == IpFamily::kV6 ? IpFamily::kV4 : IpFamily::kV6;
    options_->tls = tls;
    options_->tls.server_name.clear();  // that is the target's
    options_->tls.alpn = {"http/1.1"};
  }

  std::unique_ptr<const ProxyOptions> Read() {
    std::string url, no_proxy;
    bool environment = false;
    in_.String("proxy_url", &url);
    in_.String("no_proxy", &no_proxy);
    in_.Bool("proxy_from_environment", &environment);
    in_.Bool("skip_resolve_phase_with_proxy", &options_->skip_resolve);
    const ConfigNode* headers = in_.Mapping("proxy_connect_header");
    CheckTogether(url, no_proxy, environment, headers != nullptr);
    if (headers) ReadConnectHeaders(*headers);
    if (url.empty() && !environment) return nullptr;
    if (environment) {
      ReadEnvironment();
    } else {
      ReadUrl(url);
      if (!no_proxy.empty()) options_->no_proxy = NoProxy::Parse(no_proxy);
    }
    return std::move(options_);
  }

 private:
  void CheckTogether(const std::string& url, const std::string& no_proxy, bool environment,
                     bool headers) {
    if (headers && url.empty() && !environment) {
      in_.Error("proxy_connect_header",
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must "
                "also be configured");
    }
    if (environment && !url.empty()) {
      in_.Error("proxy_from_environment",
                "if proxy_from_environment is configured, proxy_url must not be configured");
    }
    if (environment && !no_proxy.empty()) {
      in_.Error("proxy_from_environment",
                "if proxy_from_environment is configured, no_proxy must not be configured");
    }
    if (!no_proxy.empty() && url.empty()) {
      in_.Error("no_proxy", "if no_proxy is configured, proxy_url must also be configured");
    }
  }

  void ReadUrl(const std::string& url) {
    absl::StatusOr<Proxy> proxy = Proxy::Parse(url);
    if (proxy.ok()) {
      options_->for_http = options_->for_https = *std::move(proxy);
      return;
    }
    const std::string message(proxy.status().message());
    if (absl::IsInvalidArgument(proxy.status())) {
      in_.Error("proxy_url", message);
    } else {
      options_->fault = "proxy_url: " + message;
      in_.Warn("proxy_url", message + ": probes of this module fail");
    }
  }

  void ReadEnvironment() {
    options_->for_http = FromEnvironment("HTTP_PROXY", "http_proxy");
    options_->for_https = FromEnvironment("HTTPS_PROXY", "https_proxy");
    options_->no_proxy = NoProxy::Parse(Environment("NO_PROXY", "no_proxy"));
  }

  std::optional<Proxy> FromEnvironment(const char* upper, const char* lower) {
    const std::string text = Environment(upper, lower);
    if (text.empty()) return std::nullopt;
    absl::StatusOr<Proxy> proxy = Proxy::Parse(text);
    if (text.find("://") == std::string::npos) proxy = Proxy::Parse("http://" + text);
    if (proxy.ok()) return *std::move(proxy);
    in_.Warn("proxy_from_environment",
             std::string(upper) + " does not count: " + std::string(proxy.status().message()));
    return std::nullopt;
  }

  void ReadConnectHeaders(const ConfigNode& headers) {
    ConfigReader block(&headers, in_.PathOf("proxy_connect_header"), in_.diagnostics());
    for (const ConfigEntry& entry : headers.entries) {
      const std::string name(entry.key);
      std::vector<std::string> values;
      if (!block.StringList(entry.key, &values)) continue;
      if (!IsHttpToken(name)) {
        block.Error(entry.key, Quote(name) + " is not a header name");
        continue;
      }
      if (std::any_of(std::begin(kOwnLines), std::end(kOwnLines),
                      [&](std::string_view own) { return EqualsIgnoreCase(own, name); })) {
        block.Warn(entry.key, "header '" + name + "' follows from the target and is not sent");
        continue;
      }
      for (const std::string& value : values) AddConnectHeader(block, entry.key, value);
    }
  }

  void AddConnectHeader(ConfigReader& block, std::string_view name, const std::string& value) {
    if (!IsHttpFieldValue(value)) {
      block.Error(name, "holds CR, LF, NUL or another control, which a header may not");
    }
    options_->connect_headers.append(name).append(": ").append(value).append("\r\n");
  }

  ConfigReader& in_;
  std::unique_ptr<ProxyOptions> options_;
};

}  // namespace

absl::StatusOr<Proxy> Proxy::Parse(std::string_view text) {
  constexpr std::string_view kWanted = "a proxy is http://, https:// or socks5:// with a host";
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string word = LowerCase(text.substr(0, colon));
  const auto* row = std::find_if(std::begin(kSchemes), std::end(kSchemes),
                                 [&](const Scheme& known) { return known.word == word; });
  if (row == std::end(kSchemes) || !text.substr(colon).starts_with("://")) {
    if (colon < text.size() && !IsScheme(word)) {
      return absl::InvalidArgumentError("the proxy's URL has no scheme: " + std::string(kWanted));
    }
    return absl::UnimplementedError(std::string(kWanted));
  }
  // Only host, port and userinfo count, which all of them write alike.
  absl::StatusOr<Url> url = Url::Parse("http" + std::string(text.substr(colon)));
  if (!url.ok()) {
    // Words of the parser's that may quote the URL stay out.
    return text.substr(colon) == "://" ? absl::UnimplementedError(std::string(kWanted))
                                       : absl::InvalidArgumentError("the proxy's URL is not valid");
  }
  if (url->host.empty()) return absl::UnimplementedError(std::string(kWanted));
  Proxy proxy;
  proxy.kind = row->kind;
  proxy.scheme = row->policy;
  proxy.host = url->host;
  proxy.port = NamesPort(*url) ? url->port : row->port;
  const bool v6 = proxy.host.find(':') != std::string::npos;
  proxy.authority = (v6 ? "[" + proxy.host + "]" : proxy.host) + ":" + std::to_string(proxy.port);
  proxy.has_userinfo = url->has_userinfo;
  proxy.username = std::move(url->username);
  proxy.password = std::move(url->password);
  // RFC 1929 section 2: lengths are one byte, and no name is none.
  if (proxy.kind == Kind::kSocks5 && proxy.has_userinfo &&
      (proxy.username.empty() || proxy.username.size() > 255 || proxy.password.size() > 255)) {
    return absl::UnimplementedError(
        "SOCKS5 takes user names of 1 to 255 bytes, passwords up to 255");
  }
  return proxy;
}

std::string Proxy::Authorization() const {
  return has_userinfo ? "Basic " + EncodeBase64(username + ":" + password) : "";
}

const Proxy* ProxyOptions::For(const Url& url, const Address* address) const {
  const std::optional<Proxy>& proxy = url.secure() ? for_https : for_http;
  if (!proxy || (no_proxy && no_proxy->Matches(url.host, url.port, address))) return nullptr;
  return &*proxy;
}

std::unique_ptr<const ProxyOptions> ReadProxyOptions(ConfigReader& in,
                                                     const NetworkOptions& network,
                                                     const TlsProfile& tls) {
  return Reader(in, network, tls).Read();
}

}  // namespace sonde
