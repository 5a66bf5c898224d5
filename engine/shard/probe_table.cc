#include "engine/shard/probe_table.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "engine/shard/network_error.h"

namespace sonde {
namespace {

// SplitMix64: seeded, so that a simulated day replays byte for byte.
uint64_t NextRandom(void* state) {
  uint64_t& s = *static_cast<uint64_t*>(state);
  uint64_t z = (s += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::string DeniedBy(std::string_view rule) {
  return "denied by '" + std::string(rule) + "' of the probe policy";
}

NetworkOptions Uncached(NetworkOptions options) {
  options.resolver_cache = false;
  return options;
}

}  // namespace

ProbeTable::ProbeTable(unsigned shard, Network& network, Files* files, uint64_t random_seed,
                       Instant start, Owner& owner)
    : shard_(shard),
      network_(network),
      owner_(owner),
      files_(files),
      tls_contexts_(files),
      idle_(network, files, buffers_),
      wheel_(start),
      random_state_(random_seed),
      read_buffer_(new uint8_t[kReadSize]),
      plain_(buffers_.Take()),
      echoes_(NextRandom(&random_state_)) {}

ProbeTable::~ProbeTable() = default;

uint64_t ProbeTable::Random() { return NextRandom(&random_state_); }

ProbeTable::Slot& ProbeTable::TakeSlot() {
  if (free_.empty()) {
    Slot& slot = slots_.emplace_back();
    slot.ref = {static_cast<uint32_t>(slots_.size() - 1), 1};
    return slot;
  }
  Slot& slot = slots_[free_.back()];
  free_.pop_back();
  return slot;
}

ProbeTable::Slot* ProbeTable::Find(SlotRef ref) {
  if (ref.index >= slots_.size()) return nullptr;
  Slot& slot = slots_[ref.index];
  return slot.ref == ref && slot.state != Slot::State::kFree && !slot.ending ? &slot : nullptr;
}

void ProbeTable::Start(std::shared_ptr<const Task> task, void* owner_data, SlotRef* ref) {
  Slot& slot = TakeSlot();
  *ref = slot.ref;
  ++in_flight_;
  slot.state = Slot::State::kStarting;
  slot.owner_data = owner_data;
  slot.task = std::move(task);
  slot.wake_at = {};
  slot.may_resume = true;
  slot.started = network_.Stamp();
  slot.deadline = slot.started + slot.task->timeout;
  slot.out.emplace(buffers_);
  const ConversationContext context{buffers_, shard_, NextRandom, &random_state_, files_};
  slot.conversation = slot.task->prober->Make(slot.place, *slot.task, context);
  ArmTimer(slot);
  const SlotRef started = slot.ref;  // `*ref` goes with its owner
  const bool no_time = slot.task->timeout <= Duration{};
  Drive(slot, slot.conversation->Start(slot.started), slot.started);
  // A run without any time fails at what it has just begun.
  if (no_time && Find(started)) OnTimer(slot, slot.started);
  SendFullBatch();
}

void ProbeTable::Cancel(SlotRef ref, Outcome outcome, Instant at) {
  if (Slot* slot = Find(ref)) Finish(*slot, outcome, at);
}

void ProbeTable::CancelAll(Instant at) {
  for (Slot& slot : slots_) {
    if (slot.state != Slot::State::kFree) Finish(slot, Outcome::kProberCancelled, at);
  }
}

// The one place where steps are carried out. A step may lead to another at once (a refused
// redirect, a cached name): a loop, not a recursion.
void ProbeTable::Drive(Slot& slot, Step step, Instant at) {
  Next next = step;
  while (next && !slot.ending) {
    const Step now = *next;
    next.reset();
    switch (now.kind) {
      case Step::Kind::kMore:
        if (slot.wake_at != now.wake_at) {
          slot.wake_at = now.wake_at;
          ArmTimer(slot);
        }
        if (slot.state == Slot::State::kOpen) Flush(slot);
        break;
      case Step::Kind::kPass:
        Flush(slot);  // a farewell (QUIT) goes out if it fits
        slot.reusable = now.reusable;
        Finish(slot, Outcome::kOk, at);
        break;
      case Step::Kind::kFail:
        slot.reusable = now.reusable;
        Finish(slot, now.outcome, at);
        break;
      case Step::Kind::kSecure:
        Flush(slot);
        next = StartTls(slot, *now.tls, now.server_name, at);
        break;
      case Step::Kind::kReplace:
        next = Replace(slot, at);
        break;
      case Step::Kind::kOpen:
        CloseLeg(slot, true);
        next = OpenLeg(slot, *now.leg, at);
        // What ends here ends after the look-up and the calls it took, not when it began.
        if (next && next->kind != Step::Kind::kMore) at = network_.Stamp();
        break;
    }
  }
}

// ---- opening ------------------------------------------------------------------------------------

// The process's policy, the module's, the task's: the first refusal counts.
template <typename Check>
ProbePolicy::Decision ProbeTable::Judge(const Slot& slot, Check&& check) {
  for (const ProbePolicy* policy :
       {policy_.get(), slot.task->module->policy.get(), slot.task->policy.get()}) {
    if (policy == nullptr) continue;
    const ProbePolicy::Decision decision = check(*policy);
    if (decision.allowed) continue;
    ++counters_.policy_refusals[static_cast<size_t>(decision.kind)];
    return decision;
  }
  return {};
}

ProbeTable::Next ProbeTable::OpenLeg(Slot& slot, const LegPlan& plan, Instant at) {
  slot.plan = &plan;
  slot.leg = Leg{};
  slot.leg.start = at;
  if (plan.reach == Reach::kPeer && slot.legs < 255) ++slot.legs;
  const auto decision = Judge(slot, [&plan](const ProbePolicy& policy) {
    return policy.CheckName(plan.host, plan.port, plan.scheme);
  });
  if (!decision.allowed) {
    return FailLeg(slot, Outcome::kProberPolicy, DeniedBy(decision.rule), at);
  }
  if (plan.reach == Reach::kName) return Opened(slot, network_.Stamp());
  if (plan.keep > Duration{}) {
    if (Next reused = Reuse(slot, at)) return reused;
  }
  if (plan.address) {
    slot.leg.resolved = true;
    return ConnectTo(slot, *plan.address, {});
  }
  slot.state = Slot::State::kResolving;
  slot.leg.resolve_start = network_.Stamp();
  const auto answer = slot.task->fresh_names && plan.network->resolver_cache
                          ? network_.Resolve(slot.ref, plan.host, Uncached(*plan.network))
                          : network_.Resolve(slot.ref, plan.host, *plan.network);
  return answer ? Resolved(slot, *answer, true) : std::nullopt;
}

ProbeTable::Next ProbeTable::Resolved(Slot& slot, const ResolveAnswer& answer, bool at_once) {
  slot.leg.resolve_end = answer.at;
  if (answer.outcome != Outcome::kOk) {
    return FailLeg(slot, answer.outcome, Info(answer.outcome).sentence, answer.at);
  }
  slot.leg.resolved = true;
  return ConnectTo(slot, answer.address, at_once ? answer.at : Instant{});
}

// nullopt: the leg may go there.
ProbeTable::Next ProbeTable::JudgePeer(Slot& slot) {
  const auto decision =
      Judge(slot, [&](const ProbePolicy& policy) { return policy.CheckAddress(slot.leg.peer); });
  if (decision.allowed) return std::nullopt;
  return FailLeg(slot, Outcome::kProberPolicy, DeniedBy(decision.rule), network_.Stamp());
}

// `now`: a reading of the clock that is as good as another; unset: there is none.
ProbeTable::Next ProbeTable::ConnectTo(Slot& slot, const Address& address, Instant now) {
  slot.leg.peer = address;
  slot.leg.peer.port = slot.plan->port;
  if (Next refused = JudgePeer(slot)) return refused;
  if (slot.plan->reach == Reach::kAddress) return Opened(slot, network_.Stamp());
  if (slot.plan->network->bad_source) {
    return FailLeg(slot, Outcome::kProberConfig, "source_ip_address is not an address",
                   network_.Stamp());
  }
  if (slot.plan->transport != Transport::kTcp) return JoinSocket(slot, now);
  slot.state = Slot::State::kConnecting;
  if (idle_.size() > 0 && network_.DescriptorsLeft() == 0) {
    idle_.CloseOldest(IdleEnd::kDescriptors);
  }
  const ConnectResult result = network_.Connect(slot.ref, slot.leg.peer, *slot.plan->network);
  slot.leg.connect_start = result.at;
  slot.stream = result.stream;
  if (result.stream == kNoStream) {
    const Outcome outcome =
        result.misconfigured ? Outcome::kProberConfig : ConnectOutcome(result.error);
    return FailLeg(slot, outcome, ErrorText(result.error), result.at);
  }
  return std::nullopt;
}

ProbeTable::Next ProbeTable::FailLeg(Slot& slot, Outcome outcome, std::string_view detail,
                                     Instant at) {
  slot.leg.detail = detail;
  slot.state = Slot::State::kStarting;
  const Step step = slot.conversation->OnLegFailed(slot.leg, outcome, at);
  slot.leg.detail = {};  // it may be a view of the caller's
  // The conversation cannot go on without a leg: what is not an answer of its own is the failure.
  return step.kind == Step::Kind::kMore && !step.wake_at.stamped() ? Step::Fail(outcome) : step;
}

ProbeTable::Next ProbeTable::Opened(Slot& slot, Instant at) {
  slot.state = Slot::State::kOpen;
  return slot.conversation->OnOpen(slot.leg, at, *slot.out);
}

// ---- events -------------------------------------------------------------------------------------

void ProbeTable::OnResolved(SlotRef ref, const ResolveAnswer& answer) {
  Slot* slot = Find(ref);
  if (!slot || slot->state != Slot::State::kResolving) return;
  if (const Next next = Resolved(*slot, answer, false)) Drive(*slot, *next, answer.at);
}

void ProbeTable::OnConnected(SlotRef ref, Instant at) {
  Slot* slot = Find(ref);
  if (!slot || slot->state != Slot::State::kConnecting) return;
  slot->leg.connected = at;
  Inspect(*slot);
  const Next next =
      slot->plan->tls
          ? StartTls(*slot, *slot->plan->tls,
                     slot->plan->server_name.empty() ? slot->plan->host : slot->plan->server_name,
                     at)
          : Opened(*slot, at);
  if (next) Drive(*slot, *next, at);
}

void ProbeTable::OnConnectFailed(SlotRef ref, int error, Instant at) {
  Slot* slot = Find(ref);
  if (!slot || slot->state != Slot::State::kConnecting) return;
  Inspect(*slot);
  if (const Next next = FailLeg(*slot, ConnectOutcome(error), ErrorText(error), at)) {
    Drive(*slot, *next, at);
  }
}

void ProbeTable::Inspect(Slot& slot) {
  const TcpInfo info = network_.Inspect(slot.stream);
  slot.leg.syn_retransmits = info.syn_retransmits;
  slot.leg.kernel_rtt = info.rtt;
  // The kernel took the time from SYN to SYN-ACK: how late the loop woke up for it is not the
  // peer's. A SYN that was sent again has no such time (Karn's algorithm).
  if (!slot.leg.connected.stamped() || info.syn_retransmits != 0 || info.rtt.ns <= 0) return;
  slot.leg.connected = std::min(slot.leg.connected, slot.leg.connect_start + info.rtt);
}

void ProbeTable::OnReadable(SlotRef ref, Instant) {
  if (Slot* slot = Find(ref)) {
    Read(*slot);
  } else {
    idle_.OnReadable(ref);
  }
}

void ProbeTable::OnWritable(SlotRef ref, Instant) {
  Slot* slot = Find(ref);
  if (!slot || (slot->state != Slot::State::kOpen && slot->state != Slot::State::kHandshaking)) {
    return;
  }
  Flush(*slot);
}

void ProbeTable::Read(Slot& slot) {
  const SlotRef ref = slot.ref;
  for (int reads = 0; reads < kReadsPerEvent; ++reads) {
    if (slot.state != Slot::State::kOpen && slot.state != Slot::State::kHandshaking) return;
    const StreamId stream = slot.stream;
    const IoResult result = network_.Receive(stream, {read_buffer_.get(), kReadSize});
    if (result.error == EAGAIN || result.error == EWOULDBLOCK) return;
    Next next;
    if (result.error != 0) {
      next = PeerClosed(slot, PeerClose::kReset, result.at);
    } else if (result.count == 0) {
      next = PeerClosed(slot, slot.tls ? PeerClose::kTruncated : PeerClose::kEnd, result.at);
    } else {
      next = TakeBytes(slot, {read_buffer_.get(), result.count}, result.at);
    }
    if (next) Drive(slot, *next, result.at);
    // The step may have ended the probe or moved it to another leg.
    if (!Find(ref) || slot.stream != stream) return;
    if (result.error != 0 || result.count == 0) return;
  }
  ReadLater(slot);
}

void ProbeTable::ReadLater(Slot& slot) {
  if (!std::exchange(slot.more_to_read, true)) hungry_.push_back(slot.ref);
}

ProbeTable::Next ProbeTable::TakeBytes(Slot& slot, Bytes bytes, Instant at) {
  if (!slot.tls) return GivePlain(slot, bytes, at);
  const SlotRef ref = slot.ref;
  const TlsChannel::State before = slot.tls->state();
  plain_.Clear();
  slot.tls->Feed(bytes, plain_, slot.cipher_out);
  // The end of a handshake leaves together with what the conversation says first.
  const bool ended_handshake =
      before == TlsChannel::State::kHandshaking && slot.tls->state() == TlsChannel::State::kOpen;
  if (!ended_handshake) Flush(slot);
  // One flight may end the handshake, carry application data and close or break: in that order.
  if (slot.state == Slot::State::kHandshaking) {
    if (Next next = AfterTls(slot, before, at)) {
      if (next->kind != Step::Kind::kMore) {
        if (ended_handshake) Flush(slot);
        return next;
      }
      Drive(slot, *next, at);
      if (!Find(ref) || !slot.tls) return std::nullopt;
    }
  }
  if (!plain_.empty()) {
    if (Next next = GivePlain(slot, plain_.bytes(), at)) {
      if (next->kind != Step::Kind::kMore) return next;
      Drive(slot, *next, at);
      if (!Find(ref) || !slot.tls) return std::nullopt;
    }
  }
  if (slot.tls->state() == TlsChannel::State::kEnded) {
    return PeerClosed(slot, PeerClose::kEnd, at);
  }
  if (slot.tls->carrier_state() != TlsChannel::State::kOpen) return CarrierGone(slot, at);
  // A record that is broken, or an alert: nobody's end, and no answer is complete by it.
  if (slot.state == Slot::State::kOpen && slot.tls->state() == TlsChannel::State::kFailed) {
    return PeerClosed(slot, PeerClose::kReset, at);
  }
  return std::nullopt;
}

ProbeTable::Next ProbeTable::GivePlain(Slot& slot, Bytes bytes, Instant at) {
  slot.unproven = false;
  const bool kept = !slot.rest.empty();
  if (kept) {
    slot.rest.Append(bytes);
    bytes = slot.rest.bytes();
  }
  size_t used = 0;
  Step step;
  do {
    const ReadStep read = slot.conversation->OnBytes(bytes.subspan(used), at, *slot.out);
    used += read.consumed;
    step = read.step;
    if (step.kind != Step::Kind::kMore || read.consumed == 0) break;
  } while (used < bytes.size());
  if (step.kind == Step::Kind::kPass || step.kind == Step::Kind::kFail ||
      step.kind == Step::Kind::kOpen) {
    return step;
  }
  if (bytes.size() - used > kRestLimit) return Step::Fail(Outcome::kProberMemory);
  if (kept) {
    slot.rest.DropFront(used);
  } else if (used < bytes.size()) {
    if (!slot.rest) slot.rest = buffers_.Take();
    slot.rest.Append(bytes.subspan(used));
  }
  return step;
}

ProbeTable::Next ProbeTable::PeerClosed(Slot& slot, PeerClose how, Instant at) {
  if (slot.state == Slot::State::kHandshaking) {
    EndHandshake(slot);
    const bool reset = how == PeerClose::kReset;
    return FailLeg(slot, reset ? Outcome::kTlsReset : Outcome::kTlsClosed,
                   reset ? "connection reset" : "connection closed", at);
  }
  if (std::exchange(slot.unproven, false)) return Replace(slot, at);
  if (how == PeerClose::kReset && Unsent(slot)) return Step::Fail(Outcome::kSendReset);
  slot.wake_at = {};
  const Step step = slot.conversation->OnPeerClosed(how, slot.rest.bytes(), at, *slot.out);
  if (step.kind == Step::Kind::kMore && !step.wake_at.stamped()) {
    return Step::Fail(Outcome::kProberInternal);  // nothing would ever happen again
  }
  return step;
}

// ---- time ---------------------------------------------------------------------------------------

void ProbeTable::ArmTimer(Slot& slot) {
  const bool wake = slot.wake_at.stamped() && slot.wake_at < slot.deadline;
  wheel_.Cancel(slot);
  wheel_.Arm(slot, wake ? slot.wake_at : slot.deadline);
}

void ProbeTable::Advance(Instant now) {
  hungry_now_.swap(hungry_);
  for (const SlotRef ref : hungry_now_) {
    if (Slot* slot = Find(ref)) {
      slot->more_to_read = false;
      Read(*slot);
    }
  }
  hungry_now_.clear();
  wheel_.AdvanceTo(now);
  while (TimerNode* node = wheel_.PopExpired()) {
    OnTimer(*static_cast<Slot*>(node), now);
    SendFullBatch();
  }
  idle_.Expire(now);
}

std::optional<Instant> ProbeTable::NextWake() const {
  if (!hungry_.empty()) return Instant{1};
  const std::optional<Instant> next = wheel_.NextWake(), expiry = idle_.NextExpiry();
  return next && expiry ? std::min(*next, *expiry) : next ? next : expiry;
}

void ProbeTable::OnTimer(Slot& slot, Instant now) {
  if (slot.deadline <= now) {
    Finish(slot, TimeoutOutcome(slot, now), now);
    return;
  }
  slot.wake_at = {};
  const SlotRef ref = slot.ref;
  Drive(slot, slot.conversation->OnWake(now, *slot.out), now);
  if (Find(ref) && !slot.armed()) ArmTimer(slot);
}

Outcome ProbeTable::TimeoutOutcome(Slot& slot, Instant at) {
  switch (slot.state) {
    case Slot::State::kResolving:
      return Outcome::kDnsTimeout;
    case Slot::State::kConnecting:
      return Outcome::kConnectTimeout;
    case Slot::State::kHandshaking:
      return Outcome::kTlsTimeout;
    default:
      if (slot.datagrams_left < slot.datagrams_queued) {
        return slot.task->timeout > Duration{} ? Outcome::kProberMemory
                                               : Outcome::kFirstByteTimeout;
      }
      return Unsent(slot) ? Outcome::kSendTimeout : slot.conversation->OnDeadline(at);
  }
}

// ---- ending -------------------------------------------------------------------------------------

void ProbeTable::CloseLeg(Slot& slot, bool orderly) {
  if (slot.state == Slot::State::kResolving) network_.CancelResolve(slot.ref);
  if (slot.shared.socket != kNoSocket) LeaveSocket(slot);
  EndHandshake(slot);
  if (slot.stream != kNoStream) {
    const bool reset = slot.plan->network->close == NetworkOptions::Close::kReset;
    if (orderly && !reset && slot.tls && slot.tls->state() == TlsChannel::State::kOpen) {
      slot.tls->Shutdown(slot.cipher_out);
      Flush(slot);
    }
    network_.Close(slot.stream, slot.plan->network->close);
    slot.stream = kNoStream;
  }
  slot.leg.tls = nullptr;
  if (slot.tls) slot.tls->KeepSession();
  slot.tls.reset();
  slot.rest = Buffer();
  slot.cipher_out = Buffer();
  slot.cipher_sent = 0;
  slot.send_broken = slot.unproven = false;
  slot.out->Reset();
  slot.state = Slot::State::kStarting;
}

bool ProbeTable::Opening(const Slot& slot) {
  return slot.state == Slot::State::kResolving || slot.state == Slot::State::kConnecting ||
         slot.state == Slot::State::kHandshaking;
}

void ProbeTable::Finish(Slot& slot, Outcome outcome, Instant at) {
  if (std::exchange(slot.ending, true)) return;
  wheel_.Cancel(slot);
  if (Opening(slot)) {  // time was up on the way: what there is of the leg belongs into the report
    slot.leg.detail = {};
    if (slot.state == Slot::State::kConnecting) Inspect(slot);
    static_cast<void>(slot.conversation->OnLegFailed(slot.leg, outcome, at));
  }
  owner_.OnProbeFinished(slot, outcome, at);
  if (slot.reusable) Park(slot, at);
  CloseLeg(slot, outcome == Outcome::kOk);
  // After a failure nothing of before is taken for granted.
  if (outcome != Outcome::kOk) {
    if (std::unique_ptr<TlsMemory>* memory = owner_.MemoryOf(slot)) memory->reset();
  }
  slot.conversation->~Conversation();
  slot.conversation = nullptr;
  slot.out.reset();
  slot.task.reset();
  slot.plan = nullptr;
  slot.state = Slot::State::kFree;
  slot.ending = false;
  slot.more_to_read = false;
  slot.unproven = slot.reusable = false;
  slot.legs = 0;
  ++slot.ref.generation;
  free_.push_back(slot.ref.index);
  --in_flight_;
}

}  // namespace sonde
