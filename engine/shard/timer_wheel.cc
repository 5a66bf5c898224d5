#include "engine/shard/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <climits>

namespace sonde {

void TimerWheel::PushBack(TimerLink& list, TimerLink& link) {
  link.previous = list.previous;
  link.next = &list;
  list.previous->next = &link;
  list.previous = &link;
}

void TimerWheel::Unlink(TimerLink& link) {
  link.previous->next = link.next;  // NOLINT(clang-analyzer-core.NullDereference): it is linked
  link.next->previous = link.previous;
  link.previous = link.next = nullptr;
}

TimerWheel::TimerWheel(Instant start)
    : now_(start), tick_(static_cast<uint64_t>(start.ns) >> kTickBits) {
  assert(start.ns >= 0);
  expired_.previous = expired_.next = &expired_;
  for (TimerLink& list : buckets_) list.previous = list.next = &list;
  earliest_ns_.fill(kUnknown);
}

TimerWheel::~TimerWheel() {
  for (TimerLink& list : buckets_) {
    while (list.next != &list) Unlink(*list.next);
  }
  while (expired_.next != &expired_) Unlink(*expired_.next);
}

void TimerWheel::SetOccupied(unsigned level, unsigned slot) {
  const unsigned bits = TimerLevels::RoundBits(level);
  occupied_[(kFirst[level] + slot) / 64] |= Bit(slot);
  words_[level][slot >> bits] |= Bit((slot & ((1u << bits) - 1)) / 64);
  levels_ |= 1u << level;
}

void TimerWheel::SetEmpty(unsigned level, unsigned slot) {
  const unsigned bits = TimerLevels::RoundBits(level);
  uint64_t& word = occupied_[(kFirst[level] + slot) / 64];
  word &= ~Bit(slot);
  if (word != 0) return;
  words_[level][slot >> bits] &= ~Bit((slot & ((1u << bits) - 1)) / 64);
  if ((words_[level][0] | words_[level][1]) == 0) levels_ &= ~(1u << level);
}

// Puts a node, whose `when` is set and which is in no list, where its tick belongs, on a level
// below `below`.
void TimerWheel::Put(TimerNode& node, unsigned below) {
  constexpr auto& kShift = TimerLevels::kShift;
  // What is overdue joins the current tick: the next AdvanceTo always looks there.
  const uint64_t tick =
      node.when <= now_ ? tick_ : static_cast<uint64_t>(node.when.ns) >> kTickBits;
  unsigned level = 0;
  while ((tick >> kShift[level + 1]) - (tick_ >> kShift[level + 1]) > 1) ++level;
  // A bucket ahead that still has timers of its span on an upper level: they were armed before.
  for (unsigned above = level + 1; above < below && tick >> kShift[above] != tick_ >> kShift[above];
       ++above) {
    if (Occupied(above, SlotOf(above, tick))) level = above;
  }
  const unsigned slot = SlotOf(level, tick);
  if (level == 0) {
    const int64_t when_ns = std::max<int64_t>(node.when.ns, 0);
    int64_t& earliest = earliest_ns_[slot];
    if (!Occupied(0, slot)) {
      earliest = when_ns;
    } else if (earliest != kUnknown) {
      earliest = std::min(earliest, when_ns);
    }
  }
  SetOccupied(level, slot);
  node.level_ = static_cast<uint8_t>(level);
  node.slot_ = static_cast<uint16_t>(slot);
  PushBack(Bucket(level, slot), node);
}

void TimerWheel::Arm(TimerNode& node, Instant when) {
  Cancel(node);
  node.when = when;
  Put(node, kLevels);
  ++armed_count_;
}

void TimerWheel::Cancel(TimerNode& node) {
  if (!node.armed()) return;
  Unlink(node);
  --armed_count_;
  if (node.level_ == kExpired) return;
  const TimerLink& list = Bucket(node.level_, node.slot_);
  if (list.next == &list) {
    SetEmpty(node.level_, node.slot_);
  } else if (node.level_ == 0 && node.when.ns <= earliest_ns_[node.slot_]) {
    earliest_ns_[node.slot_] = kUnknown;
  }
}

// The first bucket with timers of a level, in the wheel's round or the next.
std::optional<TimerWheel::Found> TimerWheel::First(unsigned level, bool next_round) const {
  const uint64_t round = (tick_ >> TimerLevels::kShift[level + 1]) + (next_round ? 1 : 0);
  const uint64_t words = words_[level][round % 2];
  if (words == 0) return std::nullopt;
  const unsigned bits_of_round = TimerLevels::RoundBits(level);
  const unsigned first = static_cast<unsigned>(round % 2) << bits_of_round;
  const auto word = static_cast<unsigned>(std::countr_zero(words));
  const uint64_t bits = occupied_[(kFirst[level] + first) / 64 + word];
  const unsigned slot = first + word * 64 + static_cast<unsigned>(std::countr_zero(bits));
  return Found{level, slot,
               ((round << bits_of_round) + slot - first) << TimerLevels::kShift[level]};
}

// The first bucket with timers; of those that begin together the lowest of the upper levels, and
// last the finest: what moves down was armed after what stands there.
std::optional<TimerWheel::Found> TimerWheel::First() const {
  // The upper levels have nothing before the next round of the finest.
  std::optional<Found> first = First(0, false);
  if (first) return first;
  first = First(0, true);
  for (unsigned left = levels_ & ~1u; left != 0;) {
    const unsigned level = static_cast<unsigned>(std::bit_width(left)) - 1;
    left &= ~(1u << level);
    std::optional<Found> found = First(level, false);
    if (!found) found = First(level, true);
    if (found && (!first || found->start <= first->start)) first = found;
  }
  return first;
}

// The nodes are not touched: each would be a cache miss. They go on naming their bucket.
void TimerWheel::GatherAll(unsigned slot) {
  TimerLink& list = Bucket(0, slot);
  expired_.previous->next = list.next;
  list.next->previous = expired_.previous;
  list.previous->next = &expired_;
  expired_.previous = list.previous;
  list.previous = list.next = &list;
  SetEmpty(0, slot);
}

// The bucket of the current tick: some of its timers may be due later within the tick.
void TimerWheel::GatherDue(unsigned slot, Instant now) {
  TimerLink& list = Bucket(0, slot);
  int64_t earliest = INT64_MAX;
  for (TimerLink* link = list.next; link != &list;) {
    TimerNode& node = NodeOf(*link);
    link = link->next;
    if (node.when > now) {
      earliest = std::min(earliest, node.when.ns);
      continue;
    }
    Unlink(node);
    node.level_ = kExpired;
    PushBack(expired_, node);
  }
  earliest_ns_[slot] = earliest;
  if (list.next == &list) SetEmpty(0, slot);
}

// The first `*portion` timers of a bucket, which is the wheel's own of its level or the one ahead.
void TimerWheel::MoveDown(unsigned level, unsigned slot, unsigned* portion) {
  TimerLink& list = Bucket(level, slot);
  // In a large fleet each node is a cache miss, and names the next one. A second walk, from the
  // end, misses at the same time; the first finds that half in the cache.
  const TimerLink* ahead = list.previous;
  while (list.next != &list) {
    if (*portion == 0) return;
    --*portion;
    TimerNode& node = NodeOf(*list.next);
    if (ahead != nullptr && ahead != &node) ahead = ahead->previous;
    if (ahead == &node) ahead = nullptr;
    __builtin_prefetch(ahead);
    Unlink(node);
    Put(node, level);
  }
  SetEmpty(level, slot);
}

void TimerWheel::MoveAhead() {
  unsigned portion = kPortion;
  for (unsigned left = levels_ & ~1u; left != 0; left &= left - 1) {
    const auto level = static_cast<unsigned>(std::countr_zero(left));
    const unsigned slot = SlotOf(level, tick_ + (uint64_t{1} << TimerLevels::kShift[level]));
    if (Occupied(level, slot)) MoveDown(level, slot, &portion);
  }
}

void TimerWheel::AdvanceTo(Instant now) {
  assert(now >= now_);
  const uint64_t target = static_cast<uint64_t>(now.ns) >> kTickBits;
  // What lies behind the wheel is empty, and so are the buckets of upper levels it stands in: the
  // loop visits buckets with timers only, in order of time.
  while (const std::optional<Found> first = First()) {
    if (first->start > target) break;
    if (first->level > 0) {
      tick_ = first->start;
      unsigned all = UINT_MAX;
      MoveDown(first->level, first->slot, &all);
    } else if (first->start < target) {
      GatherAll(first->slot);
    } else {
      GatherDue(first->slot, now);
      break;
    }
  }
  tick_ = target;
  now_ = now;
  MoveAhead();
}

TimerNode* TimerWheel::PopExpired() {
  if (expired_.next == &expired_) return nullptr;
  TimerNode& node = NodeOf(*expired_.next);
  Unlink(node);
  --armed_count_;
  return &node;
}

std::optional<Instant> TimerWheel::NextWake() const {
  if (expired_.next != &expired_) return now_;
  const std::optional<Found> first = First();
  if (!first) return std::nullopt;
  if (first->level > 0) return Instant{static_cast<int64_t>(first->start << kTickBits)};
  int64_t& earliest = earliest_ns_[first->slot];
  if (earliest == kUnknown) {
    earliest = INT64_MAX;
    const TimerLink& list = buckets_[first->slot];
    for (const TimerLink* link = list.next; link != &list; link = link->next) {
      earliest = std::min(earliest, static_cast<const TimerNode*>(link)->when.ns);
    }
    earliest = std::max<int64_t>(earliest, 0);
  }
  return Instant{earliest};
}

}  // namespace sonde
