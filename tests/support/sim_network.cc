#include "tests/support/sim_network.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sonde {

// ---- SimClock -----------------------------------------------------------------------------------

void SimClock::After(Duration delay, std::function<void()> action) {
  events_.push({now_ + std::max(delay, Duration{}), order_++, std::move(action)});
}

std::optional<Instant> SimClock::Next() const {
  if (events_.empty()) return std::nullopt;
  return events_.top().at;
}

void SimClock::AdvanceTo(Instant to) {
  now_ = std::max(now_, to);
  while (!events_.empty() && events_.top().at <= now_) {
    auto action = std::move(const_cast<Event&>(events_.top()).action);
    events_.pop();
    action();
  }
}

// ---- SimConnection ------------------------------------------------------------------------------

void SimConnection::Later(Duration delay, std::function<void(SimConnection&)> action) {
  SimClock& clock = network_->clock_;
  busy_until_ = std::max(busy_until_, clock.now() + delay);
  clock.After(busy_until_ - clock.now(),
              [network = network_, id = id_, serial = serial_, action = std::move(action)] {
                if (SimConnection* self = network->Find(id, serial)) action(*self);
              });
}

void SimConnection::Send(std::string bytes, Duration delay) {
  Later(delay, [bytes = std::move(bytes)](SimConnection& self) {
    if (self.reset_ || bytes.empty()) return;
    self.inbound_.push_back(bytes);
    self.network_->events_->OnReadable(self.slot_, self.network_->clock_.now());
  });
}

void SimConnection::SendEachByte(std::string_view bytes, Duration gap, Duration delay) {
  for (const char byte : bytes) {
    Send(std::string(1, byte), delay);
    // Nothing overtakes: the next byte comes `gap` after this one.
    delay = busy_until_ - network_->clock_.now() + gap;
  }
}

void SimConnection::End(Duration delay) {
  Later(delay, [](SimConnection& self) {
    self.ended_ = true;
    self.network_->events_->OnReadable(self.slot_, self.network_->clock_.now());
  });
}

void SimConnection::Reset(Duration delay) {
  Later(delay, [](SimConnection& self) {
    self.reset_ = true;
    self.network_->events_->OnReadable(self.slot_, self.network_->clock_.now());
  });
}

void SimConnection::OpenWindow(size_t bytes) {
  Later({}, [bytes](SimConnection& self) {
    self.window += bytes;
    self.network_->events_->OnWritable(self.slot_, self.network_->clock_.now());
  });
}

// ---- SimNetwork ---------------------------------------------------------------------------------

namespace {

constexpr Duration kHeldAck = Milliseconds(200);  // TCP_DELACK_MAX (linux/tcp.h)

}  // namespace

void SimNetwork::AddPeer(const std::string& host_port, std::shared_ptr<SimPeer> peer) {
  peers_[host_port] = std::move(peer);
}

void SimNetwork::AddName(const std::string& name, SimName answer) {
  names_[name] = std::move(answer);
}

void SimNetwork::FailConnects(int error, int count) {
  fail_error_ = error;
  fail_count_ = count;
}

bool SimNetwork::IsOpen(const SimConnection* connection) const {
  for (const auto& [id, open] : connections_) {
    if (open.get() == connection) return true;
  }
  return false;
}

SimConnection* SimNetwork::Find(StreamId id, uint64_t serial) {
  const auto found = connections_.find(id);
  return found != connections_.end() && found->second->serial_ == serial ? found->second.get()
                                                                         : nullptr;
}

std::optional<ResolveAnswer> SimNetwork::Resolve(SlotRef slot, std::string_view host,
                                                 const NetworkOptions& options) {
  if (const auto literal = Address::ParseLiteral(host)) {
    return ResolveAnswer{Outcome::kOk, *literal, clock_.now(), false};
  }
  const auto found = names_.find(std::string(host));
  const SimName name =
      found != names_.end() ? found->second : SimName{Outcome::kDnsNotFound, {}, Milliseconds(1)};
  ResolveAnswer answer;
  answer.outcome = name.outcome;
  if (name.outcome == Outcome::kOk) {
    answer.outcome = Outcome::kDnsNoAddress;
    for (const Address& address : name.addresses) {
      const bool wanted = address.family == options.preferred_family;
      if (!wanted && !options.fallback) continue;
      if (wanted || answer.outcome != Outcome::kOk) answer.address = address;
      answer.outcome = Outcome::kOk;
      if (wanted) break;
    }
  }
  if (name.delay.ns == 0 && !name.silent) {
    answer.at = clock_.now();
    answer.cached = true;
    return answer;
  }
  const uint64_t serial = ++serial_;
  resolving_[{slot.index, slot.generation}] = serial;
  if (name.silent) return std::nullopt;
  clock_.After(name.delay, [this, slot, serial, answer]() mutable {
    const auto pending = resolving_.find({slot.index, slot.generation});
    if (pending == resolving_.end() || pending->second != serial) return;
    resolving_.erase(pending);
    answer.at = clock_.now();
    events_->OnResolved(slot, answer);
  });
  return std::nullopt;
}

