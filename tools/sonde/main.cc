// The command line. `sonde` with flags alone means `sonde serve`, so that the binary can stand in
// for blackbox_exporter.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "tools/sonde/bench/bench_flags.h"
#include "tools/sonde/check.h"
#include "tools/sonde/fleet_plan.h"
#include "tools/sonde/import.h"
#include "tools/sonde/plan.h"
#include "tools/sonde/probe.h"
#include "tools/sonde/serve.h"
#include "tools/sonde/serve_flags.h"
#include "tools/sonde/version.h"

namespace {

using sonde::BenchOptions;
using sonde::ImportOptions;
using sonde::PlanOptions;
using sonde::ProbeOptions;
using sonde::ServeOptions;

constexpr std::array<std::string_view, 7> kCommands = {"serve",  "probe", "plan",   "check",
                                                       "import", "bench", "version"};

void AddProbe(CLI::App& app, ProbeOptions* options) {
  CLI::App* probe = app.add_subcommand("probe", "probe one target now and say what came of it");
  probe->add_option("type", options->type, "dns, http, tcp or icmp")->required();
  probe->add_option("target", options->target, "URL, host:port, host, or a name to resolve")
      ->required();
  probe->add_flag("--json", options->json, "one JSON object");
  probe->add_option("--config.file", options->config_file, "where --module is looked up");
  probe->add_option("--module", options->module, "a module of --config.file");
  probe->add_option("--options", options->options,
                    "the protocol's options as YAML, such as '{method: HEAD}'");
  probe->add_option("--server", options->server, "dns: the server to ask; default: the system's");
  probe->add_option("--query-type", options->query_type, "dns: A, AAAA, MX, ...; default: A");
  probe->add_option("--expect", options->expect, "such as '{status: 2xx, body_contains: ok}'");
  probe->add_option("--timeout", options->timeout, "such as 2s; default: the module's, or 5s");
}

void AddPlan(CLI::App& app, PlanOptions* options) {
  CLI::App* plan = app.add_subcommand("plan", "say what a configuration file will do, and when");
  plan->add_option("file", options->file, "the file; - reads standard input")->required();
  plan->add_option("--task", options->tasks, "a task whose due times to list; may be repeated")
      ->allow_extra_args(false);
  plan->add_option("--next", options->next, "due times of each task")
      ->check(CLI::Range(size_t{0}, sonde::PlanQuestion::kMostDueTimes))
      ->capture_default_str();
  plan->add_option("--from", options->from, "plan from this time (RFC 3339); default: now");
  plan->add_flag("--json", options->json, "one JSON object");
}

void AddImport(CLI::App& app, ImportOptions* options) {
  CLI::App* import =
      app.add_subcommand("import", "make a configuration file out of another program's");
  import->require_subcommand(1);
  CLI::App* prometheus = import->add_subcommand(
      "prometheus", "scrape jobs that probe through blackbox_exporter become tasks");
  prometheus->add_option("file", options->file, "prometheus.yml; - reads standard input")
      ->required();
  prometheus->add_option("--modules", options->modules,
                         "blackbox_exporter's module file; default: its stock modules");
  prometheus->add_option("--output", options->output, "where to write; default: standard output");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"sonde probes a fleet and serves what it saw to Prometheus.", "sonde"};
  app.require_subcommand(0, 1);
  app.set_help_all_flag("--help-all", "help of every command");
  bool version = false;
  app.add_flag("--version", version, "print the version and exit");
  ServeOptions serve;
  ProbeOptions probe;
  PlanOptions plan;
  ImportOptions import;
  BenchOptions bench;
  std::vector<std::string> files;
  std::string web_file;
  AddServeFlags(app.add_subcommand("serve", "probe the tasks of a file and serve metrics"), &serve);
  AddProbe(app, &probe);
  AddPlan(app, &plan);
  CLI::App* check = app.add_subcommand("check", "say everything wrong with configuration files");
  CLI::Option* checked =
      check->add_option("files", files, "configuration files; - reads standard input");
  CLI::Option* web = check->add_option("--web.config.file", web_file, "a web configuration file");
  AddImport(app, &import);
  AddBenchFlags(app.add_subcommand("bench", "find the highest rate this machine can probe at"),
                &bench);
  app.add_subcommand("version", "print the version");

  // CLI11 takes them from the back.
  std::vector<std::string> words(argv + 1, argv + argc);
  const bool top =
      !words.empty() && (words[0] == "--help-all" || words[0] == "--help" || words[0] == "-h");
  const bool named = !words.empty() && std::find(kCommands.begin(), kCommands.end(),
                                                 std::string_view(words[0])) != kCommands.end();
  if (!named && std::find(words.begin(), words.end(), "--version") != words.end()) {
    words = {"--version"};  // wherever it stands
  } else if (!named && !top && (words.empty() || words[0].starts_with("-"))) {
    words.insert(words.begin(), "serve");
  }
  // A 1 of its own.
  const bool has_one =
      named && (words[0] == "probe" || words[0] == "import" || words[0] == "bench");
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    // Help goes to standard output; a mistake is one line on standard error, and 2 for a probe,
    // whose 1 means "the target failed", an import, whose 1 means "not all of it", and a bench,
    // whose 1 means that something could not be measured.
    if (error.get_exit_code() != 0) {
      std::fprintf(stderr, "sonde: error: %s, try --help\n", error.what());
      return has_one ? 2 : 1;
    }
    return app.exit(error);
  }
  if (version || app.got_subcommand("version")) {
    std::printf("%s\n", sonde::VersionLine().c_str());
    return 0;
  }
  if (app.got_subcommand("probe")) return sonde::Probe(probe);
  if (app.got_subcommand("plan")) return sonde::Plan(plan);
  if (app.got_subcommand("import")) return sonde::ImportPrometheusFile(import);
  if (app.got_subcommand("bench")) return sonde::Bench(bench);
  if (app.got_subcommand("check")) {
    if (checked->empty() && web->empty()) {
      std::fprintf(stderr, "sonde: error: files is required, try --help\n");
      return 1;
    }
    return sonde::Check(files, web_file);
  }
  return sonde::Serve(serve);
}
