#include "tests/support/fake_prober.h"

#include <array>
#include <cstdlib>
#include <new>

namespace sonde {
namespace {

struct FakePlan : TargetPlan {
  std::string host;
  uint16_t port = 0;
};

void Split(std::string_view target, std::string* host, uint16_t* port) {
  const size_t colon = target.rfind(':');
  if (Address::ParseLiteral(target)) {  // no port
    *host = std::string(target);
    return;
  }
  *host = std::string(target.substr(0, colon));
  *port = static_cast<uint16_t>(std::atoi(std::string(target.substr(colon + 1)).c_str()));
}

class FakeConversation : public Conversation {
 public:
  explicit FakeConversation(const Task& task)
      : module_(static_cast<const FakeModule&>(*task.module)),
        plan_(static_cast<const FakePlan&>(*task.plan)) {}

  Step Start(Instant) override {
    leg_.host = plan_.host;
    leg_.port = plan_.port;
    leg_.scheme = "tcp";
    leg_.network = &module_.network;
    leg_.tls = module_.use_tls ? &module_.tls : nullptr;
    return Step::Open(leg_);
  }

  Step OnOpen(const Leg& leg, Instant, Output& out) override {
    connect_ = leg.connected - leg.connect_start;
    if (module_.mode == FakeModule::Mode::kConnect) return Step::Pass();
    out.AppendStable(AsBytes(module_.request));
    return Step::More();
  }

  ReadStep OnBytes(Bytes in, Instant, Output&) override {
    const std::string_view text = AsText(in);
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {0, Step::More()};
    const std::string_view line = text.substr(0, end);
    if (line == "PONG") return {end + 1, Step::Pass()};
    if (module_.mode == FakeModule::Mode::kHop && line.starts_with("GO ")) {
      Split(line.substr(3), &hop_host_, &hop_port_);
      leg_.host = hop_host_;
      leg_.port = hop_port_;
      return {end + 1, Step::Open(leg_)};
    }
    return {end + 1, Step::Fail(Outcome::kDialogueMismatch)};
  }

  Step OnPeerClosed(PeerClose how, Bytes, Instant, Output&) override {
    if (module_.mode == FakeModule::Mode::kDeaf) return Step::More();
    return Step::Fail(how == PeerClose::kReset ? Outcome::kFirstByteReset
                                               : Outcome::kFirstByteClosed);
  }

  Outcome OnDeadline(Instant) override { return Outcome::kFirstByteTimeout; }

  void Report(struct Report& report, Instant) override {
    if (report.evidence) report.evidence->detail = "fake";
    report.result.facts.Set(Fact::kTcpConnect, connect_.seconds());
  }

 private:
  const FakeModule& module_;
  const FakePlan& plan_;
  LegPlan leg_;
  std::string hop_host_;
  uint16_t hop_port_ = 0;
  Duration connect_;
};

class FakeDatagrams : public Conversation {
 public:
  explicit FakeDatagrams(const Task& task)
      : module_(static_cast<const FakeModule&>(*task.module)),
        plan_(static_cast<const FakePlan&>(*task.plan)) {}

  Step Start(Instant) override {
    leg_.transport = echo() ? Transport::kIcmp : Transport::kUdp;
    leg_.host = plan_.host;
    leg_.port = echo() ? uint16_t{0} : plan_.port;
    leg_.scheme = echo() ? "icmp" : "dns";
    leg_.network = &module_.network;
    return Step::Open(leg_);
  }

  Step OnOpen(const Leg& leg, Instant at, Output& out) override {
    token_ = leg.token;
    return Write(at, out);
  }

  void OnDatagramSent(uint16_t number, Instant at, StampClock) override {
    if (number < kMost) sent_[number] = at;
  }

  Step OnDatagram(const Datagram& message, Output&) override {
    if (echo() && message.bytes.size() != module_.payload) return Wait();
    if (got_[message.number]) {
      ++duplicates_;
      return Wait();
    }
    got_[message.number] = true;
    rtt_ = message.at - sent_[message.number];
    stamped_ = message.clock == StampClock::kKernel;
    return ++received_ == module_.packets ? Step::Pass() : Wait();
  }

