#include "tools/farm/farm_config.h"

#include <charconv>
#include <iterator>

#include "engine/contract/address.h"
#include "engine/contract/duration_text.h"
#include "tools/farm/dns_zones.h"

namespace sonde {
namespace {

struct BehaviourRow {
  std::string_view word, help;
};
constexpr BehaviourRow kBehaviours[] = {
#define SONDE_BEHAVIOUR_ROW(name, word, help) {word, help},
    SONDE_BEHAVIOURS(SONDE_BEHAVIOUR_ROW)
#undef SONDE_BEHAVIOUR_ROW
};

constexpr std::string_view kKinds[] = {"http",      "https",   "tcp", "refused",
                                       "blackhole", "control", "dns", "dot"};
constexpr std::string_view kTransports[] = {"both", "udp", "tcp"};
constexpr std::string_view kServices[] = {"banner", "echo", "discard", "smtp", "redis", "script"};
constexpr std::string_view kPer[] = {"request", "connection", "target"};
constexpr std::string_view kCertificates[] = {"good",        "expired",    "not_yet_valid",
                                              "self_signed", "wrong_name", "untrusted"};
constexpr std::string_view kVersions[] = {"TLS10", "TLS11", "TLS12", "TLS13"};

template <size_t N>
std::optional<size_t> Position(const std::string_view (&words)[N], std::string_view word) {
  for (size_t i = 0; i < N; ++i) {
    if (words[i] == word) return i;
  }
  return std::nullopt;
}

template <size_t N>
std::string OneOf(const std::string_view (&words)[N]) {
  std::string text = "must be one of";
  for (const std::string_view word : words) text += " " + std::string(word);
  return text;
}

// A word out of a table; true when the key was there and good.
template <typename Enum, size_t N>
bool Word(ConfigReader& in, std::string_view key, const std::string_view (&words)[N], Enum* out) {
  std::string text;
  if (!in.String(key, &text)) return false;
  const auto at = Position(words, text);
  if (!at) {
    in.Error(key, OneOf(words));
    return false;
  }
  *out = static_cast<Enum>(*at);
  return true;
}

std::optional<double> Percent(std::string_view text) {
  if (text.ends_with('%')) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!(value >= 0 && value <= 100)) return std::nullopt;
  return value;
}

bool ParsePorts(std::string_view text, uint16_t* first, uint16_t* last) {
  unsigned a = 0, b = 0;
  const char* const end = text.data() + text.size();
  const auto one = std::from_chars(text.data(), end, a);
  if (one.ec != std::errc()) return false;
  b = a;
  if (one.ptr != end) {
    if (*one.ptr != '-') return false;
    const auto two = std::from_chars(one.ptr + 1, end, b);
    if (two.ec != std::errc() || two.ptr != end) return false;
  }
  if (a > 65535 || b > 65535 || b < a) return false;
  *first = static_cast<uint16_t>(a);
  *last = static_cast<uint16_t>(b);
  return true;
}

void ReadMix(ConfigReader& in, Mix* mix) {
  std::vector<std::pair<std::string, std::string>> shares;
  double sum = 0;
  if (in.StringMap("mix", &shares)) {
    for (const auto& [word, share] : shares) {
      const auto behaviour = FindBehaviour(word);
      const auto percent = Percent(share);
      if (!behaviour) in.Error("mix", "no behaviour is called '" + word + "'");
      if (!percent) in.Error("mix", "'" + share + "' is not a share between 0% and 100%");
      if (!behaviour || !percent) continue;
      mix->shares.emplace_back(*behaviour, *percent);
      sum += *percent;
    }
    if (sum > 100.0001) in.Error("mix", "the shares come to more than 100%");
  }
  Word(in, "mix_per", kPer, &mix->per);
}

// "5ms", {uniform: [1ms, 20ms]}, {exponential: 10ms}, {lognormal: 10ms, sigma: 0.5}, each with
// `most`.
void ReadDelay(ConfigReader& in, Delay* delay) {
  const ConfigNode* node = in.Node("delay");
  if (node == nullptr) return;
  if (node->kind == ConfigNode::Kind::kScalar) {
    if (in.Time("delay", &delay->a)) delay->kind = Delay::Kind::kConstant;
    return;
  }
  ConfigReader inner(node, in.PathOf("delay"), in.diagnostics());
  std::vector<std::string> range;
  if (inner.StringList("uniform", &range)) {
    const auto least = range.size() == 2 ? ParseDuration(range[0]) : std::nullopt;
    const auto most = range.size() == 2 ? ParseDuration(range[1]) : std::nullopt;
    if (!least || !most || *most < *least) {
      inner.Error("uniform", "must be two durations, [least, most]");
    } else {
      *delay = {Delay::Kind::kUniform, *least, *most, 0, delay->most};
    }
  }
  if (inner.Time("exponential", &delay->a)) delay->kind = Delay::Kind::kExponential;
  if (inner.Time("lognormal", &delay->a)) {
    delay->kind = Delay::Kind::kLognormal;
    delay->sigma = 0.5;
  }
  inner.Number("sigma", &delay->sigma, 0, 5);
  inner.Time("most", &delay->most);
  inner.Finish();
}

void ReadScript(ConfigReader& in, std::vector<ScriptLine>* script) {
  const ConfigNode* node = in.Sequence("script");
  if (node == nullptr) return;
  for (size_t i = 0; i < node->items.size(); ++i) {
    ConfigReader line(&node->items[i], in.PathOf("script") + "[" + std::to_string(i) + "]",
                      in.diagnostics());
    ScriptLine made;
    line.String("expect", &made.expect);
    line.String("send", &made.send);
    line.Finish();
    script->push_back(made);
  }
}

void ReadHttp(ConfigReader& in, ListenerConfig* listener) {
  int64_t status = listener->status;
  in.Int("status", &status, 100, 999);
  listener->status = static_cast<int>(status);
  in.String("body", &listener->body);
  int64_t body_bytes = 0;
  if (in.Size("body_bytes", &body_bytes)) {
    if (body_bytes < 0 || body_bytes > 64 * 1024 * 1024) {
      in.Error("body_bytes", "must be at most 64MB; use `large` for more");
    } else {
      listener->body.assign(static_cast<size_t>(body_bytes), 'x');
    }
  }
  in.StringMap("headers", &listener->headers);
  in.String("location", &listener->location);
  in.Size("large_bytes", &listener->large_bytes);
}

// [{name: farm.test, ttl: 60, records: ["@ A 127.0.0.1", ...]}, ...]
void ReadZones(ConfigReader& in, std::vector<FarmDnsZoneConfig>* zones) {
  const ConfigNode* node = in.Sequence("zones");
  if (node == nullptr) return;
  FarmDnsZones known;
  for (size_t i = 0; i < node->items.size(); ++i) {
    ConfigReader zone(&node->items[i], in.PathOf("zones") + "[" + std::to_string(i) + "]",
                      in.diagnostics());
    FarmDnsZoneConfig made;
    int64_t ttl = made.ttl;
    if (!zone.String("name", &made.name)) zone.Error("name", "must be the zone's name");
    zone.Int("ttl", &ttl, 0, INT32_MAX);
    made.ttl = static_cast<uint32_t>(ttl);
    zone.StringList("records", &made.records);
    zone.Finish();
    const absl::Status status = known.AddZone(made.name, made.ttl, made.records);
    if (!made.name.empty() && !status.ok()) zone.Error("records", std::string(status.message()));
    zones->push_back(std::move(made));
  }
}

ListenerConfig ReadListener(const ConfigNode& node, const std::string& path,
                            Diagnostics& diagnostics) {
  ListenerConfig listener;
  ConfigReader in(&node, path, diagnostics);
  if (!in.Has("kind")) in.Error("kind", OneOf(kKinds));
  Word(in, "kind", kKinds, &listener.kind);
  in.String("address", &listener.address);
  if (listener.address != "loopback" && !Address::ParseLiteral(listener.address)) {
    in.Error("address", "must be `loopback` or a literal address");
  }
  std::string ports;
  if (in.String("port", &ports) && !ParsePorts(ports, &listener.first_port, &listener.last_port)) {
    in.Error("port", "must be a port or a range such as 8000-8099");
  }
  ReadDelay(in, &listener.delay);
  ReadMix(in, &listener.mix);
  in.Time("pace", &listener.pace);
  ReadHttp(in, &listener);
  size_t ignored = 0;
  if (Word(in, "certificate", kCertificates, &ignored))
    in.String("certificate", &listener.certificate);
  if (Word(in, "tls_max", kVersions, &ignored)) in.String("tls_max", &listener.tls_max);
  in.Bool("tickets", &listener.tickets);
  Word(in, "service", kServices, &listener.service);
  in.String("banner", &listener.banner);
  ReadScript(in, &listener.script);
  if (!listener.script.empty()) listener.service = ListenerConfig::Service::kScript;
  Word(in, "transport", kTransports, &listener.transport);
  ReadZones(in, &listener.zones);
  in.Finish();
  return listener;
}

}  // namespace

