// What probes write to their streams, through TLS or not.
#include <cerrno>

#include "engine/shard/probe_table.h"

namespace sonde {

bool ProbeTable::Unsent(const Slot& slot) const {
  return slot.send_broken || (slot.out && !slot.out->pending().empty()) ||
         slot.cipher_sent < slot.cipher_out.size();
}

size_t ProbeTable::SendAll(Slot& slot, Bytes bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const IoResult result = network_.Send(slot.stream, bytes.subspan(sent));
    if (result.error == EAGAIN || result.error == EWOULDBLOCK) return sent;
    if (result.error != 0) {
      // The peer tore the connection down. It may have answered before that: what it said still
      // waits to be read, and the reset behind it.
      slot.send_broken = true;
      ReadLater(slot);
      return bytes.size();
    }
    sent += result.count;
  }
  return sent;
}

void ProbeTable::Flush(Slot& slot) {
  if (slot.shared.socket != kNoSocket) QueueDatagram(slot);
  if (slot.stream == kNoStream) return;
  if (!slot.tls) {
    const Bytes pending = slot.out->pending();
    if (!pending.empty()) slot.out->Consume(SendAll(slot, pending));
    return;
  }
  const Bytes pending = slot.out->pending();
  if (!pending.empty() && slot.tls->state() == TlsChannel::State::kOpen) {
    slot.tls->Write(pending, slot.cipher_out);
    slot.out->Consume(pending.size());
  }
  slot.cipher_sent += SendAll(slot, slot.cipher_out.bytes().subspan(slot.cipher_sent));
  if (slot.cipher_sent == slot.cipher_out.size()) {
    slot.cipher_out.Clear();
    slot.cipher_sent = 0;
  }
}

}  // namespace sonde
