#include "engine/loop/spare_sockets.h"

#include <bit>

#include "absl/hash/hash.h"

namespace sonde {
namespace {

// So often was the average spare used while one was not: nobody connects to that peer any more.
constexpr uint64_t kForgotten = 8;

}  // namespace

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

int SpareSockets::TakeOldest() {
  const int fd = oldest_;
  if (fd != kNone) Unlink(fd);
  return fd;
}

int SpareSockets::Keep(int fd, const Address& to) {
  int gone = kNone;
  if (size_ > 0 && kept_ - Of(oldest_).kept > kForgotten * most_) gone = TakeOldest();
  if (size_ >= most_) return fd;
  if (static_cast<size_t>(fd) >= spares_.size()) spares_.resize(static_cast<size_t>(fd) + 64);
  Spare& spare = Of(fd);
  spare = {.to = to, .kept = kept_++, .older = newest_};
  (newest_ == kNone ? oldest_ : Of(newest_).newer) = fd;
  newest_ = fd;
  const auto [place, first] = topmost_.try_emplace(to, fd);
  if (!first) {
    spare.below = place->second;
    Of(spare.below).above = fd;
    place->second = fd;
  }
  ++size_;
  return gone;
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
