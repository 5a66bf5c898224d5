// How many probes may be asked for: at once and per second, of one client and of all. Loop thread;
// told the time.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "engine/contract/address.h"
#include "engine/contract/instant.h"
#include "exporter/token_bucket.h"

namespace sonde {

struct ProbeLimitSettings {  // 0: unlimited
  size_t in_flight = 1000;
  size_t in_flight_per_client = 0;
  double rate = 0;             // probes per second, a second's worth at once
  double rate_per_client = 0;  // the same
};

// Which limit refused. The client's own: 429; the process's: 503.
enum class ProbeLimit : uint8_t { kInFlight, kRate, kClientInFlight, kClientRate };
inline bool IsClients(ProbeLimit limit) { return limit >= ProbeLimit::kClientInFlight; }
std::string_view ProbeLimitName(ProbeLimit limit);  // the flag that sets it

class ProbeLimits {
 public:
  // Clients are told apart by address, of IPv6 by the first 64 bits.
  using Client = std::array<uint8_t, 9>;
  static Client ClientOf(const Address& address);

  explicit ProbeLimits(const ProbeLimitSettings& settings) : settings_(settings) {}

  // nullopt: the probe may start; End follows, with what `client` is then. Clients remembered are
  // bounded: with `kClients` of them active, new ones count as one.
  std::optional<ProbeLimit> Begin(Client* client, Instant now);
  void End(const Client& client);

  size_t in_flight() const { return in_flight_; }
  static constexpr size_t kClients = 10'000;

 private:
  struct Use {
    size_t in_flight = 0;
    TokenBucket bucket;
  };
  Use& UseOf(Client* client, Instant now);

  const ProbeLimitSettings settings_;
  size_t in_flight_ = 0;
  TokenBucket bucket_;
  std::map<Client, Use> clients_;
};

}  // namespace sonde
