// line: a user-space line between two network namespaces. See docs/line.md.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tools/farm/line.h"

namespace sonde {
namespace {

constexpr int kUsage = 2;
constexpr int kLargestMtu = 9000;

Line* running = nullptr;  // of the signal handler

void OnSignal(int which) {
  if (which == SIGUSR1) {
    running->Report();
  } else {
    running->Stop();
  }
}

// Wakes up when it should: no slack on timers and, if wanted, before everybody else.
bool HurryUp(const LineOptions& options) {
  prctl(PR_SET_TIMERSLACK, 1);
  if (!options.realtime) return true;
  const sched_param priority{1};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) == 0) return true;
  std::fprintf(stderr, "line: --realtime: %s\n", std::strerror(errno));
  return false;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "A line between two network namespaces: delay, jitter, loss, duplicates, reordering");
  LineOptions options;
  int64_t spin_us = options.spin.ns / 1000;
  absl::Status status;
  const auto condition = [&](const char* flag, const char* what, const char* help) {
    app.add_option_function<std::string>(
        flag,
        [&, what](const std::string& text) { status.Update(ReadCondition(what, text, &options)); },
        help);
  };
  app.add_option("--near", options.near, "NAMESPACE:DEVICE of one end")->required();
  app.add_option("--far", options.far, "NAMESPACE:DEVICE of the other")->required();
  condition("--delay", "delay", "20ms, or THERE,BACK; so are all that follow");
  condition("--jitter", "jitter", "uniform:0ms:5ms, exponential:2ms or lognormal:2ms:0.5");
  condition("--loss", "loss", "1%");
  condition("--duplicate", "duplicate", "1%");
  condition("--reorder", "reorder", "1%: held back, so that others overtake");
  condition("--reorder-by", "reorder_by", "For how long; 5ms");
  app.add_option("--mtu", options.mtu, "Of both devices; 1500")->check(CLI::Range(68, kLargestMtu));
  app.add_option("--seed", options.seed, "Of every random choice");
  app.add_option("--capacity", options.capacity, "Packets on the way at most; 50000")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--spin", spin_us, "Microseconds it looks for packets before it sleeps; 50")
      ->check(CLI::Range(0, 1'000'000));
  auto* const busy = app.add_flag("--busy", options.busy, "Never sleep: exact, and a core is gone");
  // The system stops a real-time process that never sleeps for 50 ms a second.
  app.add_flag("--realtime", options.realtime, "Run before every ordinary process (SCHED_FIFO)")
      ->excludes(busy);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : kUsage; }
  if (!status.ok()) {
    std::fprintf(stderr, "line: %s\n", std::string(status.message()).c_str());
    return kUsage;
  }
  options.spin = Microseconds(spin_us);

  auto line = Line::Open(options);
  if (!line.ok()) {
    std::fprintf(stderr, "line: %s\n", std::string(line.status().message()).c_str());
    return 1;
  }
  running = line->get();
  struct sigaction action {};
  action.sa_handler = OnSignal;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  if (!HurryUp(options)) return 1;
  std::printf("ready\n");
  std::fflush(stdout);
  (*line)->Run();
  std::fputs((*line)->StatsJson().c_str(), stderr);
  return 0;
}

}  // namespace
}  // namespace sonde

int main(int argc, char** argv) { return sonde::Main(argc, argv); }
