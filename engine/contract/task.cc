#include "engine/contract/task.h"

#include "engine/contract/siphash.h"

namespace sonde {

UsualReport Prober::Usual(const Task&) const {
  UsualReport usual;
  const std::string own = "probe_" + std::string(name()) + "_";
  for (const FactInfo& info : Facts()) {
    if (info.family.starts_with(own) && usual.facts.size() < FactSet::kCapacity) {
      usual.facts.Set(info.fact, 0);
    }
  }
  for (const Fact fact : {Fact::kDnsLookupTime, Fact::kIpProtocol, Fact::kIpAddrHash}) {
    usual.facts.Set(fact, 0);
  }
  return usual;
}

// The key is part of what users see (phases of file tasks follow from it): never change it.
uint64_t TaskIdOf(std::string_view name) {
  const uint64_t id = SipHash24(0x736f6e64652e6964u, 0x7461736b206e616du, name);
  return id == 0 ? 1 : id;
}

std::string_view Prober::HostOf(const Module&) const { return {}; }

std::shared_ptr<const TargetPlan> Prober::ParseTargetAs(std::string_view, std::string_view target,
                                                        const Module& module,
                                                        Diagnostics& diagnostics) const {
  return ParseTarget(target, {}, nullptr, module, "", diagnostics);
}

FactSet Prober::BareFacts() const { return {}; }

}  // namespace sonde
