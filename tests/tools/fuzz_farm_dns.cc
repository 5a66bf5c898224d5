// Input: a byte that chooses a behaviour, and a query as it came from the network. Whatever it is,
// what is said to it fits its bounds and carries its id.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tools/farm/dns_target.h"

namespace {

using namespace sonde;

void Require(bool holds) {
  if (!holds) std::abort();
}

const FarmDnsTarget& Target() {
  static const ListenerConfig config = [] {
    ListenerConfig dns;
    dns.kind = ListenerConfig::Kind::kDns;
    return dns;
  }();
  static const FarmDnsTarget target(config);
  return target;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto behaviour = static_cast<Behaviour>(data[0] % kBehaviourCount);
  const std::span<const uint8_t> message(data + 1, size - 1);
  Random random(7);
  FarmSteps steps;
  const Behaviour shown = Target().AnswerStream(message, behaviour, random, steps);
  Require(!steps.empty());
  for (const FarmStep& step : steps.all()) Require(step.text().size() <= 2 * (2 + kDnsLargest));

  FarmDnsQuery query;
  const FarmDnsParse parsed = ReadFarmDnsQuery(message, &query);
  if (parsed == FarmDnsParse::kIgnore) return 0;
  const FarmDnsAsked asked = FarmDnsTarget::ReadName(query);
  Require(asked.skipped <= asked.size);
  static std::array<uint8_t, kDnsLargest> out;
  const bool large = FarmDnsTarget::IsLarge(shown);
  const size_t room = large ? kDnsLargest : kDnsEdnsLimit;
  const size_t said =
      Target().WriteDatagram(parsed, query, asked, shown, random, {out.data(), room});
  Require(said <= (large ? kDnsLargest : query.udp_limit()));
  if (shown == Behaviour::kCut || shown == Behaviour::kWrongId) return 0;
  Require(said >= kDnsHeaderSize);
  Require((out[0] << 8 | out[1]) == query.id);
  Require(parsed == FarmDnsParse::kGood ? query.name_size > 0 : query.name_size == 0);
  return 0;
}
