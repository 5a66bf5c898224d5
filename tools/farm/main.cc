// farm: simulated targets for probers. See docs/farm.md.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "store/yaml_reader.h"
#include "tools/farm/farm.h"

namespace sonde {
namespace {

constexpr int kUsage = 2;

bool ReadFile(const std::string& path, FarmConfig* config) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "farm: cannot read '%s'\n", path.c_str());
    return false;
  }
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(text, diagnostics);
  if (diagnostics.ok()) *config = FarmConfig::Read(document.root(), diagnostics);
  std::fputs(diagnostics.ToString(path).c_str(), stderr);
  return diagnostics.ok();
}

void ListBehaviours() {
  for (size_t i = 0; i < kBehaviourCount; ++i) {
    const auto behaviour = static_cast<Behaviour>(i);
    std::printf("%-14s %s\n", std::string(BehaviourName(behaviour)).c_str(),
                std::string(BehaviourHelp(behaviour)).c_str());
  }
}

// Until SIGINT or SIGTERM; SIGUSR1 prints the numbers.
void WaitForSignals(const Farm& farm, const sigset_t& signals) {
  for (;;) {
    int which = 0;
    if (sigwait(&signals, &which) != 0) return;
    std::fprintf(stderr, "%s", farm.StatsJson().c_str());
    if (which != SIGUSR1) return;
  }
}

int Main(int argc, char** argv) {
  CLI::App app("Simulated HTTP, HTTPS and TCP targets in one process");
  std::string file, certificates;
  std::vector<std::string> flags;
  int64_t seed = -1;
  int threads = 0;
  bool list = false, spin = false;
  app.add_option("--config.file", file, "A farm's YAML");
  app.add_option("--listen", flags,
                 "KIND:PORT[-PORT][:WHAT], repeatable: http:8080, "
                 "https:8443:expired, tcp:2525:smtp, http:8081:silent, "
                 "refused:9, blackhole:81, control:9900");
  app.add_option("--certificates", certificates, "Directory to write ca.pem and the others to");
  app.add_option("--seed", seed, "Of every random choice")->check(CLI::NonNegativeNumber);
  app.add_option("--threads", threads, "Threads answering")->check(CLI::Range(1, 64));
  app.add_flag("--spin", spin, "They look for work without sleeping: nobody pays for waking them");
  app.add_flag("--behaviours", list, "List what a target can do");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : kUsage; }
  if (list) return ListBehaviours(), 0;

  FarmConfig config;
  if (!file.empty() && !ReadFile(file, &config)) return 1;
  for (const std::string& flag : flags) {
    std::string error;
    const auto listener = FarmConfig::ReadFlag(flag, &error);
    if (!listener) {
      std::fprintf(stderr, "farm: --listen=%s: %s\n", flag.c_str(), error.c_str());
      return kUsage;
    }
    config.listeners.push_back(*listener);
  }
  if (!certificates.empty()) config.certificates = certificates;
  if (seed >= 0) config.seed = static_cast<uint64_t>(seed);
  if (threads > 0) config.threads = threads;
  if (spin) config.spin = true;
  if (config.listeners.empty()) {
    std::fprintf(stderr, "farm: nothing to listen on; see --help\n");
    return kUsage;
  }

  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // inherited by the workers
  auto farm = Farm::Start(std::move(config));
  if (!farm.ok()) {
    std::fprintf(stderr, "farm: %s\n", std::string(farm.status().message()).c_str());
    return 1;
  }
  std::printf("%sready\n", (*farm)->DescribeListeners().c_str());
  std::fflush(stdout);
  WaitForSignals(**farm, signals);
  return 0;
}

}  // namespace
}  // namespace sonde

int main(int argc, char** argv) { return sonde::Main(argc, argv); }
