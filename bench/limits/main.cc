// limits WHAT [--port=N ...]: see bench/README.md.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "bench/limits/limits.h"

namespace sonde::limits {
namespace {

constexpr int64_t kStepNs = 1'000'000;  // of a rate

using Run = void (*)(const Options&);

const std::map<std::string, Run> kRuns = {
    {"tcp", RunConnect},
    {"tcp-half-open", RunHalfOpen},
    {"http", RunHttpNew},
    {"tcp-uring", RunConnectByUring},
    {"http-uring", RunHttpNewByUring},
    {"http-kept", RunHttpKept},
    {"https", RunHttpsFull},
    {"https-resumed", RunHttpsResumed},
    {"dns", RunDns},
    {"icmp", RunIcmp},
    {"load", RunLoad},
    {"timer", RunTimer},
};

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Of all threads of a process that run now; /proc/PID/stat has the same in steps of 10 ms.
int64_t ProcessorNs(int pid) {
  namespace fs = std::filesystem;
  int64_t sum = 0;
  std::error_code gone;
  for (const auto& thread :
       fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
    int64_t ns = 0;
    if (std::ifstream(thread.path() / "schedstat") >> ns) sum += ns;
  }
  if (sum == 0) Die("--watch: no such process", 0);
  return sum;
}

}  // namespace

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Die(const char* what, int error) {
  std::fprintf(stderr, "limits: %s%s%s\n", what, error ? ": " : "",
               error ? std::strerror(error) : "");
  std::exit(1);
}

// ---- Meter --------------------------------------------------------------------------------------

Meter::Meter(const Options& options)
    : watch_(options.watch),
      measure_at_(NowNs() + static_cast<int64_t>(options.warm_up * 1e9)),
      end_at_(measure_at_ + static_cast<int64_t>(options.seconds * 1e9)) {}

Meter::Mark Meter::Take() const {
  Mark mark;
  mark.ns = NowNs();
  mark.done = done_;
  getrusage(RUSAGE_SELF, &mark.usage);
  if (watch_ > 0) mark.watched_ns = ProcessorNs(watch_);
  return mark;
}

bool Meter::Going() {
  const int64_t now = NowNs();
  if (now < measure_at_) return true;
  if (first_.ns == 0) first_ = Take();
  if (now < end_at_) return true;
  last_ = Take();
  return false;
}

void Meter::Failed(const char* what, int error) {
  if (++failed_ == 1) {
    std::fprintf(stderr, "limits: the first failure: %s%s%s\n", what, error ? ": " : "",
                 error ? std::strerror(error) : "");
  }
  if (failed_ > 1000 && failed_ > done_) Die(what, error);
}

void Meter::Print(const char* what, std::string more) const {
  const auto done = static_cast<double>(last_.done - first_.done);
  const double seconds = static_cast<double>(last_.ns - first_.ns) / 1e9;
  const double user = Seconds(last_.usage.ru_utime) - Seconds(first_.usage.ru_utime);
  const double system = Seconds(last_.usage.ru_stime) - Seconds(first_.usage.ru_stime);
  if (done == 0) Die("nothing was exchanged", 0);
  if (watch_ > 0) {
    const auto watched = static_cast<double>(last_.watched_ns - first_.watched_ns);
    more += ", \"watched_us\": " + std::to_string(watched / done / 1e3);
  }
  std::printf(
      "{\"what\": \"%s\", \"exchanges\": %.0f, \"seconds\": %.3f, \"per_second\": %.1f, "
      "\"cpu_us\": %.4f, \"user_us\": %.4f, \"system_us\": %.4f, \"failed\": %lld, "
      "\"lost\": %lld%s}\n",
      what, done, seconds, done / seconds, (user + system) / done * 1e6, user / done * 1e6,
      system / done * 1e6, static_cast<long long>(failed_), static_cast<long long>(lost_),
      more.c_str());
}

// ---- Lateness -----------------------------------------------------------------------------------

std::string Lateness::Json() {
  if (us_.empty()) return {};
  std::sort(us_.begin(), us_.end());
  const auto quantile = [this](double q) {
    return std::to_string(us_[static_cast<size_t>(q * static_cast<double>(us_.size() - 1))]);
  };
  return ", \"late_us\": {\"p50\": " + quantile(0.5) + ", \"p99\": " + quantile(0.99) +
         ", \"p99.9\": " + quantile(0.999) + ", \"max\": " + quantile(1) + "}";
}

// ---- Pacer --------------------------------------------------------------------------------------

Pacer::Pacer(const Options& options, int epoll)
    : in_flight_(options.in_flight), rate_(options.rate) {
  if (rate_ == 0) return;
  fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  began_at_ = NowNs();
  measure_at_ = began_at_ + static_cast<int64_t>(options.warm_up * 1e9);
  const int64_t first = began_at_ + kStepNs;
  const itimerspec each{.it_interval = {0, kStepNs},
                        .it_value = {first / 1'000'000'000, first % 1'000'000'000}};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd_;
  if (fd_ < 0 || timerfd_settime(fd_, TFD_TIMER_ABSTIME, &each, nullptr) != 0 ||
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd_, &event) != 0) {
    Die("timerfd", errno);
  }
}