void SimNetwork::CancelResolve(SlotRef slot) { resolving_.erase({slot.index, slot.generation}); }

ConnectResult SimNetwork::Connect(SlotRef slot, const Address& to, const NetworkOptions& options) {
  ++connects_;
  if (on_connect) on_connect(to);
  ConnectResult result;
  result.at = clock_.now();
  if (fail_count_ > 0) {
    --fail_count_;
    result.error = fail_error_;
    return result;
  }
  if (DescriptorsLeft() == 0) {
    result.error = EMFILE;
    return result;
  }
  if (free_ids_.empty()) free_ids_.push_back(next_id_++);
  auto connection = std::make_unique<SimConnection>();
  SimConnection& self = *connection;
  self.network_ = this;
  self.slot_ = slot;
  self.window = first_window;
  self.serial_ = ++serial_;
  self.id_ = result.stream = free_ids_.back();  // reused at once, as descriptors are
  free_ids_.pop_back();
  connections_[self.id_] = std::move(connection);

  auto peer = peers_.find(to.HostPort());
  if (peer == peers_.end()) peer = peers_.find("*");
  const auto answer = peer == peers_.end() ? std::optional(SimPeer::Answer{ECONNREFUSED})
                                           : peer->second->OnConnect();
  if (!answer) return result;
  if (peer != peers_.end()) self.peer_ = peer->second.get();
  self.Later(answer->delay,
             [error = answer->error, half_open = options.half_open](SimConnection& it) {
               SimNetwork& network = *it.network_;
               if (error != 0) {
                 network.events_->OnConnectFailed(it.slot_, error, network.clock_.now());
                 return;
               }
               it.connected_ = true;
               const StreamId id = it.id_;
               const uint64_t serial = it.serial_;
               network.events_->OnConnected(it.slot_, network.clock_.now());
               SimConnection* alive = network.Find(id, serial);
               if (alive && half_open) {
                 alive->Later(kHeldAck, [](SimConnection& late) { late.peer_->OnAccepted(late); });
               } else if (alive) {
                 alive->peer_->OnAccepted(*alive);
               }
             });
  return result;
}

bool SimNetwork::HandOver(StreamId stream, SlotRef slot) {
  SimConnection& self = *connections_.at(stream);
  if (!self.inbound_.empty() || self.ended_ || self.reset_) return false;
  self.slot_ = slot;
  return true;
}

IoResult SimNetwork::Send(StreamId stream, Bytes bytes) {
  SimConnection& self = *connections_.at(stream);
  IoResult result;
  result.at = clock_.now();
  if (self.reset_) {
    result.error = ECONNRESET;
    return result;
  }
  result.count = std::min(bytes.size(), self.window);
  if (result.count == 0) {
    result.error = EAGAIN;
    return result;
  }
  self.window -= self.window == SIZE_MAX ? 0 : result.count;
  const std::string text(AsText(bytes.first(result.count)));
  if (on_send) on_send(self, text);
  self.peer_->OnBytes(self, text);
  return result;
}

IoResult SimNetwork::Receive(StreamId stream, std::span<uint8_t> into) {
  SimConnection& self = *connections_.at(stream);
  IoResult result;
  result.at = clock_.now();
  if (!self.inbound_.empty()) {
    std::string& front = self.inbound_.front();
    result.count = std::min(front.size(), into.size());
    std::memcpy(into.data(), front.data(), result.count);
    front.erase(0, result.count);
    if (front.empty()) self.inbound_.pop_front();
  } else if (self.reset_) {
    result.error = ECONNRESET;
  } else if (!self.ended_) {
    result.error = EAGAIN;
  }
  return result;
}

