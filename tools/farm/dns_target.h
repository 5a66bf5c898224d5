// The DNS side of a simulated target: what it answers, as bytes. Names ask for a behaviour too, by
// labels in front of any name the zones know:
//   do-BEHAVIOUR.NAME   delay-250ms.NAME   bytes-1000.NAME (a TXT answer of that much text)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "tools/farm/dns_message.h"
#include "tools/farm/dns_zones.h"
#include "tools/farm/farm_config.h"
#include "tools/farm/random_delay.h"
#include "tools/farm/step.h"

namespace sonde {

// How an answer leaves over UDP.
enum class FarmDnsSending : uint8_t { kOnce, kTwice, kNever, kOtherPort, kOtherAddress };

// What the labels in front of a name ask for, and what is left of the name, in lower case.
struct FarmDnsAsked {
  std::optional<Behaviour> behaviour;
  Duration delay;
  int64_t text_bytes = -1;  // -1: not asked
  std::array<char, kDnsLongestName> name;
  size_t skipped = 0, size = 0;  // of `name`: bytes of the labels, bytes in all
  std::string_view rest() const { return {name.data() + skipped, size - skipped}; }
};

// One per listener, immutable: any thread.
class FarmDnsTarget {
 public:
  // Without zones in `config`: the zone farm.test with a few records and wildcards.
  explicit FarmDnsTarget(const ListenerConfig& config);
  const absl::Status& status() const { return status_; }  // what is wrong with the zones

  static FarmDnsAsked ReadName(const FarmDnsQuery& query);
  static FarmDnsSending SendingOf(Behaviour behaviour);
  // Whether a message may need kDnsLargest bytes; others fit kDnsEdnsLimit over UDP.
  static bool IsLarge(Behaviour behaviour) { return behaviour == Behaviour::kLarge; }

  // Writes the datagram that `behaviour` answers with to a query that was read as `parsed` (not
  // kIgnore). Returns its size, 0 for nothing to say.
  size_t WriteDatagram(FarmDnsParse parsed, const FarmDnsQuery& query, const FarmDnsAsked& asked,
                       Behaviour behaviour, Random& random, std::span<uint8_t> out) const;

  // Appends what is done over TCP with one query (the bytes behind its length). `behaviour` is what
  // the mix says; returns what was shown.
  Behaviour AnswerStream(std::span<const uint8_t> message, Behaviour behaviour, Random& random,
                         FarmSteps& steps) const;

 private:
  size_t Write(FarmDnsParse parsed, const FarmDnsQuery& query, const FarmDnsAsked& asked,
               Behaviour behaviour, size_t limit, Random& random, std::span<uint8_t> out) const;
  FarmDnsCode PutSections(const FarmDnsQuery& query, const FarmDnsAsked& asked, Behaviour behaviour,
                          FarmDnsWriter& out) const;
  FarmDnsCode PutRecords(const FarmDnsQuery& query, std::string_view name,
                         FarmDnsWriter& out) const;

  const ListenerConfig& config_;
  FarmDnsZones zones_;
  absl::Status status_;
};

}  // namespace sonde
