// What became of the packets of one ping: sent, answered or lost, and the statistics over them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/contract/conversation.h"
#include "engine/contract/instant.h"

namespace sonde {

// Plain value, part of a conversation, shard thread. Packets have numbers from 0 and are reported
// in any order. Up to kInline of them are kept in place, more in a buffer of the pool.
class RoundTrips {
 public:
  static constexpr unsigned kMost = 255;
  static constexpr unsigned kInline = 4;

  // `count` packets at most are sent, 1..kMost; of others nothing is known.
  RoundTrips(unsigned count, BufferPool& buffers) : count_(count), buffers_(buffers) {}

  // The packet left. A second stamp of it, the kernel's, replaces the first; another changes
  // nothing.
  void Sent(unsigned number, Instant at, StampClock clock);
  // True: the first answer. False: a further one, which is counted as a duplicate, or one to a
  // packet that was not sent or is lost, which is not.
  bool Answered(unsigned number, Instant at);
  // No answer will come. A packet that could not even be sent counts as sent, or its loss would be
  // a share of nothing. False: that is known, or it was answered.
  bool Lost(unsigned number);

  unsigned sent() const { return sent_; }
  unsigned answered() const { return answered_; }
  unsigned lost() const { return lost_; }
  uint64_t duplicates() const { return duplicates_; }
  bool complete() const { return answered_ + lost_ == count_; }
  // Of the packets sent: what is not answered. 0 when none was sent.
  double loss() const;

  struct Statistics {
    Instant first_sent;     // unset: none was
    Instant last_answered;  // likewise
    unsigned count = 0;     // round-trip times
    Duration least, mean, most;
    Duration deviation;  // standard deviation of this population (divided by n), 0 for one
    // Neighbours in the order of sending that were both answered, and the mean of the differences
    // of their times without sign: |IPDV| of RFC 3393, the quantity RFC 3550 (6.4.1) smooths.
    unsigned neighbours = 0;
    Duration jitter;
  };
  Statistics Summary() const;

 private:
  enum class Fate : uint8_t { kUnknown, kSent, kAnswered, kLost };
  struct Packet {
    Fate fate = Fate::kUnknown;
    Instant sent, arrived;
    // Two clocks may have stamped the two ends; no answer comes before its question.
    Duration time() const { return std::max(arrived - sent, Duration{}); }
  };

  Packet Get(unsigned number) const;
  void Put(unsigned number, const Packet& packet);

  std::array<Packet, kInline> first_;
  const unsigned count_;
  BufferPool& buffers_;
  Buffer more_;  // Packets from kInline on, as bytes; as many as were needed
  unsigned sent_ = 0;
  unsigned answered_ = 0;
  unsigned lost_ = 0;
  uint64_t duplicates_ = 0;
};

}  // namespace sonde
