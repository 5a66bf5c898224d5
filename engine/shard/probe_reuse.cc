// Legs over connections that an earlier run of the task left, and what runs leave (ADR 041).
#include <utility>

#include "engine/shard/probe_table.h"

namespace sonde {

// The leg just asked for goes over the task's idle connection, if there is one to the same place.
// Nothing is resolved, connected or shaken; the probe policy judges the address all the same.
ProbeTable::Next ProbeTable::Reuse(Slot& slot, Instant at) {
  const IdleConnections::PlaceId* place = owner_.IdlePlaceOf(slot);
  if (!place) return std::nullopt;
  std::optional<IdleConnections::Connection> idle =
      idle_.Take(*place, *slot.task, *slot.plan, slot.ref, at);
  if (!idle) return std::nullopt;
  --slot.legs;  // nothing is opened
  ++counters_.reused;
  slot.unproven = true;
  slot.stream = idle->stream;
  slot.tls = std::move(idle->tls);
  slot.leg.reused = slot.leg.resolved = true;
  slot.leg.peer = idle->peer;
  slot.leg.connected = idle->connected;
  slot.leg.tls_end = idle->tls_end;
  if (slot.tls) {
    slot.leg.tls = &slot.tls->facts();
    slot.cipher_out = buffers_.Take();
  }
  if (Next refused = JudgePeer(slot)) return refused;
  return Opened(slot, at);
}

// An idle connection may end just as it is used, for reasons of its own: that says nothing of the
// peer (RFC 9112 section 9.3.1). Once: a new connection is never replaced.
ProbeTable::Next ProbeTable::Replace(Slot& slot, Instant at) {
  ++counters_.retried;
  const LegPlan& plan = *slot.plan;
  CloseLeg(slot, false);
  return OpenLeg(slot, plan, at);
}

// Leaves the leg's connection to the task's next run.
void ProbeTable::Park(Slot& slot, Instant at) {
  if (slot.plan->keep <= Duration{} || at - slot.leg.connected >= slot.plan->keep) return;
  if (slot.state != Slot::State::kOpen || slot.stream == kNoStream || Unsent(slot)) return;
  if (!slot.rest.empty() || (slot.tls && !slot.tls->IsIdle())) return;
  IdleConnections::PlaceId* place = owner_.IdlePlaceOf(slot);
  if (!place) return;
  if (slot.tls) slot.tls->KeepSession();
  IdleConnections::Connection connection{slot.stream, std::move(slot.tls), slot.leg.peer,
                                         slot.leg.connected, slot.leg.tls_end};
  if (idle_.Park(*place, *slot.task, *slot.plan, connection, at)) {
    slot.stream = kNoStream;
  } else {
    slot.tls = std::move(connection.tls);
  }
}

}  // namespace sonde
