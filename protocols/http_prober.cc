#include "protocols/http_prober.h"

#include <new>

#include "protocols/http_conversation.h"
#include "protocols/http_options.h"
#include "protocols/leg_report.h"

namespace sonde {
namespace {

class HttpProberEntry final : public Prober {
 public:
  std::string_view name() const override { return "http"; }

  std::shared_ptr<Module> ParseModule(const ConfigNode* block, const std::string& path,
                                      Diagnostics& diagnostics) const override {
    auto module = ParseHttpModule(block, path, diagnostics);
    if (module) module->prober = this;
    return module;
  }

  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark mark,
                                                const ConfigNode* expect, const Module& module,
                                                const std::string& path,
                                                Diagnostics& diagnostics) const override {
    return ParseHttpTarget(target, mark, expect, static_cast<const HttpModule&>(module), path,
                           diagnostics);
  }

  std::string_view HostOf(const Module& module) const override {
    return static_cast<const HttpModule&>(module).host;
  }

  std::shared_ptr<const TargetPlan> ParseTargetAs(std::string_view hostname,
                                                  std::string_view target, const Module& module,
                                                  Diagnostics& diagnostics) const override {
    return ParseHttpTargetAs(hostname, target, static_cast<const HttpModule&>(module), diagnostics);
  }

  FactSet BareFacts() const override {
    FactSet facts;
    for (const Fact fact :
         {Fact::kHttpContentLength, Fact::kHttpBodyLength, Fact::kHttpRedirects, Fact::kHttpSsl,
          Fact::kHttpStatusCode, Fact::kHttpVersion, Fact::kFailedRegex}) {
      facts.Set(fact, 0);
    }
    return facts;
  }

  // A redirect may lead to TLS and away from it, and not every server says Last-Modified.
  UsualReport Usual(const Task& task) const override {
    UsualReport usual = Prober::Usual(task);
    AddUsualLeg(Transport::kTcp, &usual);
    usual.facts.Clear(Fact::kHttpLastModified);
    AddUsualLeg(Transport::kTcp, &usual);
    usual.facts.Set(Fact::kFailedRegex, 0);
    const auto& module = static_cast<const HttpModule&>(*task.module);
    if (module.keep <= Duration{}) usual.facts.Clear(Fact::kHttpConnectionReused);
    if (module.proxies && module.proxies->skip_resolve) {
      for (const Fact fact :
           {Fact::kDnsLookupTime, Fact::kIpProtocol, Fact::kIpAddrHash, Fact::kHttpResolve}) {
        usual.facts.Clear(fact);
      }
    }
    if (task.plan->needs_handshake) {
      AddUsualTls(
          {.cipher = true, .resumes = module.tls.resumes(), .dated = module.keep > Duration{}},
          &usual);
    }
    return usual;
  }

  Conversation* Make(void* place, const Task& task,
                     const ConversationContext& context) const override {
    return new (place) HttpConversation(task, context);
  }
};

}  // namespace

const Prober& HttpProber() {
  static const HttpProberEntry prober;
  return prober;
}

}  // namespace sonde
