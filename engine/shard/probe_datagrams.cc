// The legs of a probe that go over shared sockets: what they send, and whose an answer is.
#include <cerrno>
#include <string_view>
#include <utility>

#include "engine/shard/echo_message.h"
#include "engine/shard/network_error.h"
#include "engine/shard/probe_table.h"

namespace sonde {
namespace {

constexpr DatagramOptions kDefaults;
constexpr std::string_view kForbidden =
    "neither raw sockets (CAP_NET_RAW) nor ping sockets (net.ipv4.ping_group_range) are allowed";

bool SameHost(const Address& a, const Address& b) {
  return a.family == b.family && a.bytes == b.bytes;
}

uint16_t TokenOf(Bytes message) { return static_cast<uint16_t>(message[0] << 8 | message[1]); }

}  // namespace

// ---- opening and closing ------------------------------------------------------------------------

ProbeTable::Next ProbeTable::JoinSocket(Slot& slot, Instant now) {
  const LegPlan& plan = *slot.plan;
  slot.leg.connect_start = now.stamped() ? now : network_.Stamp();
  slot.shared = network_.Join(plan.transport, slot.leg.peer.family, *plan.network,
                              plan.datagram ? *plan.datagram : kDefaults);
  const SharedSocket& shared = slot.shared;
  if (shared.socket == kNoSocket) {
    const Outcome outcome =
        shared.misconfigured ? Outcome::kProberConfig : ConnectOutcome(shared.error);
    const bool forbidden = plan.transport == Transport::kIcmp && shared.misconfigured &&
                           (shared.error == EPERM || shared.error == EACCES);
    return FailLeg(slot, outcome, forbidden ? kForbidden : ErrorText(shared.error),
                   slot.leg.connect_start);
  }
  slot.datagrams_queued = slot.datagrams_left = 0;
  slot.drops_before = network_.ReceiveDrops(shared.socket, false);
  if (plan.transport == Transport::kUdp) {
    const auto wanted = static_cast<uint16_t>(Random());
    const auto token = tokens_.Add(slot.ref.index, shared.socket, slot.leg.peer, wanted);
    if (!token) {
      network_.Leave(std::exchange(slot.shared.socket, kNoSocket));
      return FailLeg(slot, Outcome::kProberPorts, "no free id for this server",
                     slot.leg.connect_start);
    }
    slot.leg.token = *token;
  }
  slot.leg.connected = shared.opened ? network_.Stamp() : slot.leg.connect_start;
  return Opened(slot, slot.leg.connected);
}

void ProbeTable::LeaveSocket(Slot& slot) {
  tokens_.Remove(slot.ref.index, slot.answered == slot.ref.generation);
  network_.Leave(std::exchange(slot.shared.socket, kNoSocket));
  slot.datagrams_queued = slot.datagrams_left = 0;
}

bool ProbeTable::ReceiveQueueOverflowed(const Slot& slot) {
  return slot.shared.socket != kNoSocket &&
         network_.ReceiveDrops(slot.shared.socket, true) != slot.drops_before;
}

// ---- sending ------------------------------------------------------------------------------------

void ProbeTable::QueueDatagram(Slot& slot) {
  const Bytes pending = slot.out->pending();
  if (pending.empty() || slot.datagrams_queued >= EchoTable::kMostNumbers) return;
  const uint16_t number = slot.datagrams_queued++;
  const Address& peer = slot.leg.peer;
  if (slot.plan->transport == Transport::kIcmp) {
    const EchoTable::Mark mark = echoes_.Next(slot.ref, number, peer);
    echo_.clear();
    AppendEchoRequest(peer.family, slot.shared.echo_id, mark.sequence, mark.cookie, pending,
                      &echo_);
    network_.Queue(slot.shared.socket, peer, echo_, slot.ref, number);
  } else {
    network_.Queue(slot.shared.socket, peer, pending, slot.ref, number);
  }
  slot.out->Reset();
}

void ProbeTable::SendFullBatch() {
  if (network_.queued() >= kSendBatch) SendDatagrams();
}

// What an error leads to may queue messages: they wait for the next call.
void ProbeTable::SendDatagrams() {
  if (network_.queued() == 0) return;
  for (const SentDatagram& sent : network_.SendQueued()) {
    if (sent.error == 0) ++counters_.datagrams_sent;
    Slot* slot = Find(sent.slot);
    if (!slot || slot->shared.socket == kNoSocket) continue;
    ++slot->datagrams_left;
    if (sent.error == 0) {
      slot->conversation->OnDatagramSent(sent.number, sent.at, sent.clock);
    } else {
      FailDatagram(*slot, {.outcome = ConnectOutcome(sent.error),
                           .at = sent.at,
                           .number = sent.number,
                           .detail = ErrorText(sent.error)});
    }
  }
}

void ProbeTable::OnDatagramStamped(const SentDatagram& sent) {
  Slot* slot = Find(sent.slot);
  if (!slot || slot->shared.socket == kNoSocket) return;
  slot->conversation->OnDatagramSent(sent.number, sent.at, sent.clock);
}

// ---- receiving ----------------------------------------------------------------------------------

void ProbeTable::OnDatagram(const ReceivedDatagram& message) {
  ++counters_.datagrams_received;
  if (message.clock == StampClock::kUser) ++counters_.datagrams_unstamped;
  if (message.transport == Transport::kIcmp) {
    OnEcho(message);
  } else {
    OnUdp(message);
  }
}

void ProbeTable::Deliver(Slot& slot, const ReceivedDatagram& message, Bytes bytes,
                         uint16_t number) {
  // Its deadline expires in this turn; what came after it came too late.
  if (message.at > slot.deadline) return CountStray(StrayReason::kLate);
  slot.answered = slot.ref.generation;
  const Datagram datagram{.bytes = bytes,
                          .peer = message.from,
                          .at = message.at,
                          .clock = message.clock,
                          .ttl = message.ttl,
                          .number = number};
  Drive(slot, slot.conversation->OnDatagram(datagram, *slot.out), message.at);
}

void ProbeTable::FailDatagram(Slot& slot, const NetworkError& error) {
  Drive(slot, slot.conversation->OnNetworkError(error, *slot.out), error.at);
}

// ---- ICMP ----

// The slot a claim is about, if it is true.
ProbeTable::Slot* ProbeTable::EchoSlot(const EchoTable::Claim& claim, SocketId socket,
                                       const Address& peer) {
  if (claim.index >= slots_.size()) return nullptr;
  Slot& slot = slots_[claim.index];
  if ((slot.ref.generation & EchoTable::kGenerationMask) != claim.generation) return nullptr;
  if (slot.state != Slot::State::kOpen || slot.ending || slot.shared.socket != socket ||
      slot.plan->transport != Transport::kIcmp || claim.number >= slot.datagrams_queued ||
      !SameHost(slot.leg.peer, peer)) {
    return nullptr;
  }
  return &slot;
}

// A claim that is not true of a slot now: was it lately?
StrayReason ProbeTable::EchoStray(const EchoTable::Claim& claim) const {
  if (claim.index >= slots_.size()) return StrayReason::kForeign;
  const Slot& slot = slots_[claim.index];
  const uint32_t age = (slot.ref.generation - claim.generation) & EchoTable::kGenerationMask;
  if (age == 0 || age > EchoTable::kGenerationMask / 2) return StrayReason::kForeign;
  const bool answered = (slot.answered & EchoTable::kGenerationMask) == claim.generation;
  return answered ? StrayReason::kDuplicate : StrayReason::kLate;
}

void ProbeTable::OnEcho(const ReceivedDatagram& message) {
  const auto answer = ParseEchoAnswer(message.from.family, message.bytes);
  if (!answer) return CountStray(StrayReason::kMalformed);
  const Address& asked = answer->error ? answer->to : message.from;
  auto claim = echoes_.Recall(answer->sequence, answer->payload);
  Slot* slot = claim ? EchoSlot(*claim, message.socket, asked) : nullptr;
  if (!slot) {
    claim = echoes_.Find(asked, answer->sequence, answer->payload);
    if (!claim) return CountStray(StrayReason::kForeign);
    slot = EchoSlot(*claim, message.socket, asked);
    if (!slot) return CountStray(EchoStray(*claim));
  }
  if (!answer->error) return Deliver(*slot, message, answer->payload, claim->number);
  if (message.at > slot->deadline) return CountStray(StrayReason::kLate);
  FailDatagram(*slot, {.outcome = answer->outcome,
                       .from = message.from,
                       .at = message.at,
                       .number = claim->number,
                       .detail = answer->words});
}

// ---- UDP ----

void ProbeTable::OnUdp(const ReceivedDatagram& message) {
  if (message.bytes.size() < 2) return CountStray(StrayReason::kMalformed);
  const uint16_t token = TokenOf(message.bytes);
  const uint32_t index = tokens_.Find(message.socket, message.from, token);
  if (index == TokenTable::kNobody) return OnStray(message, token);
  Slot& slot = slots_[index];
  if (slot.state == Slot::State::kOpen && !slot.ending) Deliver(slot, message, message.bytes, 0);
}

void ProbeTable::OnStray(const ReceivedDatagram& message, uint16_t token) {
  const StrayReason reason = tokens_.ReasonOf(message.socket, message.from, token);
  CountStray(reason);
  if (reason != StrayReason::kForeign) return;
  const Datagram datagram{.bytes = message.bytes,
                          .peer = message.from,
                          .at = message.at,
                          .clock = message.clock,
                          .ttl = message.ttl};
  const auto ask = [&](uint32_t index) {
    Slot& slot = slots_[index];
    return slot.state == Slot::State::kOpen && !slot.ending && message.at <= slot.deadline &&
           slot.conversation->OnStray(datagram);
  };
  if (tokens_.VisitPeer(message.socket, message.from, kStrayVisits, ask)) return;
  tokens_.VisitToken(token, kStrayVisits, [&](uint32_t index) {
    return slots_[index].shared.socket == message.socket && ask(index);
  });
}

// ---- errors the kernel tells of -----------------------------------------------------------------

void ProbeTable::OnDatagramError(const DatagramError& error) {
  const IcmpErrorInfo info = IcmpErrorOf(error.to.family, error.type, error.code);
  NetworkError told{
      .outcome = info.outcome, .from = error.from, .at = error.at, .detail = info.words};
  if (error.transport == Transport::kIcmp) {
    // A ping socket: what is quoted begins with the ICMP header.
    if (error.quoted.size() < kEchoHeaderBytes) return CountStray(StrayReason::kMalformed);
    const auto sequence = static_cast<uint16_t>(error.quoted[6] << 8 | error.quoted[7]);
    const auto claim = echoes_.Find(error.to, sequence, error.quoted.subspan(kEchoHeaderBytes));
    Slot* slot = claim ? EchoSlot(*claim, error.socket, error.to) : nullptr;
    if (!slot) return CountStray(claim ? EchoStray(*claim) : StrayReason::kForeign);
    told.number = claim->number;
    return FailDatagram(*slot, told);
  }
  const auto fail = [&](uint32_t index) {
    Slot& slot = slots_[index];
    if (slot.state != Slot::State::kOpen || slot.ending) return false;
    FailDatagram(slot, told);
    return true;
  };
  if (error.quoted.size() >= 2) {
    const uint32_t index = tokens_.Find(error.socket, error.to, TokenOf(error.quoted));
    if (index != TokenTable::kNobody) fail(index);
    return;
  }
  // A router that quotes no payload (RFC 792 asks for 8 bytes, the UDP header): it is about
  // somebody who asked this server, and true for all who do, but for the size of one message.
  if (info.outcome == Outcome::kConnectTooBig) return;
  tokens_.VisitPeer(error.socket, error.to, kStrayVisits, [&](uint32_t index) {
    fail(index);
    return false;
  });
}

}  // namespace sonde
