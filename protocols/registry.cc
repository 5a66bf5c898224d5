#include "protocols/registry.h"

#include <array>
#include <vector>

#include "protocols/dns_prober.h"
#include "protocols/http_prober.h"
#include "protocols/icmp_prober.h"
#include "protocols/later_probers.h"
#include "protocols/tcp_prober.h"

namespace sonde {
namespace {

bool EqualsIgnoringCase(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] - 'A' + 'a') : a[i];
    if (c != lower[i]) return false;
  }
  return true;
}

}  // namespace

std::span<const Prober* const> Probers() {
  // A new protocol is one line here, in alphabetical order.
  static const std::array kProbers = {
      &DnsProber(),
      &HttpProber(),
      &IcmpProber(),
      &TcpProber(),
  };
  return kProbers;
}

std::span<const Prober* const> SchemaProbers() {
  static const std::vector<const Prober*> all = [] {
    std::vector<const Prober*> both(Probers().begin(), Probers().end());
    both.insert(both.end(), LaterProbers().begin(), LaterProbers().end());
    return both;
  }();
  return all;
}

const Prober* FindProber(std::string_view name) {
  if (EqualsIgnoringCase(name, "ping")) name = "icmp";
  for (const Prober* prober : Probers()) {
    if (EqualsIgnoringCase(name, prober->name())) return prober;
  }
  return nullptr;
}

}  // namespace sonde
