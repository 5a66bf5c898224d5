// One HTTP probe: request, answer, redirects, verdict (RFC 9110; blackbox_contract 7.2, 7.3 and
// 8.1; for users: docs/http.md). How requests and answers travel is http_codec.h's.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "engine/contract/task.h"
#include "protocols/http1_codec.h"
#include "protocols/http2_codec.h"
#include "protocols/http_answer.h"
#include "protocols/http_options.h"
#include "protocols/leg_report.h"

namespace sonde {

// Lives in a probe slot on its shard's thread. A plain GET allocates nothing: its request stands in
// the task's plan, its buffers come from the pool.
class HttpConversation final : public Conversation {
 public:
  static constexpr unsigned kMaxRedirects = 10;

  HttpConversation(const Task& task, const ConversationContext& context);
  ~HttpConversation() override;

  Step Start(Instant now) override;
  Step OnOpen(const Leg& leg, Instant at, Output& out) override;
  Step OnLegFailed(const Leg& leg, Outcome outcome, Instant at) override;
  ReadStep OnBytes(Bytes in, Instant at, Output& out) override;
  Step OnPeerClosed(PeerClose how, Bytes rest, Instant at, Output& out) override;
  Outcome OnDeadline(Instant at) override;
  void Report(struct Report& report, Instant at) override;

 private:
  // Rarely needed: what a redirect changes, or a request that cannot be rendered at load.
  struct Detour;
  // How a module with proxies gets to a hop.
  struct Way;

  enum class State : uint8_t {
    kOpening,  // no leg is ready
    kTunnel,   // a proxy is asked for one
    kWaiting,  // the request is on its way, no byte of an answer came
    kHead,
    kBody,
    kDone,
  };

  Detour& MakeDetour();
  const Url& CurrentUrl() const;

  // Before the answer.
  void RenderFirst();
  void PlanLeg(const Url& url, std::string_view server_name);
  Step Ready(const Leg& leg, Instant at, Output& out);
  void ForgetReusedLeg();

  // Hops, straight or through proxies. `known`: the target's address, null: to be resolved.
  Step OpenHop(const Url& url, std::string_view server_name, const Address* known);
  const Address* HopAddress();  // of the hop so far; null: unknown
  Step OnWay(const Leg& leg, Instant at, Output& out);
  Step ChooseWay();
  Step OnProxy(const Leg& leg, Instant at, Output& out);
  Step OnProxyFailed(const Leg& leg, Outcome outcome, Instant at);
  ReadStep OnTunnel(Bytes in, Instant at, Output& out);
  Step TunnelClosed(PeerClose how, Instant at);
  Outcome TunnelTimedOut(Instant at);
  Step TunnelFailed(Instant at);
  Step Arrived(Instant at, Output& out);
  std::string AbsoluteForm(std::string_view request) const;

  // The head.
  void ChooseCodec(const Leg& leg);
  // Of the present leg.
  HttpCodec& codec() { return http2_ ? static_cast<HttpCodec&>(*http2_) : http1_; }
  void BeginAnswer(Instant at);
  Step Take(HttpCodec::Event event, Instant at);
  Step EndHead(const HttpHead& head, Instant at);
  bool StatusIsGood() const;
  bool HeaderRulesHold();
  void JudgeHead(const HttpHead& head);

  // Redirects.
  bool IsRedirect(std::string_view location) const;
  Step Redirect(std::string_view location, Instant at);
  Step Follow(Url next, bool absolute, Instant at);
  Step BadRedirect(std::string_view why, Instant at);
  void ForgetAnswer();

  // The body and the verdict.
  Step EndBody(Instant at);
  bool BodyRulesHold();
  void JudgeVersionAndTls();
  Step Verdict(Instant at);
  Step Broken(Outcome outcome, std::string_view detail, Instant at);
  Outcome OutcomeOf(HttpCodec::Failure failure);
  Outcome CutOff(bool reset);
  // The first thing wrong is the outcome; the pieces of its detail are joined.
  void Find(Outcome outcome, std::initializer_list<std::string_view> detail);

  // Report.
  void SetPhases(ProbeResult& result, Instant end) const;
  void SetTls(struct Report& report) const;
  void SetFacts(FactSet& facts) const;
  void SetEvidence(Evidence& evidence) const;

  const HttpModule& module_;
  const HttpTarget& target_;
  const ConversationContext context_;

  LegPlan plan_;
  LegTimes times_;
  TlsReport tls_;
  Http1Codec http1_;
  std::unique_ptr<Http2Codec> http2_;  // null: the leg speaks HTTP/1.1
  HttpAnswer answer_;

  Instant opened_at_, first_byte_at_, ended_at_;
  Duration processing_;  // summed over hops
  int64_t content_length_ = 0;
  uint16_t status_ = 0;
  HttpModule::Version version_ = HttpModule::Version::kNone;
  uint8_t redirects_ = 0;

  State state_ = State::kOpening;
  Outcome found_ = Outcome::kOk;
  bool attempted_ = false;       // a request was, so that all phases exist
  bool answered_ = false;        // the final answer's head is whole
  bool unfollowed_ = false;      // a redirect refused: its body is not read
  bool until_close_ = false;     // the peer's closing ends the body
  bool rules_failed_ = false;    // probe_failed_due_to_regex
  bool no_credentials_ = false;  // their file is missing: the request counts as attempted
  bool reused_ = false;          // the present leg carried an earlier run
  bool reusable_ = false;        // it can carry another: the answer says so, and is whole

  Buffer detail_;  // of the pool: failing costs no more than passing
  std::unique_ptr<Detour> detour_;
  std::unique_ptr<Way> way_;
};

static_assert(sizeof(HttpConversation) <= kConversationBytes);

}  // namespace sonde
