#include "protocols/round_trips.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace sonde {

RoundTrips::Packet RoundTrips::Get(unsigned number) const {
  if (number < kInline) return first_[number];
  static_assert(std::is_trivially_copyable_v<Packet>);
  Packet packet;
  const size_t at = (number - kInline) * sizeof packet;
  if (at < more_.size()) std::memcpy(&packet, more_.bytes().data() + at, sizeof packet);
  return packet;
}

void RoundTrips::Put(unsigned number, const Packet& packet) {
  if (number < kInline) {
    first_[number] = packet;
    return;
  }
  if (!more_) more_ = buffers_.Take();
  const size_t at = (number - kInline) * sizeof packet;
  const Packet unknown;
  while (more_.size() <= at) {
    more_.Append(Bytes(reinterpret_cast<const uint8_t*>(&unknown), sizeof unknown));
  }
  more_.Overwrite(at, Bytes(reinterpret_cast<const uint8_t*>(&packet), sizeof packet));
}

void RoundTrips::Sent(unsigned number, Instant at, StampClock clock) {
  if (number >= count_) return;
  Packet packet = Get(number);
  if (packet.fate == Fate::kUnknown) {
    packet.fate = Fate::kSent;
    ++sent_;
  } else if (!packet.sent.stamped() || clock != StampClock::kKernel) {
    return;
  }
  packet.sent = at;
  Put(number, packet);
}

bool RoundTrips::Answered(unsigned number, Instant at) {
  if (number >= count_) return false;
  Packet packet = Get(number);
  if (packet.fate == Fate::kAnswered) ++duplicates_;
  if (packet.fate != Fate::kSent) return false;
  packet.fate = Fate::kAnswered;
  packet.arrived = at;
  Put(number, packet);
  ++answered_;
  return true;
}

bool RoundTrips::Lost(unsigned number) {
  if (number >= count_) return false;
  Packet packet = Get(number);
  if (packet.fate == Fate::kAnswered || packet.fate == Fate::kLost) return false;
  if (packet.fate == Fate::kUnknown) ++sent_;
  packet.fate = Fate::kLost;
  Put(number, packet);
  ++lost_;
  return true;
}

double RoundTrips::loss() const {
  return sent_ == 0 ? 0 : static_cast<double>(sent_ - answered_) / sent_;
}

// Twice over the packets instead of a running sum of squares, which loses the small differences
// that matter here.
RoundTrips::Statistics RoundTrips::Summary() const {
  Statistics all;
  int64_t sum = 0, differences = 0;
  Packet before;
  for (unsigned number = 0; number < count_; ++number) {
    const Packet packet = Get(number);
    if (!all.first_sent.stamped()) all.first_sent = packet.sent;
    if (packet.fate == Fate::kAnswered) {
      const Duration time = packet.time();
      all.last_answered = std::max(all.last_answered, packet.arrived);
      all.least = all.count == 0 ? time : std::min(all.least, time);
      all.most = std::max(all.most, time);
      sum += time.ns;
      ++all.count;
      if (before.fate == Fate::kAnswered) {
        differences += std::abs(time.ns - before.time().ns);
        ++all.neighbours;
      }
    }
    before = packet;
  }
  if (all.neighbours > 0) all.jitter = Duration{differences / all.neighbours};
  if (all.count == 0) return all;
  all.mean = Duration{sum / all.count};
  const double mean = static_cast<double>(sum) / all.count;
  double squares = 0;
  for (unsigned number = 0; number < count_; ++number) {
    const Packet packet = Get(number);
    if (packet.fate != Fate::kAnswered) continue;
    const double off = static_cast<double>(packet.time().ns) - mean;
    squares += off * off;
  }
  all.deviation = Duration{std::llround(std::sqrt(squares / all.count))};
  return all;
}

}  // namespace sonde
