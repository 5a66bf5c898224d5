// /probe, /logs and /config: blackbox_exporter's side of the process (blackbox_contract 2). Every
// request of /probe becomes a task of its own and a run of the engine's, through the same
// conversations and the same tables as scheduled runs.
//
// Loop thread. Answers of the engine come from its threads and are taken by the loop.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "absl/functional/any_invocable.h"
#include "engine/contract/log.h"
#include "engine/contract/task_set.h"
#include "exporter/exposition.h"
#include "exporter/http_message.h"
#include "exporter/probe_history.h"
#include "exporter/probe_limits.h"
#include "exporter/probe_request.h"

namespace sonde {

class ProbeLog;

// How a request ended, for sonde_probe_requests_total{result}.
enum class ProbeEnd : uint8_t {
  kSuccess,
  kFailed,
  kInconclusive,  // 503: the prober's own trouble
  kPolicy,        // 403
  kInvalid,       // 400 and 500: no such module, no target, ...
  kClientLimit,   // 429
  kLimit,         // 503
  kGone,          // the client left first
  kCount,
};

class ProbeEndpoint {
 public:
  struct Parts {
    Runner* runner = nullptr;          // outlives the endpoint's last answer
    std::function<WallTime()> now;     // the wall clock
    std::function<Instant()> instant;  // the monotonic one
    // Any thread: makes the loop call it soon. May be refused: Sweep takes what was missed.
    std::function<bool(absl::AnyInvocable<void()>)> post;
    Logger* log = nullptr;  // of probes; may be null
  };

  ProbeEndpoint(ProbePageOptions options, Parts parts);
  ~ProbeEndpoint();
  ProbeEndpoint(const ProbeEndpoint&) = delete;
  ProbeEndpoint& operator=(const ProbeEndpoint&) = delete;

  void SetModules(std::shared_ptr<const ProbeModules> modules) { modules_ = std::move(modules); }

  void Probe(const HttpRequest& request, ResponseHandle handle);
  HttpResponse Logs(const HttpRequest& request) const;
  HttpResponse Config() const;

  // Now and then: takes answers whose message got lost.
  void Sweep() { TakeAnswers(); }
  // Ends every probe: 503. For stopping.
  void CancelAll();

  const ProbeHistory& history() const { return history_; }
  size_t in_flight() const { return pending_.size(); }
  // sonde_probe_requests_total{result}, sonde_probe_requests_in_flight,
  // blackbox_module_unknown_total
  void WriteFamilies(Exposition& out) const;

 private:
  struct Pending;
  class Answers;

  void Start(ProbeRequest asked, const ProbeLimits::Client& client, ResponseHandle handle);
  HttpResponse AnswerUnparsed(const ProbeRequest& asked);
  void TakeAnswers();
  void Take(uint64_t number, const Runner::Answer& answer);
  HttpResponse Conclude(const ProbeRequest& asked, ProbeLog& log, const Runner::Answer& answer);
  void Leave(uint64_t number);
  std::unique_ptr<Pending> Remove(uint64_t number);
  void Count(ProbeEnd end) { ++ends_[static_cast<size_t>(end)]; }
  HttpResponse Count(ProbeEnd end, HttpResponse response);
  void WarnOfNoTime(const ProbeRequest& asked);

  const ProbePageOptions options_;
  const Parts parts_;
  std::shared_ptr<const ProbeModules> modules_;
  ProbeHistory history_;
  ProbeLimits limits_;
  std::unordered_map<uint64_t, std::unique_ptr<Pending>> pending_;  // by our own number
  std::shared_ptr<Answers> answers_;
  uint64_t next_number_ = 1;
  uint64_t unknown_modules_ = 0;
  std::array<uint64_t, static_cast<size_t>(ProbeEnd::kCount)> ends_{};
  Instant warned_;
};

}  // namespace sonde
