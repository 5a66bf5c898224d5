#include "protocols/dns_prober.h"

#include <new>

#include "protocols/dns_conversation.h"
#include "protocols/dns_options.h"
#include "protocols/leg_report.h"

namespace sonde {
namespace {

class Dns final : public Prober {
 public:
  std::string_view name() const override { return "dns"; }

  std::shared_ptr<Module> ParseModule(const ConfigNode* block, const std::string& path,
                                      Diagnostics& diagnostics) const override {
    auto module = ParseDnsModule(block, path, diagnostics);
    if (module) module->prober = this;
    return module;
  }

  std::string SharedFault(const Module& module) const override {
    const auto& dns = static_cast<const DnsModule&>(module);
    if (!dns.has_block || dns.names_server || !dns.query_name.empty()) return "";
    return "query name must be set for DNS module, or `server`, to ask it for the targets' names";
  }

  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark mark,
                                                const ConfigNode* expect, const Module& module,
                                                const std::string& path,
                                                Diagnostics& diagnostics) const override {
    return ParseDnsTarget(target, mark, expect, static_cast<const DnsModule&>(module), path,
                          diagnostics);
  }

  UsualReport Usual(const Task& task) const override {
    const bool udp =
        static_cast<const DnsModule&>(*task.module).transport == DnsModule::Transport::kUdp;
    UsualReport usual = Prober::Usual(task);
    AddUsualLeg(udp ? Transport::kUdp : Transport::kTcp, &usual);
    if (!static_cast<const DnsTarget&>(*task.plan).asks_serial) usual.facts.Clear(Fact::kDnsSerial);
    if (udp) {
      usual.facts.Set(Fact::kKernelStamps, 0);
    } else {
      usual.facts.Clear(Fact::kDnsTruncated);
    }
    return usual;
  }

  // A text that is no target is a host that does not resolve.
  FactSet BareFacts() const override {
    FactSet facts;
    for (const Fact fact :
         {Fact::kDnsLookupTime, Fact::kIpProtocol, Fact::kIpAddrHash, Fact::kDnsResolve,
          Fact::kDnsConnect, Fact::kDnsRequest, Fact::kDnsAnswerRrs, Fact::kDnsAuthorityRrs,
          Fact::kDnsAdditionalRrs, Fact::kDnsQuerySucceeded}) {
      facts.Set(fact, 0);
    }
    return facts;
  }

  Conversation* Make(void* place, const Task& task,
                     const ConversationContext& context) const override {
    return new (place) DnsConversation(task, context);
  }
};

}  // namespace

const Prober& DnsProber() {
  static const Dns prober;
  return prober;
}

}  // namespace sonde
