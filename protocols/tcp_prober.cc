#include "protocols/tcp_prober.h"

#include <new>
#include <string>
#include <string_view>

#include "protocols/dialogue.h"
#include "protocols/leg_report.h"
#include "protocols/options.h"

namespace sonde {
namespace {

struct TcpModule : Module {
  bool tls = false;              // from the start
  TlsProfile tls_profile;        // for `tls` and for `starttls`
  bool export_untrusted = true;  // certificate families also when verification failed
  DialogueScript script;
  const TlsProfile* first_tls() const override { return tls ? &tls_profile : nullptr; }
};

struct TcpPlan : TargetPlan {
  HostPort to;
  std::string server_name;  // for TLS, where who asks for the probe names it; empty: the host
  std::string contains;     // the short form `expect: {contains: ...}`; empty: none
};

class TcpConversation final : public Conversation {
 public:
  TcpConversation(const Task& task, const ConversationContext& context)
      : module_(static_cast<const TcpModule&>(*task.module)),
        plan_(static_cast<const TcpPlan&>(*task.plan)),
        context_(context),
        dialogue_(module_.script, plan_.contains, context_) {}

  Step Start(Instant now) override;
  Step OnOpen(const Leg& leg, Instant at, Output& out) override;
  Step OnLegFailed(const Leg& leg, Outcome outcome, Instant at) override;
  ReadStep OnBytes(Bytes in, Instant at, Output& out) override;
  Step OnPeerClosed(PeerClose how, Bytes rest, Instant at, Output& out) override;
  Outcome OnDeadline(Instant at) override;
  void Report(struct Report& report, Instant at) override;

 private:
  Step StepFor(const Dialogue::Progress& progress);
  void ReportDialogue(ProbeResult* result, Instant at) const;
  void SetDetail(Outcome outcome, std::string* detail) const;

