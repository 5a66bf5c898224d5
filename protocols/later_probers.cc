#include "protocols/later_probers.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/dialogue.h"
#include "protocols/http_options.h"
#include "protocols/options.h"

namespace sonde {
namespace {

// What a block holds besides; `tls` and the rest are read where the table says so.
using ReadBlock = void (*)(ConfigReader& in, Module& module);

// No probe of it is ever started: nothing here has a conversation.
class LaterProber final : public Prober {
 public:
  LaterProber(std::string_view name, ReadBlock read) : name_(name), read_(read) {}

  std::string_view name() const override { return name_; }
  bool usable() const override { return false; }

  std::shared_ptr<Module> ParseModule(const ConfigNode* block, const std::string& path,
                                      Diagnostics& diagnostics) const override {
    const size_t errors = diagnostics.errors();
    auto module = std::make_shared<Module>();
    ConfigReader in(block, path, diagnostics);
    read_(in, *module);
    in.Finish();
    return diagnostics.errors() == errors ? module : nullptr;
  }
  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view, Mark mark, const ConfigNode*,
                                                const Module&, const std::string& path,
                                                Diagnostics& diagnostics) const override {
    diagnostics.Error(mark, path, "this version has no prober '" + std::string(name_) + "'");
    return nullptr;
  }
  Conversation* Make(void*, const Task&, const ConversationContext&) const override {
    return nullptr;
  }

 private:
  std::string_view name_;
  ReadBlock read_;
};

void ReadAddressKeys(ConfigReader& in) {
  std::string preferred;
  bool fallback = false;
  in.String("preferred_ip_protocol", &preferred);
  in.Bool("ip_protocol_fallback", &fallback);
}

void ReadGrpc(ConfigReader& in, Module& module) {
  std::string service;
  bool tls = false;
  TlsProfile profile;
  ReadAddressKeys(in);
  in.String("service", &service);
  in.Bool("tls", &tls);
  ReadTlsConfig(in, "tls_config", &profile, &module.files);
  const ConfigNode* metadata = in.Mapping("metadata");
  if (metadata == nullptr) return;
  ConfigReader values(metadata, in.PathOf("metadata"), in.diagnostics());
  for (const ConfigEntry& entry : metadata->entries) {
    std::vector<std::string> texts;
    values.StringList(entry.key, &texts);
  }
}

void ReadUnix(ConfigReader& in, Module& module) {
  bool tls = false;
  TlsProfile profile;
  DialogueScript script;
  in.Bool("tls", &tls);
  ReadTlsConfig(in, "tls_config", &profile, &module.files);
  DialogueScript::Read(in, tls, &script);
}

// The keys of an HTTP client (blackbox_contract 4.7), without what http has besides.
constexpr std::array<std::string_view, 13> kClientKeys = {
    "basic_auth",  "authorization", "bearer_token",           "bearer_token_file",
    "oauth2",      "tls_config",    "follow_redirects",       "enable_http2",
    "proxy_url",   "no_proxy",      "proxy_from_environment", "proxy_connect_header",
    "http_headers"};

void ReadClient(ConfigReader& in, Module& module) {
  const ConfigNode* block = in.Mapping("http_config");
  if (block == nullptr) return;
  const std::string path = in.PathOf("http_config");
  for (const ConfigEntry& entry : block->entries) {
    if (std::find(kClientKeys.begin(), kClientKeys.end(), entry.key) != kClientKeys.end()) continue;
    in.diagnostics().Error(entry.mark, path, "unknown key '" + std::string(entry.key) + "'");
    return;
  }
  const auto read = ParseHttpModule(block, path, in.diagnostics());
  if (read != nullptr)
    module.files.insert(module.files.end(), read->files.begin(), read->files.end());
}

void ReadWebsocket(ConfigReader& in, Module& module) {
  DialogueScript script;
  ReadAddressKeys(in);
  ReadClient(in, module);
  DialogueScript::Read(in, false, &script);
  const ConfigNode* headers = in.Mapping("headers");
  if (headers == nullptr) return;
  for (const ConfigEntry& entry : headers->entries) {
    ConfigReader values(&entry.value, in.PathOf("headers") + "." + std::string(entry.key),
                        in.diagnostics());
    std::vector<std::string> texts;
    for (const std::string_view key : {"values", "secrets", "files"}) {
      values.StringList(key, &texts);
    }
    values.Finish();
  }
}

}  // namespace

std::span<const Prober* const> LaterProbers() {
  static const LaterProber grpc("grpc", ReadGrpc);
  static const LaterProber unix_socket("unix", ReadUnix);
  static const LaterProber websocket("websocket", ReadWebsocket);
  static const std::array<const Prober*, 3> all = {&grpc, &unix_socket, &websocket};
  return all;
}

}  // namespace sonde
