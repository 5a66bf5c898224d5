#include "protocols/icmp_prober.h"

#include <algorithm>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "protocols/leg_report.h"
#include "protocols/options.h"
#include "protocols/round_trips.h"

namespace sonde {
namespace {

// As long as blackbox_exporter's. The engine's cookie takes the place of the first eight bytes, and
// of those of any payload that has as many.
constexpr std::string_view kText = "(cookie)sonde: echo request.";
static_assert(kText.size() == 28);

constexpr int64_t kMostPayload = 65'000;  // a little less than an IPv4 packet can carry
constexpr size_t kSmallPayload = DatagramOptions::kSmallPacket - 20 - 8;  // IPv4's header, ICMP's
constexpr Duration kLeastInterval = Milliseconds(10);

struct IcmpModule : Module {
  DatagramOptions datagram{.ttl = 64};
  std::string payload{kText};
  unsigned count = 1;
  Duration interval = Seconds(1);  // between one request and the next
  Duration wait;                   // for the answer to the last one; 0: until the deadline
  double max_loss = 0;             // share of the requests
};

struct IcmpPlan : TargetPlan {
  std::string host;
  double max_loss = 0;
};

class IcmpConversation final : public Conversation {
 public:
  IcmpConversation(const Task& task, const ConversationContext& context)
      : module_(static_cast<const IcmpModule&>(*task.module)),
        plan_(static_cast<const IcmpPlan&>(*task.plan)),
        buffers_(context.buffers),
        trips_(module_.count, context.buffers) {}

  Step Start(Instant now) override;
  Step OnOpen(const Leg& leg, Instant at, Output& out) override;
  Step OnLegFailed(const Leg& leg, Outcome outcome, Instant at) override;
  void OnDatagramSent(uint16_t number, Instant at, StampClock clock) override;
  Step OnDatagram(const Datagram& message, Output& out) override;
  Step OnNetworkError(const NetworkError& error, Output& out) override;
  Step OnWake(Instant at, Output& out) override;
  Outcome OnDeadline(Instant at) override;
  void Report(struct Report& report, Instant at) override;

 private:
  void Ask(Instant at, Output& out);
  Step Next() const;
  Step Judge() const;
  Outcome Verdict() const;
  void KeepReason(std::string_view text, const Address& from);
  void SetPhases(const RoundTrips::Statistics& trips, Instant at, ProbeResult* result) const;
  void SetPackets(const RoundTrips::Statistics& trips, bool passed, FactSet* facts) const;
  void SetDetail(std::string* detail) const;

