#include "exporter/web_config.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

// A header that may be set, and its values; none: any.
struct Settable {
  std::string_view name;
  std::span<const std::string_view> values;
};
constexpr std::string_view kNosniff[] = {"nosniff"};
constexpr std::string_view kFrames[] = {"deny", "sameorigin"};
constexpr Settable kSettable[] = {{"Strict-Transport-Security", {}},
                                  {"X-Content-Type-Options", kNosniff},
                                  {"X-Frame-Options", kFrames},
                                  {"X-XSS-Protection", {}},
                                  {"Content-Security-Policy", {}}};

std::string Listed(std::span<const std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) text.append(text.empty() ? "" : ", ").append(word);
  return text;
}

std::string SettableNames() {
  std::string text;
  for (const Settable& one : kSettable) text.append(text.empty() ? "" : ", ").append(one.name);
  return text;
}

std::string HeaderFault(const std::string& name, const std::string& value) {
  const auto* known = std::find_if(std::begin(kSettable), std::end(kSettable),
                                   [&](const Settable& one) { return one.name == name; });
  if (known == std::end(kSettable)) return "cannot be set, only " + SettableNames();
  const std::span<const std::string_view> values = known->values;
  if (!values.empty() && std::find(values.begin(), values.end(), value) == values.end()) {
    return "must be " + Listed(values) + ", not '" + value + "'";
  }
  const bool clean = std::all_of(value.begin(), value.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
  });
  return clean ? "" : "holds a control character";
}

// The key is marked as known; what stands in it is read with its own places.
std::vector<HttpHeader> ReadHeaders(ConfigReader& in) {
  std::vector<HttpHeader> headers;
  const ConfigNode* node = in.Mapping("headers");
  if (node == nullptr) return headers;
  ConfigReader each(node, in.PathOf("headers"), in.diagnostics());
  for (const ConfigEntry& entry : node->entries) {
    HttpHeader header{std::string(entry.key), ""};
    const bool text = each.String(entry.key, &header.value);
    if (!text && each.Has(entry.key)) continue;  // said already
    const std::string fault = HeaderFault(header.name, header.value);
    if (!fault.empty()) {
      each.Error(entry.key, fault);
    } else if (!header.value.empty()) {
      headers.push_back(std::move(header));
    }
  }
  return headers;
}

WebUsers ReadUsers(const ConfigNode* node, Diagnostics& diagnostics) {
  std::map<std::string, std::string, std::less<>> hashes;
  if (node == nullptr) return {};
  ConfigReader each(node, "basic_auth_users", diagnostics);
  for (const ConfigEntry& entry : node->entries) {
    std::string hash;
    const bool text = each.String(entry.key, &hash);
    if (!text && each.Has(entry.key)) continue;
    if (const std::string fault = BcryptFault(hash); !fault.empty()) {
      each.Error(entry.key, "the password " + fault);  // never the text: it may be the password
    } else if (entry.key.find(':') != entry.key.npos) {
      each.Error(entry.key, "a user's name with a colon in it can never log in");
    } else {
      hashes.emplace(entry.key, std::move(hash));
    }
  }
  return WebUsers(std::move(hashes));
}

// Go's time.Duration out of YAML: "1s", or a number of nanoseconds.
std::optional<Duration> ReadInterval(ConfigReader& in) {
  const ConfigNode* node = in.Node("interval");
  Duration interval;
  if (node == nullptr) return std::nullopt;
  const bool number =
      node->kind == ConfigNode::Kind::kScalar && !node->quoted && ParseReal(node->text).has_value();
  constexpr int64_t kDay = int64_t{86'400} * 1'000'000'000;
  const bool good =
      number ? in.Int("interval", &interval.ns, 0, kDay) : in.Time("interval", &interval);
  if (!good) return std::nullopt;
  if (interval.ns < 0 || interval.ns > kDay) {
    in.Error("interval", "must be between 0 and 24h");
    return std::nullopt;
  }
  return interval;
}

void ReadRate(const ConfigNode* node, WebConfig* config, Diagnostics& diagnostics) {
  ConfigReader in(node, "rate_limit", diagnostics);
  const std::optional<Duration> interval = ReadInterval(in);
  int64_t burst = 0;
  in.Int("burst", &burst, 0, 1'000'000'000);
  in.Finish();
  if (!interval || interval->ns == 0) return;
  if (burst == 0) in.Warn("interval", "without a burst of 1 or more no request is ever answered");
  config->rate = 1 / interval->seconds();
  config->burst = static_cast<double>(burst);
}

}  // namespace

WebConfig ReadWebConfig(const ConfigNode& root, const std::string& folder, Files& files,
                        Diagnostics& diagnostics) {
  WebConfig config;
  ConfigReader in(&root, "", diagnostics);
  config.tls = ReadWebTls(in.Node("tls_server_config"), folder, files, diagnostics, &config.files);
  ConfigReader http(in.Node("http_server_config"), "http_server_config", diagnostics);
  bool http2 = true;  // HTTP/1.1 is what is spoken: ALPN says so to whoever would rather have 2
  http.Bool("http2", &http2);
  config.headers = ReadHeaders(http);
  http.Finish();
  config.users = ReadUsers(in.Mapping("basic_auth_users"), diagnostics);
  ReadRate(in.Node("rate_limit"), &config, diagnostics);
  in.Finish();
  std::sort(config.files.begin(), config.files.end());
  return config;
}

}  // namespace sonde
