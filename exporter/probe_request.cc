#include "exporter/probe_request.h"

#include <algorithm>
#include <utility>

#include "engine/contract/scalar_text.h"
#include "exporter/http_text.h"

namespace sonde {
namespace {

constexpr std::string_view kDefaultModule = "http_2xx";
constexpr std::string_view kTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds";

std::string Quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

ProbeRefusal Refusal(int status, std::string text) {
  text.push_back('\n');
  return {status, std::move(text), false};
}

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Go's url.QueryUnescape: nothing is decoded when an escape is broken.
std::string DecodedAgain(const std::string& text) {
  for (size_t i = text.find('%'); i != std::string::npos; i = text.find('%', i + 3)) {
    if (i + 2 >= text.size() || !IsHex(text[i + 1]) || !IsHex(text[i + 2])) return text;
  }
  return FormDecode(text);
}

std::string FirstError(const Diagnostics& diagnostics) {
  for (const Diagnostic& found : diagnostics.all()) {
    if (found.is_error) return found.message;
  }
  return "the target cannot be taken apart";
}

// Takes the target apart. By default what was decoded once counts, and a second decoding only where
// it makes a target out of what is none (Q3).
void ReadTarget(const ProbePageOptions& options, ProbeRequest* asked) {
  const Module& module = *asked->module;
  if (options.decode_target_twice) asked->target = DecodedAgain(asked->target);
  Diagnostics diagnostics;
  asked->plan = module.prober->ParseTargetAs(asked->hostname, asked->target, module, diagnostics);
  if (asked->plan != nullptr) return;
  asked->fault = FirstError(diagnostics);
  if (std::string again = DecodedAgain(asked->target); again != asked->target) {
    Diagnostics unused;
    asked->plan = module.prober->ParseTargetAs(asked->hostname, again, module, unused);
    if (asked->plan != nullptr) asked->target = std::move(again);
  }
}

// Lines of one prober's block: [begin, end) of `text`.
std::pair<size_t, size_t> BlockOf(std::string_view text, std::string_view name) {
  const std::string head = "\n" + std::string(name) + ":";
  const std::string whole = "\n" + std::string(text);
  const size_t at = whole.find(head);
  if (at == std::string::npos) return {text.size(), text.size()};
  const size_t begin = std::min(text.find('\n', at), text.size() - 1) + 1;
  size_t end = begin;
  while (end < text.size() && text[end] == ' ')
    end = std::min(text.find('\n', end), text.size() - 1) + 1;
  return {begin, end};
}

// Puts `key: value` below `parent` of the block, unless the key is there.
void Insert(std::string_view block, std::string_view parent, std::string_view key,
            std::string_view value, std::string* text) {
  const auto [begin, end] = BlockOf(*text, block);
  const std::string_view lines = std::string_view(*text).substr(begin, end - begin);
  const std::string head = "  " + std::string(parent) + ":\n";
  const std::string line = "    " + std::string(key) + ": " + Quoted(value) + "\n";
  const std::string whole = "\n" + std::string(lines);
  if (whole.find("\n    " + std::string(key) + ":") != std::string::npos) return;
  const size_t at = whole.find("\n" + head);
  if (at == std::string::npos) {
    text->insert(end, head + line);
  } else {
    text->insert(begin + at + head.size(), line);
  }
}

}  // namespace

std::string TextWithHostname(std::string_view text, std::string_view prober,
                             std::string_view hostname) {
  std::string changed(text);
  if (prober == "http") Insert(prober, "headers", "Host", hostname, &changed);
  if (prober == "http" || prober == "tcp") {
    Insert(prober, "tls_config", "server_name", hostname, &changed);
  }
  return changed;
}

std::variant<ProbeRequest, ProbeRefusal> ReadProbeRequest(
    const HttpRequest& request, const std::shared_ptr<const ProbeModules>& modules,
    const ProbePageOptions& options) {
  ProbeRequest asked;
  asked.module_name = request.QueryParam("module").value_or("");
  if (asked.module_name.empty()) asked.module_name = std::string(kDefaultModule);
  const auto usable = modules->usable.find(asked.module_name);
  const auto unusable = modules->unusable.find(asked.module_name);
  if (usable == modules->usable.end() && unusable == modules->unusable.end()) {
    ProbeRefusal refusal = Refusal(400, "Unknown module " + Quoted(asked.module_name));
    refusal.unknown_module = true;
    return refusal;
  }
  if (usable != modules->usable.end()) asked.module = usable->second;

  const auto timeout = ProbeTimeout::Of(request.Header(kTimeoutHeader), options.timeout_offset,
                                        asked.module ? asked.module->timeout : Duration{});
  if (!timeout) {
    return Refusal(500, "Failed to parse timeout from Prometheus header: " +
                            Quote(request.Header(kTimeoutHeader)) + " is not a number");
  }
  asked.timeout = *timeout;

  asked.target = request.QueryParam("target").value_or("");
  if (asked.target.empty()) return Refusal(400, "Target parameter is missing");
  if (asked.module == nullptr) return Refusal(400, "Unknown prober " + Quoted(unusable->second));
  if (!asked.module->unsupported.empty()) {
    return Refusal(400, "Module " + Quoted(asked.module_name) + " cannot be used: '" +
                            asked.module->unsupported + "' is not supported by this version");
  }

  asked.hostname = request.QueryParam("hostname").value_or("");
  const std::string_view host = asked.module->prober->HostOf(*asked.module);
  if (!asked.hostname.empty() && !host.empty() && host != asked.hostname) {
    return Refusal(400, "Host header defined both in module configuration (" + std::string(host) +
                            ") and with URL-parameter 'hostname' (" + asked.hostname + ")");
  }
  const auto* policy = asked.module->policy.get();
  if (options.guard_credentials && asked.module->has_credentials &&
      (policy == nullptr || !policy->names_targets())) {
    return Refusal(403, "Module " + Quoted(asked.module_name) +
                            " shows credentials: it is for targets its policy allows by name or "
                            "address, and names none (--probe.credentials)");
  }

  asked.debug = request.QueryParam("debug") == "true";
  asked.details = options.details || request.QueryParam("details") == "true";
  ReadTarget(options, &asked);
  if (const auto text = modules->texts.find(asked.module_name); text != modules->texts.end()) {
    asked.module_text = asked.hostname.empty()
                            ? std::shared_ptr<const std::string>(modules, &text->second)
                            : std::make_shared<const std::string>(TextWithHostname(
                                  text->second, asked.module->prober->name(), asked.hostname));
  }
  return asked;
}

}  // namespace sonde
