#include "protocols/http_conversation.h"

#include <algorithm>
#include <utility>

#include "protocols/http_detour.h"
#include "protocols/http_request.h"

namespace sonde {

// ---- the parser's callbacks ---------------------------------------------------------------------

struct HttpConversation::Parsing {
  static HttpConversation& Self(llhttp_t* parser) {
    return *static_cast<HttpConversation*>(parser->data);
  }
  // Trailers come through the same callbacks and are nobody's business.
  static bool InHead(llhttp_t* parser) { return Self(parser).state_ == State::kHead; }

  static int OnName(llhttp_t* parser, const char* at, size_t size) {
    if (InHead(parser)) Self(parser).fields_.AddName({at, size});
    return 0;
  }
  static int OnNameEnd(llhttp_t* parser) {
    HttpConversation& self = Self(parser);
    if (InHead(parser)) self.fields_.EndName(self.module_, self.context_.buffers);
    return 0;
  }
  static int OnValue(llhttp_t* parser, const char* at, size_t size) {
    if (InHead(parser)) Self(parser).fields_.AddValue({at, size});
    return 0;
  }
  static int OnValueEnd(llhttp_t* parser) {
    if (InHead(parser)) Self(parser).fields_.EndValue();
    return 0;
  }
  static int OnHeadEnd(llhttp_t*) { return HPE_PAUSED; }
  static int OnBody(llhttp_t* parser, const char* at, size_t size) {
    HttpConversation& self = Self(parser);
    Buffer* evidence = self.evidence_ ? &self.evidence_ : nullptr;
    const Bytes bytes = AsBytes(std::string_view(at, size));
    return self.body_.Take(bytes, self.context_.buffers, evidence) ? 0 : HPE_USER;
  }
  static int OnEnd(llhttp_t* parser) {
    Self(parser).complete_ = true;
    return HPE_PAUSED;
  }

