// Input: a byte choosing the module, then events, two bytes each: what happens and to which packet
// (or how much later). Whatever happens in whatever order: one verdict, one message a flush, never
// two closer than the interval, and numbers that agree with each other and with the verdict.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/icmp_prober.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace {

using namespace sonde;

void Require(bool holds, int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "line %d does not hold\n", line);
  std::abort();
}

struct Options {
  std::string_view yaml;
  double count, max_loss;
};
constexpr Options kModules[] = {
    {"", 1, 0},
    {"wait: 100ms", 1, 0},
    {"{count: 3, interval: 20ms, payload_size: 8}", 3, 0},
    {"{count: 5, interval: 20ms, wait: 50ms, max_loss: 40%}", 5, 0.4},
    {"{count: 255, interval: 10ms, max_loss: 100%, payload_size: 1}", 255, 1},
};

constexpr Outcome kErrors[] = {Outcome::kConnectHostUnreachable, Outcome::kConnectTtlExceeded,
                               Outcome::kConnectTooBig, Outcome::kProberMemory};

void Check(ConversationDriver& probe, const Options& options, double written) {
  const FactSet& facts = probe.result().facts;
  for (const Fact fact : {Fact::kIcmpResolve, Fact::kIcmpSetup, Fact::kIcmpRtt}) {
    Require(facts.Has(fact) && *facts.Get(fact) >= 0);
  }
  const double sent = facts.Get(Fact::kIcmpSent).value_or(0);
  const double received = facts.Get(Fact::kIcmpReceived).value_or(0);
  Require(received <= sent && sent <= written && written <= options.count);
  const bool passed = probe.outcome() == Outcome::kOk;
  if (sent > 0) {
    const double loss = *facts.Get(Fact::kIcmpLoss);
    Require(std::abs(loss - (sent - received) / sent) < 1e-9);
    if (passed) Require(received > 0 && loss <= options.max_loss + 1e-9);
    if (probe.outcome() == Outcome::kValidationLoss) Require(loss > options.max_loss);
  }
  if (passed) Require(sent > 0);
  if (probe.outcome() == Outcome::kFirstByteTimeout) Require(received == 0);
  Require(facts.Has(Fact::kIcmpRttMin) == (received > 0));
  if (received > 0) {
    const double least = *facts.Get(Fact::kIcmpRttMin), most = *facts.Get(Fact::kIcmpRttMax);
    const double mean = *facts.Get(Fact::kIcmpRttAvg);
    Require(0 <= least && least <= mean && mean <= most);
    Require(facts.Get(Fact::kIcmpRttStddev).value_or(0) <= most - least + 1e-9);
    Require(facts.Get(Fact::kIcmpJitter).value_or(0) <= most - least + 1e-9);
  }
  Require(probe.evidence().detail.size() < 500);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  static const auto modules = [] {
    std::array<std::shared_ptr<const Module>, std::size(kModules)> made;
    for (size_t i = 0; i < made.size(); ++i) {
      made[i] = ReadModule(IcmpProber(), kModules[i].yaml).module;
    }
    return made;
  }();
  const Options& options = kModules[data[0] % modules.size()];
  const auto& module = modules[data[0] % modules.size()];
  Require(module != nullptr);
  ConversationDriver probe(IcmpProber(), module, ReadTarget(IcmpProber(), "h", *module).plan);
  probe.Start();
  probe.Open();

  double written = 1;
  bool pending = true;
  for (size_t i = 1; i + 1 < size && !probe.finished(); i += 2) {
    const uint8_t what = data[i], which = data[i + 1];
    switch (what % 5) {
      case 0:
        if (pending) Require(!probe.SendDatagram().empty());
        pending = false;
        break;
      case 1:
        probe.ReceiveDatagram("", which, what, what & 8 ? StampClock::kKernel : StampClock::kUser);
        break;
      case 2:
        if (pending) break;  // nothing is told of what did not leave
        probe.NetworkFails(kErrors[what / 5 % std::size(kErrors)], which, "said so");
        break;
      case 3: {
        if (!probe.step().wake_at.stamped()) break;
        probe.Wake();
        if (probe.finished()) break;
        if (pending) break;  // nothing joins what is still on its way out
        const std::string message = probe.Sent();
        if (message.empty()) break;
        Require(message.size() == (options.count == 3 ? 8u : options.count == 255 ? 1u : 28u));
        ++written;
        if (probe.step().wake_at.stamped()) {
          Require(probe.step().wake_at >= probe.now() + Milliseconds(10));
        }
        probe.SendDatagram();
        break;
      }
      default:
        probe.Advance(Milliseconds(which));
    }
  }
  if (!probe.finished()) probe.Deadline();
  Require(probe.finished());
  Check(probe, options, written);
  return 0;
}
