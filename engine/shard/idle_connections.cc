#include "engine/shard/idle_connections.h"

#include <cerrno>
#include <utility>

namespace sonde {

IdleConnections::Place& IdleConnections::PlaceOf(PlaceId& id) {
  if (id != kNoPlace) return places_[id];
  if (free_.empty()) {
    free_.push_back(static_cast<PlaceId>(places_.size()));
    places_.emplace_back().ref.index = kParked | free_.back();
  }
  id = free_.back();
  free_.pop_back();
  return places_[id];
}

void IdleConnections::Fetch(PlaceId id) const {
  if (id >= places_.size()) return;
  const char* place = reinterpret_cast<const char*>(&places_[id]);
  for (size_t at = 0; at < sizeof(Place); at += 64) __builtin_prefetch(place + at);
}

// What a handshake was judged by may stand in files.
uint64_t IdleConnections::FilesEpoch(const Connection& connection) const {
  return connection.tls && files_ ? files_->epoch() : 0;
}

// The task and its module being the same, so are TLS profile and network options.
bool IdleConnections::LeadsTo(const Place& place, const LegPlan& plan) {
  if (plan.port != place.port || plan.host != place.host || plan.scheme != place.scheme ||
      plan.server_name != place.server_name ||
      (plan.tls != nullptr) != (place.connection.tls != nullptr)) {
    return false;
  }
  if (plan.address == nullptr) return true;
  Address wanted = *plan.address;
  wanted.port = plan.port;
  return wanted == place.connection.peer;
}

bool IdleConnections::Park(PlaceId& id, const Task& task, const LegPlan& plan,
                           Connection& connection, Instant now) {
  Place& place = PlaceOf(id);
  if (place.queue) Close(place, IdleEnd::kUnused);
  ++place.ref.generation;
  if (!network_.HandOver(connection.stream, place.ref)) return false;
  place.version = task.version;
  place.files_epoch = FilesEpoch(connection);
  place.scheme = plan.scheme;
  place.host = plan.host;
  place.server_name = plan.server_name;
  place.port = plan.port;
  place.close = plan.network->close;
  place.parked = now;
  place.connection = std::move(connection);
  waiting_.PushBack(place);
  return true;
}

std::optional<IdleConnections::Connection> IdleConnections::Take(PlaceId id, const Task& task,
                                                                 const LegPlan& plan, SlotRef slot,
                                                                 Instant now) {
  if (!Has(id)) return std::nullopt;
  Place* place = &places_[id];
  const Connection& connection = place->connection;
  if (place->version != task.version || place->files_epoch != FilesEpoch(connection)) {
    Close(*place, IdleEnd::kChanged);
    return std::nullopt;
  }
  if (now - connection.connected > plan.keep) {
    Close(*place, IdleEnd::kAge);
    return std::nullopt;
  }
  if (!LeadsTo(*place, plan)) return std::nullopt;  // another leg of the run may
  if (!network_.HandOver(connection.stream, slot)) {
    Close(*place, IdleEnd::kPeer);
    return std::nullopt;
  }
  place->queue->Remove(*place);
  return std::exchange(place->connection, {});
}

void IdleConnections::Drop(PlaceId& id) {
  if (id == kNoPlace) return;
  if (Has(id)) Close(places_[id], IdleEnd::kChanged);
  free_.push_back(std::exchange(id, kNoPlace));
}

bool IdleConnections::CloseOldest(IdleEnd why) {
  if (waiting_.empty()) return false;
  Close(static_cast<Place&>(*waiting_.first()), why);
  return true;
}

std::optional<Instant> IdleConnections::NextExpiry() const {
  if (waiting_.empty()) return std::nullopt;
  return static_cast<const Place&>(*waiting_.first()).parked + kLongest;
}

void IdleConnections::Expire(Instant now) {
  while (const auto next = NextExpiry()) {
    if (*next > now) return;
    CloseOldest(IdleEnd::kAge);
  }
}

void IdleConnections::Clear() {
  while (CloseOldest(IdleEnd::kChanged)) {}
  free_.clear();
  for (PlaceId id = 0; id < places_.size(); ++id) free_.push_back(id);
}

void IdleConnections::OnReadable(SlotRef ref) {
  const uint32_t index = ref.index & ~kParked;
  if ((ref.index & kParked) == 0 || index >= places_.size()) return;
  Place& place = places_[index];
  if (place.ref == ref && place.queue && !IsQuiet(place.connection)) Close(place, IdleEnd::kPeer);
}

// Nothing was said, or nothing but what TLS has to say for itself (session tickets).
bool IdleConnections::IsQuiet(Connection& connection) {
  uint8_t bytes[kReadSize];
  for (int reads = 0; reads < kReads; ++reads) {
    const IoResult result = network_.Receive(connection.stream, bytes);
    if (result.error == EAGAIN || result.error == EWOULDBLOCK) return true;
    if (result.error != 0 || result.count == 0 || !connection.tls) return false;
    Buffer plain = buffers_.Take(), cipher = buffers_.Take();
    connection.tls->Feed({bytes, result.count}, plain, cipher);
    if (!connection.tls->IsIdle() || !plain.empty() || !cipher.empty()) return false;
  }
  return false;
}

void IdleConnections::Close(Place& place, IdleEnd why) {
  ++closed_[static_cast<size_t>(why)];
  place.queue->Remove(place);
  Connection connection = std::exchange(place.connection, {});
  const bool orderly = why != IdleEnd::kPeer && place.close == NetworkOptions::Close::kFin;
  if (orderly && connection.tls) {
    Buffer goodbye = buffers_.Take();
    connection.tls->Shutdown(goodbye);
    if (!goodbye.empty()) network_.Send(connection.stream, goodbye.bytes());
  }
  network_.Close(connection.stream, place.close);
}

}  // namespace sonde
