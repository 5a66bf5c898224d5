#include "protocols/options.h"

#include <netdb.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

bool ParsePortNumber(std::string_view text, uint16_t* out) {
  if (text.empty() || text.size() > 5) return false;
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535) {
    return false;
  }
  *out = static_cast<uint16_t>(port);
  return true;
}

bool IsDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

struct Service {
  std::string_view name;
  uint16_t port;
};

// The services people name in targets; small images have no /etc/services.
constexpr Service kServices[] = {
    {"domain", 53},  {"ftp", 21},           {"ftps", 990},         {"http", 80},
    {"https", 443},  {"imap", 143},         {"imap2", 143},        {"imaps", 993},
    {"ldap", 389},   {"ldaps", 636},        {"mqtt", 1883},        {"mysql", 3306},
    {"nntp", 119},   {"pop3", 110},         {"pop3s", 995},        {"postgresql", 5432},
    {"redis", 6379}, {"rsync", 873},        {"sip", 5060},         {"sip-tls", 5061},
    {"smtp", 25},    {"ssh", 22},           {"submission", 587},   {"submissions", 465},
    {"telnet", 23},  {"xmpp-client", 5222}, {"xmpp-server", 5269},
};

// Runs at load only: /etc/services is a file.
bool FindService(std::string_view text, uint16_t* out) {
  const std::string name = LowerCase(text);
  for (const Service& service : kServices) {
    if (service.name == name) {
      *out = service.port;
      return true;
    }
  }
  servent entry{};
  servent* found = nullptr;
  std::array<char, 2048> storage{};
  if (getservbyname_r(name.c_str(), "tcp", &entry, storage.data(), storage.size(), &found) != 0 ||
      !found) {
    return false;
  }
  *out = ntohs(static_cast<uint16_t>(found->s_port));
  return *out != 0;
}

bool IsHostByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > ' ' && byte != 0x7f && c != '/' && c != '@' && c != '\\';
}

// "ip", "ip:port" or "[v6]:port".
bool ParseNameServer(std::string_view text, Address* out) {
  if (const auto literal = Address::ParseLiteral(text, 53)) {
    *out = *literal;
    return true;
  }
  HostPort parts;
  std::string unused;
  if (!ParseHostPort(text, &parts, &unused)) return false;
  const auto literal = Address::ParseLiteral(parts.host, parts.port);
  if (!literal) return false;
  *out = *literal;
  return true;
}

void ReadResolver(ConfigReader& in, NetworkOptions* out) {
  const ConfigNode* block = in.Mapping("resolver");
  if (!block) return;
  ConfigReader resolver(block, in.PathOf("resolver"), in.diagnostics());
  std::vector<std::string> servers;
  if (resolver.StringList("servers", &servers)) {
    out->name_servers.clear();
    for (const std::string& text : servers) {
      Address address;
      if (ParseNameServer(text, &address)) {
        out->name_servers.push_back(address);
      } else {
        resolver.Error("servers", "name server '" + text + "' is not an address or address:port");
      }
    }
  }
  resolver.Bool("cache", &out->resolver_cache);
  resolver.Finish();
}

struct VersionName {
  std::string_view text;
  TlsProfile::Version version;
};
constexpr VersionName kVersions[] = {
    {"TLS10", TlsProfile::Version::kTls10},
    {"TLS11", TlsProfile::Version::kTls11},
    {"TLS12", TlsProfile::Version::kTls12},
    {"TLS13", TlsProfile::Version::kTls13},
};

bool ReadTlsVersion(ConfigReader& in, std::string_view key, TlsProfile::Version* out) {
  std::string text;
  if (!in.String(key, &text)) return true;
  if (ParseTlsVersion(text, out)) return true;
  in.Error(key, "unknown TLS version: " + text);
  return false;
}

// Three ways to give one thing. Literals: a ConfigReader remembers keys by reference.
struct SecretKeys {
  std::string_view pem, file, ref;
};
constexpr SecretKeys kCa = {"ca", "ca_file", "ca_ref"};
constexpr SecretKeys kCert = {"cert", "cert_file", "cert_ref"};
constexpr SecretKeys kKey = {"key", "key_file", "key_ref"};

// False when there was an error. A reference is read, and makes handshakes fail.
bool ReadSecret(ConfigReader& in, const SecretKeys& keys, std::string* file, std::string* pem,
                std::string* fault) {
  std::string ref;
  in.String(keys.file, file);
  in.String(keys.pem, pem);
  in.String(keys.ref, &ref);
  const std::string name(keys.pem);
  if (int{!file->empty()} + int{!pem->empty()} + int{!ref.empty()} > 1) {
    in.Error(keys.pem, "at most one of " + name + ", " + name + "_file and " + name +
                           "_ref must be configured");
    return false;
  }
  if (!ref.empty()) {
    *fault = name + "_ref cannot be used: there is no secret manager";
    in.Warn(keys.ref, *fault + ", probes of this module fail");
    *pem = ref;  // so that it counts as there
  }
  return true;
}

}  // namespace

