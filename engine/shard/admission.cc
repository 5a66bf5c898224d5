#include "engine/shard/admission.h"

#include <algorithm>

namespace sonde {

Destination& Destinations::Make(std::string_view name, Instant now) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) return *found->second;
  auto made = std::make_unique<Destination>();
  made->name = name;
  made->refilled = now;
  const std::string_view key = made->name;
  return *by_name_.emplace(key, std::move(made)).first->second;
}

Destination* Destinations::Take(std::string_view name, const ShardLimits& limits, Instant now) {
  Destination* destination = nullptr;
  if (limits.destination_in_flight > 0 || limits.destination_rate > 0) {
    destination = &Make(name, now);
  } else if (!by_name_.empty()) {
    const auto found = by_name_.find(name);
    if (found != by_name_.end()) destination = found->second.get();
  }
  if (destination) ++destination->users;
  return destination;
}

Destination& Destinations::Pause(std::string_view name, Instant until, Instant now) {
  Destination& destination = Make(name, now);
  destination.paused_until = until;
  return destination;
}

bool Destinations::Forget(Destination& destination, const ShardLimits& limits, Instant now) {
  if (destination.users > 0 || destination.ready || destination.armed()) return true;
  if (destination.paused_until > now) return false;
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
  if (destination.paused_until > now) return BlockReason::kPorts;
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

Instant Destinations::Reopens(const Destination& destination, const ShardLimits& limits) {
  if (limits.destination_rate <= 0 || destination.tokens >= 1) return destination.paused_until;
  // A rate may be as good as none: nobody plans beyond an hour, and asks again then.
  const double seconds = std::min(3600.0, (1 - destination.tokens) / limits.destination_rate);
  const Instant token = destination.refilled + Nanoseconds(static_cast<int64_t>(seconds * 1e9) + 1);
  return std::max(destination.paused_until, token);
}

void Destinations::Clear(TimerWheel& wheel) {
  for (auto& [name, destination] : by_name_) wheel.Cancel(*destination);
  by_name_.clear();
}

}  // namespace sonde
