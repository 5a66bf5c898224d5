#include "tools/sonde/serve_flags.h"

#include <cctype>
#include <string>
#include <string_view>

namespace sonde {
namespace {

std::string EnvironmentName(std::string_view flag) {
  std::string name = "SONDE_";
  for (const char c : flag.substr(2)) {
    name += c == '.' || c == '-' ? '_' : static_cast<char>(std::toupper(c));
  }
  return name;
}

template <typename Value>
CLI::Option* Flag(CLI::App* command, const std::string& flag, Value& value,
                  const std::string& help) {
  return command->add_option(flag, value, help)
      ->envname(EnvironmentName(flag))
      ->capture_default_str();
}

// --no-x switches x off, as there.
CLI::Option* Switch(CLI::App* command, const std::string& flag, bool& value,
                    const std::string& help) {
  return command->add_flag(flag + ",!--no-" + flag.substr(2), value, help)
      ->envname(EnvironmentName(flag));
}

void AddConfiguration(CLI::App* serve, ServeOptions* options) {
  Flag(serve, "--config.file", options->config_file,
       "tasks, modules and settings; default: sonde.yml, or blackbox.yml where that is not there");
  Switch(serve, "--config.check", options->config_check, "check the file and exit");
  Switch(serve, "--config.enable-auto-reload", options->auto_reload,
         "look at the file now and then, and reload when it has changed");
  Flag(serve, "--config.auto-reload-interval", options->auto_reload_seconds,
       "seconds between two looks")
      ->check(CLI::Range(1u, 86'400u));
  Flag(serve, "--targets.file", options->targets.files,
       "lists of targets in Prometheus' file_sd form; may be repeated");
  Flag(serve, "--targets.module", options->targets.defaults.module,
       "module of targets whose labels name none");
  Flag(serve, "--targets.interval", options->targets.defaults.interval,
       "interval of targets whose labels name none");
}

void AddWeb(CLI::App* serve, ServeOptions* options) {
  Flag(serve, "--web.listen-address", options->listen_addresses, "HOST:PORT; may be repeated");
  Switch(serve, "--web.systemd-socket", options->systemd_socket,
         "listen on the sockets systemd passes; needs --web.external-url");
  Flag(serve, "--web.config.file", options->web_config_file,
       "TLS, passwords, headers and a limit on requests of every address");
  Flag(serve, "--web.external-url", options->external_url,
       "the URL people reach this process under; its path is the route prefix");
  Flag(serve, "--web.route-prefix", options->route_prefix,
       "what every path begins with; default: the path of --web.external-url");
  Flag(serve, "--web.allowed-hosts", options->allowed_hosts,
       "names accepted in Host besides this machine's own; \"*\" accepts all");
  Flag(serve, "--web.max-connections", options->max_connections, "connections at once")
      ->check(CLI::Range(1u, 1'000'000u));
  Flag(serve, "--web.max-connections-per-client", options->max_connections_per_client,
       "connections at once of one client")
      ->check(CLI::Range(1u, 1'000'000u));
}

void AddProbing(CLI::App* serve, ServeOptions* options) {
  ProbePageOptions& probe = options->probe;
  ProbeLimitSettings& limits = probe.limits;
  Flag(serve, "--timeout-offset", probe.timeout_offset,
       "seconds subtracted from the scrape's time-out");
  Flag(serve, "--history.limit", probe.history, "results of /probe kept for the page and /logs")
      ->check(CLI::Range(0u, 1'000'000u));
  Switch(serve, "--probe.details", probe.details,
         "families of /probe that blackbox_exporter does not have, such as probe_failure_info");
  Switch(serve, "--probe.decode-target-twice", probe.decode_target_twice,
         "decode %XX in targets once more, whatever comes of it");
  Flag(serve, "--probe.deny", options->probe_deny,
       "what /probe may not reach, as in `policy: {deny: [...]}`; \"none\": nothing is denied");
  Flag(serve, "--probe.allow", options->probe_allow,
       "what alone /probe may reach, as in `policy: {allow: [...]}`");
  Flag(serve, "--probe.credentials", options->probe_credentials,
       "where modules show secrets; any: to all targets; named: to what their policy allows")
      ->check(CLI::IsMember({"any", "named"}));
  Flag(serve, "--probe.max-in-flight", limits.in_flight, "probes of /probe at once; 0: no limit")
      ->check(CLI::Range(0u, 1'000'000u));
  Flag(serve, "--probe.max-in-flight-per-client", limits.in_flight_per_client,
       "the same, of one client")
      ->check(CLI::Range(0u, 1'000'000u));
  Flag(serve, "--probe.rate", limits.rate, "probes of /probe per second; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  Flag(serve, "--probe.rate-per-client", limits.rate_per_client, "the same, of one client")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace

void AddServeFlags(CLI::App* serve, ServeOptions* options) {
  AddConfiguration(serve, options);
  AddWeb(serve, options);
  AddProbing(serve, options);
  Flag(serve, "--log.level", options->log_level, "debug, info, warn or error");
  Flag(serve, "--log.format", options->log_format, "logfmt or json");
  Flag(serve, "--log.prober", options->log_prober, "level of the lines about single probes");
  Flag(serve, "--shards", options->shards, "probing threads; 0: the file's, or one per core")
      ->check(CLI::Range(0, 256));
  Switch(serve, "--pin", options->pin, "keep each shard on a CPU of its own");
  Switch(serve, "--keep-capabilities", options->keep_capabilities,
         "give up no privilege; default: all but CAP_NET_RAW");
}

}  // namespace sonde
