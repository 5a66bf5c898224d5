#include "engine/loop/spare_sockets.h"

#include "absl/hash/hash.h"

namespace sonde {

size_t SpareSockets::Hash::operator()(const Address& address) const {
  return absl::HashOf(address.bytes, address.port, address.scope);
}

int SpareSockets::Take(const Address& to) {
  const auto found = topmost_.find(to);
  if (found == topmost_.end()) return kNone;
  const int fd = found->second;
  Unlink(fd);
  return fd;
}

int SpareSockets::TakeOldest(Instant before) {
  if (size_ == 0 || Of(oldest_).kept >= before) return kNone;
  const int fd = oldest_;
  Unlink(fd);
  return fd;
}

bool SpareSockets::Keep(int fd, const Address& to, Instant now) {
  if (size_ >= most_) return false;
  if (static_cast<size_t>(fd) >= spares_.size()) spares_.resize(static_cast<size_t>(fd) + 64);
  Spare& spare = Of(fd);
  spare = {.to = to, .kept = now, .older = newest_};
  (newest_ == kNone ? oldest_ : Of(newest_).newer) = fd;
  newest_ = fd;
  const auto [place, first] = topmost_.try_emplace(to, fd);
  if (!first) {
    spare.below = place->second;
    Of(spare.below).above = fd;
    place->second = fd;
  }
  ++size_;
  return true;
}

void SpareSockets::Unlink(int fd) {
  const Spare& spare = Of(fd);
  (spare.older == kNone ? oldest_ : Of(spare.older).newer) = spare.newer;
  (spare.newer == kNone ? newest_ : Of(spare.newer).older) = spare.older;
  if (spare.below != kNone) Of(spare.below).above = spare.above;
  if (spare.above != kNone) {
    Of(spare.above).below = spare.below;
  } else if (spare.below != kNone) {
    topmost_.find(spare.to)->second = spare.below;
  } else {
    topmost_.erase(spare.to);
  }
  --size_;
}

}  // namespace sonde
