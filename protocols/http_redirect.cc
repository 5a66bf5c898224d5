// Redirects of an HTTP probe (RFC 9110 section 15.4; blackbox_contract 8.1.5 with stances Q4, Q5).
#include <utility>

#include "protocols/http_conversation.h"
#include "protocols/http_detour.h"
#include "protocols/http_request.h"

namespace sonde {
namespace {

bool KeepsMethod(unsigned status) { return status == 307 || status == 308; }

}  // namespace

bool HttpConversation::IsRedirect(std::string_view location) const {
  if (location.empty()) return false;
  if (KeepsMethod(status_)) return module_.body_file.empty();  // a file is not sent twice
  return status_ == 301 || status_ == 302 || status_ == 303;
}

// More: the redirect is not followed, and its answer is the final one.
Step HttpConversation::Redirect(std::string_view location, Instant at) {
  ++redirects_;
  if (!module_.follow_redirects || redirects_ > kMaxRedirects) {
    unfollowed_ = true;
    return Step::More();
  }
  bool absolute = false;
  absl::StatusOr<Url> next = CurrentUrl().Resolve(location, &absolute);
  if (!next.ok()) {
    --redirects_;  // it leads nowhere and is none
    return BadRedirect(std::string(next.status().message()), at);
  }
  return Follow(*std::move(next), absolute, at);
}

Step HttpConversation::BadRedirect(std::string_view why, Instant at) {
  ForgetAnswer();
  Find(Outcome::kValidationRedirect, {"Location leads nowhere: ", why});
  return Verdict(at);
}

Step HttpConversation::Follow(Url next, bool absolute, Instant at) {
  Detour& detour = MakeDetour();
  const Url before = CurrentUrl();
  const std::string first_host = LogicalHost(HostHeaderOf(module_, target_));
  if (!detour.moved) {
    detour.method = module_.method;
    detour.host = std::string(HostHeaderOf(module_, target_));
    detour.server_name = target_.server_name;
  }
  const std::string logical = LogicalHost(detour.host);
  answer_.fields.ForEach("set-cookie", [&](std::string_view cookie) {
    detour.cookies.Set(cookie, logical);
    return true;
  });
  if (!KeepsMethod(status_)) {
    if (detour.method != "HEAD") detour.method = "GET";
    detour.with_body = false;
  }
  if (absolute) {
    detour.host = next.authority;
    detour.server_name = next.host;
    detour.trusted = detour.trusted && IsSameOrBelow(LogicalHost(detour.host), first_host);
  }
  detour.moved = true;
  detour.url = std::move(next);

  HttpHop hop;
  hop.method = detour.method;
  hop.url = &detour.url;
  hop.host = detour.host;
  hop.trusted = detour.trusted;
  hop.with_body = detour.with_body;
  hop.credentials = detour.url.has_userinfo ? &detour.url : detour.trusted ? &target_.url : nullptr;
  const bool shown = !(before.secure() && !detour.url.secure());  // RFC 9110 section 10.1.3
  const std::string referer = shown ? before.Text() : "";
  const std::string cookies = detour.cookies.For(LogicalHost(detour.host), detour.url.secure());
  hop.referer = referer;
  hop.cookies = cookies;
  ForgetAnswer();
  HttpRequestError error;
  if (!RenderHttpRequest(module_, hop, context_.files, &detour.NextRequest(), &error)) {
    Find(Outcome::kProberConfig, {error.text});
    return Verdict(at);
  }
  tls_.Forget();
  reused_ = false;
  state_ = State::kOpening;
  return OpenHop(detour.url, detour.server_name, absolute ? nullptr : HopAddress());
}

// A later hop begins, or will never be: the answer just read is not the final one.
void HttpConversation::ForgetAnswer() {
  status_ = 0;
  version_ = HttpModule::Version::kNone;
  content_length_ = 0;
  answer_.ForgetHeads();
  answered_ = false;
}

}  // namespace sonde