void SimNetwork::Close(StreamId stream, NetworkOptions::Close how) {
  if (on_close) on_close(how);
  connections_.erase(stream);
  free_ids_.push_back(stream);
}

// ---- datagrams ----------------------------------------------------------------------------------

namespace {

constexpr uint16_t kEchoId = 0x5050;

// A socket's number says what it is.
SocketId IdOf(Transport transport, IpFamily family) {
  return static_cast<SocketId>(transport) * 16 + static_cast<SocketId>(family);
}
Transport TransportOf(SocketId socket) { return static_cast<Transport>(socket / 16); }

}  // namespace

std::string EchoReplyTo(const SimDatagram& request) {
  std::string reply = request.bytes;
  reply[0] = request.to.family == IpFamily::kV4 ? '\0' : '\x81';
  return reply;
}

std::string IcmpErrorAbout(const SimDatagram& request, int type, int code, size_t quoted) {
  std::string error(8, '\0');
  error[0] = static_cast<char>(type);
  error[1] = static_cast<char>(code);
  const bool v4 = request.to.family == IpFamily::kV4;
  std::string header(v4 ? 20 : 40, '\0');
  header[0] = v4 ? 0x45 : 0x60;
  header[v4 ? 9 : 6] = v4 ? 1 : 58;
  for (size_t i = 0; i < (v4 ? 4u : 16u); ++i) {
    header[(v4 ? 16 : 24) + i] = static_cast<char>(request.to.bytes[i]);
  }
  return error + header + request.bytes.substr(0, quoted);
}

SharedSocket SimNetwork::Join(Transport transport, IpFamily family, const NetworkOptions&,
                              const DatagramOptions&) {
  if (join_error != 0) return {.error = join_error, .misconfigured = join_error == EPERM};
  ++socket_users_;
  return {.socket = IdOf(transport, family), .echo_id = kEchoId};
}

void SimNetwork::Queue(SocketId socket, const Address& to, Bytes message, SlotRef slot,
                       uint16_t number) {
  ++datagrams_queued_ever;
  queue_.push_back({{socket, TransportOf(socket), to, std::string(AsText(message))}, slot, number});
}

std::span<const SentDatagram> SimNetwork::SendQueued() {
  sent_.clear();
  std::vector<Queued> queue;
  queue.swap(queue_);
  for (const Queued& queued : queue) {
    sent_.push_back(
        {.slot = queued.slot, .number = queued.number, .error = send_error, .at = clock_.now()});
    if (send_error != 0) continue;
    const SimDatagram& datagram = queued.datagram;
    if (on_datagram) on_datagram(datagram);
    const bool udp = datagram.transport == Transport::kUdp;
    const std::string kind = udp ? "udp " : "icmp ";
    auto peer = peers_.find(kind + (udp ? datagram.to.HostPort() : datagram.to.Host()));
    if (peer == peers_.end()) peer = peers_.find(kind + "*");
    if (peer != peers_.end()) peer->second->OnDatagram(*this, datagram);
  }
  return sent_;
}

void SimNetwork::Deliver(SocketId socket, const Address& from, std::string bytes, Duration delay,
                         int ttl, StampClock stamps) {
  const Instant arrives = clock_.now() + delay;
  clock_.After(delay, [=, this, bytes = std::move(bytes)] {
    ReceivedDatagram message{.socket = socket,
                             .transport = TransportOf(socket),
                             .bytes = AsBytes(bytes),
                             .from = from,
                             .ttl = ttl,
                             .at = clock_.now(),
                             .clock = stamps};
    // The kernel stamps it when it comes, however late we look.
    if (stamps == StampClock::kKernel) message.at = arrives;
    events_->OnDatagram(message);
  });
}

void SimNetwork::DeliverError(const SimDatagram& about, int error, int type, int code,
                              Duration delay, bool quotes) {
  clock_.After(delay, [=, this] {
    events_->OnDatagramError({.socket = about.socket,
                              .transport = about.transport,
                              .error = error,
                              .type = type,
                              .code = code,
                              .from = about.to,
                              .to = about.to,
                              .quoted = quotes ? AsBytes(about.bytes) : Bytes(),
                              .at = clock_.now()});
  });
}

}  // namespace sonde
