// TLS of probes: handshakes begun, ended, resumed, one inside the other.
#include <memory>
#include <string>
#include <utility>

#include "engine/shard/probe_table.h"

namespace sonde {

ProbeTable::Next ProbeTable::StartTls(Slot& slot, const TlsProfile& profile,
                                      std::string_view server_name, Instant at) {
  if (!profile.fault.empty()) return FailLeg(slot, Outcome::kProberConfig, profile.fault, at);
  const absl::StatusOr<SSL_CTX*> context = tls_contexts_.For(profile);
  if (!context.ok()) {
    const std::string message(context.status().message());
    return FailLeg(slot, Outcome::kProberConfig, message, at);
  }
  if (!profile.server_name.empty()) server_name = profile.server_name;
  slot.leg.tls_start = network_.Stamp();
  slot.leg.tls_end = {};
  slot.leg.tls = nullptr;
  slot.tls =
      TlsChannel::Client(*context, profile, server_name,
                         WallTime{slot.leg.tls_start.ns + wall_offset_.ns}, std::move(slot.tls));
  if (!slot.tls) return FailLeg(slot, Outcome::kProberMemory, "TLS", at);
  if (profile.resumes()) ResumeTls(slot, *context, profile, server_name);
  slot.leg.tls = &slot.tls->facts();
  slot.state = Slot::State::kHandshaking;
  if (!std::exchange(slot.holds_handshake, true)) ++counters_.handshakes_in_progress;
  slot.rest = Buffer();  // what came before the handshake must not be taken for what comes inside
  if (!slot.cipher_out) slot.cipher_out = buffers_.Take();
  const TlsChannel::State before = slot.tls->state();
  slot.tls->Start(slot.cipher_out);
  Flush(slot);
  // What carries it may have ended with the bytes that led here.
  if (slot.tls->carrier_state() != TlsChannel::State::kOpen) return CarrierGone(slot, at);
  return AfterTls(slot, before, at);
}

// A task keeps one session: that of its runs' first handshake under a profile that resumes.
void ProbeTable::ResumeTls(Slot& slot, const SSL_CTX* context, const TlsProfile& profile,
                           std::string_view server_name) {
  if (!std::exchange(slot.may_resume, false)) return;
  std::unique_ptr<TlsMemory>* memory = owner_.MemoryOf(slot);
  if (memory == nullptr) return;
  if (*memory == nullptr) *memory = std::make_unique<TlsMemory>();
  slot.tls->Resume(
      **memory,
      {slot.task->version, TlsContexts::NumberOf(context), slot.leg.peer, std::string(server_name)},
      profile);
}

// TLS within TLS: what carries it ended or broke.
ProbeTable::Next ProbeTable::CarrierGone(Slot& slot, Instant at) {
  const bool ended = slot.tls->carrier_state() == TlsChannel::State::kEnded;
  return PeerClosed(slot, ended ? PeerClose::kTruncated : PeerClose::kReset, at);
}

void ProbeTable::EndHandshake(Slot& slot) {
  if (!std::exchange(slot.holds_handshake, false)) return;
  --counters_.handshakes_in_progress;
  if (!slot.leg.tls_end.stamped()) {
    ++counters_.handshakes_failed;
  } else if (slot.tls && slot.tls->facts().resumed) {
    ++counters_.handshakes_resumed;
  } else {
    ++counters_.handshakes_full;
  }
}

// What a handshake's progress means for the leg. Only while it shakes hands.
ProbeTable::Next ProbeTable::AfterTls(Slot& slot, TlsChannel::State before, Instant at) {
  const TlsChannel::State now = slot.tls->state();
  if (now == TlsChannel::State::kFailed) {
    EndHandshake(slot);
    return FailLeg(slot, slot.tls->outcome(), slot.tls->detail(), at);
  }
  if (before == TlsChannel::State::kHandshaking && now != before) {
    slot.leg.tls_end = network_.Stamp();
    EndHandshake(slot);
    return Opened(slot, slot.leg.tls_end);
  }
  return std::nullopt;
}

}  // namespace sonde