std::string_view BehaviourName(Behaviour behaviour) {
  return kBehaviours[static_cast<size_t>(behaviour)].word;
}

std::string_view BehaviourHelp(Behaviour behaviour) {
  return kBehaviours[static_cast<size_t>(behaviour)].help;
}

std::optional<Behaviour> FindBehaviour(std::string_view name) {
  for (size_t i = 0; i < kBehaviourCount; ++i) {
    if (kBehaviours[i].word == name) return static_cast<Behaviour>(i);
  }
  return std::nullopt;
}

Behaviour Mix::At(double unit) const {
  double left = unit * 100;
  for (const auto& [behaviour, share] : shares) {
    if (left < share) return behaviour;
    left -= share;
  }
  return Behaviour::kOk;
}

FarmConfig FarmConfig::Read(const ConfigNode& root, Diagnostics& diagnostics) {
  FarmConfig config;
  ConfigReader in(&root, "", diagnostics);
  int64_t seed = 1, threads = 1;
  in.Int("seed", &seed, 0, INT64_MAX);
  in.Int("threads", &threads, 1, 64);
  config.seed = static_cast<uint64_t>(seed);
  config.threads = static_cast<int>(threads);
  in.Bool("spin", &config.spin);
  in.String("certificates", &config.certificates);
  in.Time("idle", &config.idle);
  if (const ConfigNode* list = in.Sequence("listeners")) {
    for (size_t i = 0; i < list->items.size(); ++i) {
      config.listeners.push_back(
          ReadListener(list->items[i], "listeners[" + std::to_string(i) + "]", diagnostics));
    }
  }
  in.Finish();
  return config;
}