  bool OnStray(const Datagram& message) override {
    if (!AsText(message.bytes).ends_with("mine")) return false;
    ++strays_;
    return true;
  }

  Step OnWake(Instant at, Output& out) override { return Write(at, out); }
  Outcome OnDeadline(Instant) override {
    return strays_ > 0 ? Outcome::kFirstByteWrongId : Outcome::kFirstByteTimeout;
  }

  void Report(struct Report& report, Instant) override {
    FactSet& facts = report.result.facts;
    facts.Set(Fact::kIcmpSent, written_);
    facts.Set(Fact::kIcmpReceived, received_);
    facts.Set(Fact::kIcmpDuplicates, duplicates_);
    facts.Set(Fact::kIcmpRtt, rtt_.seconds());
    facts.Set(Fact::kKernelStamps, stamped_ ? 1 : 0);
    facts.Set(Fact::kDnsRcode, strays_);
  }

 private:
  static constexpr size_t kMost = 64;
  bool echo() const { return module_.mode == FakeModule::Mode::kEcho; }

  Step Write(Instant at, Output& out) {
    ++written_;
    if (echo()) {
      constexpr std::array<uint8_t, 2048> kZeros{};
      out.Append(Bytes(kZeros).first(module_.payload));
    } else {
      const uint8_t token[] = {static_cast<uint8_t>(token_ >> 8), static_cast<uint8_t>(token_)};
      out.Append(Bytes(token));
      out.Append(module_.request);
    }
    next_ = at + Milliseconds(10);
    return Wait();
  }
  Step Wait() const { return written_ < module_.packets ? Step::WakeAt(next_) : Step::More(); }

  const FakeModule& module_;
  const FakePlan& plan_;
  LegPlan leg_;
  uint16_t token_ = 0;
  int written_ = 0, received_ = 0, duplicates_ = 0, strays_ = 0;
  bool stamped_ = false;
  Instant next_;
  Duration rtt_;
  std::array<Instant, kMost> sent_;
  std::array<bool, kMost> got_{};
};

class Fake : public Prober {
 public:
  std::string_view name() const override { return "fake"; }
  std::shared_ptr<Module> ParseModule(const ConfigNode*, const std::string&,
                                      Diagnostics&) const override {
    return std::make_shared<FakeModule>();
  }
  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark, const ConfigNode*,
                                                const Module&, const std::string&,
                                                Diagnostics&) const override {
    auto plan = std::make_shared<FakePlan>();
    plan->destination = std::string(target);
    Split(target, &plan->host, &plan->port);
    return plan;
  }
  Conversation* Make(void* place, const Task& task, const ConversationContext&) const override {
    static_assert(sizeof(FakeConversation) <= kConversationBytes);
    static_assert(sizeof(FakeDatagrams) <= kConversationBytes);
    const FakeModule::Mode mode = static_cast<const FakeModule&>(*task.module).mode;
    if (mode == FakeModule::Mode::kUdp || mode == FakeModule::Mode::kEcho) {
      return new (place) FakeDatagrams(task);
    }
    return new (place) FakeConversation(task);
  }
};

}  // namespace

const Prober& FakeProber() {
  static const Fake prober;
  return prober;
}

std::shared_ptr<const Task> FakeTask::Make() const {
  auto module = std::make_shared<FakeModule>();
  module->prober = &FakeProber();
  module->mode = mode;
  module->use_tls = use_tls;
  module->tls = tls;
  module->request = request;
  module->packets = packets;
  module->payload = payload;
  module->network = network;
  auto task = std::make_shared<Task>();
  task->id = TaskIdOf(name);
  task->name = name;
  task->prober = &FakeProber();
  task->target = target;
  Diagnostics diagnostics;
  task->plan = FakeProber().ParseTarget(target, {}, nullptr, *module, "", diagnostics);
  const_cast<TargetPlan&>(*task->plan).needs_handshake = use_tls;
  const_cast<TargetPlan&>(*task->plan).needs_descriptor =
      mode != FakeModule::Mode::kUdp && mode != FakeModule::Mode::kEcho;
  task->module = std::move(module);
  task->schedule = Schedule::Every(interval).value();
  task->timeout = timeout;
  task->enabled = enabled;
  task->version = version;
  return task;
}

}  // namespace sonde
