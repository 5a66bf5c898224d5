// The least a client can do for an exchange, by hand: what probes are measured against.
// No schedule, no rules, no records; the same system calls as a probe.
#pragma once

#include <netinet/in.h>
#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sonde::limits {

struct Options {
  uint16_t port = 0;
  double seconds = 4;    // measured
  double warm_up = 0.5;  // seconds before that
  int in_flight = 256;   // exchanges at a time; http-kept: connections
  int addresses = 1;     // 127.1.0.1 and following; 1: 127.0.0.1
  int rate = 0;          // exchanges begun a second, in steps of 1 ms; 0: as fast as they end
  bool reset = true;     // end connections with RST, not FIN
  bool spares = false;   // take connections back and use their sockets again, as a probe does
  bool steps = false;    // io_uring: go on when an operation is done, not in one chain
  bool stamps = false;   // have the kernel stamp arrivals, as a probe has
  std::string ca;        // PEM of what TLS is verified against
  std::string query = "www.farm.test";
  std::string path = "/", expect = "HTTP/1.1 200";  // load: what is asked for, and in each answer
  int watch = 0;  // a process whose processor time is read along with our own
};

int64_t NowNs();  // CLOCK_MONOTONIC

// Counts exchanges, and reads the clock and the processor time around those that are measured.
class Meter {
 public:
  explicit Meter(const Options& options);

  // Once a turn of the loop; false: time is up.
  bool Going();
  void Done() { ++done_; }
  void Lost(int64_t count) { lost_ += count; }
  // Ends the process when nothing else ever happens.
  void Failed(const char* what, int error);

  // One line of JSON; `more`: further members, each with a comma in front.
  void Print(const char* what, std::string more = "") const;

 private:
  struct Mark {
    int64_t ns = 0, done = 0;
    rusage usage{};
    int64_t watched_ns = 0;
  };
  Mark Take() const;

  const int watch_;
  int64_t measure_at_, end_at_;
  int64_t done_ = 0, failed_ = 0, lost_ = 0;
  Mark first_, last_;
};

// How long after its due time something began.
class Lateness {
 public:
  void Add(int64_t ns) { us_.push_back(static_cast<double>(ns) / 1e3); }
  std::string Json();  // a member with a comma in front, its quantiles in us; empty without any

 private:
  std::vector<double> us_;
};

// How many exchanges may begin. With a rate its timer stands in `epoll`, tagged with its
// descriptor.
class Pacer {
 public:
  Pacer(const Options& options, int epoll);
  ~Pacer();

  int fd() const { return fd_; }               // -1: no rate
  void Tick();                                 // its timer is readable
  int Take(int busy);                          // to be begun now
  void Begin(int count);                       // the next so many of those do
  std::string Late() { return late_.Json(); }  // of those begun after the warm-up

 private:
  const int in_flight_, rate_;
  int fd_ = -1;
  int64_t began_at_ = 0, measure_at_ = 0;
  // In thousandths of an exchange: due and not taken, taken or given up, begun of those.
  int64_t owed_ = 0, taken_ = 0, begun_ = 0;
  Lateness late_;
};

// Target number `i` of them.
sockaddr_in TargetAddress(const Options& options, unsigned i);

// Each runs until its time is up, then prints. They end the process on errors.
void RunConnect(const Options& options);
void RunHalfOpen(const Options& options);  // needs --close=reset, the default
void RunHttpNew(const Options& options);
void RunConnectByUring(const Options& options);
void RunHttpNewByUring(const Options& options);
void RunHttpKept(const Options& options);
void RunHttpsFull(const Options& options);
void RunHttpsResumed(const Options& options);
void RunDns(const Options& options);
void RunIcmp(const Options& options);
void RunLoad(const Options& options);
void RunTimer(const Options& options);

[[noreturn]] void Die(const char* what, int error);  // error: errno, or 0

}  // namespace sonde::limits