Pacer::~Pacer() {
  if (fd_ >= 0) close(fd_);
}

void Pacer::Tick() {
  uint64_t ticks = 0;
  if (read(fd_, &ticks, sizeof ticks) != sizeof ticks) return;
  // A stall is not made up for with a burst of more than 50 ms.
  owed_ += static_cast<int64_t>(ticks) * rate_;
  const int64_t too_many = std::max<int64_t>(0, owed_ - int64_t{rate_} * 50);
  owed_ -= too_many;
  taken_ += too_many;
}

int Pacer::Take(int busy) {
  const int free = in_flight_ - busy;
  if (rate_ == 0) return free;
  const int now = static_cast<int>(std::min(int64_t{free}, owed_ / 1000));
  owed_ -= int64_t{now} * 1000;
  begun_ = taken_;
  taken_ += int64_t{now} * 1000;
  return now;
}

void Pacer::Begin(int count) {
  if (rate_ == 0) return;
  const int64_t now = NowNs();
  for (; count > 0; --count) {
    begun_ += 1000;
    const int64_t step = (begun_ + rate_ - 1) / rate_;  // the one that made it due
    if (now >= measure_at_) late_.Add(now - began_at_ - step * kStepNs);
  }
}

// ---- the rest -----------------------------------------------------------------------------------

sockaddr_in TargetAddress(const Options& options, unsigned i) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(options.port);
  const unsigned n = options.addresses > 1 ? i % static_cast<unsigned>(options.addresses) : 0;
  const uint32_t address = options.addresses > 1 ? 127u << 24 | (1 + n / 62500) << 16 |
                                                       n / 250 % 250 << 8 | (1 + n % 250)
                                                 : INADDR_LOOPBACK;
  to.sin_addr.s_addr = htonl(address);
  return to;
}

}  // namespace sonde::limits

int main(int argc, char** argv) {
  using namespace sonde::limits;
  signal(SIGPIPE, SIG_IGN);
  CLI::App app("What an exchange costs a client that does nothing else");
  Options options;
  std::string what, close = "reset";
  app.add_option(
         "what", what,
         "tcp, tcp-half-open, http, tcp-uring, http-uring, http-kept, https, https-resumed, dns, "
         "icmp, load or timer")
      ->required()
      ->check(CLI::IsMember(kRuns));
  app.add_option("--port", options.port, "Of the target");
  app.add_option("--seconds", options.seconds, "Measured")->check(CLI::Range(0.1, 3600.0));
  app.add_option("--in-flight", options.in_flight, "Exchanges, or connections, at a time")
      ->check(CLI::Range(1, 60000))
      ->take_last();
  app.add_option("--addresses", options.addresses, "Targets, from 127.1.0.1 on; 1: 127.0.0.1")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--rate", options.rate, "Exchanges a second; 0: as fast as they end")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--close", close, "reset or fin")->check(CLI::IsMember({"reset", "fin"}));
  app.add_flag("--spares", options.spares,
               "tcp, tcp-half-open, http: take connections back with RST and use their sockets for "
               "the next to the same target, as a probe does");
  app.add_flag("--steps", options.steps, "tcp-uring, http-uring: not in one linked chain");
  app.add_flag("--stamps", options.stamps,
               "http, http-kept, dns, icmp: have the kernel stamp arrivals");
  app.add_option("--ca", options.ca, "https: PEM file to verify against");
  app.add_option("--query", options.query, "dns: the name asked for");
  app.add_option("--path", options.path, "load: what is asked for");
  app.add_option("--expect", options.expect, "load: stands in every good answer");
  app.add_option("--watch", options.watch,
                 "A process; its processor time per exchange is told too");
  CLI11_PARSE(app, argc, argv);
  options.reset = close == "reset";
  kRuns.at(what)(options);
  return 0;
}
