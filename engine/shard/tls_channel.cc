#include "engine/shard/tls_channel.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "engine/contract/address.h"
#include "engine/shard/tls_verify.h"

namespace sonde {
namespace {

constexpr size_t kRecord = 16 * 1024;  // RFC 8446 section 5.1: the most plaintext of one record
constexpr size_t kFirstBytes = 24;     // of the peer, kept to say what it spoke instead of TLS
constexpr size_t kLongestName = 253;   // RFC 1035 section 2.3.4, as text without the last dot

// The two ends a connection's BIO reads from and writes to; set for the length of one call.
struct Wire {
  Bytes in;
  Buffer* out = nullptr;
};

int WireRead(BIO* bio, char* into, size_t size, size_t* read) {
  auto* wire = static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *read = std::min(size, wire->in.size());
  if (*read == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(into, wire->in.data(), *read);
  wire->in = wire->in.subspan(*read);
  return 1;
}

int WireWrite(BIO* bio, const char* from, size_t size, size_t* written) {
  auto* wire = static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (wire->out == nullptr) return 0;
  wire->out->Append(Bytes(reinterpret_cast<const uint8_t*>(from), size));
  *written = size;
  return 1;
}

long WireControl(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;  // nothing is held back
}

int WireCreate(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

const BIO_METHOD* WireMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sonde wire");
    if (made == nullptr) return made;
    BIO_meth_set_create(made, WireCreate);
    BIO_meth_set_read_ex(made, WireRead);
    BIO_meth_set_write_ex(made, WireWrite);
    BIO_meth_set_ctrl(made, WireControl);
    return made;
  }();
  return method;
}

std::string_view VersionText(int version) {
  switch (version) {
    case TLS1_VERSION:
      return "TLS 1.0";
    case TLS1_1_VERSION:
      return "TLS 1.1";
    case TLS1_2_VERSION:
      return "TLS 1.2";
    case TLS1_3_VERSION:
      return "TLS 1.3";
    default:
      return "unknown";
  }
}

std::string CipherText(const SSL_CIPHER* cipher) {
  if (cipher == nullptr) return {};
  if (const char* name = SSL_CIPHER_standard_name(cipher)) return name;
  char text[8];
  std::snprintf(text, sizeof(text), "0x%04x", SSL_CIPHER_get_protocol_id(cipher));
  return text;
}

// Reasons of OpenSSL's own that mean "nothing in common" rather than "broke the rules".
bool IsVersionReason(int reason) {
  constexpr int kReasons[] = {SSL_R_UNSUPPORTED_PROTOCOL,
                              SSL_R_WRONG_SSL_VERSION,
                              SSL_R_VERSION_TOO_LOW,
                              SSL_R_VERSION_TOO_HIGH,
                              SSL_R_NO_PROTOCOLS_AVAILABLE,
                              SSL_R_NO_CIPHERS_AVAILABLE,
                              SSL_R_NO_SHARED_CIPHER,
                              SSL_R_DH_KEY_TOO_SMALL,
                              SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED};
  return std::find(std::begin(kReasons), std::end(kReasons), reason) != std::end(kReasons);
}

std::string Printable(Bytes bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    if (byte == '\r' || byte == '\n') break;
    text += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  }
  return text;
}

}  // namespace

struct TlsChannel::Impl {
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl{nullptr, SSL_free};
  Wire wire;
  TlsVerdict verdict;
  bool start_fails = false;  // the profile cannot be used with this name
  TlsMemory* memory = nullptr;
  TlsPlace place;  // where there is a memory
  std::array<uint8_t, kFirstBytes> first{};
  size_t first_size = 0;

  void Remember(Bytes in) {
    const size_t count = std::min(in.size(), first.size() - first_size);
    std::copy_n(in.begin(), count, first.begin() + static_cast<std::ptrdiff_t>(first_size));
    first_size += count;
  }
  // What an inner channel speaks through, and the bytes between the two.
  struct Carrier {
    std::unique_ptr<TlsChannel> channel;
    BufferPool pool;
    Buffer received = pool.Take(), sent = pool.Take();
  };
  std::unique_ptr<Carrier> carrier;

  bool LooksLikeTls() const { return first_size == 0 || (first[0] >= 20 && first[0] <= 23); }
};

TlsChannel::~TlsChannel() = default;

