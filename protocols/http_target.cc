// A task's own part: its URL, its first request, its `expect`.
#include <utility>

#include "engine/contract/scalar_text.h"
#include "protocols/http_options.h"
#include "protocols/http_request.h"
#include "protocols/options.h"

namespace sonde {
namespace {

// A text or a list of texts.
void ReadTexts(ConfigReader& in, std::string_view key, std::vector<std::string>* out) {
  const ConfigNode* node = in.Node(key);
  if (!node) return;
  if (node->kind == ConfigNode::Kind::kSequence) {
    in.StringList(key, out);
  } else {
    std::string one;
    if (in.String(key, &one)) out->push_back(std::move(one));
  }
}

void ReadPatterns(ConfigReader& in, std::string_view key, RegexList* out) {
  std::vector<std::string> patterns;
  ReadTexts(in, key, &patterns);
  for (const std::string& pattern : patterns) {
    std::string error;
    auto regex = Regex::Compile(pattern, &error);
    if (regex) {
      out->push_back(std::move(regex));
    } else {
      in.Error(key, error);
    }
  }
}

std::unique_ptr<const HttpExpect> ReadExpect(const ConfigNode* node, const std::string& path,
                                             Diagnostics& diagnostics) {
  if (!node) return nullptr;
  auto expect = std::make_unique<HttpExpect>();
  ConfigReader in(node, path, diagnostics);
  expect->has_status = in.Has("status");
  StatusSet::Read(in, "status", &expect->status);
  if (expect->has_status && expect->status.empty()) in.Error("status", "no status code is listed");
  ReadTexts(in, "body_contains", &expect->body_contains);
  ReadPatterns(in, "body_matches", &expect->body_matches);
  ReadPatterns(in, "body_not_matches", &expect->body_not_matches);
  in.Finish();
  return expect;
}

// The "ftp" of "ftp://host", which blackbox_exporter reads as http://ftp://host.
std::string_view ForeignScheme(std::string_view target) {
  const size_t end = target.find("://");
  if (end == std::string_view::npos || target.find_first_of("/?#") != end + 1) return {};
  const std::string_view scheme = target.substr(0, end);
  const bool ours = EqualsIgnoreCase(scheme, "http") || EqualsIgnoreCase(scheme, "https");
  return ours ? std::string_view() : scheme;
}

// What follows from where the target is and what it is called there.
void Finish(const HttpModule& module, HttpTarget* plan) {
  plan->destination = DestinationOf(plan->url.host, plan->url.port);
  plan->needs_handshake = plan->url.secure();
  const bool named = !plan->host.empty() || !module.host.empty();
  plan->server_name = named ? LogicalHost(HostHeaderOf(module, *plan)) : plan->url.host;
  if (module.names_files || !module.refusal.empty()) return;
  HttpHop hop;
  hop.method = module.method;
  hop.url = hop.credentials = &plan->url;
  hop.host = HostHeaderOf(module, *plan);
  HttpRequestError unused;  // only files can be missing
  RenderHttpRequest(module, hop, nullptr, &plan->request, &unused);
  plan->request.shrink_to_fit();  // it stays as long as the task
}

}  // namespace

std::shared_ptr<HttpTarget> ParseHttpTarget(std::string_view target, Mark mark,
                                            const ConfigNode* expect, const HttpModule& module,
                                            const std::string& path, Diagnostics& diagnostics) {
  auto plan = std::make_shared<HttpTarget>();
  const size_t errors = diagnostics.errors();
  absl::StatusOr<Url> url = Url::ParseTarget(target);
  if (!url.ok()) diagnostics.Error(mark, path + ".target", std::string(url.status().message()));
  plan->expect = ReadExpect(expect, path + ".expect", diagnostics);
  if (diagnostics.errors() != errors) return nullptr;
  plan->url = *std::move(url);
  if (const std::string_view scheme = ForeignScheme(target); !scheme.empty()) {
    diagnostics.Warn(mark, path + ".target",
                     Quote(scheme) +
                         " is taken for a host name: only http:// and https:// are "
                         "schemes here");
  }
  Finish(module, plan.get());
  return plan;
}

std::shared_ptr<HttpTarget> ParseHttpTargetAs(std::string_view hostname, std::string_view target,
                                              const HttpModule& module, Diagnostics& diagnostics) {
  absl::StatusOr<Url> url = Url::ParseTarget(target, true);
  if (!url.ok()) diagnostics.Error({}, "target", std::string(url.status().message()));
  if (!IsHostHeader(hostname)) {
    diagnostics.Error({}, "hostname", Quote(hostname) + " is not a host");
  }
  if (!diagnostics.ok()) return nullptr;
  auto plan = std::make_shared<HttpTarget>();
  plan->url = *std::move(url);
  plan->host = std::string(hostname);
  Finish(module, plan.get());
  return plan;
}

}  // namespace sonde
