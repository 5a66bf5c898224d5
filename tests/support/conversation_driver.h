// Drives one Conversation the way a probe slot does, without an engine: events in, steps and bytes
// out, time told. For unit tests and fuzz targets of protocols.
//
//   ConversationDriver probe(TcpProber(), module, plan);
//   probe.Start();                          // the leg it asks for: probe.leg()
//   probe.Open();                           // OnOpen
//   EXPECT_EQ(probe.Sent(), "PING\r\n");
//   probe.Receive("+PONG\r\n");             // OnBytes, what is not consumed is kept
//   EXPECT_EQ(probe.outcome(), Outcome::kOk);
//   const ProbeResult& result = probe.result();
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/conversation.h"
#include "engine/contract/task.h"

namespace sonde {

// How a leg comes to be in a test.
struct LegScript {
  Address peer = Address::ParseLiteral("192.0.2.1", 80).value_or(Address{});
  Duration resolve = Milliseconds(1);
  Duration connect = Milliseconds(2);
  Duration tls = Milliseconds(3);
  uint16_t token = 0x1234;  // of datagram legs
  // Used when the plan asks for TLS; its own default is an established session.
  TlsFacts facts = EstablishedTls();

  static TlsFacts EstablishedTls() {
    TlsFacts facts;
    facts.established = true;
    facts.verified = true;
    facts.version = "TLS 1.3";
    facts.cipher = "TLS_AES_128_GCM_SHA256";
    facts.has_certificate = true;
    facts.earliest_expiry_unix = 1'900'000'000;
    facts.chain_expiry_unix = 1'900'000'000;
    facts.fingerprint_sha256 = "00ff";
    facts.issuer = "CN=ca";
    facts.subject = "CN=peer";
    facts.subject_alternative = "peer.example";
    facts.serial_number = "01";
    return facts;
  }
};

// How far a leg got that fails.
enum class LegFailure { kBeforeResolve, kResolve, kConnect, kTls };

class ConversationDriver {
 public:
  // `module` and `plan` as the prober parsed them.
  ConversationDriver(const Prober& prober, std::shared_ptr<const Module> module,
                     std::shared_ptr<const TargetPlan> plan, std::string target = "target",
                     Files* files = nullptr)
      : output_(buffers_), context_{buffers_} {
    context_.files = files;
    task_.id = 1;
    task_.name = "test";
    task_.prober = &prober;
    task_.target = std::move(target);
    task_.module = std::move(module);
    task_.plan = std::move(plan);
    context_.random = [](void* state) { return ++*static_cast<uint64_t*>(state); };
    context_.random_state = &random_;
    conversation_ = prober.Make(place_, task_, context_);
  }
  ~ConversationDriver() { conversation_->~Conversation(); }
  ConversationDriver(const ConversationDriver&) = delete;
  ConversationDriver& operator=(const ConversationDriver&) = delete;

  // Every event moves the clock on by this much before it happens.
  Duration pause = Milliseconds(1);

  Instant now() const { return now_; }
  void Advance(Duration by) { now_ = now_ + by; }

  // ---- Events. Each returns the step; after a verdict they do nothing. ----

  const Step& Start() {
    started_ = now_;
    return Take(conversation_->Start(now_));
  }

  // The leg asked for (or the TLS, after Step::Secure) is ready.
  const Step& Open(const LegScript& script = {}) {
    if (finished()) return step_;
    if (securing_) {
      securing_ = false;
      Secure(script);
    } else {
      Connect(script, LegFailure::kTls);
    }
    open_ = true;
    return Take(conversation_->OnOpen(current_, now_, output_));
  }

  // The leg asked for (or the TLS, after Step::Secure) fails.
  const Step& FailLeg(Outcome outcome, LegFailure at, const LegScript& script = {},
                      std::string_view detail = "") {
    if (finished()) return step_;
    if (securing_) {
      securing_ = false;
      Secure(script);
      current_.tls_end = Instant{};
    } else {
      Connect(script, at);
      if (at == LegFailure::kTls) current_.tls_end = Instant{};
    }
    current_.detail = detail;
    open_ = false;
    const Step& step = Take(conversation_->OnLegFailed(current_, outcome, now_));
    facts_ = TlsFacts{};  // a failed leg's facts die with the call
    current_.tls = nullptr;
    return step;
  }

  // Bytes of the peer, as one read.
  const Step& Receive(std::string_view bytes) {
    if (finished() || securing_) return step_;
    Advance(pause);
    unread_.append(bytes);
    while (!unread_.empty()) {
      // A copy of exactly the size, so that a sanitizer sees reads beyond the end.
      const std::vector<uint8_t> given(unread_.begin(), unread_.end());
      const ReadStep read = conversation_->OnBytes(given, now_, output_);
      if (read.consumed > given.size()) std::abort();
      unread_.erase(0, read.consumed);
      Take(read.step);
      if (step_.kind != Step::Kind::kMore || read.consumed == 0) break;
    }
    return step_;
  }
  const Step& ReceiveOneByOne(std::string_view bytes) {
    for (const char c : bytes) Receive(std::string_view(&c, 1));
    return step_;
  }

  const Step& Close(PeerClose how = PeerClose::kEnd) {
    if (finished()) return step_;
    Advance(pause);
    const std::vector<uint8_t> given(unread_.begin(), unread_.end());
    return Take(conversation_->OnPeerClosed(how, given, now_, output_));
  }

  const Step& Wake() {
    if (finished()) return step_;
    if (step_.wake_at.stamped() && step_.wake_at > now_) now_ = step_.wake_at;
    return Take(conversation_->OnWake(now_, output_));
  }