std::optional<ListenerConfig> FarmConfig::ReadFlag(std::string_view text, std::string* error) {
  const size_t colon = text.find(':');
  const size_t second = colon == text.npos ? text.npos : text.find(':', colon + 1);
  const auto kind = Position(kKinds, text.substr(0, colon));
  const std::string_view ports =
      colon == text.npos ? std::string_view() : text.substr(colon + 1, second - colon - 1);
  const std::string_view rest = second == text.npos ? std::string_view() : text.substr(second + 1);
  ListenerConfig listener;
  if (!kind || !ParsePorts(ports, &listener.first_port, &listener.last_port)) {
    *error = "a listener is KIND:PORT[-PORT][:WHAT]; KIND " + OneOf(kKinds);
    return std::nullopt;
  }
  listener.kind = static_cast<ListenerConfig::Kind>(*kind);
  if (rest.empty()) return listener;
  if (listener.has_tls() && Position(kCertificates, rest)) {
    listener.certificate = std::string(rest);
  } else if (listener.has_tls() && rest == "tickets") {
    listener.tickets = true;
  } else if (const auto service = Position(kServices, rest);
             listener.kind == ListenerConfig::Kind::kTcp && service) {
    listener.service = static_cast<ListenerConfig::Service>(*service);
  } else if (const auto behaviour = FindBehaviour(rest)) {
    listener.mix.shares = {{*behaviour, 100}};
  } else {
    *error = "'" + std::string(rest) + "' is no behaviour, certificate or service";
    return std::nullopt;
  }
  return listener;
}

}  // namespace sonde
