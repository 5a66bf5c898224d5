// The timers of one shard: hierarchical, intrusive, O(1) to arm and to cancel. It allocates nothing
// and knows no clock: it is told the time. Used on the shard's thread only.
//
// A tick is 2^16 ns (65.536 us). A level of 4,096 buckets and five of 256 reach past the last
// Instant, so no timer is ever out of range. A timer stands on the level of the highest group of
// bits in which its tick differs from the wheel's; when the wheel enters a bucket of an upper
// level, the bucket's timers move down. Two things follow: all timers of one tick stand in one
// bucket, in the order they were armed; and every timer of a level is due before any of the level
// above.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/contract/instant.h"

namespace sonde {

struct TimerLink {
  TimerLink* previous = nullptr;
  TimerLink* next = nullptr;
};

// A base class (or member) of whatever wants to be woken. Owned by the user, never by the wheel;
// it must be cancelled, fired or left over from a destroyed wheel when it dies.
class TimerNode : private TimerLink {
 public:
  explicit TimerNode(uint8_t node_tag = 0) : tag(node_tag) {}
  ~TimerNode() { assert(!armed()); }
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;

  // True from Arm until the node is cancelled or handed out by PopExpired.
  bool armed() const { return next != nullptr; }

  Instant when;  // as last given to Arm; kept after firing, so that now - when is the lateness
  uint8_t tag;   // the user's: which kind of object this is the base of

 private:
  friend class TimerWheel;
  uint8_t level_ = 0;
  uint16_t slot_ = 0;
};
static_assert(sizeof(TimerNode) <= 32);

class TimerWheel {
 public:
  explicit TimerWheel(Instant start);
  ~TimerWheel();  // disarms what is still armed; O(armed timers)
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // The timer fires in the first AdvanceTo at or after `when` that begins after this call; a `when`
  // that has passed means the next AdvanceTo. An armed node is moved (and loses its place).
  void Arm(TimerNode& node, Instant when);

  // Nothing happens to a node that is not armed. A node that AdvanceTo has gathered but PopExpired
  // has not handed out yet will not be handed out any more.
  void Cancel(TimerNode& node);

  // Gathers every timer with when <= now, exact to the nanosecond, by (tick, order of arming):
  // equal deadlines fire in the order they were armed. `now` never goes back (asserted). Costs
  // O(timers gathered or moved down + levels), however far the time jumps.
  void AdvanceTo(Instant now);

  // The next gathered timer, disarmed; null when there is none left. The caller may arm and cancel
  // anything between two calls; what it arms waits for the next AdvanceTo.
  TimerNode* PopExpired();

  // The gathered timer that PopExpired will hand out after `node`, which is one, or (null) next;
  // null when there is none. For those who want its memory near by then.
  TimerNode* Upcoming(TimerNode* node = nullptr) {
    TimerLink* next = node ? node->next : expired_.next;
    return next == &expired_ ? nullptr : &NodeOf(*next);
  }

  // When to call AdvanceTo next; nullopt without timers. Never later than the earliest timer. Exact
  // if that is within about 0.3 s (the finest level), otherwise the start of its bucket: waking
  // then moves it closer. A gathered timer that waits to be popped means now().
  std::optional<Instant> NextWake() const;

  Instant now() const { return now_; }          // the last time told
  size_t size() const { return armed_count_; }  // armed timers, the gathered ones included

 private:
  static constexpr unsigned kTickBits = 16;
  // In a large fleet each move down is a cache miss: a timer of seconds has one in its life, one of
  // less than 0.1 s mostly none.
  static constexpr unsigned kFinestBits = 12, kUpperBits = 8;
  static constexpr unsigned kLevels = 6;
  static_assert(kTickBits + kFinestBits + (kLevels - 1) * kUpperBits >= 63,
                "the top level reaches the last Instant");
  static constexpr unsigned kFinestSlots = 1u << kFinestBits, kUpperSlots = 1u << kUpperBits;
  static constexpr unsigned kBuckets = kFinestSlots + (kLevels - 1) * kUpperSlots;
  static constexpr unsigned BitsOf(unsigned level) { return level == 0 ? kFinestBits : kUpperBits; }
  // The bits of a tick below a level's.
  static constexpr unsigned ShiftOf(unsigned level) {
    return level == 0 ? 0 : kFinestBits + (level - 1) * kUpperBits;
  }
  static constexpr unsigned BucketOf(unsigned level, unsigned slot) {
    return level == 0 ? slot : kFinestSlots + (level - 1) * kUpperSlots + slot;
  }
  static constexpr uint8_t kExpired = kLevels;  // level_ of a gathered node
  static constexpr int64_t kUnknown = -1;

  static TimerNode& NodeOf(TimerLink& link) { return static_cast<TimerNode&>(link); }
  static void PushBack(TimerLink& list, TimerLink& link);
  static void Unlink(TimerLink& link);

  void Place(TimerNode& node);
  void GatherAll(unsigned slot);
  void GatherDue(unsigned slot, Instant now);
  void MoveDown(unsigned level, unsigned slot);
  uint64_t StartTick(unsigned level, unsigned slot) const;
  std::optional<unsigned> LowestLevel() const;
  unsigned FirstSlot(unsigned level) const;  // of a level with timers

  bool Occupied(unsigned bucket) const { return (occupied_[bucket / 64] & Bit(bucket)) != 0; }
  void Occupy(unsigned level, unsigned bucket) {
    occupied_[bucket / 64] |= Bit(bucket);
    any_[level] |= Bit(bucket / 64);
  }
  void Vacate(unsigned level, unsigned bucket) {
    if ((occupied_[bucket / 64] &= ~Bit(bucket)) == 0) any_[level] &= ~Bit(bucket / 64);
  }
  static uint64_t Bit(unsigned number) { return uint64_t{1} << (number % 64); }

  Instant now_;
  uint64_t tick_;  // of now_
  size_t armed_count_ = 0;
  std::array<uint64_t, kBuckets / 64> occupied_{};  // bit per bucket
  std::array<uint64_t, kLevels> any_{};  // bit per word of `occupied_`, by its number modulo 64
  TimerLink expired_;
  // Smallest `when` per bucket of the finest level; kUnknown after the timer it came from was
  // cancelled, until somebody asks.
  mutable std::array<int64_t, kFinestSlots> earliest_ns_;
  std::array<TimerLink, kBuckets> buckets_;  // circular lists
};

}  // namespace sonde