void ReadNetworkOptions(ConfigReader& in, NetworkOptions* out) {
  std::string text;
  if (in.String("preferred_ip_protocol", &text)) {
    out->preferred_family = text.empty() || text == "ip6" ? IpFamily::kV6 : IpFamily::kV4;
    if (!text.empty() && text != "ip6" && text != "ip4") {
      in.Warn("preferred_ip_protocol", "'" + text + "' is neither ip4 nor ip6 and means ip4");
    }
  }
  in.Bool("ip_protocol_fallback", &out->fallback);
  text.clear();
  if (in.String("source_ip_address", &text) && !text.empty()) {
    if (const auto source = Address::ParseLiteral(text)) {
      out->source = *source;
    } else {
      in.Warn("source_ip_address",
              "'" + text + "' is not an IP address: probes of this module fail");
      out->bad_source = true;
    }
  }
  if (in.String("source_interface", &out->interface) && out->interface.size() > 15) {
    in.Error("source_interface", "an interface's name has at most 15 bytes");
  }
  int64_t dscp = -1;
  if (in.Int("dscp", &dscp, 0, 63)) out->dscp = static_cast<int>(dscp);
  text.clear();
  if (in.String("close", &text)) {
    if (text == "fin") {
      out->close = NetworkOptions::Close::kFin;
    } else if (text == "reset") {
      out->close = NetworkOptions::Close::kReset;
    } else {
      in.Error("close", "'" + text + "' is neither fin nor reset");
    }
  }
  ReadResolver(in, out);
}

bool ParseTlsVersion(std::string_view text, TlsProfile::Version* out) {
  for (const VersionName& known : kVersions) {
    if (known.text == text) {
      *out = known.version;
      return true;
    }
  }
  return false;
}

namespace {

void ReadResumption(ConfigReader& in, TlsProfile* out) {
  constexpr Duration kLongest = Hours(7 * 24);  // RFC 8446 section 4.6.1
  int64_t every = 1;
  if (in.Int("full_handshake_every", &every, 1, 1'000'000)) {
    out->full_handshake_every = static_cast<int32_t>(every);
  }
  Duration age;
  if (!in.Time("full_handshake_max_age", &age, true)) return;
  if (age <= Duration{} || age > kLongest) {
    in.Error("full_handshake_max_age", "must be more than nothing and at most 7 days");
  } else {
    out->full_handshake_max_age = age;
  }
}

}  // namespace

bool ReadTlsConfig(ConfigReader& in, std::string_view key, TlsProfile* out,
                   std::vector<std::string>* files) {
  const ConfigNode* block = in.Mapping(key);
  if (!block) return false;
  ConfigReader tls(block, in.PathOf(key), in.diagnostics());
  bool good = ReadSecret(tls, kCa, &out->ca_file, &out->ca_pem, &out->fault);
  good = ReadSecret(tls, kCert, &out->cert_file, &out->cert_pem, &out->fault) && good;
  good = ReadSecret(tls, kKey, &out->key_file, &out->key_pem, &out->fault) && good;
  const bool has_cert = !out->cert_file.empty() || !out->cert_pem.empty();
  const bool has_key = !out->key_file.empty() || !out->key_pem.empty();
  if (good && has_cert != has_key) {
    const std::string there = has_cert ? "cert" : "key";
    const std::string missing = has_cert ? "key" : "cert";
    tls.Error(there, "exactly one of " + missing + " or " + missing +
                         "_file must be configured when a client " +
                         (has_cert ? "certificate" : "key") + " is configured");
    good = false;
  }
  tls.String("server_name", &out->server_name);
  bool insecure = !out->verify;
  if (tls.Bool("insecure_skip_verify", &insecure)) out->verify = !insecure;
  good = ReadTlsVersion(tls, "min_version", &out->min_version) && good;
  good = ReadTlsVersion(tls, "max_version", &out->max_version) && good;
  if (out->max_version < out->min_version) {
    tls.Warn("max_version", "max_version is below min_version: probes of this module fail");
    out->fault = "max_version is below min_version";
  }
  ReadResumption(tls, out);
  tls.Finish();
  for (const std::string* file : {&out->ca_file, &out->cert_file, &out->key_file}) {
    if (!file->empty()) files->push_back(*file);
  }
  return good;
}

bool ParseHostPort(std::string_view text, HostPort* out, std::string* error) {
  const std::string quoted = "'" + std::string(text.substr(0, 300)) + "'";
  std::string_view host, port;
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) {
      *error = quoted + ": missing ']' in address";
      return false;
    }
    host = text.substr(1, end - 1);
    if (end + 1 >= text.size() || text[end + 1] != ':') {
      *error = quoted + ": missing port in address";
      return false;
    }
    port = text.substr(end + 2);
    if (!Address::ParseLiteral(host)) {
      *error = quoted + ": brackets hold no IPv6 address";
      return false;
    }
  } else {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
      *error = quoted + ": missing port in address";
      return false;
    }
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != std::string_view::npos) {
      *error = quoted + ": too many colons in address (IPv6 wants brackets)";
      return false;
    }
  }
  if (host.empty()) {
    *error = quoted + ": the host is missing";
    return false;
  }
  if (!IsHostText(host)) {
    *error = quoted + ": not a host name or address";
    return false;
  }
  uint16_t number = 0;
  if (!ParsePortNumber(port, &number) && (IsDigits(port) || !FindService(port, &number))) {
    *error = quoted + ": unknown port '" + std::string(port.substr(0, 50)) + "'";
    return false;
  }
  out->host.assign(host);
  out->port = number;
  return true;
}

bool IsHostText(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), IsHostByte);
}

std::string DestinationOf(std::string_view host, uint16_t port) {
  if (port == 0) return LowerCase(host);
  std::string text;
  const bool brackets = host.find(':') != std::string_view::npos;
  if (brackets) text.push_back('[');
  text.append(LowerCase(host));
  if (brackets) text.push_back(']');
  return text.append(":").append(std::to_string(port));
}

std::optional<double> ParseShare(std::string_view text) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  const std::optional<double> number = ParseReal(text);
  const double most = percent ? 100 : 1;
  if (!number || !(*number >= 0 && *number <= most)) return std::nullopt;
  return *number / most;
}

}  // namespace sonde
