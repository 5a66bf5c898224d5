// The `http` block of a module and what a task adds to it (blackbox_contract 4.5 and 4.7; for
// users: docs/http.md). Parsed once on the loader's thread, immutable afterwards, read on shards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/task.h"
#include "protocols/body_decoder.h"
#include "protocols/proxy_options.h"
#include "protocols/regex.h"
#include "protocols/status_set.h"
#include "protocols/url.h"

namespace sonde {

struct HttpHeader {
  std::string name, value;
};

// A text written down or the content of a file, trimmed, read anew for each probe.
struct HttpSecret {
  std::string text, file;
  bool empty() const { return text.empty() && file.empty(); }
};

// One value of `http_headers`.
struct HttpExtraHeader {
  std::string name;
  HttpSecret value;
  bool secret = false;  // of `secrets` or `files`: never shown to a foreign host
};

struct HttpHeaderRule {
  std::string name;  // lower case
  std::unique_ptr<const Regex> regex;
  bool allow_missing = false;
};

using RegexList = std::vector<std::unique_ptr<const Regex>>;

struct HttpModule final : Module {
  static constexpr int64_t kDefaultHeaderLimit = 256 * 1024;
  static constexpr int64_t kMaxHeaderLimit = 16 * 1024 * 1024;
  static constexpr Duration kDefaultKeep = Minutes(5);
  // Header names longer than this are skipped in answers and refused in rules.
  static constexpr size_t kMaxRuleName = 64;

  // RFC 7301, RFC 9113 section 3.2.
  static constexpr std::string_view kAlpn1 = "http/1.1", kAlpn2 = "h2";

  enum class Auth : uint8_t { kNone, kBasic, kHeader };
  enum class Version : uint8_t { kNone = 0, k10 = 1, k11 = 2, k2 = 4 };

  // Read by every run.
  // How long after it was opened a connection carries further runs; 0: each run has its own. Only
  // with a method that may be sent twice, over HTTP/1.1, straight to the target.
  Duration keep;
  uint64_t header_size_limit = kDefaultHeaderLimit;
  uint64_t body_size_limit = 0;  // after decompression; 0: none
  Compression compression = Compression::kNone;
  bool limits_versions = false;  // valid_http_versions was given, even if none of it is ours
  uint8_t valid_versions = 0;    // bits of Version; 0: any
  bool fail_if_ssl = false, fail_if_not_ssl = false;
  bool follow_redirects = true;
  bool export_untrusted_certificates = true;
  bool names_files = false;  // the request cannot be rendered at load
  // Why no probe of this module can be made: a key that does not work yet, a method that is no
  // token. Such modules load (with a warning) and are refused at the start of each probe.
  std::string refusal;
  bool refused_before_resolving = false;
  std::unique_ptr<const ProxyOptions> proxies;  // null: none
  std::string method = "GET";
  StatusSet valid_status;
  RegexList body_matches, body_not_matches;  // fail if any matches; fail unless all match
  std::vector<HttpHeaderRule> header_matches, header_not_matches;

  std::vector<HttpHeader> headers;  // in file order, names unique in any case, without Host
  std::string host;                 // a Host header of the module; empty: the URL's
  std::vector<HttpExtraHeader> extra_headers;
  std::string body, body_file;

  Auth auth = Auth::kNone;
  HttpSecret username, password;  // kBasic
  std::string auth_type;          // kHeader
  HttpSecret credentials;         // kHeader

  TlsProfile tls;
  const TlsProfile* first_tls() const override { return &tls; }
  Duration keeps() const override { return keep; }

  bool has_header_rules() const { return !header_matches.empty() || !header_not_matches.empty(); }
  bool has_body_rules() const { return !body_matches.empty() || !body_not_matches.empty(); }
  // Of any case.
  const HttpHeader* FindHeader(std::string_view wanted) const;
};

struct HttpVersionInfo {
  HttpModule::Version version;
  std::string_view name;  // as in valid_http_versions
  double number;          // value of probe_http_version
};
// Not of kNone.
const HttpVersionInfo& Info(HttpModule::Version version);
// Null when there is no such version, or we do not speak it.
const HttpVersionInfo* FindHttpVersion(std::string_view name);

// The task's own `expect`. All of it must hold, besides the module's rules.
struct HttpExpect {
  bool has_status = false;
  StatusSet status;  // in place of the module's
  std::vector<std::string> body_contains;
  RegexList body_matches, body_not_matches;  // fail unless all match; fail if any matches

  bool has_body_rules() const {
    return !body_contains.empty() || !body_matches.empty() || !body_not_matches.empty();
  }
};

struct HttpTarget final : TargetPlan {
  Url url;
  // For TLS, unless tls_config names one: the Host header's name, else the URL's.
  std::string server_name;
  std::string request;  // the whole first request; empty when the module names files
  std::string host;     // the Host header, where who asks for the probe names it; else empty
  std::unique_ptr<const HttpExpect> expect;  // null: nothing of its own, as with most tasks
};

// Null when there was an error; errors and warnings go to `diagnostics`.
std::shared_ptr<HttpModule> ParseHttpModule(const ConfigNode* block, const std::string& path,
                                            Diagnostics& diagnostics);
std::shared_ptr<HttpTarget> ParseHttpTarget(std::string_view target, Mark mark,
                                            const ConfigNode* expect, const HttpModule& module,
                                            const std::string& path, Diagnostics& diagnostics);
// For a request that names the host itself; "" names none.
std::shared_ptr<HttpTarget> ParseHttpTargetAs(std::string_view hostname, std::string_view target,
                                              const HttpModule& module, Diagnostics& diagnostics);

// A name that may stand in a Host header.
bool IsHostHeader(std::string_view value);

}  // namespace sonde