  // The deadline, while the leg is open.
  const Step& Deadline() {
    if (finished()) return step_;
    Advance(pause);
    const Outcome outcome = conversation_->OnDeadline(now_);
    return Take(outcome == Outcome::kOk ? Step::Pass() : Step::Fail(outcome));
  }

  // What was written since the last call goes out as one datagram: its bytes. OnDatagramSent is
  // told `number` (counted by the driver from 0).
  std::string SendDatagram(StampClock clock = StampClock::kUser) {
    std::string sent = Sent();
    Advance(pause);
    conversation_->OnDatagramSent(datagrams_++, now_, clock);
    return sent;
  }

  // The kernel's stamp of a datagram that went out, told later.
  void StampDatagram(uint16_t number, Instant at) {
    conversation_->OnDatagramSent(number, at, StampClock::kKernel);
  }

  // A datagram that is matched to this leg, from its peer.
  const Step& ReceiveDatagram(std::string_view bytes, uint16_t number = 0, int ttl = 64,
                              StampClock clock = StampClock::kUser) {
    if (finished()) return step_;
    Advance(pause);
    const std::vector<uint8_t> given(bytes.begin(), bytes.end());
    return Take(conversation_->OnDatagram({.bytes = given,
                                           .peer = current_.peer,
                                           .at = now_,
                                           .clock = clock,
                                           .ttl = ttl,
                                           .number = number},
                                          output_));
  }

  // A datagram that is matched to no leg, from the leg's peer or another.
  bool ReceiveStray(std::string_view bytes, const Address& from) {
    Advance(pause);
    const std::vector<uint8_t> given(bytes.begin(), bytes.end());
    return conversation_->OnStray({.bytes = given, .peer = from, .at = now_});
  }
  const Address& peer() const { return current_.peer; }

  const Step& NetworkFails(Outcome outcome, uint16_t number = 0, std::string_view detail = "") {
    if (finished()) return step_;
    Advance(pause);
    return Take(conversation_->OnNetworkError(
        {.outcome = outcome, .from = current_.peer, .at = now_, .number = number, .detail = detail},
        output_));
  }

  // ---- What came of it. ----

  const Step& step() const { return step_; }
  bool finished() const {
    return step_.kind == Step::Kind::kPass || step_.kind == Step::Kind::kFail;
  }
  // kProberInternal while there is no verdict.
  Outcome outcome() const {
    return !finished()                       ? Outcome::kProberInternal
           : step_.kind == Step::Kind::kPass ? Outcome::kOk
                                             : step_.outcome;
  }
  // The plan of the leg asked for last.
  const LegPlan& leg() const { return plan_; }
  // What the conversation wrote since the last call.
  std::string Sent() {
    std::string sent(AsText(output_.pending()));
    if (!sent.empty()) output_.Consume(sent.size());
    return sent;
  }
  // What OnBytes did not consume.
  const std::string& unread() const { return unread_; }

  // Calls Report once, with the verdict so far, and keeps the answer.
  const ProbeResult& result() {
    if (reported_) return result_;
    reported_ = true;
    result_.outcome = outcome();
    result_.duration = now_ - started_;
    Report report{result_, want_texts ? &texts_ : nullptr, known_texts_hash,
                  want_evidence ? &evidence_ : nullptr};
    conversation_->Report(report, now_);
    return result_;
  }
  const Texts& texts() { return result(), texts_; }
  const Evidence& evidence() { return result(), evidence_; }
  bool want_texts = true;
  bool want_evidence = true;
  uint64_t known_texts_hash = 0;

  const Task& task() const { return task_; }
  BufferPool& buffers() { return buffers_; }

 private:
  const Step& Take(const Step& step) {
    step_ = step;
    if (step.kind == Step::Kind::kOpen) {
      if (!step.leg || !step.leg->network) std::abort();
      plan_ = *step.leg;
      output_.Reset();
      unread_.clear();
      open_ = false;
      facts_ = TlsFacts{};
    }
    if (step.kind == Step::Kind::kSecure) {
      if (!step.tls || !open_) std::abort();
      securing_ = true;
      unread_.clear();  // bytes sent before the handshake are nobody's
    }
    return step_;
  }

  void Connect(const LegScript& script, LegFailure until) {
    current_ = Leg{};
    current_.start = now_;
    if (until == LegFailure::kBeforeResolve || plan_.reach == Reach::kName) return;
    if (!plan_.address) {
      current_.resolve_start = now_;
      Advance(script.resolve);
      if (until == LegFailure::kResolve) return;
      current_.resolve_end = now_;
    }
    current_.resolved = true;
    current_.peer = plan_.address ? *plan_.address : script.peer;
    current_.peer.port = plan_.port;
    if (plan_.reach != Reach::kPeer) return;
    current_.connect_start = now_;
    Advance(script.connect);
    if (until == LegFailure::kConnect) return;
    current_.connected = now_;
    current_.token = script.token;
    datagrams_ = 0;
    if (plan_.tls) Secure(script);
  }

  void Secure(const LegScript& script) {
    current_.tls_start = now_;
    Advance(script.tls);
    current_.tls_end = now_;
    facts_ = script.facts;
    current_.tls = &facts_;
  }

  BufferPool buffers_;
  Output output_;
  ConversationContext context_;
  uint64_t random_ = 0;
  Task task_;
  alignas(std::max_align_t) unsigned char place_[kConversationBytes];
  Conversation* conversation_ = nullptr;

  Instant now_{1'000'000'000};
  Instant started_;
  Step step_;
  LegPlan plan_;
  Leg current_;
  TlsFacts facts_;
  bool securing_ = false;
  bool open_ = false;
  uint16_t datagrams_ = 0;
  std::string unread_;
  bool reported_ = false;
  ProbeResult result_;
  Texts texts_;
  Evidence evidence_;
};

}  // namespace sonde