  const TcpModule& module_;
  const TcpPlan& plan_;
  const ConversationContext context_;
  Dialogue dialogue_;
  LegPlan leg_;
  LegTimes times_;
  TlsReport tls_;
  Buffer leg_detail_;  // why the leg failed, in words
  Instant opened_;     // the stream was ready for the dialogue; unset: it never was
  Instant first_byte_;
  Duration starttls_;          // the handshake within the dialogue
  bool securing_ = false;      // between Step::Secure and what came of it
  bool secured_late_ = false;  // ... after the first byte
};
static_assert(sizeof(TcpConversation) <= kConversationBytes);

Step TcpConversation::Start(Instant) {
  leg_.transport = Transport::kTcp;
  leg_.host = plan_.to.host;
  leg_.port = plan_.to.port;
  leg_.scheme = "tcp";
  leg_.tls = module_.tls ? &module_.tls_profile : nullptr;
  leg_.server_name = plan_.server_name;
  leg_.network = &module_.network;
  return Step::Open(leg_);
}

Step TcpConversation::OnOpen(const Leg& leg, Instant at, Output& out) {
  tls_.Opened(leg);
  if (securing_) {
    const Duration before = times_.tls();
    times_.Secured(leg);
    starttls_ = times_.tls() - before;
    securing_ = false;
  } else {
    times_.Opened(leg);
    opened_ = at;
  }
  if (dialogue_.empty()) return Step::Pass();
  return StepFor(dialogue_.Resume(out));
}

Step TcpConversation::OnLegFailed(const Leg& leg, Outcome outcome, Instant at) {
  tls_.Failed(leg);
  if (!leg.detail.empty()) {
    leg_detail_ = context_.buffers.Take();
    leg_detail_.Append(leg.detail.substr(0, 300));
  }
  if (securing_) {
    const Duration before = times_.tls();
    times_.FailedToSecure(leg, at);
    starttls_ = times_.tls() - before;
  } else {
    times_.Failed(leg, at);
  }
  return Step::Fail(outcome);
}

ReadStep TcpConversation::OnBytes(Bytes in, Instant at, Output& out) {
  if (!first_byte_.stamped()) first_byte_ = at;
  const Dialogue::Progress progress = dialogue_.OnBytes(in, out);
  return {progress.consumed, StepFor(progress)};
}

Step TcpConversation::OnPeerClosed(PeerClose how, Bytes rest, Instant, Output& out) {
  return StepFor(dialogue_.OnPeerClosed(how, rest, out));
}

Outcome TcpConversation::OnDeadline(Instant) { return dialogue_.OnDeadline(); }

Step TcpConversation::StepFor(const Dialogue::Progress& progress) {
  switch (progress.state) {
    case Dialogue::State::kWaiting:
      return Step::More();
    case Dialogue::State::kDone:
      return Step::Pass();
    case Dialogue::State::kFailed:
      return Step::Fail(progress.outcome);
    case Dialogue::State::kSecure:
      break;
  }
  securing_ = true;
  secured_late_ = first_byte_.stamped();
  return Step::Secure(module_.tls_profile,
                      plan_.server_name.empty() ? plan_.to.host : plan_.server_name);
}

void TcpConversation::Report(struct Report& report, Instant at) {
  ProbeResult& result = report.result;
  FactSet& facts = result.facts;
  times_.SetAddressFacts(&facts);
  times_.SetStages(&result);
  if (opened_.stamped()) {
    facts.Set(Fact::kFailedRegex, dialogue_.failed_regex() ? 1 : 0);
    facts.Set(Fact::kFailedBytes, dialogue_.failed_bytes() ? 1 : 0);
  }
  if (times_.resolve_started()) facts.Set(Fact::kTcpResolve, times_.resolve().seconds());
  if (times_.connect_started()) facts.Set(Fact::kTcpConnect, times_.connect().seconds());
  if (times_.tls_started()) facts.Set(Fact::kTcpTls, times_.tls().seconds());
  if (opened_.stamped() && !dialogue_.empty()) ReportDialogue(&result, at);
  times_.SetKernelFacts(&facts);

  const TlsReport::Options tls_options{.cipher = false,
                                       .untrusted = module_.export_untrusted,
                                       .resumes = module_.tls_profile.resumes()};
  tls_.SetFacts(tls_options, &facts);
  ContentHash hash;
  const bool has_tls = tls_.Hash(tls_options, &hash);
  const bool has_labels = dialogue_.HashLabels(&hash);
  if (FinishTexts(has_tls || has_labels, hash, &report)) {
    tls_.AppendTexts(tls_options, report.texts);
    dialogue_.AppendLabels(report.texts);
  }

  if (report.evidence) {
    report.evidence->peer = times_.peer();
    report.evidence->body = dialogue_.said();
    SetDetail(result.outcome, &report.evidence->detail);
  }
}

// The dialogue's time without the handshake in its middle: waiting for the first byte, then talk.
void TcpConversation::ReportDialogue(ProbeResult* result, Instant at) const {
  const bool heard = first_byte_.stamped();
  Duration wait = (heard ? first_byte_ : at) - opened_;
  Duration talk = heard ? at - first_byte_ : Duration{};
  (secured_late_ ? talk : wait) = (secured_late_ ? talk : wait) - starttls_;
  SetStage(result, Stage::kWait, wait);
  if (heard) SetStage(result, Stage::kTransfer, talk);
  result->facts.Set(Fact::kTcpDialogue, (wait + talk).seconds());
}

// In place: the string keeps its room from run to run, and failing takes no more than passing.
void TcpConversation::SetDetail(Outcome outcome, std::string* detail) const {
  detail->clear();
  if (outcome == Outcome::kOk) return;
  if (securing_) {
    detail->append("starttls");
  } else if (opened_.stamped()) {
    detail->append(dialogue_.Detail());
  }
  if (leg_detail_.empty()) return;
  if (!detail->empty()) detail->append(": ");
  detail->append(leg_detail_.text());
}

// A half-open check: the connection is ended before the peer has it, so nothing can be said on it.
void ReadHalfOpen(ConfigReader& in, TcpModule* module) {
  NetworkOptions& network = module->network;
  if (!in.Bool("half_open", &network.half_open) || !network.half_open) return;
  if (in.Has("close") && network.close == NetworkOptions::Close::kFin) {
    in.Error("close", "half_open ends the connection with RST: close: fin cannot be had with it");
  }
  network.close = NetworkOptions::Close::kReset;
  for (const std::string_view key : {"query_response", "preset", "tls_config"}) {
    if (in.Has(key)) in.Error(key, "half_open ends before the peer accepts: nothing can be said");
  }
  if (module->tls) in.Error("tls", "half_open ends before the peer accepts: TLS cannot begin");
}

// ---- the registry's entry -----------------------------------------------------------------------

// "tasks[3]" and "target" -> "tasks[3].target".
std::string Below(const std::string& path, const char* key) {
  return path.empty() ? key : path + "." + key;
}

class Tcp final : public Prober {
 public:
  std::string_view name() const override { return "tcp"; }

