#include "engine/shard/timer_wheel.h"

#include <algorithm>
#include <bit>

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

// Puts a node, whose `when` is set and which is in no list, where its tick belongs.
void TimerWheel::Place(TimerNode& node) {
  // What is overdue joins the current tick: the next AdvanceTo always looks there.
  const uint64_t tick =
      node.when <= now_ ? tick_ : static_cast<uint64_t>(node.when.ns) >> kTickBits;
  const uint64_t difference = tick ^ tick_;
  const auto width = static_cast<unsigned>(std::bit_width(difference));
  const unsigned level = width <= kFinestBits ? 0 : 1 + (width - kFinestBits - 1) / kUpperBits;
  const unsigned slot = static_cast<unsigned>(tick >> ShiftOf(level)) & ((1u << BitsOf(level)) - 1);
  const unsigned bucket = BucketOf(level, slot);
  if (level == 0) {
    const int64_t when_ns = std::max<int64_t>(node.when.ns, 0);
    int64_t& earliest = earliest_ns_[slot];
    if (!Occupied(bucket)) {
      earliest = when_ns;
    } else if (earliest != kUnknown) {
      earliest = std::min(earliest, when_ns);
    }
  }
  Occupy(level, bucket);
  node.level_ = static_cast<uint8_t>(level);
  node.slot_ = static_cast<uint16_t>(slot);
  PushBack(buckets_[bucket], node);
}

void TimerWheel::Arm(TimerNode& node, Instant when) {
  Cancel(node);
  node.when = when;
  Place(node);
  ++armed_count_;
}

void TimerWheel::Cancel(TimerNode& node) {
  if (!node.armed()) return;
  Unlink(node);
  --armed_count_;
  if (node.level_ == kExpired) return;
  const unsigned bucket = BucketOf(node.level_, node.slot_);
  const TimerLink& list = buckets_[bucket];
  if (list.next == &list) {
    Vacate(node.level_, bucket);
  } else if (node.level_ == 0 && node.when.ns <= earliest_ns_[node.slot_]) {
    earliest_ns_[node.slot_] = kUnknown;
  }
}

std::optional<unsigned> TimerWheel::LowestLevel() const {
  for (unsigned level = 0; level < kLevels; ++level) {
    if (any_[level] != 0) return level;
  }
  return std::nullopt;
}

unsigned TimerWheel::FirstSlot(unsigned level) const {
  // The words of a level are numbered without a gap: its first one's number modulo 64 is where the
  // search begins.
  const unsigned first = BucketOf(level, 0) / 64;
  const auto ahead =
      static_cast<unsigned>(std::countr_zero(std::rotr(any_[level], static_cast<int>(first % 64))));
  return ahead * 64 + static_cast<unsigned>(std::countr_zero(occupied_[first + ahead]));
}

// First tick of a bucket ahead of the wheel: its level shares all higher groups with tick_.
uint64_t TimerWheel::StartTick(unsigned level, unsigned slot) const {
  const unsigned shift = ShiftOf(level), bits = BitsOf(level);
  const uint64_t above = tick_ >> shift >> bits;
  return ((above << bits) | slot) << shift;
}

// The nodes are not touched: each would be a cache miss. They go on naming their bucket.
void TimerWheel::GatherAll(unsigned slot) {
  TimerLink& list = buckets_[slot];
  expired_.previous->next = list.next;
  list.next->previous = expired_.previous;
  list.previous->next = &expired_;
  expired_.previous = list.previous;
  list.previous = list.next = &list;
  Vacate(0, slot);
}

// The bucket of the current tick: some of its timers may be due later within the tick.
void TimerWheel::GatherDue(unsigned slot, Instant now) {
  TimerLink& list = buckets_[slot];
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
  if (list.next == &list) Vacate(0, slot);
}

void TimerWheel::MoveDown(unsigned level, unsigned slot) {
  TimerLink& list = buckets_[BucketOf(level, slot)];
  Vacate(level, BucketOf(level, slot));
  // In a large fleet each node is a cache miss, and names the next one. A second walk, from the
  // end, misses at the same time; the first finds that half in the cache.
  const TimerLink* ahead = list.previous;
  while (list.next != &list) {
    TimerNode& node = NodeOf(*list.next);
    if (ahead != nullptr && ahead != &node) ahead = ahead->previous;
    if (ahead == &node) ahead = nullptr;
    __builtin_prefetch(ahead);
    Unlink(node);
    Place(node);
  }
}

void TimerWheel::AdvanceTo(Instant now) {
  assert(now >= now_);
  const uint64_t target = static_cast<uint64_t>(now.ns) >> kTickBits;
  // Nothing below the lowest occupied level can be due, and its first bucket is its earliest: what
  // lies behind the wheel is empty. So the loop visits occupied buckets only, in order of time.
  while (std::optional<unsigned> level = LowestLevel()) {
    const unsigned slot = FirstSlot(*level);
    const uint64_t start = StartTick(*level, slot);
    if (start > target) break;
    if (*level > 0) {
      tick_ = start;
      MoveDown(*level, slot);
    } else if (start < target) {
      GatherAll(slot);
    } else {
      GatherDue(slot, now);
      break;
    }
  }
  tick_ = target;
  now_ = now;
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
  const std::optional<unsigned> level = LowestLevel();
  if (!level) return std::nullopt;
  const unsigned slot = FirstSlot(*level);
  if (*level > 0) return Instant{static_cast<int64_t>(StartTick(*level, slot) << kTickBits)};
  int64_t& earliest = earliest_ns_[slot];
  if (earliest == kUnknown) {
    earliest = INT64_MAX;
    const TimerLink& list = buckets_[slot];
    for (const TimerLink* link = list.next; link != &list; link = link->next) {
      earliest = std::min(earliest, static_cast<const TimerNode*>(link)->when.ns);
    }
    earliest = std::max<int64_t>(earliest, 0);
  }
  return Instant{earliest};
}

}  // namespace sonde