  const IcmpModule& module_;
  const IcmpPlan& plan_;
  BufferPool& buffers_;
  LegPlan leg_;
  LegTimes times_;
  RoundTrips trips_;
  Instant setup_start_;  // the name was resolved and the leg began to open
  Instant next_wake_;    // unset: only the deadline ends what we wait for
  unsigned asked_ = 0;   // requests written
  int hop_limit_ = -1;   // of the latest answer
  bool resolved_ = false;
  bool all_stamped_ = true;        // the kernel stamped every answer so far
  Outcome reason_ = Outcome::kOk;  // of the first packet that is known to be lost
  Buffer reason_text_;             // ... or of the leg's failure, in words
  Address reason_from_;            // who said so; family kNone: this machine
};
static_assert(sizeof(IcmpConversation) <= 512, "slots are counted in tens of thousands");
static_assert(sizeof(IcmpConversation) <= kConversationBytes);

Step IcmpConversation::Start(Instant) {
  leg_.transport = Transport::kIcmp;
  leg_.host = plan_.host;
  leg_.scheme = "icmp";
  leg_.network = &module_.network;
  leg_.datagram = &module_.datagram;
  return Step::Open(leg_);
}

Step IcmpConversation::OnOpen(const Leg& leg, Instant at, Output& out) {
  times_.Opened(leg);
  resolved_ = leg.resolved;
  setup_start_ = leg.connect_start.stamped() ? leg.connect_start : at;
  Ask(at, out);
  return Next();
}

Step IcmpConversation::OnLegFailed(const Leg& leg, Outcome outcome, Instant at) {
  times_.Failed(leg, at);
  resolved_ = leg.resolved;
  KeepReason(leg.detail, {});
  return Step::Fail(outcome);
}

// Counted from when this one was written, however late that was: requests never go out in a burst.
void IcmpConversation::Ask(Instant at, Output& out) {
  out.AppendStable(AsBytes(module_.payload));
  ++asked_;
  const Duration pause = asked_ < module_.count ? module_.interval : module_.wait;
  next_wake_ = pause > Duration{} ? at + pause : Instant{};
}

Step IcmpConversation::Next() const {
  if (trips_.complete()) return Judge();
  return next_wake_.stamped() ? Step::WakeAt(next_wake_) : Step::More();
}

void IcmpConversation::OnDatagramSent(uint16_t number, Instant at, StampClock clock) {
  if (number < asked_) trips_.Sent(number, at, clock);
}

Step IcmpConversation::OnDatagram(const Datagram& message, Output&) {
  if (trips_.Answered(message.number, message.at)) {
    hop_limit_ = message.ttl;
    all_stamped_ = all_stamped_ && message.clock == StampClock::kKernel;
  }
  return Next();
}

// A packet nobody will answer is lost; the others may still come through. Our own trouble says
// nothing about the target and ends the run.
Step IcmpConversation::OnNetworkError(const NetworkError& error, Output&) {
  const bool ours = Info(error.outcome).fault == Fault::kProber;
  if (!ours && (error.number >= asked_ || !trips_.Lost(error.number))) return Next();
  if (ours || reason_ == Outcome::kOk) {
    reason_ = error.outcome;
    KeepReason(error.detail.empty() ? Info(error.outcome).sentence : error.detail, error.from);
  }
  return ours ? Step::Fail(error.outcome) : Next();
}

Step IcmpConversation::OnWake(Instant at, Output& out) {
  if (!next_wake_.stamped() || at < next_wake_) return Next();
  const bool asked_all = asked_ == module_.count;
  if (trips_.sent() < asked_) {  // the last one is still on its way out: one message a flush
    next_wake_ = at + (asked_all ? module_.wait : module_.interval);
    return Next();
  }
  if (asked_all) return Judge();
  Ask(at, out);
  return Next();
}

Outcome IcmpConversation::OnDeadline(Instant) { return Verdict(); }

Step IcmpConversation::Judge() const {
  const Outcome outcome = Verdict();
  return outcome == Outcome::kOk ? Step::Pass() : Step::Fail(outcome);
}

// Over the packets sent: those the deadline left no time for are nobody's loss.
Outcome IcmpConversation::Verdict() const {
  if (trips_.answered() == 0) {
    return reason_ == Outcome::kOk ? Outcome::kFirstByteTimeout : reason_;
  }
  constexpr double kRounding = 1e-9;
  return trips_.loss() <= plan_.max_loss + kRounding ? Outcome::kOk : Outcome::kValidationLoss;
}

void IcmpConversation::KeepReason(std::string_view text, const Address& from) {
  reason_from_ = from;
  if (!reason_text_) reason_text_ = buffers_.Take();
  reason_text_.Clear();
  reason_text_.Append(text.substr(0, 300));
}

// ---- the report ---------------------------------------------------------------------------------

void IcmpConversation::Report(struct Report& report, Instant at) {
  ProbeResult& result = report.result;
  times_.SetCommonFacts(&result.facts);
  const RoundTrips::Statistics trips = trips_.Summary();
  SetPhases(trips, at, &result);
  SetPackets(trips, result.outcome == Outcome::kOk, &result.facts);
  result.texts_hash = 0;
  if (report.evidence) {
    report.evidence->peer = times_.peer();
    SetDetail(&report.evidence->detail);
  }
}

// The phases are there on every path, 0 where nothing came of them (blackbox_contract 7.6); the
// waterfall has what happened: with several packets `wait` goes from the first request on.
void IcmpConversation::SetPhases(const RoundTrips::Statistics& trips, Instant at,
                                 ProbeResult* result) const {
  const bool passed = result->outcome == Outcome::kOk;
  const Instant sent = trips.first_sent;
  FactSet& facts = result->facts;
  facts.Set(Fact::kIcmpResolve, resolved_ ? times_.resolve().seconds() : 0);
  Duration setup{};
  if (setup_start_.stamped()) {
    setup = std::max((sent.stamped() ? sent : at) - setup_start_, Duration{});
  }
  facts.Set(Fact::kIcmpSetup, setup.seconds());
  facts.Set(Fact::kIcmpRtt, passed ? trips.mean.seconds() : 0);
  if (times_.resolve_started()) SetStage(result, Stage::kResolve, times_.resolve());
  if (sent.stamped()) SetStage(result, Stage::kWait, (passed ? trips.last_answered : at) - sent);
}

void IcmpConversation::SetPackets(const RoundTrips::Statistics& trips, bool passed,
                                  FactSet* facts) const {
  if (passed && hop_limit_ >= 0) facts->Set(Fact::kIcmpReplyHopLimit, hop_limit_);
  if (trips_.sent() == 0) return;
  facts->Set(Fact::kIcmpSent, trips_.sent());
  facts->Set(Fact::kIcmpReceived, trips_.answered());
  facts->Set(Fact::kIcmpDuplicates, static_cast<double>(trips_.duplicates()));
  facts->Set(Fact::kIcmpLoss, trips_.loss());
  if (trips_.answered() == 0) return;
  facts->Set(Fact::kIcmpRttMin, trips.least.seconds());
  facts->Set(Fact::kIcmpRttAvg, trips.mean.seconds());
  facts->Set(Fact::kIcmpRttMax, trips.most.seconds());
  if (trips.count > 1) facts->Set(Fact::kIcmpRttStddev, trips.deviation.seconds());
  if (trips.neighbours > 0) facts->Set(Fact::kIcmpJitter, trips.jitter.seconds());
  facts->Set(Fact::kKernelStamps, all_stamped_ ? 1 : 0);
}

// "3 of 5 answered; 10.0.0.1 says: host unreachable", as much of it as there is to say. In place:
// the string keeps its room from run to run.
void IcmpConversation::SetDetail(std::string* detail) const {
  detail->clear();
  if (module_.count > 1 && trips_.sent() > 0) {
    detail->append(std::to_string(trips_.answered()));
    detail->append(" of ").append(std::to_string(trips_.sent())).append(" answered");
  }
  if (reason_text_.empty()) return;
  if (!detail->empty()) detail->append("; ");
  if (reason_from_.family != IpFamily::kNone) {
    detail->append(reason_from_.Host()).append(" says: ");
  }
  detail->append(reason_text_.text());
}

// ---- the registry's entry -----------------------------------------------------------------------

// "tasks[3]" and "target" -> "tasks[3].target".
std::string Below(const std::string& path, const char* key) {
  return path.empty() ? key : path + "." + key;
}

constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
constexpr int64_t kHighest = std::numeric_limits<int64_t>::max();

// 0..most, refused in blackbox_exporter's words. False: absent or refused.
bool ReadBounded(ConfigReader& in, const char* key, int64_t most, int64_t* out) {
  int64_t value = 0;
  if (!in.Int(key, &value, kLowest, kHighest)) return false;
  if (value >= 0 && value <= most) {
    *out = value;
    return true;
  }
  in.Error(key, "\"" + std::string(key) + "\" cannot " +
                    (value < 0 ? "be negative" : "exceed " + std::to_string(most)));
  return false;
}

void ReadMaxLoss(ConfigReader& in, double* out) {
  std::string text;
  if (!in.String("max_loss", &text)) return;
  if (const std::optional<double> share = ParseShare(text)) {
    *out = *share;
  } else {
    in.Error("max_loss", "must be a share such as 20% or 0.2, at most 100%");
  }
}

void ReadPacket(ConfigReader& in, IcmpModule* module) {
  int64_t number = 0;
  if (ReadBounded(in, "ttl", 255, &number)) module->datagram.ttl = static_cast<int>(number);
  // Cut, or filled up with zeros.
  if (ReadBounded(in, "payload_size", kMostPayload, &number) && number > 0) {
    module->payload.resize(static_cast<size_t>(number));
  }
  using Fragments = DatagramOptions::Fragments;
  bool undivided = false;
  in.Bool("dont_fragment", &undivided);
  module->datagram.fragments = undivided                                 ? Fragments::kForbidden
                               : module->payload.size() <= kSmallPayload ? Fragments::kNeedless
                                                                         : Fragments::kAllowed;
}

void ReadSeries(ConfigReader& in, IcmpModule* module) {
  int64_t count = 1;
  if (in.Int("count", &count, 1, RoundTrips::kMost)) module->count = static_cast<unsigned>(count);
  if (in.Time("interval", &module->interval) && module->interval < kLeastInterval) {
    in.Error("interval", "must be at least 10ms");
  }
  if (in.Time("wait", &module->wait) && module->wait <= Duration{}) {
    in.Error("wait", "must be above 0");
  }
  ReadMaxLoss(in, &module->max_loss);
}

class Icmp final : public Prober {
 public:
  std::string_view name() const override { return "icmp"; }