std::unique_ptr<TlsChannel> TlsChannel::Client(SSL_CTX* context, const TlsProfile& profile,
                                               std::string_view server_name, WallTime now,
                                               std::unique_ptr<TlsChannel> carrier) {
  std::unique_ptr<TlsChannel> channel(new TlsChannel);
  channel->impl_ = std::make_unique<Impl>();
  Impl& impl = *channel->impl_;
  impl.ssl.reset(SSL_new(context));
  BIO* bio = impl.ssl ? BIO_new(WireMethod()) : nullptr;
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, &impl.wire);
  SSL_set_bio(impl.ssl.get(), bio, bio);
  SSL_set_connect_state(impl.ssl.get());
  if (carrier) {
    impl.carrier = std::make_unique<Impl::Carrier>();
    impl.carrier->channel = std::move(carrier);
  }

  std::string name(profile.server_name.empty() ? server_name : profile.server_name);
  if (name.ends_with('.')) name.pop_back();
  const bool literal = Address::ParseLiteral(name).has_value();
  const bool good_name =
      !name.empty() && name.size() <= kLongestName && name.find('\0') == std::string::npos;
  if (good_name && !literal && SSL_set_tlsext_host_name(impl.ssl.get(), name.c_str()) != 1) {
    return nullptr;
  }
  impl.verdict.verify = profile.verify;
  impl.verdict.now = now;
  impl.verdict.name = name;
  impl.verdict.facts = &channel->facts_;
  SSL_set_app_data(impl.ssl.get(), &impl.verdict);
  if (profile.verify) impl.start_fails = !good_name || !ExpectName(impl.ssl.get(), name);
  return channel;
}

void TlsChannel::Resume(TlsMemory& memory, TlsPlace place, const TlsProfile& profile) {
  impl_->memory = &memory;
  impl_->place = std::move(place);
  const SessionPtr session = memory.Offer(impl_->place, profile, impl_->verdict.now);
  if (session) SSL_set_session(impl_->ssl.get(), session.get());
}

void TlsChannel::KeepSession() {
  if (impl_->carrier) impl_->carrier->channel->KeepSession();
  if (impl_->memory == nullptr || !facts_.established || state_ == State::kFailed) return;
  std::exchange(impl_->memory, nullptr)
      ->Keep(impl_->place, SSL_get_session(impl_->ssl.get()), facts_);
}

TlsChannel::State TlsChannel::Start(Buffer& cipher_out) {
  if (state_ != State::kHandshaking) return state_;
  if (impl_->start_fails) {
    // Going on would accept a certificate for any name.
    outcome_ = Outcome::kProberConfig;
    detail_ = "no usable server name to verify the certificate against";
    return state_ = State::kFailed;
  }
  Converse({}, cipher_out, [this] { Handshake(); });
  return state_;
}

template <typename Talk>
void TlsChannel::Converse(Bytes in, Buffer& cipher_out, Talk talk) {
  Impl::Carrier* carrier = impl_->carrier.get();
  impl_->wire = {in, carrier ? &carrier->sent : &cipher_out};
  talk();
  impl_->wire = {};
  if (!carrier) return;
  carrier->channel->Write(carrier->sent.bytes(), cipher_out);
  carrier->sent.Clear();
}

TlsChannel::State TlsChannel::carrier_state() const {
  return impl_->carrier ? impl_->carrier->channel->state() : State::kOpen;
}

bool TlsChannel::IsIdle() const {
  return state_ == State::kOpen && carrier_state() == State::kOpen &&
         SSL_has_pending(impl_->ssl.get()) == 0;
}

void TlsChannel::Handshake() {
  ERR_clear_error();
  SSL* ssl = impl_->ssl.get();
  const int done = SSL_do_handshake(ssl);
  if (done != 1) {
    Stopped(done);
    return;
  }
  state_ = State::kOpen;
  const bool resumed = SSL_session_reused(ssl) == 1;
  if (resumed && impl_->memory != nullptr) {
    facts_ = impl_->memory->full();
  } else {
    facts_.full_at = impl_->verdict.now;
  }
  facts_.established = true;
  facts_.resumed = resumed;
  facts_.version = std::string(VersionText(SSL_version(ssl)));
  facts_.cipher = CipherText(SSL_get_current_cipher(ssl));
  const unsigned char* alpn = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &size);
  facts_.alpn.clear();
  if (size > 0) facts_.alpn.assign(reinterpret_cast<const char*>(alpn), size);
}