  static llhttp_settings_t Settings() {
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_header_field = OnName;
    settings.on_header_field_complete = OnNameEnd;
    settings.on_header_value = OnValue;
    settings.on_header_value_complete = OnValueEnd;
    settings.on_headers_complete = OnHeadEnd;
    settings.on_body = OnBody;
    settings.on_message_complete = OnEnd;
    return settings;
  }
  static const llhttp_settings_t kSettings;
};

const llhttp_settings_t HttpConversation::Parsing::kSettings = Settings();

// ---- before the answer --------------------------------------------------------------------------

HttpConversation::HttpConversation(const Task& task, const ConversationContext& context)
    : module_(static_cast<const HttpModule&>(*task.module)),
      target_(static_cast<const HttpTarget&>(*task.plan)),
      context_(context) {}

HttpConversation::~HttpConversation() = default;

HttpConversation::Detour& HttpConversation::MakeDetour() {
  if (!detour_) detour_ = std::make_unique<Detour>();
  return *detour_;
}

const Url& HttpConversation::CurrentUrl() const {
  return detour_ && detour_->moved ? detour_->url : target_.url;
}

std::string_view HttpConversation::CurrentMethod() const {
  return detour_ && detour_->moved ? detour_->method : module_.method;
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
  PlanLeg(target_.url, target_.server_name);
  return Step::Open(plan_);
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
}

Step HttpConversation::OnOpen(const Leg& leg, Instant at, Output& out) {
  times_.Opened(leg);
  if (found_ != Outcome::kOk) {
    attempted_ = no_credentials_;
    return Step::Fail(found_);
  }
  tls_.Opened(leg);
  attempted_ = true;
  opened_at_ = at;
  first_byte_at_ = {};
  state_ = State::kWaiting;
  const bool planned = !detour_ || (!detour_->moved && !module_.names_files);
  out.AppendStable(AsBytes(planned ? target_.request : detour_->requests[detour_->current]));
  return Step::More();
}

Step HttpConversation::OnLegFailed(const Leg& leg, Outcome outcome, Instant at) {
  times_.Failed(leg, at);
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
  if (!evidence_) evidence_ = context_.buffers.Take();
  Restart();
}

void HttpConversation::Restart() {
  llhttp_init(&parser_, HTTP_RESPONSE, &Parsing::kSettings);
  parser_.data = this;
  fields_.Clear();
  evidence_.Clear();
  head_shown_ = 0;
  state_ = State::kHead;
}

// `bytes` are shown to people; only the parser's part of them counts against the limit.
bool HttpConversation::NoteHead(std::string_view bytes, size_t parsed) {
  const size_t room = std::min(bytes.size(), Evidence::kHeadLimit - head_shown_);
  if (room > 0) evidence_.Append(bytes.substr(0, room));
  head_shown_ = static_cast<uint16_t>(head_shown_ + room);
  head_bytes_ += static_cast<uint32_t>(parsed);  // one read beyond the limit at most
  return head_bytes_ <= module_.header_size_limit;
}

ReadStep HttpConversation::OnBytes(Bytes in, Instant at, Output&) {
  if (state_ == State::kWaiting) BeginAnswer(at);
  const char* next = AsText(in).data();
  const char* const end = next + in.size();
  const auto done = [&](Step step) { return ReadStep{in.size(), step}; };
  while (next < end) {
    const std::string_view rest(next, static_cast<size_t>(end - next));
    const llhttp_errno_t error = llhttp_execute(&parser_, rest.data(), rest.size());
    const char* const stop = error == HPE_OK ? end : llhttp_get_error_pos(&parser_);
    const auto parsed = static_cast<size_t>(stop - next);
    const bool head = state_ == State::kHead;
    const bool paused = error == HPE_PAUSED;
    if (head && !NoteHead(paused ? rest.substr(0, parsed) : rest, parsed)) {
      return done(Broken(Outcome::kHeadersTooLarge, "", at));
    }
    if (error == HPE_OK) break;
    if (error == HPE_USER) return done(Broken(body_.failure(), "", at));
    if (!paused) {
      return done(Broken(head ? Outcome::kHeadersMalformed : Outcome::kBodyMalformed,
                         llhttp_get_error_reason(&parser_), at));
    }
    llhttp_resume(&parser_);
    next = stop;
    const Step step = head ? EndHead(at) : EndBody(at);
    if (step.kind != Step::Kind::kMore) return done(step);
  }
  return done(Step::More());
}

Step HttpConversation::EndHead(Instant at) {
  const unsigned status = parser_.status_code;
  if (parser_.http_major != 1 || status < 100) {
    return Broken(Outcome::kHeadersMalformed, "not an answer of HTTP/1.x", at);
  }
  if (status / 100 == 1 && status != 101) {  // an interim answer: another one follows
    Restart();
    return Step::More();
  }
  if (status == 101 && !module_.FindHeader("upgrade")) {
    return Broken(Outcome::kHeadersMalformed, "an upgrade nobody asked for", at);
  }
  if (!FramingIsKnown()) {
    return Broken(Outcome::kHeadersMalformed, "unsupported transfer encoding", at);
  }
  status_ = static_cast<uint16_t>(status);
  minor_version_ = parser_.http_minor;
  const std::string_view location = fields_.First("location");
  if (IsRedirect(location)) {
    const Step step = Redirect(location, at);
    if (step.kind != Step::Kind::kMore) return step;
  }
  answered_ = true;
  state_ = State::kBody;
  JudgeHead();
  const bool body = !unfollowed_ && HasBody();
  return body ? Step::More() : EndBody(at);
}

// RFC 9112 section 6.1: chunked is the one transfer coding we take, once and alone.
bool HttpConversation::FramingIsKnown() {
  if (!(parser_.flags & F_TRANSFER_ENCODING)) return true;
  size_t codings = 0;
  bool known = true;
  fields_.ForEach("transfer-encoding", [&](std::string_view value) {
    ++codings;
    known = known && EqualsIgnoreCase(value, "chunked");
    return true;
  });
  return codings == 1 && known;
}

// RFC 9112 section 6.3.
bool HttpConversation::HasBody() const {
  if (CurrentMethod() == "HEAD" || status_ == 101 || status_ == 204 || status_ == 304) return false;
  return (parser_.flags & F_CHUNKED) || !(parser_.flags & F_CONTENT_LENGTH) ||
         parser_.content_length > 0;
}

bool HttpConversation::StatusIsGood() const {
  const HttpExpect* expect = target_.expect.get();
  return (expect && expect->has_status ? expect->status : module_.valid_status).Has(status_);
}

bool HttpConversation::HeaderRulesHold() {
  const auto holds = [&](const HttpHeaderRule& rule, bool must_match) {
    bool present = false, matched = false;
    fields_.ForEach(rule.name, [&](std::string_view value) {
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
void HttpConversation::JudgeHead() {
  const bool sized = parser_.flags & F_CONTENT_LENGTH;
  const bool bare = status_ == 204 || status_ == 304 || status_ == 101;
  content_length_ = sized && !bare ? static_cast<int64_t>(parser_.content_length) : bare ? 0 : -1;
  until_close_ = !sized && !(parser_.flags & F_CHUNKED);
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
  body_.Begin(options);
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
  if (!unfollowed_ && !body_.End()) {
    return Broken(body_.failure(), "the compressed body ends early", at);
  }
  if (body_.keeps() && found_ == Outcome::kOk) rules_failed_ = !BodyRulesHold();
  JudgeVersionAndTls();
  return Verdict(at);
}

bool HttpConversation::BodyRulesHold() {
  const auto fail = [&](std::string_view what, std::string_view rule) {
    Find(Outcome::kValidationBody, {"the body ", what, rule});
    return false;
  };
  if (unfollowed_) return fail("of a redirect that is not followed is not read", "");
  const std::string_view body = body_.kept();
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
  const auto version = static_cast<uint8_t>(minor_version_ == 0 ? HttpModule::Version::k10
                                                                : HttpModule::Version::k11);
  if (module_.limits_versions && !(module_.valid_versions & version)) {
    Find(Outcome::kValidationVersion,
         {"HTTP/1.", minor_version_ == 0 ? "0" : "1", " is not expected"});
  }
  if (CurrentUrl().secure() ? module_.fail_if_ssl : module_.fail_if_not_ssl) {
    Find(Outcome::kValidationTls,
         {"the answer came ", CurrentUrl().secure() ? "over TLS" : "without TLS"});
  }
}

Step HttpConversation::Verdict(Instant at) {
  state_ = State::kDone;
  ended_at_ = at;
  return found_ == Outcome::kOk ? Step::Pass() : Step::Fail(found_);
}

// The answer cannot be read to its end.
Step HttpConversation::Broken(Outcome outcome, std::string_view detail, Instant at) {
  Find(outcome, {detail});
  // Rules about a body that could not be read have failed.
  if (body_.keeps()) rules_failed_ = true;
  return Verdict(at);
}

Step HttpConversation::OnPeerClosed(PeerClose how, Bytes, Instant at, Output&) {
  const bool reset = how == PeerClose::kReset;
  switch (state_) {
    case State::kWaiting:
      return Broken(reset ? Outcome::kFirstByteReset : Outcome::kFirstByteClosed, "", at);
    case State::kHead:
      return Broken(reset ? Outcome::kHeadersReset : Outcome::kHeadersClosed, "", at);
    default:
      // Without close_notify (kTruncated) a body is taken as it is, as Go and browsers do: too
      // many servers end that way.
      if (until_close_ && !reset) return EndBody(at);
      return Broken(reset ? Outcome::kBodyReset : Outcome::kBodyClosed, "", at);
  }
}

Outcome HttpConversation::OnDeadline(Instant) {
  // What was wrong with the answer stays the reason, though the body never ended.
  if (found_ != Outcome::kOk) return found_;
  return state_ == State::kWaiting ? Outcome::kFirstByteTimeout
         : state_ == State::kHead  ? Outcome::kHeadersTimeout
                                   : Outcome::kBodyTimeout;
}

}  // namespace sonde
