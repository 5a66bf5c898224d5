#include "protocols/http1_codec.h"

namespace sonde {

// ---- the parser's callbacks ---------------------------------------------------------------------

struct Http1Codec::Parsing {
  static Http1Codec& Self(llhttp_t* parser) { return *static_cast<Http1Codec*>(parser->data); }
  // Trailers come through the same callbacks and are nobody's business.
  static bool InHead(llhttp_t* parser) { return Self(parser).stage_ == Stage::kHead; }

  static int OnName(llhttp_t* parser, const char* at, size_t size) {
    if (InHead(parser)) Self(parser).answer_->AddName({at, size});
    return 0;
  }
  static int OnNameEnd(llhttp_t* parser) {
    if (InHead(parser)) Self(parser).answer_->EndName();
    return 0;
  }
  static int OnValue(llhttp_t* parser, const char* at, size_t size) {
    if (InHead(parser)) Self(parser).answer_->AddValue({at, size});
    return 0;
  }
  static int OnValueEnd(llhttp_t* parser) {
    if (InHead(parser)) Self(parser).answer_->EndValue();
    return 0;
  }
  static int OnHeadEnd(llhttp_t*) { return HPE_PAUSED; }
  static int OnBody(llhttp_t* parser, const char* at, size_t size) {
    const Bytes bytes = AsBytes(std::string_view(at, size));
    return Self(parser).answer_->AddBody(bytes) ? 0 : HPE_USER;
  }
  static int OnEnd(llhttp_t*) { return HPE_PAUSED; }

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

const llhttp_settings_t Http1Codec::Parsing::kSettings = Settings();

// ---- sending and reading ------------------------------------------------------------------------

bool Http1Codec::Send(std::string_view request, Output& out) {
  asked_head_ = request.starts_with("HEAD ");
  out.AppendStable(AsBytes(request));
  return true;
}

void Http1Codec::BeginHead() {
  llhttp_init(&parser_, HTTP_RESPONSE, &Parsing::kSettings);
  parser_.data = this;
  stage_ = Stage::kHead;
}

HttpCodec::Event Http1Codec::Read(Bytes* in, HttpAnswer& answer, Output&) {
  if (in->empty()) return Event::kMore;
  if (stage_ == Stage::kWaiting) {
    BeginHead();
    return Event::kBegun;
  }
  answer_ = &answer;
  const std::string_view text = AsText(*in);
  const llhttp_errno_t error = llhttp_execute(&parser_, text.data(), text.size());
  const size_t parsed = error == HPE_OK
                            ? text.size()
                            : static_cast<size_t>(llhttp_get_error_pos(&parser_) - text.data());
  const bool head = stage_ == Stage::kHead;
  const bool paused = error == HPE_PAUSED;
  // What broke the parser is shown, and what follows it.
  if (head && !answer.AddHead(paused ? text.substr(0, parsed) : text, parsed)) {
    return Broken(Failure::kHeadTooLarge);
  }
  *in = in->subspan(parsed);
  if (error == HPE_OK) return Event::kMore;
  if (error == HPE_USER) return Broken(Failure::kBody);
  if (!paused) return Broken(Failure::kMalformed, llhttp_get_error_reason(&parser_));
  llhttp_resume(&parser_);
  return head ? EndHead() : Event::kEnd;
}

HttpCodec::Event Http1Codec::EndHead() {
  const unsigned status = parser_.status_code;
  if (parser_.http_major != 1 || status < 100) {
    return Broken(Failure::kMalformed, "not an answer of HTTP/1.x");
  }
  head_ = HttpHead{};
  head_.status = status;
  if (status / 100 == 1 && status != 101) {
    BeginHead();
    return Event::kHead;
  }
  if (!FramingIsKnown()) return Broken(Failure::kMalformed, "unsupported transfer encoding");
  if (parser_.http_minor == 0) head_.version = HttpModule::Version::k10;
  // RFC 9112 section 6.3.
  const bool bare = status == 101 || status == 204 || status == 304;
  const bool chunked = parser_.flags & F_CHUNKED;
  const bool sized = parser_.flags & F_CONTENT_LENGTH;
  if (bare) {
    head_.content_length = 0;
  } else if (sized) {
    head_.content_length = static_cast<int64_t>(parser_.content_length);
  }
  head_.body = !asked_head_ && !bare && (chunked || !sized || parser_.content_length > 0);
  head_.until_close = !sized && !chunked;
  // RFC 9112 section 9.3; of HTTP/1.1 alone, where it is the rule.
  head_.persistent = parser_.http_minor > 0 && !(parser_.flags & F_CONNECTION_CLOSE) &&
                     status != 101 && !(head_.body && head_.until_close);
  stage_ = Stage::kBody;
  return Event::kHead;
}

// RFC 9112 section 6.1: chunked is the one transfer coding we take, once and alone.
bool Http1Codec::FramingIsKnown() const {
  if (!(parser_.flags & F_TRANSFER_ENCODING)) return true;
  size_t codings = 0;
  bool known = true;
  answer_->fields.ForEach("transfer-encoding", [&](std::string_view value) {
    ++codings;
    known = known && EqualsIgnoreCase(value, "chunked");
    return true;
  });
  return codings == 1 && known;
}

HttpCodec::Event Http1Codec::Broken(Failure failure, const char* detail) {
  failure_ = failure;
  detail_ = detail;
  return Event::kBroken;
}

}  // namespace sonde
