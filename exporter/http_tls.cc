#include "exporter/http_tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace sonde {
namespace {

constexpr size_t kRecord = 16 * 1024;  // RFC 8446 section 5.1

// As Go's server says it.
constexpr std::string_view kPlainHttp =
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
constexpr std::string_view kHttpBegins[] = {"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"};

// Reasons of OpenSSL's that tell what a failed handshake lacked; any other: it broke the rules.
struct Cause {
  int reason;
  TlsFailure failure;
};
constexpr Cause kCauses[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TlsFailure::kCertificate},
    {SSL_R_CERTIFICATE_VERIFY_FAILED, TlsFailure::kCertificate},
    {SSL_R_UNSUPPORTED_PROTOCOL, TlsFailure::kVersion},
    {SSL_R_WRONG_SSL_VERSION, TlsFailure::kVersion},
    {SSL_R_VERSION_TOO_LOW, TlsFailure::kVersion},
    {SSL_R_NO_SHARED_CIPHER, TlsFailure::kVersion},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, TlsFailure::kVersion},
    {SSL_R_NO_SUITABLE_KEY_SHARE, TlsFailure::kVersion},
    {SSL_R_NO_APPLICATION_PROTOCOL, TlsFailure::kVersion},
};

TlsFailure FailureOf(unsigned long code) {
  const int reason = ERR_GET_REASON(code);
  // What a client's alert becomes: it refuses us.
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
      reason <= SSL_AD_REASON_OFFSET + 255) {
    return TlsFailure::kAlert;
  }
  const auto* cause = std::find_if(std::begin(kCauses), std::end(kCauses),
                                   [&](const Cause& one) { return one.reason == reason; });
  return cause != std::end(kCauses) ? cause->failure : TlsFailure::kProtocol;
}

}  // namespace

// What OpenSSL reads from and writes to: bytes of one event in, bytes for the socket out.
struct TlsTransport::Wire {
  explicit Wire(SSL_CTX* context) : ssl(SSL_new(context), SSL_free) {
    BIO* bio = ssl != nullptr ? BIO_new(Method()) : nullptr;
    if (bio == nullptr) {
      ssl.reset();  // out of memory: the connection is closed at its first byte
      return;
    }
    BIO_set_data(bio, this);
    SSL_set_bio(ssl.get(), bio, bio);
    SSL_set_accept_state(ssl.get());
  }

  static const BIO_METHOD* Method() {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sonde http");
      if (made == nullptr) return made;
      BIO_meth_set_create(made, [](BIO* bio) {
        BIO_set_init(bio, 1);
        return 1;
      });
      BIO_meth_set_read_ex(made, Read);
      BIO_meth_set_write_ex(made, Write);
      BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
      });
      return made;
    }();
    return method;
  }
  static int Read(BIO* bio, char* into, size_t size, size_t* read) {
    auto* wire = static_cast<Wire*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    *read = std::min(size, wire->in.size());
    if (*read == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(into, wire->in.data(), *read);
    wire->in.remove_prefix(*read);
    return 1;
  }
  static int Write(BIO* bio, const char* from, size_t size, size_t* written) {
    BIO_clear_retry_flags(bio);
    static_cast<Wire*>(BIO_get_data(bio))->out.append(from, size);
    *written = size;
    return 1;
  }

  std::unique_ptr<SSL, decltype(&SSL_free)> ssl;
  std::string_view in;
  std::string out;
};

TlsTransport::TlsTransport(ssl_ctx_st* context, HttpTransport& lower, HttpMetrics& metrics)
    : lower_(lower), metrics_(metrics), wire_(std::make_unique<Wire>(context)) {}
TlsTransport::~TlsTransport() = default;

// ---- from the socket ----

void TlsTransport::OnBytes(std::string_view bytes) {
  if (state_ == State::kFailed) {
    ignored_ += bytes.size();
    if (ignored_ > kMostIgnored) lower_.Close();
    return;
  }
  if (wire_->ssl == nullptr) {
    lower_.Reset();
    return;
  }
  const size_t head = std::min(bytes.size(), first_.size() - first_size_);
  std::copy_n(bytes.begin(), head, first_.begin() + static_cast<std::ptrdiff_t>(first_size_));
  first_size_ += head;
  wire_->in = bytes;
  if (state_ == State::kHandshake) Handshake();
  std::string plain;
  const bool was_open = state_ == State::kOpen;
  if (was_open) Decrypt(&plain);
  wire_->in = {};
  Flush();
  if (!plain.empty()) events_->OnBytes(plain);
  if (broken_) {
    lower_.Close();
  } else if (was_open && state_ == State::kEnded && reading_) {
    events_->OnEnd();  // else the socket's own end tells it
  }
}

