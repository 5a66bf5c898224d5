// The timers of one shard: hierarchical, intrusive, O(1) to arm and to cancel. It allocates nothing
// and knows no clock: it is told the time. Used on the shard's thread only.
//
// A tick is 2^16 ns (65.536 us). Six levels reach past the last Instant, so no timer is ever out of
// range. A bucket of a level spans all that a round of the level below does, and each level has
// buckets for two rounds, the wheel's and the next. A timer stands on the lowest level that reaches
// it; before the wheel enters a bucket of an upper level, the bucket's timers move down, some in
// each AdvanceTo, so that none has to move a whole bucket of a large fleet. While a bucket is not
// empty, what is armed for its span joins it. So the timers of one tick fire in the order they were
// armed: those on a lower level were armed before those above.
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

struct TimerLevels {
  static constexpr unsigned kCount = 6;
  // Ticks of a bucket, as a power of two: 65 us, 17 ms, 69 s, 4.9 h, 52 days, 37 years. Timers of a
  // minute, and most others, reach the second level at once and move down once in their life: in a
  // large fleet each move is a cache miss.
  static constexpr std::array<unsigned, kCount + 1> kShift = {0, 8, 20, 28, 36, 44, 52};

  // Buckets of a round, which one of the level above spans.
  static constexpr unsigned RoundBits(unsigned level) { return kShift[level + 1] - kShift[level]; }
  static constexpr unsigned Round(unsigned level) { return 1u << RoundBits(level); }
  // The first of a level's buckets, all levels counted through.
  static constexpr unsigned First(unsigned level) {
    return level == 0 ? 0 : First(level - 1) + 2 * Round(level - 1);
  }
};

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
  // O(timers gathered or moved down + levels), however far the time jumps. Ahead of their time at
  // most kPortion timers are moved down; nearly all are, where the wheel is told the time often.
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
  // if that is in the same round of the finest level (17 ms), otherwise the start of a bucket:
  // waking then moves it closer. A gathered timer that waits to be popped means now().
  std::optional<Instant> NextWake() const;

  Instant now() const { return now_; }          // the last time told
  size_t size() const { return armed_count_; }  // armed timers, the gathered ones included

 private:
  static constexpr unsigned kTickBits = 16;
  static constexpr unsigned kLevels = TimerLevels::kCount;
  static_assert(kTickBits + TimerLevels::kShift[kLevels] >= 63, "the top reaches the last Instant");
  static constexpr unsigned kBuckets = TimerLevels::First(kLevels);
  static constexpr std::array<unsigned, kLevels> kFirst = {
      TimerLevels::First(0), TimerLevels::First(1), TimerLevels::First(2),
      TimerLevels::First(3), TimerLevels::First(4), TimerLevels::First(5)};
  static constexpr unsigned kPortion = 2048;
  static constexpr uint8_t kExpired = kLevels;  // level_ of a gathered node
  static constexpr int64_t kUnknown = -1;

  // A bucket that is not empty.
  struct Found {
    unsigned level;
    unsigned slot;
    uint64_t start;  // its first tick
  };

  static TimerNode& NodeOf(TimerLink& link) { return static_cast<TimerNode&>(link); }
  static void PushBack(TimerLink& list, TimerLink& link);
  static void Unlink(TimerLink& link);

  void Put(TimerNode& node, unsigned below);
  void GatherAll(unsigned slot);
  void GatherDue(unsigned slot, Instant now);
  void MoveDown(unsigned level, unsigned slot, unsigned* portion);
  void MoveAhead();
  std::optional<Found> First(unsigned level, bool next_round) const;
  std::optional<Found> First() const;

  static unsigned SlotOf(unsigned level, uint64_t tick) {
    return static_cast<unsigned>(tick >> TimerLevels::kShift[level]) &
           (2 * TimerLevels::Round(level) - 1);
  }
  TimerLink& Bucket(unsigned level, unsigned slot) { return buckets_[kFirst[level] + slot]; }
  bool Occupied(unsigned level, unsigned slot) const {
    return (occupied_[(kFirst[level] + slot) / 64] & Bit(slot)) != 0;
  }
  void SetOccupied(unsigned level, unsigned slot);
  void SetEmpty(unsigned level, unsigned slot);
  static uint64_t Bit(unsigned slot) { return uint64_t{1} << (slot % 64); }

  Instant now_;
  uint64_t tick_;  // of now_
  size_t armed_count_ = 0;
  std::array<uint64_t, kBuckets / 64> occupied_{};        // bit per bucket
  std::array<std::array<uint64_t, 2>, kLevels> words_{};  // per round: bit per word of occupied_
  unsigned levels_ = 0;                                   // bit per level: it has timers
  TimerLink expired_;
  // Smallest `when` per bucket of the finest level; kUnknown after the timer it came from was
  // cancelled, until somebody asks.
  mutable std::array<int64_t, 2 * TimerLevels::Round(0)> earliest_ns_;
  std::array<TimerLink, kBuckets> buckets_;  // circular lists
};

}  // namespace sonde