  std::shared_ptr<Module> ParseModule(const ConfigNode* block, const std::string& path,
                                      Diagnostics& diagnostics) const override {
    const size_t errors_before = diagnostics.errors();
    auto module = std::make_shared<TcpModule>();
    ConfigReader in(block, path, diagnostics);
    ReadNetworkOptions(in, &module->network);
    in.Bool("tls", &module->tls);
    ReadTlsConfig(in, "tls_config", &module->tls_profile, &module->files);
    in.Bool("export_untrusted_certificates", &module->export_untrusted);
    DialogueScript::Read(in, module->tls, &module->script);
    ReadHalfOpen(in, module.get());
    in.Finish();
    module->prober = this;
    module->content_hash = ContentHash().Add(name()).Add(block).value();
    return diagnostics.errors() == errors_before ? module : nullptr;
  }

  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark mark,
                                                const ConfigNode* expect, const Module& module,
                                                const std::string& path,
                                                Diagnostics& diagnostics) const override {
    return Parse(target, mark, expect, module, path, diagnostics);
  }

  std::shared_ptr<const TargetPlan> ParseTargetAs(std::string_view hostname,
                                                  std::string_view target, const Module& module,
                                                  Diagnostics& diagnostics) const override {
    // An empty host is one that does not resolve.
    const bool nowhere = target.starts_with(':');
    auto plan = Parse(nowhere ? "nowhere" + std::string(target) : std::string(target), {}, nullptr,
                      module, "", diagnostics);
    if (plan && nowhere) plan->to.host.clear();
    if (plan) plan->server_name = std::string(hostname);
    return plan;
  }

  UsualReport Usual(const Task& task) const override {
    const auto& module = static_cast<const TcpModule&>(*task.module);
    const auto& plan = static_cast<const TcpPlan&>(*task.plan);
    UsualReport usual;
    for (const Fact fact :
         {Fact::kTcpResolve, Fact::kTcpConnect, Fact::kFailedRegex, Fact::kFailedBytes}) {
      usual.facts.Set(fact, 0);
    }
    AddUsualLeg(Transport::kTcp, &usual);
    if (!module.script.entries.empty() || !plan.contains.empty()) {
      usual.facts.Set(Fact::kTcpDialogue, 0);
    }
    for (const DialogueEntry& entry : module.script.entries) {
      if (!entry.labels.empty()) usual.Add(TextFamily::kExpectInfo);
    }
    if (module.tls || module.script.starttls) {
      usual.facts.Set(Fact::kTcpTls, 0);
      AddUsualTls({.resumes = module.tls_profile.resumes()}, &usual);
    }
    return usual;
  }

  Conversation* Make(void* place, const Task& task,
                     const ConversationContext& context) const override {
    return new (place) TcpConversation(task, context);
  }

 private:
  static std::shared_ptr<TcpPlan> Parse(std::string_view target, Mark mark,
                                        const ConfigNode* expect, const Module& module,
                                        const std::string& path, Diagnostics& diagnostics) {
    const size_t errors_before = diagnostics.errors();
    auto plan = std::make_shared<TcpPlan>();
    std::string error;
    if (!ParseHostPort(target, &plan->to, &error))
      diagnostics.Error(mark, Below(path, "target"), error);
    ConfigReader in(expect, Below(path, "expect"), diagnostics);
    if (in.String("contains", &plan->contains) && plan->contains.size() > Dialogue::kLineLimit) {
      in.Error("contains", "at most 64 KiB can be looked for");
    }
    if (!plan->contains.empty() && module.network.half_open) {
      in.Error("contains", "half_open ends before the peer accepts: it says nothing");
    }
    in.Finish();
    plan->destination = DestinationOf(plan->to.host, plan->to.port);
    plan->needs_handshake = static_cast<const TcpModule&>(module).tls;
    return diagnostics.errors() == errors_before ? plan : nullptr;
  }
};

}  // namespace

const Prober& TcpProber() {
  static const Tcp prober;
  return prober;
}

}  // namespace sonde
