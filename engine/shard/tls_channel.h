// TLS as a filter: ciphertext in, plaintext out, and the other way round. Owns no socket and reads
// no clock but the wall time it is told for certificate checks, so that it runs unchanged over the
// simulated network, and over another TLS (proxies).
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "engine/contract/conversation.h"
#include "engine/contract/files.h"
#include "engine/contract/tls_profile.h"
#include "engine/shard/tls_sessions.h"

namespace sonde {

// One per shard: an SSL_CTX per distinct profile, built at first use and again when one of the
// files it names changed. Profiles are compared by content (their server_name apart, which is the
// channel's business), so that a reload finds the contexts of before. Not thread-safe.
class TlsContexts {
 public:
  // `files` may be null: then profiles naming files are errors.
  explicit TlsContexts(Files* files);
  ~TlsContexts();

  // The context stays valid while a channel uses it (SSL holds a reference). An error is the
  // prober's own (prober/config) and says which file or setting.
  absl::StatusOr<SSL_CTX*> For(const TlsProfile& profile);

  // No two contexts of a shard have the same, also when one was built in place of another.
  static uint64_t NumberOf(const SSL_CTX* context);

  // Contexts kept; beyond it the one unused for longest goes.
  static constexpr size_t kMostContexts = 512;
  size_t size() const { return entries_.size(); }

  // Reads the system's roots, once per process: tens of milliseconds. Any thread. Called before
  // shards start, so that no probe waits for it; the first use does it otherwise.
  static void LoadSystemRoots();

 private:
  struct Entry;
  Entry* Find(size_t hash, const TlsProfile& profile);
  void DropOldest();

  Files* files_;
  uint64_t uses_ = 0, builds_ = 0;
  std::unordered_multimap<size_t, std::unique_ptr<Entry>> entries_;  // by hash of the content
};

class TlsChannel {
 public:
  enum class State : uint8_t {
    kHandshaking,
    kOpen,
    kEnded,   // the peer sent close_notify
    kFailed,  // outcome() and detail() say why
  };

  // `server_name`: SNI (unless a literal address) and the name the certificate must carry, unless
  // the profile names another.
  // `now` is what validity periods are checked against. Null: out of memory.
  // `carrier`: an open channel that this one speaks inside of from now on (a proxy's): "cipher" is
  // the carrier's then. Null: none.
  static std::unique_ptr<TlsChannel> Client(SSL_CTX* context, const TlsProfile& profile,
                                            std::string_view server_name, WallTime now,
                                            std::unique_ptr<TlsChannel> carrier = nullptr);
  ~TlsChannel();

  // Before Start: offers the session `memory` has for `place`, unless a full handshake is due.
  // KeepSession goes to the same memory, which outlives the channel.
  void Resume(TlsMemory& memory, TlsPlace place, const TlsProfile& profile);

  // Writes the first flight.
  State Start(Buffer& cipher_out);

  // Takes all of `cipher_in`. Appends decrypted bytes to `plain_out` and whatever TLS itself wants
  // sent (handshake flights, alerts, key updates) to `cipher_out`.
  State Feed(Bytes cipher_in, Buffer& plain_out, Buffer& cipher_out);

  // Encrypts all of `plain`. Only in kOpen.
  State Write(Bytes plain, Buffer& cipher_out);

  // Queues close_notify for an orderly end, the carrier's too.
  void Shutdown(Buffer& cipher_out);

  // The connection was good up to here: its session, as it is now, is kept where there is a memory.
  // The carrier's too. Once: a connection that lives on may outlive the memory.
  void KeepSession();

  // Open, the carrier too, and nothing of the peer's is left half read.
  bool IsIdle() const;

  State state() const { return state_; }
  State carrier_state() const;  // kOpen when there is none
  // Filled when the handshake ended, well or badly (certificate facts as far as one was received).
  const TlsFacts& facts() const { return facts_; }
  Outcome outcome() const { return outcome_; }           // kFailed: of phase tls
  const std::string& detail() const { return detail_; }  // kFailed: in words

 private:
  TlsChannel() = default;
  // Runs `talk` with the peer's bytes at hand; what TLS wants sent goes to `cipher_out`, sealed by
  // the carrier where there is one.
  template <typename Talk>
  void Converse(Bytes in, Buffer& cipher_out, Talk talk);
  void Handshake();
  void ReadPlain(Buffer& plain_out);
  void Stopped(int result);
  void Fail(Outcome outcome, std::string detail);
  void FailWithError();
  void FailWithAlert(int alert);

  State state_ = State::kHandshaking;
  Outcome outcome_ = Outcome::kOk;
  TlsFacts facts_;
  std::string detail_;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sonde
