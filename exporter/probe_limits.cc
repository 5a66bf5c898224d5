#include "exporter/probe_limits.h"

#include <algorithm>
#include <cstring>

namespace sonde {
namespace {

// A second's worth at once, at least one.
double MostOf(double rate) { return std::max(1.0, rate); }

}  // namespace

std::string_view ProbeLimitName(ProbeLimit limit) {
  constexpr std::string_view kNames[] = {"--probe.max-in-flight", "--probe.rate",
                                         "--probe.max-in-flight-per-client",
                                         "--probe.rate-per-client"};
  return kNames[static_cast<size_t>(limit)];
}

ProbeLimits::Client ProbeLimits::ClientOf(const Address& address) {
  Client client{};
  client[0] = static_cast<uint8_t>(address.family);
  std::memcpy(client.data() + 1, address.bytes.data(), address.family == IpFamily::kV4 ? 4 : 8);
  return client;
}

ProbeLimits::Use& ProbeLimits::UseOf(Client* client, Instant now) {
  const auto found = clients_.find(*client);
  if (found != clients_.end()) return found->second;
  // What all others share comes on top.
  const auto full = [this] { return clients_.size() >= kClients + clients_.count(Client{}); };
  if (full()) {
    const double rate = settings_.rate_per_client;
    for (auto it = clients_.begin(); it != clients_.end();) {
      const Use& use = it->second;
      const bool idle = use.in_flight == 0 && use.bucket.Full(rate, MostOf(rate), now);
      it = idle ? clients_.erase(it) : std::next(it);
    }
  }
  if (full()) *client = Client{};
  return clients_[*client];
}

std::optional<ProbeLimit> ProbeLimits::Begin(Client* client, Instant now) {
  if (settings_.in_flight > 0 && in_flight_ >= settings_.in_flight) return ProbeLimit::kInFlight;
  const bool per_client = settings_.in_flight_per_client > 0 || settings_.rate_per_client > 0;
  Use* use = per_client ? &UseOf(client, now) : nullptr;
  if (use != nullptr && settings_.in_flight_per_client > 0 &&
      use->in_flight >= settings_.in_flight_per_client) {
    return ProbeLimit::kClientInFlight;
  }
  if (use != nullptr && settings_.rate_per_client > 0 &&
      !use->bucket.Take(settings_.rate_per_client, MostOf(settings_.rate_per_client), now)) {
    return ProbeLimit::kClientRate;
  }
  if (settings_.rate > 0 && !bucket_.Take(settings_.rate, MostOf(settings_.rate), now))
    return ProbeLimit::kRate;
  ++in_flight_;
  if (use != nullptr) ++use->in_flight;
  return std::nullopt;
}

void ProbeLimits::End(const Client& client) {
  --in_flight_;
  const auto found = clients_.find(client);
  if (found != clients_.end() && found->second.in_flight > 0) --found->second.in_flight;
}

}  // namespace sonde
