// From legs to results: the facts and texts every protocol over a connection reports alike.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/contract/conversation.h"
#include "engine/contract/task.h"
#include "protocols/content_hash.h"

namespace sonde {

// Adds up what the legs of one probe cost. Plain value, part of a conversation, shard thread.
// Tell it of every OnOpen and OnLegFailed.
class LegTimes {
 public:
  // OnOpen of a leg that was asked for with Step::Open.
  void Opened(const Leg& leg);
  // OnOpen after Step::Secure: only the handshake is new.
  void Secured(const Leg& leg);
  // OnLegFailed after Step::Open; whatever had begun counts up to `at`.
  void Failed(const Leg& leg, Instant at);
  // A reused leg was replaced: the next one counts in its place.
  void ForgetReused();
  // OnLegFailed after Step::Secure.
  void FailedToSecure(const Leg& leg, Instant at);

  // Time spent, also by what failed in the end.
  Duration resolve() const { return resolve_; }
  Duration connect() const { return connect_; }
  Duration tls() const { return tls_; }
  // The same over the legs that became usable only (blackbox_contract 7.3: connect and tls of an
  // http probe stay 0 when the handshake failed).
  Duration usable_connect() const { return usable_connect_; }
  Duration usable_tls() const { return usable_tls_; }

  bool resolve_started() const { return reached_ & kResolve; }
  bool connect_started() const { return reached_ & kConnect; }
  bool tls_started() const { return reached_ & kTls; }
  bool reused() const { return reached_ & kReused; }  // the first leg: it took no time to get there
  const Address& peer() const { return peer_; }       // of the last leg that had one

  // probe_dns_lookup_time_seconds, probe_ip_protocol and probe_ip_addr_hash: of the first leg,
  // present once its resolution started, zero where it failed (blackbox_contract 6); of a reused
  // connection address and family are told, and the lookup took 0. And what the kernel saw of the
  // first TCP connection opened: probe_tcp_syn_retransmits and probe_tcp_rtt_seconds.
  void SetCommonFacts(FactSet* facts) const {
    SetAddressFacts(facts);
    SetKernelFacts(facts);
  }
  // The former three and the latter two by themselves: a set takes facts in their order for less.
  void SetAddressFacts(FactSet* facts) const;
  void SetKernelFacts(FactSet* facts) const;
  // Stages resolve, connect and tls; assigned, not added, so calling it twice is harmless.
  void SetStages(ProbeResult* result) const;

 private:
  enum : uint8_t { kResolve = 1, kConnect = 2, kTls = 4, kFirst = 8, kReused = 16 };
  void Note(const Leg& leg, Instant until);

  Duration resolve_, connect_, tls_, usable_connect_, usable_tls_;
  Duration lookup_;  // of the first leg
  Address peer_;
  int32_t kernel_rtt_us_ = -1;    // of the first connection, as the next
  int16_t syn_retransmits_ = -1;  // -1: unknown
  uint32_t first_hash_ = 0;       // 0 while unresolved
  IpFamily first_family_ = IpFamily::kNone;
  uint8_t reached_ = 0;
};

// Sets one stage as a whole (assigned, not added).
void SetStage(ProbeResult* result, Stage stage, Duration time);

// What TLS said about the peer, kept until Report.
class TlsReport {
 public:
  struct Options {
    bool cipher = false;    // probe_tls_cipher_info: http only
    bool untrusted = true;  // certificate families also when the handshake failed (Q11)
    bool resumes = false;   // the module lets handshakes resume: says which did
    bool dated = false;     // what is told may be of an earlier run's handshake: says when that was
  };

  // OnOpen, first or after Secure. `leg.tls` null (plain) forgets what was known.
  void Opened(const Leg& leg);
  // OnLegFailed: copies what a failed handshake told, for it dies with the call.
  void Failed(const Leg& leg);
  // The leg goes (redirect): its facts do not count.
  void Forget();

  const TlsFacts* facts() const { return failed_ ? failed_.get() : open_; }
  bool established() const { return facts() && facts()->established; }

  // Report goes in this order: SetFacts, then Hash into the hash of all texts of the protocol, then
  // FinishTexts for the whole, and AppendTexts only when that says so.
  void SetFacts(const Options& options, FactSet* facts) const;
  // False: there are no texts, nothing was added.
  bool Hash(const Options& options, ContentHash* hash) const;
  void AppendTexts(const Options& options, Texts* texts) const;

 private:
  const TlsFacts* Told(const Options& options) const;

  const TlsFacts* open_ = nullptr;          // the engine's; lives as long as the leg
  std::unique_ptr<const TlsFacts> failed_;  // our copy
};

// What probes that go well usually report of their first leg and of TLS.
void AddUsualLeg(Transport transport, UsualReport* usual);
void AddUsualTls(const TlsReport::Options& options, UsualReport* usual);

// Sets texts_hash (0 when `any` is false) and says whether the texts must be made: somebody wants
// them and does not know them yet.
bool FinishTexts(bool any, const ContentHash& hash, Report* report);

}  // namespace sonde
