// What an HTTP probe reports (blackbox_contract 7.2 and 7.3).
#include "protocols/http_conversation.h"
#include "protocols/http_date.h"
#include "protocols/http_detour.h"
#include "protocols/http_way.h"

namespace sonde {

void HttpConversation::Report(struct Report& report, Instant at) {
  const Instant end = ended_at_.stamped() ? ended_at_ : at;
  times_.SetAddressFacts(&report.result.facts);
  SetPhases(report.result, end);
  SetFacts(report.result.facts);
  SetTls(report);
  times_.SetKernelFacts(&report.result.facts);
  if (report.evidence) SetEvidence(*report.evidence);
}

// TLS facts belong to an answer; those of a failed handshake speak for themselves (Q11).
void HttpConversation::SetTls(struct Report& report) const {
  const TlsReport::Options options{.cipher = true,
                                   .untrusted = module_.export_untrusted_certificates,
                                   .resumes = module_.tls.resumes(),
                                   .dated = module_.keep > Duration{}};
  ContentHash hash;
  const bool shown = answered_ || !tls_.established();
  if (shown) tls_.SetFacts(options, &report.result.facts);
  const bool any = shown && tls_.Hash(options, &hash);
  if (FinishTexts(any, hash, &report)) tls_.AppendTexts(options, report.texts);
}

void HttpConversation::SetPhases(ProbeResult& result, Instant end) const {
  times_.SetStages(&result);
  Duration wait = processing_;
  if (state_ == State::kWaiting) wait = wait + (end - opened_at_);
  const Duration transfer = first_byte_at_.stamped() ? end - first_byte_at_ : Duration{};
  if (opened_at_.stamped()) SetStage(&result, Stage::kWait, wait);
  if (first_byte_at_.stamped()) SetStage(&result, Stage::kTransfer, transfer);

  if (!attempted_ && !times_.resolve_started()) return;
  FactSet& facts = result.facts;
  // Absent where a proxy resolves, until a redirect adds it.
  const bool moved = detour_ && detour_->moved;
  if (times_.resolve_started() || times_.reused() || moved)
    facts.Set(Fact::kHttpResolve, times_.resolve().seconds());
  if (!attempted_) return;
  const bool connected = opened_at_.stamped();  // and a request could be made
  facts.Set(Fact::kHttpConnect, connected ? times_.usable_connect().seconds() : 0);
  facts.Set(Fact::kHttpTls, connected ? times_.usable_tls().seconds() : 0);
  facts.Set(Fact::kHttpProcessing, processing_.seconds());
  facts.Set(Fact::kHttpTransfer, answered_ ? transfer.seconds() : 0);
}

void HttpConversation::SetFacts(FactSet& facts) const {
  facts.Set(Fact::kHttpContentLength, static_cast<double>(content_length_));
  facts.Set(Fact::kHttpBodyLength, static_cast<double>(answer_.body.length()));
  facts.Set(Fact::kHttpRedirects, redirects_);
  facts.Set(Fact::kHttpSsl, answered_ && CurrentUrl().secure() ? 1 : 0);
  facts.Set(Fact::kHttpStatusCode, answered_ ? status_ : 0);
  facts.Set(Fact::kHttpVersion, answered_ ? Info(version_).number : 0);
  // Rules about a body that never ended have failed as well.
  const bool unread = state_ == State::kBody && answer_.body.keeps();
  facts.Set(Fact::kFailedRegex, rules_failed_ || unread ? 1 : 0);
  if (answered_) {
    if (const auto modified = ParseHttpDate(answer_.fields.First("last-modified"))) {
      facts.Set(Fact::kHttpLastModified, static_cast<double>(*modified));
    }
  }
  if (attempted_ && module_.keep > Duration{}) {
    facts.Set(Fact::kHttpConnectionReused, reused_ ? 1 : 0);
  }
}

void HttpConversation::SetEvidence(Evidence& evidence) const {
  // Through a proxy it is whom the proxy was to reach, where that is known.
  evidence.peer = way_ && way_->proxy ? way_->target : times_.peer();
  if (detour_ && detour_->moved) evidence.url = detour_->url.Text();
  evidence.detail = detail_.text();
  evidence.head = answer_.shown_head();
  evidence.body = answer_.shown_body();
}

}  // namespace sonde