// OpenSSL did not get what it asked for: more bytes, the end, or something wrong.
void TlsChannel::Stopped(int result) {
  switch (SSL_get_error(impl_->ssl.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return;
    case SSL_ERROR_ZERO_RETURN:
      if (state_ == State::kOpen) {
        state_ = State::kEnded;
        return;
      }
      Fail(Outcome::kTlsClosed, "the peer sent close_notify during the handshake");
      return;
    default:
      FailWithError();
      return;
  }
}

void TlsChannel::Fail(Outcome outcome, std::string detail) {
  state_ = State::kFailed;
  outcome_ = outcome;
  detail_ = std::move(detail);
}

void TlsChannel::FailWithError() {
  // The first error of the queue is the cause; what follows are its consequences.
  const unsigned long code = ERR_peek_error();
  ERR_clear_error();
  const int reason = ERR_GET_REASON(code);
  const char* words = code ? ERR_reason_error_string(code) : nullptr;
  const std::string text = words ? words : "unexpected end of the TLS stream";
  const TlsVerdict& verdict = impl_->verdict;
  if (state_ == State::kHandshaking && verdict.outcome != Outcome::kOk) {
    Fail(verdict.outcome, verdict.detail);
    return;
  }
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
      reason <= SSL_AD_REASON_OFFSET + 255) {
    FailWithAlert(reason - SSL_AD_REASON_OFFSET);
    return;
  }
  if (!impl_->LooksLikeTls()) {
    Fail(Outcome::kTlsProtocol, "the peer does not speak TLS, it said: " +
                                    Printable(Bytes(impl_->first.data(), impl_->first_size)));
    return;
  }
  if (reason == ERR_R_MALLOC_FAILURE) {
    Fail(Outcome::kProberMemory, "out of memory within TLS");
    return;
  }
  Fail(IsVersionReason(reason) ? Outcome::kTlsVersion : Outcome::kTlsProtocol, text);
}

void TlsChannel::FailWithAlert(int alert) {
  // RFC 8446 section 6.2: handshake_failure in place of a ServerHello means that no parameters are
  // in common; later it may mean anything.
  const bool before_hello = state_ == State::kHandshaking && !facts_.has_certificate &&
                            SSL_get_current_cipher(impl_->ssl.get()) == nullptr;
  const bool version = alert == SSL_AD_PROTOCOL_VERSION || alert == SSL_AD_INSUFFICIENT_SECURITY ||
                       (alert == SSL_AD_HANDSHAKE_FAILURE && before_hello);
  Fail(version ? Outcome::kTlsVersion : Outcome::kTlsAlert,
       std::string("the peer sent the alert '") + SSL_alert_desc_string_long(alert) + "'");
}

TlsChannel::State TlsChannel::Feed(Bytes cipher_in, Buffer& plain_out, Buffer& cipher_out) {
  if (state_ != State::kHandshaking && state_ != State::kOpen) return state_;
  if (Impl::Carrier* carrier = impl_->carrier.get()) {
    carrier->received.Clear();
    carrier->channel->Feed(cipher_in, carrier->received, cipher_out);
    cipher_in = carrier->received.bytes();
  }
  impl_->Remember(cipher_in);
  Converse(cipher_in, cipher_out, [this, &plain_out] {
    if (state_ == State::kHandshaking) Handshake();
    if (state_ == State::kOpen) ReadPlain(plain_out);
  });
  return state_;
}

void TlsChannel::ReadPlain(Buffer& plain_out) {
  uint8_t plain[kRecord];
  while (state_ == State::kOpen) {
    ERR_clear_error();
    size_t size = 0;
    const int done = SSL_read_ex(impl_->ssl.get(), plain, sizeof(plain), &size);
    if (done != 1) {
      Stopped(done);
      break;
    }
    plain_out.Append(Bytes(plain, size));
  }
}

TlsChannel::State TlsChannel::Write(Bytes plain, Buffer& cipher_out) {
  if (state_ != State::kOpen || plain.empty()) return state_;
  Converse({}, cipher_out, [this, plain] {
    ERR_clear_error();
    size_t size = 0;
    const int done = SSL_write_ex(impl_->ssl.get(), plain.data(), plain.size(), &size);
    if (done != 1) FailWithError();
  });
  return state_;
}

void TlsChannel::Shutdown(Buffer& cipher_out) {
  if (state_ != State::kOpen && state_ != State::kEnded) return;
  Converse({}, cipher_out, [this] {
    ERR_clear_error();
    SSL_shutdown(impl_->ssl.get());
    ERR_clear_error();
  });
  if (impl_->carrier) impl_->carrier->channel->Shutdown(cipher_out);
}

}  // namespace sonde
