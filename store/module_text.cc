#include "store/module_text.h"

#include <algorithm>
#include <array>

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

constexpr size_t kMostText = size_t{1} << 20;  // of a module; what is beyond is cut
constexpr std::string_view kSecret = "<secret>";

// A secret is a key below another; "" stands for any parent.
struct SecretKey {
  std::string_view parent, key;
};
constexpr std::array<SecretKey, 8> kSecrets = {{
    {"basic_auth", "password"},
    {"authorization", "credentials"},
    {"http", "bearer_token"},
    {"http_config", "bearer_token"},
    {"oauth2", "client_secret"},
    {"oauth2", "client_certificate_key"},
    {"tls_config", "key"},
    {"", "proxy_connect_header"},  // all of its values
}};

// `secrets` of http_headers: {NAME: {secrets: [...]}} has a name of the user's above it.
constexpr std::string_view kHeaderSecrets = "secrets";

struct Default {
  std::string_view block, key, value;
};
constexpr std::array<Default, 10> kDefaults = {{
    {"http", "ip_protocol_fallback", "true"},
    {"http", "follow_redirects", "true"},
    {"http", "enable_http2", "true"},
    {"tcp", "ip_protocol_fallback", "true"},
    {"icmp", "ip_protocol_fallback", "true"},
    {"icmp", "ttl", "64"},
    {"dns", "ip_protocol_fallback", "true"},
    {"dns", "recursion_desired", "true"},
    {"websocket", "ip_protocol_fallback", "true"},
    {"grpc", "ip_protocol_fallback", "true"},
}};
// Blocks every module shows, and those it shows when it has them.
constexpr std::array<std::string_view, 4> kAlways = {"http", "tcp", "icmp", "dns"};
constexpr std::array<std::string_view, 3> kIfThere = {"grpc", "unix", "websocket"};

bool IsPlain(std::string_view text) {
  if (text.empty() || !(std::isalnum(static_cast<unsigned char>(text[0])) || text[0] == '/' ||
                        text[0] == '.' || text[0] == '<' || text[0] == '^')) {
    return false;
  }
  const bool harmless = std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("#:,[]{}&*!|>'\"%@`\\").find(c) == std::string_view::npos;
  });
  return harmless || text == kSecret;
}

bool ReadsAsAnotherType(std::string_view text) {
  return ParseBoolWord(text) || IsNullWord(text) || ParseReal(text);
}

void AppendEscaped(char c, std::string* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out->append("\\x").push_back(kDigits[byte >> 4]);
  out->push_back(kDigits[byte & 15]);
}

// "http://user:pw@proxy" -> "http://user:xxxxx@proxy".
std::string WithoutPassword(std::string_view url) {
  const size_t scheme = url.find("://");
  const size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  const size_t at = url.substr(0, end).rfind('@');
  const size_t colon = url.find(':', begin);
  if (at == std::string_view::npos || at < begin || colon == std::string_view::npos || colon > at) {
    return std::string(url);
  }
  return std::string(url.substr(0, colon + 1)).append("xxxxx").append(url.substr(at));
}

