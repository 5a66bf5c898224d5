// Which due runs of a shard start, and which wait for what.
#include <algorithm>
#include <utility>

#include "engine/shard/shard_entry.h"

namespace sonde {

// Starts the entry's run, or lets it wait for what it lacks.
void Shard::Offer(Entry& entry, Instant now) {
  entry.destination = destinations_.Take(entry.task->plan->destination, limits_, now);
  if (const auto reason = Blocked(entry, now)) {
    Wait(entry, *reason, now);
  } else {
    Start(entry);
  }
}

// Who waits already comes first: a queue that is not empty blocks like the limit behind it.
std::optional<BlockReason> Shard::Blocked(Entry& entry, Instant now) {
  if (probes_.in_flight() >= limits_.in_flight) return BlockReason::kInFlight;
  if (entry.task->plan->needs_descriptor && LacksDescriptor(entry)) {
    return BlockReason::kDescriptors;
  }
  if (!waiting_.empty() && entry.queue == nullptr) return BlockReason::kInFlight;
  if (entry.task->plan->needs_handshake && limits_.handshakes > 0) {
    const bool behind = !waiting_handshake_.empty() && entry.queue != &waiting_handshake_;
    if (behind || probes_.counters().handshakes_in_progress >= limits_.handshakes) {
      return BlockReason::kHandshakes;
    }
  }
  if (Destination* destination = entry.destination) {
    if (!destination->queue.empty() && entry.queue != &destination->queue) {
      return destination->reason;
    }
    return Destinations::Blocked(*destination, limits_, now);
  }
  return std::nullopt;
}

// Connections between two runs give way; who has one of its own needs no other descriptor.
bool Shard::LacksDescriptor(const Entry& entry) {
  while (network_.DescriptorsLeft() <= limits_.descriptors_reserve) {
    if (probes_.idle().Has(entry.idle_place)) return false;
    if (!probes_.idle().CloseOldest(IdleEnd::kDescriptors)) return true;
  }
  return false;
}

void Shard::Wait(Entry& entry, BlockReason reason, Instant now) {
  StartQueue* queue = &waiting_;
  if (reason == BlockReason::kHandshakes) queue = &waiting_handshake_;
  if (reason == BlockReason::kDestination || reason == BlockReason::kRate ||
      reason == BlockReason::kPorts) {
    Destination& destination = *entry.destination;
    destination.reason = reason;
    queue = &destination.queue;
    if (reason != BlockReason::kDestination && !destination.armed()) {
      wheel_.Arm(destination, Destinations::Reopens(destination, limits_));
    }
  }
  if (entry.queue == queue) return;
  if (entry.queue) {
    entry.queue->Remove(entry);
  } else {
    ++waiting_count_;
    entry.blocked = 0;
    if (entry.is_now_run()) wheel_.Arm(entry, now + entry.task->timeout);
  }
  queue->PushBack(entry);
  const auto bit = static_cast<uint8_t>(1u << static_cast<unsigned>(reason));
  if ((entry.blocked & bit) == 0) counters_.blocked[static_cast<size_t>(reason)].Add();
  entry.blocked |= bit;
}

void Shard::StopWaiting(Entry& entry) {
  if (!entry.queue) return;
  entry.queue->Remove(entry);
  --waiting_count_;
}

void Shard::Start(Entry& entry) {
  StopWaiting(entry);
  --starts_left_;
  if (starts_left_ % kStartsPerLook == 0 && network_.Stamp() >= starts_until_) starts_left_ = 0;
  entry.running = true;
  if (entry.destination) Destinations::Start(*entry.destination, limits_);
  if (entry.is_now_run()) wheel_.Cancel(entry);
  counters_.started.Add();
  probes_.Start(entry.task, &entry, &entry.slot);
}

void Shard::StartWaiting(Instant now) {
  StartFrom(waiting_, now);
  StartFrom(waiting_handshake_, now);
  size_t looked = 0;  // in their order: what the turn's last starts left over comes first next time
  while (looked < ready_destinations_.size() && starts_left_ > 0) {
    Destination* destination = ready_destinations_[looked++];
    StartFrom(destination->queue, now);
    destination->ready = false;
    if (starts_left_ <= 0 && !destination->queue.empty()) LookAgain(*destination);
    Forget(*destination, now);
  }
  ready_destinations_.erase(ready_destinations_.begin(),
                            ready_destinations_.begin() + static_cast<std::ptrdiff_t>(looked));
}

void Shard::LookAgain(Destination& destination) {
  if (!std::exchange(destination.ready, true)) ready_destinations_.push_back(&destination);
}

// The entry neither waits nor runs any more.
void Shard::Release(Entry& entry, Instant now) {
  Destination* destination = std::exchange(entry.destination, nullptr);
  if (!destination) return;
  --destination->users;
  Forget(*destination, now);
}

void Shard::Forget(Destination& destination, Instant now) {
  if (!destinations_.Forget(destination, limits_, now)) {
    wheel_.Arm(destination, Destinations::Reopens(destination, limits_));
  }
}

// Starts from the front until one stays blocked by what this queue waits for.
void Shard::StartFrom(StartQueue& queue, Instant now) {
  while (!queue.empty() && starts_left_ > 0) {
    Entry& entry = static_cast<Entry&>(*queue.first());
    const auto reason = Blocked(entry, now);
    if (!reason) {
      Start(entry);
      continue;
    }
    Wait(entry, *reason, now);  // another limit's queue, or its timer
    if (queue.first() == &entry) return;
  }
}

}  // namespace sonde
