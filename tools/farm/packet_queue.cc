#include "tools/farm/packet_queue.h"

#include <algorithm>
#include <cstring>

namespace sonde {

PacketQueue::PacketQueue(const LineConditions& there, const LineConditions& back,
                         size_t packet_size, size_t capacity, uint64_t seed)
    : packet_size_(packet_size),
      capacity_(capacity),
      ways_{Way{there, Random(Random::Mix(seed)), 0, {}},
            Way{back, Random(Random::Mix(seed + 1)), 0, {}}},
      room_(TakeSlot()) {}

void PacketQueue::Put(size_t direction, size_t size, int64_t now_ns) {
  Way& way = ways_[direction];
  ++way.counts.taken;
  const LineConditions& conditions = way.conditions;
  // The draws of a packet do not depend on the fate of others: each takes the same number of them.
  const bool lost = way.random.Unit() < conditions.loss;
  const bool twice = way.random.Unit() < conditions.duplicate;
  const bool held = way.random.Unit() < conditions.reorder;
  const Duration jitter = conditions.jitter.Draw(way.random);
  if (lost) {
    ++way.counts.lost;
    return;
  }
  if (due_.size() + (twice ? 1 : 0) >= capacity_) {
    ++way.counts.overflow;
    return;
  }
  int64_t due = std::max(now_ns + conditions.delay.ns + jitter.ns, way.last_due);
  if (held) {
    ++way.counts.reordered;
    due += conditions.reorder_by.ns;
  } else {
    way.last_due = due;
  }
  Push(direction, room_, size, due);
  if (twice) {
    ++way.counts.duplicated;
    const uint32_t copy = TakeSlot();
    std::memcpy(Slot(copy), Slot(room_), size);
    Push(direction, copy, size, due);
  }
  room_ = TakeSlot();
}

PacketQueue::Packet PacketQueue::Next() const {
  const Due& next = due_.top();
  return {next.direction, {Slot(next.slot), next.size}, next.at};
}

void PacketQueue::Pop() {
  free_.push_back(due_.top().slot);
  due_.pop();
}

uint32_t PacketQueue::TakeSlot() {
  if (free_.empty()) {
    const auto first = static_cast<uint32_t>(chunks_.size() * kChunk);
    chunks_.push_back(std::make_unique<uint8_t[]>(kChunk * packet_size_));
    for (uint32_t i = kChunk; i > 0; --i) free_.push_back(first + i - 1);
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void PacketQueue::Push(size_t direction, uint32_t slot, size_t size, int64_t due_ns) {
  due_.push(
      {due_ns, serial_++, slot, static_cast<uint32_t>(size), static_cast<uint8_t>(direction)});
}

}  // namespace sonde