class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  void Module(const ConfigNode& module) {
    for (const ConfigEntry& entry : module.entries) {
      if (!IsBlock(entry.key)) Entry(entry, "", 0, false);
    }
    for (const std::string_view name : kAlways) Block(name, module.Find(name));
    for (const std::string_view name : kIfThere) {
      const ConfigNode* block = module.Find(name);
      if (block != nullptr) Block(name, block);
    }
  }

  // The value after "key:" or "-"; ends the line.
  void Value(const ConfigNode& node, std::string_view key, size_t indent, bool masked) {
    switch (node.kind) {
      case ConfigNode::Kind::kNull:
        out_->append(" null\n");
        return;
      case ConfigNode::Kind::kScalar:
        out_->append(" ").append(Scalar(node, key, masked)).push_back('\n');
        return;
      case ConfigNode::Kind::kSequence:
        if (node.items.empty()) {
          out_->append(" []\n");
          return;
        }
        out_->push_back('\n');
        for (const ConfigNode& item : node.items) Item(item, key, indent, masked);
        return;
      case ConfigNode::Kind::kMapping:
        if (node.entries.empty()) {
          out_->append(" {}\n");
          return;
        }
        out_->push_back('\n');
        for (const ConfigEntry& entry : node.entries) Entry(entry, key, indent, masked);
        return;
    }
  }

  void Entry(const ConfigEntry& entry, std::string_view parent, size_t indent, bool masked) {
    if (out_->size() > kMostText) return;
    masked = masked || IsSecret(parent, entry.key);
    out_->append(indent, ' ').append(YamlScalar(entry.key)).push_back(':');
    const bool list = entry.value.kind == ConfigNode::Kind::kSequence;
    Value(entry.value, entry.key, list ? indent : indent + 2, masked);
  }

 private:
  static bool IsBlock(std::string_view key) {
    return std::find(kAlways.begin(), kAlways.end(), key) != kAlways.end() ||
           std::find(kIfThere.begin(), kIfThere.end(), key) != kIfThere.end();
  }

  static bool IsSecret(std::string_view parent, std::string_view key) {
    if (key == kHeaderSecrets) return true;
    return std::any_of(kSecrets.begin(), kSecrets.end(), [&](const SecretKey& secret) {
      return secret.key == key && (secret.parent.empty() || secret.parent == parent);
    });
  }

  static std::string Scalar(const ConfigNode& node, std::string_view key, bool masked) {
    if (masked) return std::string(node.text.empty() ? "\"\"" : kSecret);
    if (key == "proxy_url") return YamlScalar(WithoutPassword(node.text));
    if (!node.quoted && IsPlain(node.text)) return std::string(node.text);
    return YamlScalar(node.text);
  }

  // What was not written stands first, with its default.
  void Block(std::string_view name, const ConfigNode* block) {
    static const ConfigNode kEmpty;
    if (block == nullptr) block = &kEmpty;
    std::string inside;
    std::swap(inside, *out_);
    for (const Default& row : kDefaults) {
      if (row.block != name || Given(*block, row.key)) continue;
      out_->append("  ").append(row.key).append(": ").append(row.value).push_back('\n');
    }
    for (const ConfigEntry& entry : block->entries) {
      if (entry.key == "no_follow_redirects" && entry.value.kind == ConfigNode::Kind::kScalar) {
        const bool follow = !ParseBoolWord(entry.value.text).value_or(true);
        out_->append("  follow_redirects: ").append(follow ? "true\n" : "false\n");
      } else if (entry.key != "follow_redirects" || block->Find("no_follow_redirects") == nullptr) {
        Entry(entry, name, 2, false);
      }
    }
    std::swap(inside, *out_);
    out_->append(name).append(inside.empty() ? ": {}\n" : ":\n").append(inside);
  }

  static bool Given(const ConfigNode& block, std::string_view key) {
    if (block.Find(key) != nullptr) return true;
    return key == "follow_redirects" && block.Find("no_follow_redirects") != nullptr;
  }

  // "- a" or, for a mapping, its first key on the dash's line.
  void Item(const ConfigNode& item, std::string_view key, size_t indent, bool masked) {
    if (out_->size() > kMostText) return;
    out_->append(indent, ' ').push_back('-');
    if (item.kind != ConfigNode::Kind::kMapping || item.entries.empty()) {
      Value(item, key, indent + 2, masked);
      return;
    }
    const size_t begin = out_->size();
    for (const ConfigEntry& entry : item.entries) Entry(entry, key, indent + 2, masked);
    out_->replace(begin, indent + 2, " ");
  }

  std::string* out_;
};

}  // namespace

std::string YamlScalar(std::string_view text) {
  if (IsPlain(text) && !ReadsAsAnotherType(text)) return std::string(text);
  const bool utf8 = IsUtf8(text);
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.append("\\").push_back(c);
    } else if (c == '\n') {
      out.append("\\n");
    } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8)) {
      AppendEscaped(c, &out);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

std::string Indented(std::string_view text, size_t blanks) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    out.append(blanks, ' ').append(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

std::string ModuleText(const ConfigNode& module) {
  std::string out;
  if (module.kind == ConfigNode::Kind::kMapping) Writer(&out).Module(module);
  return out;
}

std::string NodeText(const ConfigNode& node) {
  std::string out;
  for (const ConfigEntry& entry : node.entries) Writer(&out).Entry(entry, "", 0, false);
  return out;
}

}  // namespace sonde
