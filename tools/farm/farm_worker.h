// One thread of a farm: an edge-triggered epoll loop, its connections and their timers. All of it
// on the worker's thread, apart from Stop and the counters.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "tools/farm/dns_sockets.h"
#include "tools/farm/farm.h"
#include "tools/farm/farm_listener.h"
#include "tools/farm/line_service.h"

namespace sonde {

class FarmWorker {
 public:
  // `farm` answers control requests. The listeners outlive the worker.
  FarmWorker(Farm& farm, int index, const FarmConfig& config,
             const std::vector<std::unique_ptr<FarmListener>>& listeners);
  ~FarmWorker();

  bool ok() const { return epoll_ >= 0 && wake_ >= 0; }
  void Run();
  void Stop();  // any thread
  const FarmCounters& counters() const { return counters_; }

 private:
  struct Connection;
  struct Timer {
    int64_t at;
    uint32_t index, generation;
    uint32_t serial;
    bool operator<(const Timer& other) const { return at > other.at; }
  };
  struct Accepting {
    FarmListener* listener;
    FarmSocket socket;
  };

  void Poll(int64_t now);
  void OnEvent(uint64_t tag, uint32_t events);
  void Accept(Accepting& from);
  void PauseAccepting();
  void ResumeAccepting();
  void Open(Connection& c, double unit);
  void Receive(Connection& c);
  bool Plan(Connection& c);  // true: there are steps
  void PlanHttp(Connection& c);
  void PlanLines(Connection& c);
  void PlanDns(Connection& c);
  void AnswerControl(Connection& c, const FarmRequest& request);
  void Advance(Connection& c);
  bool Carry(Connection& c, FarmStep& step);  // true: done, go on
  bool SendSome(Connection& c, std::string_view bytes, size_t total);
  void Arm(Connection& c, int64_t delay_ns);
  void FireTimers(int64_t now);
  void SweepIdle(int64_t now);
  void Close(Connection& c, bool reset, bool orderly);
  Behaviour Choose(Connection& c);
  double ConnectionUnit(int fd, const FarmListener& listener, uint16_t port);
  Connection& Take(int fd, FarmListener& listener, uint16_t port);

  Farm& farm_;
  const uint64_t seed_;
  const int64_t idle_ns_;
  const bool spins_;
  Random random_;
  int epoll_ = -1, wake_ = -1;
  std::atomic<bool> stop_{false};
  std::vector<Accepting> accepting_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<uint32_t> free_;
  std::priority_queue<Timer> timers_;
  int64_t now_ = 0, next_sweep_ = 0, resume_accepting_ = 0;
  std::vector<char> filler_, in_;
  FarmCounters counters_;
  FarmDnsSockets dns_;
};

}  // namespace sonde
