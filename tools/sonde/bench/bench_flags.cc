#include "tools/sonde/bench/bench_flags.h"

namespace sonde {
namespace {

template <typename Value>
CLI::Option* Flag(CLI::App* bench, const std::string& flag, Value& value, const std::string& help) {
  return bench->add_option(flag, value, help)->capture_default_str();
}

void AddSearch(CLI::App* bench, BenchOptions* options) {
  bench
      ->add_option("--types", options->types,
                   "which, by commas; default: the usual ones; --types=? names all")
      ->delimiter(',')
      ->allow_extra_args(false);
  bench
      ->add_option("--seconds", options->seconds,
                   "each try; default: 1; with --plan: each rehearsal, 4")
      ->check(CLI::Range(0.1, 600.0));
  Flag(bench, "--repeats", options->repeats, "searches of each type")->check(CLI::Range(1, 100));
  Flag(bench, "--budget", options->budget_seconds, "seconds, all of it")
      ->check(CLI::Range(1.0, 86'400.0));
  Flag(bench, "--lateness", options->lateness, "bound of the 99th percentile");
  Flag(bench, "--skipped", options->skipped,
       "percent of the slots that may get no run, or wait for a limit")
      ->check(CLI::Range(0.0, 100.0));
  Flag(bench, "--failed", options->failed, "percent of the runs that may fail")
      ->check(CLI::Range(0.0, 100.0));
  Flag(bench, "--inconclusive", options->inconclusive, "percent that may be inconclusive")
      ->check(CLI::Range(0.0, 100.0));
  Flag(bench, "--interval", options->interval, "of every task: more of them make a higher rate");
  Flag(bench, "--timeout", options->timeout, "of every probe");
}

void AddPlaces(CLI::App* bench, BenchOptions* options) {
  Flag(bench, "--shards", options->shards, "probing threads; 0: one, with --plan the file's")
      ->check(CLI::Range(0u, 256u));
  Flag(bench, "--io", options->io, "what carries connections, as engine.io")
      ->check(CLI::IsMember({"epoll", "io_uring"}));
  bench->add_flag("--pin,!--no-pin", options->pin,
                  "prober and farm on processors of their own, where there are enough (default)");
  Flag(bench, "--max-rate", options->max_rate, "probes a second at most; 0: no end")
      ->check(CLI::Range(0.0, 1e7));
  bench->add_option("--target", options->targets, "yours, in place of the farm; may be repeated")
      ->allow_extra_args(false);
  bench->add_option("--config.file", options->config_file, "where --module is looked up");
  bench->add_option("--module", options->module, "how --target is probed");
  bench->add_option("--farm", options->farm, "the farm's program; default: beside this one");
}

}  // namespace

void AddBenchFlags(CLI::App* bench, BenchOptions* options) {
  AddSearch(bench, options);
  AddPlaces(bench, options);
  bench->add_flag("--json", options->json, "one JSON object");
  CLI::Option* plan = bench->add_option(
      "--plan", options->plan, "a file: say what its tasks will need, and which limit comes first");
  plan->option_text("FILE");  // without the list of what it excludes
  for (const char* other :
       {"--types", "--repeats", "--budget", "--lateness", "--skipped", "--failed", "--inconclusive",
        "--interval", "--timeout", "--io", "--max-rate", "--target", "--config.file", "--module"}) {
    plan->excludes(bench->get_option(other));
  }
  bench->add_flag("--verify", options->verify,
                  "with --plan: compare with a sonde that probes the farm");
  Flag(bench, "--round-trip", options->round_trip, "with --plan: to the targets")->needs(plan);
}

}  // namespace sonde
