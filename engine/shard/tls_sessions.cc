#include "engine/shard/tls_sessions.h"

#include <openssl/asn1.h>

#include <utility>

namespace sonde {
namespace {

// Among the elements of a session that OpenSSL writes (ssl/ssl_asn1.c): `peer [3] EXPLICIT X509
// OPTIONAL`. Reading it again would cost more than all else in resuming.
constexpr uint8_t kPeerTag = 0xA3;

// What is left of a session without its peer's certificate; empty when it cannot be written.
std::vector<uint8_t> Written(SSL_SESSION* session) {
  uint8_t* whole = nullptr;
  const int size = i2d_SSL_SESSION(session, &whole);
  std::vector<uint8_t> out;
  if (size <= 0) return out;
  const std::unique_ptr<uint8_t, void (*)(uint8_t*)> owned(
      whole, [](uint8_t* bytes) { OPENSSL_free(bytes); });
  const uint8_t* at = whole;
  long length = 0;
  int tag = 0, kind = 0;
  ASN1_get_object(&at, &length, &tag, &kind, size);  // the sequence; its own output is well-formed
  const uint8_t* const end = at + length;
  std::vector<uint8_t> kept;
  while (at < end) {
    const uint8_t* const begin = at;
    if ((ASN1_get_object(&at, &length, &tag, &kind, end - at) & 0x80) != 0) return out;
    at += length;
    if (*begin != kPeerTag) kept.insert(kept.end(), begin, at);
  }
  const int content = static_cast<int>(kept.size());
  out.resize(static_cast<size_t>(ASN1_object_size(1, content, V_ASN1_SEQUENCE)));
  uint8_t* put = out.data();
  ASN1_put_object(&put, 1, content, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
  std::copy(kept.begin(), kept.end(), put);
  return out;
}

size_t TextBytes(const TlsFacts& facts) {
  size_t bytes = 0;
  for (const std::string* text :
       {&facts.verify_result, &facts.version, &facts.cipher, &facts.alpn, &facts.fingerprint_sha256,
        &facts.issuer, &facts.subject, &facts.subject_alternative, &facts.serial_number}) {
    if (text->capacity() > std::string().capacity()) bytes += text->capacity() + 1;
  }
  return bytes;
}

// RFC 8446 section 4.6.1: a lifetime of zero means that the ticket is to be thrown away at once.
// RFC 5077 section 3.3 (TLS 1.2): that the server does not say.
bool MayBeKept(const SSL_SESSION* session) {
  return SSL_SESSION_is_resumable(session) == 1 &&
         (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION ||
          SSL_SESSION_get_ticket_lifetime_hint(session) > 0);
}

}  // namespace

SessionPtr TlsMemory::Offer(const TlsPlace& place, const TlsProfile& profile, WallTime now) {
  SessionPtr session(nullptr, SSL_SESSION_free);
  const std::vector<uint8_t> written = std::exchange(session_, {});
  const bool expired = full_.verified && full_.chain_expiry_unix <= now.ns / 1'000'000'000;
  const bool due = resumed_ + 1 >= profile.full_handshake_every || now < full_.full_at ||
                   now - full_.full_at >= profile.full_handshake_max_age || expired;
  if (written.empty() || due || place != place_) return session;
  const uint8_t* at = written.data();
  session.reset(d2i_SSL_SESSION(nullptr, &at, static_cast<long>(written.size())));
  return session;
}

void TlsMemory::Keep(const TlsPlace& place, SSL_SESSION* session, const TlsFacts& facts) {
  if (session == nullptr || !MayBeKept(session)) return Forget();
  if (facts.resumed) {
    ++resumed_;
  } else {
    place_ = place;
    full_ = facts;
    resumed_ = 0;
  }
  session_ = Written(session);
  if (bytes() > kMostBytes) Forget();
}

// Strings that are assigned to would keep their room.
void TlsMemory::Forget() { const TlsMemory gone = std::move(*this); }

size_t TlsMemory::bytes() const {
  return session_.capacity() + TextBytes(full_) + place_.name.capacity();
}

}  // namespace sonde
