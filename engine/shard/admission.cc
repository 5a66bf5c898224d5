#include "engine/shard/admission.h"

#include <algorithm>

namespace sonde {

Destination* Destinations::Take(std::string_view name, const ShardLimits& limits, Instant now) {
  if (limits.destination_in_flight == 0 && limits.destination_rate <= 0) return nullptr;
  auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    auto made = std::make_unique<Destination>();
    made->name = name;
    made->refilled = now;
    const std::string_view key = made->name;
    found = by_name_.emplace(key, std::move(made)).first;
  }
  ++found->second->users;
  return found->second.get();
}

bool Destinations::Forget(Destination& destination, const ShardLimits& limits, Instant now) {
  if (destination.users > 0 || destination.ready || destination.armed()) return true;
  if (limits.destination_rate > 0) {
    Refill(destination, limits, now);
    if (destination.tokens < 1) return false;
  }
  by_name_.erase(destination.name);
  return true;
}

void Destinations::Refill(Destination& destination, const ShardLimits& limits, Instant now) {
  const double most = std::max(1.0, limits.destination_rate);
  const double fresh = (now - destination.refilled).seconds() * limits.destination_rate;
  destination.tokens = std::min(most, destination.tokens + std::max(0.0, fresh));
  destination.refilled = now;
}

std::optional<BlockReason> Destinations::Blocked(Destination& destination,
                                                 const ShardLimits& limits, Instant now) {
  if (limits.destination_in_flight > 0 && destination.in_flight >= limits.destination_in_flight) {
    return BlockReason::kDestination;
  }
  if (limits.destination_rate > 0) {
    Refill(destination, limits, now);
    if (destination.tokens < 1) return BlockReason::kRate;
  }
  return std::nullopt;
}

void Destinations::Start(Destination& destination, const ShardLimits& limits) {
  ++destination.in_flight;
  if (limits.destination_rate > 0) destination.tokens -= 1;
}

Instant Destinations::NextToken(const Destination& destination, const ShardLimits& limits) {
  const double seconds = (1 - destination.tokens) / limits.destination_rate;
  return destination.refilled + Nanoseconds(static_cast<int64_t>(seconds * 1e9) + 1);
}

void Destinations::Clear(TimerWheel& wheel) {
  for (auto& [name, destination] : by_name_) wheel.Cancel(*destination);
  by_name_.clear();
}

}  // namespace sonde
