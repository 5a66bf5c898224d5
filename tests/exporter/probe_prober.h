// A prober without a protocol, for tests of /probe: targets hold a ':', "host=" sets a Host header.
#pragma once

#include <memory>
#include <string>

#include "engine/contract/task.h"

namespace sonde {

struct ProbeModule : Module {
  std::string host;
};

struct ProbePlan : TargetPlan {
  std::string hostname;
};

class ProbeProber : public Prober {
 public:
  std::string_view name() const override { return "http"; }
  std::shared_ptr<Module> ParseModule(const ConfigNode*, const std::string&,
                                      Diagnostics&) const override {
    return std::make_shared<ProbeModule>();
  }
  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark mark,
                                                const ConfigNode*, const Module&,
                                                const std::string& path,
                                                Diagnostics& diagnostics) const override {
    if (target.find(':') == std::string_view::npos) {
      diagnostics.Error(mark, path, "no colon in it");
      return nullptr;
    }
    auto plan = std::make_shared<ProbePlan>();
    plan->destination = std::string(target);
    return plan;
  }
  std::string_view HostOf(const Module& module) const override {
    return static_cast<const ProbeModule&>(module).host;
  }
  FactSet BareFacts() const override {
    FactSet facts;
    facts.Set(Fact::kHttpStatusCode, 0);
    return facts;
  }
  Conversation* Make(void*, const Task&, const ConversationContext&) const override {
    return nullptr;
  }
};

inline const ProbeProber& TheProbeProber() {
  static const ProbeProber prober;
  return prober;
}

inline std::shared_ptr<ProbeModule> MakeProbeModule() {
  auto module = std::make_shared<ProbeModule>();
  module->prober = &TheProbeProber();
  return module;
}

}  // namespace sonde
