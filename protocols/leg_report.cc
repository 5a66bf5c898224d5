#include "protocols/leg_report.h"

#include <algorithm>

namespace sonde {
namespace {

// From `start` to `end`, or to `until` for what did not end; zero for what did not start.
Duration Span(Instant start, Instant end, Instant until) {
  if (!start.stamped()) return {};
  const Duration span = (end.stamped() ? end : until) - start;
  return std::max(span, Duration{});
}

}  // namespace

void LegTimes::Note(const Leg& leg, Instant until) {
  const Duration resolve = Span(leg.resolve_start, leg.resolve_end, until);
  resolve_ = resolve_ + resolve;
  connect_ = connect_ + Span(leg.connect_start, leg.connected, until);
  tls_ = tls_ + Span(leg.tls_start, leg.tls_end, until);
  if (leg.peer.family != IpFamily::kNone) peer_ = leg.peer;
  if (!(reached_ & kConnect) && leg.connect_start.stamped()) {
    syn_retransmits_ = static_cast<int16_t>(std::min(leg.syn_retransmits, 1000));
    if (leg.kernel_rtt.ns >= 0) {
      kernel_rtt_us_ = static_cast<int32_t>(std::min(leg.kernel_rtt.ns / 1000, int64_t{INT32_MAX}));
    }
  }
  if (!(reached_ & kFirst)) {
    reached_ |= kFirst;
    if (leg.reused) reached_ |= kReused;
    if (leg.resolve_start.stamped()) reached_ |= kResolve;
    if (leg.resolve_start.stamped() || leg.reused) {
      lookup_ = resolve;
      if (leg.resolved) {
        first_family_ = leg.peer.family;
        first_hash_ = leg.peer.Hash();
      }
    }
  }
  if (leg.connect_start.stamped()) reached_ |= kConnect;
  if (leg.tls_start.stamped()) reached_ |= kTls;
}

void LegTimes::Opened(const Leg& leg) {
  Note(leg, leg.tls_end.stamped() ? leg.tls_end : leg.connected);
  usable_connect_ = usable_connect_ + Span(leg.connect_start, leg.connected, leg.connected);
  usable_tls_ = usable_tls_ + Span(leg.tls_start, leg.tls_end, leg.tls_end);
}

void LegTimes::Secured(const Leg& leg) {
  const Duration tls = Span(leg.tls_start, leg.tls_end, leg.tls_end);
  tls_ = tls_ + tls;
  usable_tls_ = usable_tls_ + tls;
  reached_ |= kTls;
}

void LegTimes::Failed(const Leg& leg, Instant at) { Note(leg, at); }

void LegTimes::ForgetReused() {
  if (!reused()) return;
  reached_ = static_cast<uint8_t>(reached_ & ~(kFirst | kReused));
  first_family_ = IpFamily::kNone;
  first_hash_ = 0;
}

void LegTimes::FailedToSecure(const Leg& leg, Instant at) {
  tls_ = tls_ + Span(leg.tls_start, leg.tls_end, at);
  if (leg.tls_start.stamped()) reached_ |= kTls;
}

void LegTimes::SetAddressFacts(FactSet* facts) const {
  if (resolve_started() || reused()) {
    facts->Set(Fact::kDnsLookupTime, lookup_.seconds());
    facts->Set(Fact::kIpProtocol, static_cast<double>(first_family_));
    facts->Set(Fact::kIpAddrHash, first_hash_);
  }
}

void LegTimes::SetKernelFacts(FactSet* facts) const {
  if (syn_retransmits_ >= 0) facts->Set(Fact::kTcpSynRetransmits, syn_retransmits_);
  if (kernel_rtt_us_ >= 0) {
    facts->Set(Fact::kTcpKernelRtt, Microseconds(kernel_rtt_us_).seconds());
  }
}

void LegTimes::SetStages(ProbeResult* result) const {
  if (resolve_started()) SetStage(result, Stage::kResolve, resolve_);
  if (connect_started()) SetStage(result, Stage::kConnect, connect_);
  if (tls_started()) SetStage(result, Stage::kTls, tls_);
}

void SetStage(ProbeResult* result, Stage stage, Duration time) {
  result->stage_us[static_cast<size_t>(stage)] = 0;
  result->AddStage(stage, std::max(time, Duration{}));
}

void TlsReport::Opened(const Leg& leg) {
  failed_.reset();
  open_ = leg.tls;
}

void TlsReport::Failed(const Leg& leg) {
  open_ = nullptr;
  failed_ = leg.tls ? std::make_unique<const TlsFacts>(*leg.tls) : nullptr;
}

void TlsReport::Forget() {
  failed_.reset();
  open_ = nullptr;
}

// What there is to tell; nullptr for nothing.
const TlsFacts* TlsReport::Told(const Options& options) const {
  const TlsFacts* tls = facts();
  return tls && (tls->established || (tls->has_certificate && options.untrusted)) ? tls : nullptr;
}

void TlsReport::SetFacts(const Options& options, FactSet* facts) const {
  const TlsFacts* tls = Told(options);
  const bool established = tls && tls->established;
  if (established && options.resumes) facts->Set(Fact::kTlsResumed, tls->resumed ? 1 : 0);
  if (established && (options.resumes || options.dated)) {
    facts->Set(Fact::kTlsFullHandshake, static_cast<double>(tls->full_at.ns) / 1e9);
  }
  if (!tls || !tls->has_certificate) return;
  facts->Set(Fact::kCertExpiry, static_cast<double>(tls->earliest_expiry_unix));
  facts->Set(Fact::kChainExpiry, static_cast<double>(tls->chain_expiry_unix));
}

bool TlsReport::Hash(const Options& options, ContentHash* hash) const {
  const TlsFacts* tls = Told(options);
  if (!tls) return false;
  // The fingerprint stands for issuer, subject, names and serial number.
  hash->Add(uint64_t{tls->established}).Add(tls->fingerprint_sha256);
  if (!tls->established) {
    hash->Add(tls->verify_result);
  } else {
    hash->Add(tls->version);
    if (options.cipher) hash->Add(tls->cipher);
  }
  return true;
}

void TlsReport::AppendTexts(const Options& options, Texts* texts) const {
  const TlsFacts* tls = Told(options);
  if (!tls) return;
  if (tls->has_certificate) {
    texts->push_back({TextFamily::kChainInfo,
                      {{"fingerprint_sha256", tls->fingerprint_sha256},
                       {"issuer", tls->issuer},
                       {"serialnumber", tls->serial_number},
                       {"subject", tls->subject},
                       {"subjectalternative", tls->subject_alternative}}});
  }
  if (!tls->established) {
    texts->push_back({TextFamily::kVerifyResult, {{"result", tls->verify_result}}});
    return;
  }
  texts->push_back({TextFamily::kTlsVersion, {{"version", tls->version}}});
  if (options.cipher) texts->push_back({TextFamily::kTlsCipher, {{"cipher", tls->cipher}}});
}

void AddUsualLeg(Transport transport, UsualReport* usual) {
  for (const Fact fact : {Fact::kDnsLookupTime, Fact::kIpProtocol, Fact::kIpAddrHash}) {
    usual->facts.Set(fact, 0);
  }
  if (transport != Transport::kTcp) return;
  usual->facts.Set(Fact::kTcpSynRetransmits, 0);
  usual->facts.Set(Fact::kTcpKernelRtt, 0);
}

void AddUsualTls(const TlsReport::Options& options, UsualReport* usual) {
  usual->facts.Set(Fact::kCertExpiry, 0);
  usual->facts.Set(Fact::kChainExpiry, 0);
  if (options.resumes) usual->facts.Set(Fact::kTlsResumed, 0);
  if (options.resumes || options.dated) usual->facts.Set(Fact::kTlsFullHandshake, 0);
  usual->Add(TextFamily::kChainInfo);
  usual->Add(TextFamily::kTlsVersion);
  if (options.cipher) usual->Add(TextFamily::kTlsCipher);
}

bool FinishTexts(bool any, const ContentHash& hash, Report* report) {
  report->result.texts_hash = any ? hash.value() : 0;
  return any && report->texts && report->result.texts_hash != report->known_texts_hash;
}

}  // namespace sonde
