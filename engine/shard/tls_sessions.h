// TLS sessions kept from one run of a task to the next, so that most of its handshakes can resume.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/contract/address.h"
#include "engine/contract/instant.h"
#include "engine/contract/tls_profile.h"

namespace sonde {

// What a session belongs to. It is offered to nobody else.
struct TlsPlace {
  uint64_t task = 0;     // Task::version: a changed task begins anew
  uint64_t context = 0;  // TlsContexts::NumberOf: profile, and what its files held
  Address peer;
  std::string name;  // SNI, and what the certificate had to be for

  bool operator==(const TlsPlace&) const = default;
};

using SessionPtr = std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>;

// The session that a task's last run left, and what its last full handshake found. One per task,
// owned by its shard, on whose thread everything runs. A run that failed takes it away; so the next
// handshake is a full one.
class TlsMemory {
 public:
  // A session and the texts of its certificate that are larger together are not kept: every
  // handshake is a full one then. Usual ones take about 1 KiB.
  static constexpr size_t kMostBytes = 16 * 1024;

  // The session that a handshake to `place` may offer. Null: a full one is due, for there is none,
  // its turn has come (the profile's full_handshake_every and _max_age), or a certificate of the
  // chain that was verified has expired since. What is offered is given away: until Keep there is
  // nothing more.
  SessionPtr Offer(const TlsPlace& place, const TlsProfile& profile, WallTime now);

  // A handshake to `place` went well, and this is its session now. `facts`: of that handshake.
  // Tickets of TLS 1.3 come after the handshake, with the answer or never: called late.
  void Keep(const TlsPlace& place, SSL_SESSION* session, const TlsFacts& facts);

  // What the last full handshake found; of a session that was offered, also after Offer.
  const TlsFacts& full() const { return full_; }

  size_t bytes() const;  // beyond this object

 private:
  void Forget();

  TlsPlace place_;
  std::vector<uint8_t> session_;  // as OpenSSL writes it (DER), without the peer's certificate
  TlsFacts full_;
  int32_t resumed_ = 0;  // handshakes since that one
};

}  // namespace sonde
