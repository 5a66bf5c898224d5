#include "tools/sonde/bench/bench_type.h"

#include "engine/contract/cost_model.h"
#include "store/module_text.h"

namespace sonde {
namespace {

constexpr std::string_view kHttp = "{close: reset, preferred_ip_protocol: ip4}";
constexpr std::string_view kHttps =
    "{close: reset, preferred_ip_protocol: ip4, "
    "tls_config: {ca_file: CA, server_name: farm.test}}";

// Sockets end by RST, or the ports of this machine would end the search.
constexpr BenchType kTypes[] = {
    {.name = "http",
     .title = "HTTP, new connection",
     .prober = "http",
     .options = kHttp,
     .target = "http://AT:PORT/",
     .listener = "http:0",
     .silent_listener = "http:0:silent",
     .round_trips = 2},
    {.name = "http-kept",
     .title = "HTTP, kept connection",
     .prober = "http",
     .options = "{close: reset, preferred_ip_protocol: ip4, keep_alive: true}",
     .target = "http://AT:PORT/",
     .listener = "http:0",
     .silent_listener = "http:0:silent",
     .keeps = true,
     .interval = Milliseconds(100),
     .is = [](const Task& task) { return OpeningsOf(task).kept; }},
    {.name = "https",
     .title = "HTTPS, full handshake",
     .prober = "http",
     .options = kHttps,
     .target = "https://AT:PORT/",
     .listener = "https:0",
     .silent_listener = "https:0:silent",
     .first_rate = 50,
     .round_trips = 3,
     .handshake = true},
    {.name = "https-kept",
     .title = "HTTPS, kept connection",
     .prober = "http",
     .options =
         "{close: reset, preferred_ip_protocol: ip4, keep_alive: true, tls_config: {ca_file: "
         "CA, server_name: farm.test}}",
     .target = "https://AT:PORT/",
     .listener = "https:0",
     .silent_listener = "https:0:silent",
     .first_rate = 50,
     .usual = false,
     .handshake = true,
     .keeps = true,
     .interval = Milliseconds(100),
     .is = [](const Task& task) { return OpeningsOf(task).kept; }},
    {.name = "https-resumed",
     .title = "HTTPS, resumed",
     .prober = "http",
     .options = "{close: reset, preferred_ip_protocol: ip4, tls_config: {ca_file: CA, "
                "server_name: farm.test, full_handshake_every: 1000}}",
     .target = "https://AT:PORT/",
     .listener = "https:0:tickets",
     .silent_listener = "https:0:silent",
     .first_rate = 100,
     .round_trips = 3,
     .handshake = true,
     .resumes = true,
     .is = [](const Task& task) { return task.module->first_tls()->resumes(); }},
    {.name = "tcp",
     .title = "TCP connect",
     .prober = "tcp",
     .options = "{close: reset}",
     .target = "AT:PORT",
     .listener = "tcp:0:discard",
     .silent_listener = "blackhole:0"},
    {.name = "tcp-half-open",
     .title = "TCP half-open",
     .prober = "tcp",
     .options = "{half_open: true}",
     .target = "AT:PORT",
     .listener = "tcp:0:discard",
     .silent_listener = "blackhole:0",
     .is = [](const Task& task) { return task.module->network.half_open; }},
    {.name = "tls",
     .title = "TCP with TLS",
     .prober = "tcp",
     .options = "{close: reset, tls: true, tls_config: {ca_file: CA, server_name: farm.test}}",
     .target = "AT:PORT",
     .listener = "https:0",
     .first_rate = 50,
     .round_trips = 2,
     .usual = false,
     .handshake = true},
    {.name = "dns",
     .title = "DNS over UDP",
     .prober = "dns",
     .options = "{query_name: www.farm.test, query_type: A}",
     .target = "AT:PORT",
     .listener = "dns:0",
     .silent_listener = "dns:0:silent",
     .stream = false},
    {.name = "dns-tcp",
     .title = "DNS over TCP",
     .prober = "dns",
     .options = "{query_name: www.farm.test, query_type: A, transport_protocol: tcp, close: reset}",
     .target = "AT:PORT",
     .listener = "dns:0",
     .silent_listener = "dns:0:silent",
     .round_trips = 2,
     .usual = false},
    {.name = "icmp",
     .title = "ICMP echo",
     .prober = "icmp",
     .options = "{preferred_ip_protocol: ip4}",
     .target = "AT",
     .silent_options = "{preferred_ip_protocol: ip4, count: 2, interval: 2s}",
     .stream = false},
};

// Every `word` in the text becomes `value`.
std::string With(std::string text, std::string_view word, const std::string& value) {
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += value.size()) {
    text.replace(at, word.size(), value);
  }
  return text;
}

}  // namespace

std::span<const BenchType> BenchTypes() { return kTypes; }

const BenchType* FindBenchType(std::string_view name) {
  for (const BenchType& type : kTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

const BenchType* BenchTypeOf(const Task& task) {
  const BenchType* usual = nullptr;
  const BenchType* same_prober = &kTypes[0];
  for (const BenchType& type : kTypes) {
    if (type.prober != task.prober->name()) continue;
    if (same_prober->prober != type.prober) same_prober = &type;
    if (type.handshake != task.plan->needs_handshake ||
        type.stream != task.plan->needs_descriptor) {
      continue;
    }
    if (type.is != nullptr && type.is(task)) return &type;
    if (type.is == nullptr && usual == nullptr) usual = &type;
  }
  return usual != nullptr ? usual : same_prober;
}

std::string FarmAddress(size_t number) {
  constexpr size_t kHosts = 250, kNets = 250, kBlocks = 120;
  return "127." + std::to_string(1 + number / (kHosts * kNets) % kBlocks) + "." +
         std::to_string(number / kHosts % kNets) + "." + std::to_string(1 + number % kHosts);
}

std::string FarmTarget(const BenchType& type, size_t number, int port) {
  return With(With(std::string(type.target), "AT", FarmAddress(number)), "PORT",
              std::to_string(port));
}

std::string BenchBlock(std::string_view options, const std::string& authority) {
  return With(std::string(options), "CA", YamlScalar(authority));
}

std::string WithFin(std::string_view options) {
  return With(std::string(options), "close: reset", "close: fin");
}

}  // namespace sonde
