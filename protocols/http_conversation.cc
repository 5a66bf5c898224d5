#include "protocols/http_conversation.h"

#include <algorithm>
#include <utility>

#include "protocols/http_detour.h"
#include "protocols/http_request.h"
#include "protocols/http_way.h"

namespace sonde {

// ---- before the answer --------------------------------------------------------------------------

HttpConversation::HttpConversation(const Task& task, const ConversationContext& context)
    : module_(static_cast<const HttpModule&>(*task.module)),
      target_(static_cast<const HttpTarget&>(*task.plan)),
      context_(context),
      answer_(module_, context.buffers) {
  __builtin_prefetch(target_.request.data());  // not read since the last run
  __builtin_prefetch(target_.request.data() + 64);
  __builtin_prefetch(target_.expect.get());
}

HttpConversation::~HttpConversation() = default;

HttpConversation::Detour& HttpConversation::MakeDetour() {
  if (!detour_) detour_ = std::make_unique<Detour>();
  return *detour_;
}

const Url& HttpConversation::CurrentUrl() const {
  return detour_ && detour_->moved ? detour_->url : target_.url;
}

Step HttpConversation::Start(Instant) {
  if (!module_.refusal.empty()) {
    Find(Outcome::kProberConfig, {module_.refusal});
    if (module_.refused_before_resolving) return Step::Fail(found_);
  } else if (module_.names_files) {
    RenderFirst();
  }
  // A request that cannot be made is found out after resolving (blackbox_contract 7.3), so that
  // the facts of the address are there all the same.
  return OpenHop(target_.url, target_.server_name, nullptr);
}

void HttpConversation::RenderFirst() {
  HttpHop hop;
  hop.method = module_.method;
  hop.url = hop.credentials = &target_.url;
  hop.host = HostHeaderOf(module_, target_);
  HttpRequestError error;
  if (RenderHttpRequest(module_, hop, context_.files, &MakeDetour().NextRequest(), &error)) return;
  Find(Outcome::kProberConfig, {error.text});
  no_credentials_ = !error.body;
}

void HttpConversation::PlanLeg(const Url& url, std::string_view server_name) {
  plan_ = LegPlan{};
  plan_.host = url.host;
  plan_.port = url.port;
  plan_.scheme = url.scheme;
  plan_.tls = url.secure() ? &module_.tls : nullptr;
  plan_.server_name = server_name;
  plan_.network = &module_.network;
  plan_.keep = module_.keep;
}

// It ended before it brought anything, and the next is in its place.
void HttpConversation::ForgetReusedLeg() {
  times_.ForgetReused();
  tls_.Forget();
  opened_at_ = {};
  reused_ = false;
  state_ = State::kOpening;
}

Step HttpConversation::OnOpen(const Leg& leg, Instant at, Output& out) {
  if (reused_ && state_ == State::kWaiting) ForgetReusedLeg();
  if (way_) return OnWay(leg, at, out);
  if (found_ != Outcome::kOk) {
    times_.Opened(leg);
    attempted_ = no_credentials_;
    return Step::Fail(found_);
  }
  return Ready(leg, at, out);
}

Step HttpConversation::Ready(const Leg& leg, Instant at, Output& out) {
  times_.Opened(leg);
  tls_.Opened(leg);
  attempted_ = true;
  opened_at_ = at;
  first_byte_at_ = {};
  reused_ = leg.reused;
  reusable_ = false;
  state_ = State::kWaiting;
  const bool planned = !detour_ || (!detour_->moved && !module_.names_files);
  ChooseCodec(leg);
  std::string_view request = planned ? target_.request : detour_->requests[detour_->current];
  if (way_ && way_->tells_url()) request = way_->request = AbsoluteForm(request);
  if (codec().Send(request, out)) return Step::More();
  return Take(HttpCodec::Event::kBroken, at);
}

void HttpConversation::ChooseCodec(const Leg& leg) {
  if (leg.tls && leg.tls->alpn == HttpModule::kAlpn2) {
    http2_ = std::make_unique<Http2Codec>(module_.header_size_limit);
  } else {
    http2_.reset();
    http1_ = Http1Codec{};
  }
}

Step HttpConversation::OnLegFailed(const Leg& leg, Outcome outcome, Instant at) {
  if (reused_ && state_ == State::kWaiting) ForgetReusedLeg();
  if (way_ && way_->stage == Way::Stage::kProxy) return OnProxyFailed(leg, outcome, at);
  times_.Failed(way_ ? way_->Told(leg) : leg, at);
  ended_at_ = at;
  // What was found before resolving counts once resolving went well, whatever came of the rest.
  if (found_ != Outcome::kOk && leg.resolved) {
    attempted_ = no_credentials_;
    return Step::Fail(found_);
  }
  tls_.Failed(leg);
  const Phase phase = Info(outcome).phase;
  const bool ours = outcome == Outcome::kProberConfig || outcome == Outcome::kProberPolicy;
  if (leg.resolved && phase != Phase::kDns && !ours) attempted_ = true;
  found_ = Outcome::kOk;
  if (detail_) detail_.Clear();
  Find(outcome, {leg.detail});
  return Step::Fail(outcome);
}

void HttpConversation::Find(Outcome outcome, std::initializer_list<std::string_view> detail) {
  if (found_ != Outcome::kOk) return;
  found_ = outcome;
  for (const std::string_view piece : detail) {
    if (piece.empty()) continue;
    if (!detail_) detail_ = context_.buffers.Take();
    detail_.Append(piece);
  }
}

// ---- the head -----------------------------------------------------------------------------------

void HttpConversation::BeginAnswer(Instant at) {
  first_byte_at_ = std::max(at, opened_at_);  // bytes may have come along with the handshake
  processing_ = processing_ + (first_byte_at_ - opened_at_);
  answer_.BeginHead();
  state_ = State::kHead;
}

ReadStep HttpConversation::OnBytes(Bytes in, Instant at, Output& out) {
  if (state_ == State::kTunnel) return OnTunnel(in, at, out);
  Bytes rest = in;
  while (true) {
    const HttpCodec::Event event = codec().Read(&rest, answer_, out);
    Step step = Take(event, at);
    if (event == HttpCodec::Event::kMore || step.kind != Step::Kind::kMore) {
      step.reusable = step.reusable && rest.empty();  // what follows the answer is none of ours
      return {in.size(), step};
    }
  }
}

Step HttpConversation::Take(HttpCodec::Event event, Instant at) {
  switch (event) {
    case HttpCodec::Event::kMore:
      return Step::More();
    case HttpCodec::Event::kBegun:
      BeginAnswer(at);
      return Step::More();
    case HttpCodec::Event::kHead:
      return EndHead(codec().head(), at);
    case HttpCodec::Event::kEnd:
      return EndBody(at);
    case HttpCodec::Event::kBroken:
      return Broken(OutcomeOf(codec().failure()), codec().detail(), at);
  }
  return Step::More();
}

Step HttpConversation::EndHead(const HttpHead& head, Instant at) {
  if (head.status / 100 == 1 && head.status != 101) {  // an interim answer: another one follows
    answer_.BeginHead();
    return Step::More();
  }
  if (head.status == 101 && !module_.FindHeader("upgrade")) {
    return Broken(Outcome::kHeadersMalformed, "an upgrade nobody asked for", at);
  }
  constexpr int kRequestTimeout = 408;
  if (reused_ && head.status == kRequestTimeout && !head.persistent) {
    // The server gave up waiting before our request was there (RFC 9110 section 15.5.9).
    processing_ = processing_ - (first_byte_at_ - opened_at_);
    ForgetReusedLeg();
    return Step::Replace();
  }
  status_ = static_cast<uint16_t>(head.status);
  version_ = head.version;
  const std::string_view location = answer_.fields.First("location");
  if (IsRedirect(location)) {
    const Step step = Redirect(location, at);
    if (step.kind != Step::Kind::kMore) return step;
  }
  answered_ = true;
  reusable_ = module_.keep > Duration{} && head.persistent && !(unfollowed_ && head.body);
  state_ = State::kBody;
  JudgeHead(head);
  return head.body && !unfollowed_ ? Step::More() : EndBody(at);
}

bool HttpConversation::StatusIsGood() const {
  const HttpExpect* expect = target_.expect.get();
  return (expect && expect->has_status ? expect->status : module_.valid_status).Has(status_);
}

bool HttpConversation::HeaderRulesHold() {
  const auto holds = [&](const HttpHeaderRule& rule, bool must_match) {
    bool present = false, matched = false;
    answer_.fields.ForEach(rule.name, [&](std::string_view value) {
      present = true;
      matched = rule.regex->Match(context_.shard, value);
      return !matched;
    });
    if (present ? matched == must_match : rule.allow_missing) return true;
    Find(Outcome::kValidationHeader,
         {"header '", rule.name, "' ",
          !present     ? "is missing"
          : must_match ? "does not match "
                       : "matches ",
          present ? std::string_view(rule.regex->pattern()) : std::string_view()});
    return false;
  };
  for (const HttpHeaderRule& rule : module_.header_matches) {
    if (!holds(rule, false)) return false;
  }
  for (const HttpHeaderRule& rule : module_.header_not_matches) {
    if (!holds(rule, true)) return false;
  }
  return true;
}

// Steps a to d of blackbox_contract 8.1.6. Whatever is found, the body is still drained.
void HttpConversation::JudgeHead(const HttpHead& head) {
  content_length_ = head.content_length;
  until_close_ = head.until_close;
  if (!StatusIsGood()) {
    if (unfollowed_ && module_.follow_redirects) {
      Find(Outcome::kValidationRedirect, {"stopped after 10 redirects"});
    }
    const char digits[] = {static_cast<char>('0' + status_ / 100),
                           static_cast<char>('0' + status_ / 10 % 10),
                           static_cast<char>('0' + status_ % 10)};
    Find(Outcome::kValidationStatus, {"status ", {digits, 3}, " is not expected"});
  }
  if (found_ == Outcome::kOk && module_.has_header_rules()) rules_failed_ = !HeaderRulesHold();
  HttpBody::Options options;
  options.compression = module_.compression;
  options.limit = module_.body_size_limit;
  options.keep = found_ == Outcome::kOk &&
                 (module_.has_body_rules() || (target_.expect && target_.expect->has_body_rules()));
  answer_.body.Begin(options);
  if (unfollowed_ && module_.compression == Compression::kGzip) {
    Find(Outcome::kBodyEncoding, {"the body of a redirect that is not followed is not read"});
  }
  if (module_.compression == Compression::kUnknown) {
    Find(Outcome::kProberConfig, {"the module's compression is unknown"});
  }
}

// ---- the body and the verdict -------------------------------------------------------------------

// Steps e to k of blackbox_contract 8.1.6.
Step HttpConversation::EndBody(Instant at) {
  if (!unfollowed_ && !answer_.body.End()) {
    return Broken(answer_.body.failure(), "the compressed body ends early", at);
  }
  if (answer_.body.keeps() && found_ == Outcome::kOk) rules_failed_ = !BodyRulesHold();
  JudgeVersionAndTls();
  return Verdict(at);
}

bool HttpConversation::BodyRulesHold() {
  const auto fail = [&](std::string_view what, std::string_view rule) {
    Find(Outcome::kValidationBody, {"the body ", what, rule});
    return false;
  };
  if (unfollowed_) return fail("of a redirect that is not followed is not read", "");
  const std::string_view body = answer_.body.kept();
  // The first pattern that matches although it should not, or the other way round.
  const auto breaker = [&](const RegexList& list, bool should_match) -> const Regex* {
    for (const auto& regex : list) {
      if (regex->Match(context_.shard, body) != should_match) return regex.get();
    }
    return nullptr;
  };
  const auto holds = [&](const RegexList& must_not_match, const RegexList& must_match) {
    if (const Regex* bad = breaker(must_not_match, false)) return fail("matches ", bad->pattern());
    if (const Regex* bad = breaker(must_match, true))
      return fail("does not match ", bad->pattern());
    return true;
  };
  if (!holds(module_.body_matches, module_.body_not_matches)) return false;
  if (!target_.expect) return true;
  if (!holds(target_.expect->body_not_matches, target_.expect->body_matches)) return false;
  for (const std::string& text : target_.expect->body_contains) {
    if (body.find(text) == std::string_view::npos) return fail("does not contain ", text);
  }
  return true;
}

void HttpConversation::JudgeVersionAndTls() {
  if (module_.limits_versions && !(module_.valid_versions & static_cast<uint8_t>(version_))) {
    Find(Outcome::kValidationVersion, {Info(version_).name, " is not expected"});
  }
  if (CurrentUrl().secure() ? module_.fail_if_ssl : module_.fail_if_not_ssl) {
    Find(Outcome::kValidationTls,
         {"the answer came ", CurrentUrl().secure() ? "over TLS" : "without TLS"});
  }
}

Step HttpConversation::Verdict(Instant at) {
  state_ = State::kDone;
  ended_at_ = at;
  return found_ == Outcome::kOk ? Step::Pass(reusable_) : Step::Fail(found_, reusable_);
}

// The answer cannot be read to its end.
Step HttpConversation::Broken(Outcome outcome, std::string_view detail, Instant at) {
  Find(outcome, {detail});
  reusable_ = false;
  // Rules about a body that could not be read have failed, but for one that could not be begun.
  if (answer_.body.keeps() && !answer_.body.is_no_gzip()) rules_failed_ = true;
  return Verdict(at);
}

// What a failure of the codec is, where the answer stands.
Outcome HttpConversation::OutcomeOf(HttpCodec::Failure failure) {
  switch (failure) {
    case HttpCodec::Failure::kHeadTooLarge:
      return Outcome::kHeadersTooLarge;
    case HttpCodec::Failure::kBody:
      return answer_.body.failure();
    case HttpCodec::Failure::kReset:
      return CutOff(true);
    case HttpCodec::Failure::kClosed:
      return CutOff(false);
    case HttpCodec::Failure::kMemory:
      return Outcome::kProberMemory;
    case HttpCodec::Failure::kMalformed:
    case HttpCodec::Failure::kNone:
      break;
  }
  return state_ == State::kBody ? Outcome::kBodyMalformed : Outcome::kHeadersMalformed;
}

Outcome HttpConversation::CutOff(bool reset) {
  switch (state_) {
    case State::kWaiting:
      if (reset && codec().sending()) return Outcome::kSendReset;
      return reset ? Outcome::kFirstByteReset : Outcome::kFirstByteClosed;
    case State::kHead:
      return reset ? Outcome::kHeadersReset : Outcome::kHeadersClosed;
    default:
      return reset ? Outcome::kBodyReset : Outcome::kBodyClosed;
  }
}

Step HttpConversation::OnPeerClosed(PeerClose how, Bytes, Instant at, Output&) {
  const bool reset = how == PeerClose::kReset;
  if (state_ == State::kTunnel) return TunnelClosed(how, at);
  // Without close_notify (kTruncated) a body is taken as it is, as Go and browsers do: too many
  // servers end that way.
  if (state_ == State::kBody && until_close_ && !reset) return EndBody(at);
  return Broken(CutOff(reset), codec().detail(), at);
}

Outcome HttpConversation::OnDeadline(Instant at) {
  if (state_ == State::kTunnel) return TunnelTimedOut(at);
  // What was wrong with the answer stays the reason, though the body never ended.
  if (found_ != Outcome::kOk) return found_;
  return state_ == State::kWaiting
             ? codec().sending() ? Outcome::kSendTimeout : Outcome::kFirstByteTimeout
         : state_ == State::kHead ? Outcome::kHeadersTimeout
                                  : Outcome::kBodyTimeout;
}

}  // namespace sonde