void TlsTransport::Handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(wire_->ssl.get());
  if (done == 1) {
    state_ = State::kOpen;
    return;
  }
  const int error = SSL_get_error(wire_->ssl.get(), done);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) FailHandshake();
}

bool TlsTransport::LooksLikeHttp() const {
  const std::string_view first(first_.data(), first_size_);
  return std::find(std::begin(kHttpBegins), std::end(kHttpBegins), first) != std::end(kHttpBegins);
}

// The first error of OpenSSL's queue is the cause; its alert is in `out` already.
void TlsTransport::FailHandshake() {
  const unsigned long code = ERR_peek_error();
  ERR_clear_error();
  state_ = State::kFailed;
  if (LooksLikeHttp()) wire_->out = kPlainHttp;
  metrics_.CountTlsFailure(LooksLikeHttp() ? TlsFailure::kPlainHttp : FailureOf(code));
  Flush();
  lower_.ShutdownWrite();
}

void TlsTransport::Decrypt(std::string* plain) {
  char record[kRecord];
  for (;;) {
    ERR_clear_error();
    size_t size = 0;
    const int done = SSL_read_ex(wire_->ssl.get(), record, sizeof record, &size);
    if (done == 1) {
      plain->append(record, size);
      continue;
    }
    const int error = SSL_get_error(wire_->ssl.get(), done);
    if (error == SSL_ERROR_ZERO_RETURN) {
      state_ = State::kEnded;
    } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      broken_ = true;
    }
    ERR_clear_error();
    return;
  }
}

// Sends what TLS wants said by itself. A peer that makes it talk and does not listen is cut.
void TlsTransport::Flush() {
  if (wire_->out.empty()) return;
  if (state_ != State::kHandshake) own_words_ += wire_->out.size();  // which its deadline bounds
  lower_.Write(std::exchange(wire_->out, {}));
  if (own_words_ > kMostOwnWords) lower_.Reset();
}

void TlsTransport::OnEnd() {
  if (state_ == State::kHandshake || state_ == State::kFailed) {
    if (state_ == State::kHandshake) metrics_.CountTlsFailure(TlsFailure::kClosed);
    state_ = State::kFailed;
    lower_.Close();
    return;
  }
  // Without close_notify the last message may have been cut short; HTTP's own framing tells.
  events_->OnEnd();
}

void TlsTransport::OnDrained() {
  own_words_ = plain_pending_ = 0;
  if (std::exchange(awaits_drain_, false)) events_->OnDrained();
}

void TlsTransport::OnClosed() {
  if (state_ == State::kHandshake) metrics_.CountTlsFailure(TlsFailure::kClosed);
  state_ = State::kFailed;
  events_->OnClosed();  // destroys this
}

// ---- from the connection ----

void TlsTransport::Write(std::string bytes) {
  awaits_drain_ = true;
  plain_pending_ += bytes.size();
  if (state_ == State::kHandshake || state_ == State::kFailed || broken_) {
    Break();
    return;
  }
  ERR_clear_error();
  size_t written = 0;
  if (!bytes.empty() && SSL_write_ex(wire_->ssl.get(), bytes.data(), bytes.size(), &written) != 1) {
    ERR_clear_error();
    Break();
    return;
  }
  lower_.Write(std::exchange(wire_->out, {}));  // also none: OnDrained is wanted
}

// There is no way to say anything to the peer any more.
void TlsTransport::Break() {
  broken_ = true;
  lower_.Reset();
}

size_t TlsTransport::pending() const { return std::min(plain_pending_, lower_.pending()); }

void TlsTransport::SetReading(bool on) {
  reading_ = on;
  lower_.SetReading(on);
}

void TlsTransport::ShutdownWrite() {
  if (state_ == State::kOpen || state_ == State::kEnded) {
    ERR_clear_error();
    SSL_shutdown(wire_->ssl.get());
    ERR_clear_error();
    Flush();
  }
  lower_.ShutdownWrite();
}

void TlsTransport::Close() {
  if (state_ == State::kHandshake) {
    metrics_.CountTlsFailure(TlsFailure::kTimeout);
    state_ = State::kFailed;
  } else if (state_ == State::kOpen && !broken_) {
    SSL_shutdown(wire_->ssl.get());
    ERR_clear_error();
    Flush();
  }
  lower_.Close();
}

void TlsTransport::Reset() {
  if (state_ == State::kHandshake) metrics_.CountTlsFailure(TlsFailure::kTimeout);
  if (state_ == State::kHandshake) state_ = State::kFailed;
  lower_.Reset();
}

}  // namespace sonde
