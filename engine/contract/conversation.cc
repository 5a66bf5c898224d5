#include "engine/contract/conversation.h"

#include <algorithm>
#include <utility>

namespace sonde {

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    if (data_) pool_->Return(data_);
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
  }
  return *this;
}

Buffer::~Buffer() {
  if (data_) pool_->Return(data_);
}

void Buffer::Overwrite(size_t at, Bytes bytes) {
  if (at > size() || bytes.size() > size() - at) __builtin_trap();
  std::copy(bytes.begin(), bytes.end(), data_->begin() + static_cast<std::ptrdiff_t>(at));
}

void Buffer::DropFront(size_t count) {
  data_->erase(data_->begin(), data_->begin() + static_cast<std::ptrdiff_t>(count));
}

BufferPool::~BufferPool() {
  for (std::vector<uint8_t>* data : free_) delete data;
}

Buffer BufferPool::Take() {
  ++borrowed_;
  if (free_.empty()) return Buffer(this, new std::vector<uint8_t>);
  std::vector<uint8_t>* data = free_.back();
  free_.pop_back();
  return Buffer(this, data);
}

void BufferPool::Return(std::vector<uint8_t>* data) {
  --borrowed_;
  if (data->capacity() > kKeepCapacity || free_.size() >= kKeepCount) {
    delete data;
    return;
  }
  data->clear();
  free_.push_back(data);
}

void Output::Append(Bytes bytes) {
  if (bytes.empty()) return;
  if (!copied_) copied_ = pool_.Take();
  if (!stable_.empty()) {
    copied_.Append(stable_);
    stable_ = {};
  }
  copied_.Append(bytes);
}

void Output::AppendStable(Bytes bytes) {
  if (pending().empty()) {
    stable_ = bytes;
  } else {
    Append(bytes);
  }
}

Bytes Output::pending() const {
  return stable_.empty() ? copied_.bytes().subspan(copied_sent_) : stable_;
}

void Output::Consume(size_t count) {
  if (!stable_.empty()) {
    stable_ = stable_.subspan(count);
    return;
  }
  copied_sent_ += count;
  if (copied_sent_ == copied_.size()) Reset();
}

void Output::Reset() {
  stable_ = {};
  copied_ = Buffer();
  copied_sent_ = 0;
}

Step Conversation::OnLegFailed(const Leg&, Outcome outcome, Instant) { return Step::Fail(outcome); }

ReadStep Conversation::OnBytes(Bytes in, Instant, Output&) { return {in.size(), Step::More()}; }

Step Conversation::OnPeerClosed(PeerClose, Bytes, Instant, Output&) {
  return Step::Fail(Outcome::kProberInternal);
}

void Conversation::OnDatagramSent(uint16_t, Instant, StampClock) {}

Step Conversation::OnDatagram(const Datagram&, Output&) { return Step::More(); }

bool Conversation::OnStray(const Datagram&) { return false; }

Step Conversation::OnNetworkError(const NetworkError& error, Output&) {
  return Step::Fail(error.outcome);
}

Step Conversation::OnWake(Instant, Output&) { return Step::More(); }

}  // namespace sonde
