// The packets on a line: what its conditions do to each, and when each comes out. Knows no device
// and no clock. Memory grows to what the load needs, up to its bound; then nothing is allocated per
// packet.
#pragma once

#include <array>
#include <climits>
#include <cstdint>
#include <memory>
#include <queue>
#include <span>
#include <vector>

#include "tools/farm/random_delay.h"

namespace sonde {

// How one direction of a line treats what it carries.
struct LineConditions {
  Duration delay;
  Delay jitter;  // drawn per packet, on top of the delay; overtakes nobody
  double loss = 0, duplicate = 0, reorder = 0;  // shares, 0 to 1
  Duration reorder_by = Milliseconds(5);        // what a reordered packet waits beyond its time
};

struct LineCounts {
  uint64_t taken = 0;       // read from the device
  uint64_t lost = 0;        // by chance
  uint64_t duplicated = 0;  // came out twice
  uint64_t reordered = 0;   // held back
  uint64_t overflow = 0;    // lost because the line was full
};

class PacketQueue {
 public:
  static constexpr size_t kDirections = 2;  // there, back

  // At most `capacity` packets of at most `packet_size` bytes are on the way.
  PacketQueue(const LineConditions& there, const LineConditions& back, size_t packet_size,
              size_t capacity, uint64_t seed);

  // Where the next packet is to be read to; Put takes its first `size` bytes. It came at `now_ns`.
  std::span<uint8_t> Room() { return {Slot(room_), packet_size_}; }
  void Put(size_t direction, size_t size, int64_t now_ns);

  struct Packet {
    size_t direction;
    std::span<const uint8_t> bytes;
    int64_t due_ns;
  };
  int64_t NextDue() const { return due_.empty() ? INT64_MAX : due_.top().at; }
  Packet Next() const;  // of NextDue; valid until Pop
  void Pop();

  size_t size() const { return due_.size(); }
  const LineCounts& counts(size_t direction) const { return ways_[direction].counts; }

 private:
  struct Due {
    int64_t at;
    uint64_t serial;  // equal times in the order of their coming
    uint32_t slot;
    uint32_t size;
    uint8_t direction;
    bool operator<(const Due& other) const {
      return at != other.at ? at > other.at : serial > other.serial;
    }
  };
  struct Way {
    LineConditions conditions;
    Random random;
    int64_t last_due = 0;  // nobody but the reordered comes out before those in front of him
    LineCounts counts;
  };
  static constexpr size_t kChunk = 256;  // slots

  uint8_t* Slot(uint32_t slot) const {
    return chunks_[slot / kChunk].get() + slot % kChunk * packet_size_;
  }
  uint32_t TakeSlot();
  void Push(size_t direction, uint32_t slot, size_t size, int64_t due_ns);

  const size_t packet_size_, capacity_;
  std::array<Way, kDirections> ways_;
  std::vector<std::unique_ptr<uint8_t[]>> chunks_;
  std::vector<uint32_t> free_;
  uint32_t room_ = 0;
  std::priority_queue<Due> due_;
  uint64_t serial_ = 0;
};

}  // namespace sonde