  std::shared_ptr<Module> ParseModule(const ConfigNode* block, const std::string& path,
                                      Diagnostics& diagnostics) const override {
    const size_t errors_before = diagnostics.errors();
    auto module = std::make_shared<IcmpModule>();
    ConfigReader in(block, path, diagnostics);
    ReadNetworkOptions(in, &module->network);
    if (in.Has("close")) in.Warn("close", "has no effect: an icmp probe opens no connection");
    ReadPacket(in, module.get());
    ReadSeries(in, module.get());
    in.Finish();
    module->prober = this;
    module->content_hash = ContentHash().Add(name()).Add(block).value();
    return diagnostics.errors() == errors_before ? module : nullptr;
  }

  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark mark,
                                                const ConfigNode* expect, const Module& module,
                                                const std::string& path,
                                                Diagnostics& diagnostics) const override {
    const size_t errors_before = diagnostics.errors();
    const auto& own = static_cast<const IcmpModule&>(module);
    auto plan = std::make_shared<IcmpPlan>();
    plan->host = target;
    const bool literal = Address::ParseLiteral(target).has_value();
    if (!literal && (!IsHostText(target) || target.find_first_of(":[]") != target.npos)) {
      diagnostics.Error(mark, Below(path, "target"),
                        "'" + std::string(target.substr(0, 300)) +
                            "' is not a host name or address; a port and brackets have no place");
    }
    plan->max_loss = own.max_loss;
    ConfigReader in(expect, Below(path, "expect"), diagnostics);
    ReadMaxLoss(in, &plan->max_loss);
    in.Finish();
    plan->destination = DestinationOf(target, 0);
    plan->needs_descriptor = false;
    plan->needs_longer_than = own.interval * (own.count - 1);
    return diagnostics.errors() == errors_before ? plan : nullptr;
  }

  UsualReport Usual(const Task& task) const override {
    UsualReport usual = Prober::Usual(task);
    AddUsualLeg(Transport::kIcmp, &usual);
    usual.facts.Set(Fact::kKernelStamps, 0);
    if (static_cast<const IcmpModule&>(*task.module).count == 1) {
      usual.facts.Clear(Fact::kIcmpRttStddev);
      usual.facts.Clear(Fact::kIcmpJitter);
    }
    return usual;
  }

  // A text that is no target is a host that does not resolve.
  FactSet BareFacts() const override {
    FactSet facts;
    for (const Fact fact : {Fact::kDnsLookupTime, Fact::kIpProtocol, Fact::kIpAddrHash,
                            Fact::kIcmpResolve, Fact::kIcmpSetup, Fact::kIcmpRtt}) {
      facts.Set(fact, 0);
    }
    return facts;
  }

  Conversation* Make(void* place, const Task& task,
                     const ConversationContext& context) const override {
    return new (place) IcmpConversation(task, context);
  }
};

}  // namespace

const Prober& IcmpProber() {
  static const Icmp prober;
  return prober;
}

}  // namespace sonde
