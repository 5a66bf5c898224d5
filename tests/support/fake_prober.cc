#include "tests/support/fake_prober.h"

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

  Step OnOpen(const Leg&, Instant, Output& out) override {
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
  }

 private:
  const FakeModule& module_;
  const FakePlan& plan_;
  LegPlan leg_;
  std::string hop_host_;
  uint16_t hop_port_ = 0;
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
  module->network = network;
  auto task = std::make_shared<Task>();
  task->id = TaskIdOf(name);
  task->name = name;
  task->prober = &FakeProber();
  task->target = target;
  Diagnostics diagnostics;
  task->plan = FakeProber().ParseTarget(target, {}, nullptr, *module, "", diagnostics);
  const_cast<TargetPlan&>(*task->plan).needs_handshake = use_tls;
  task->module = std::move(module);
  task->schedule = Schedule::Every(interval).value();
  task->timeout = timeout;
  task->enabled = enabled;
  task->version = version;
  return task;
}

}  // namespace sonde
