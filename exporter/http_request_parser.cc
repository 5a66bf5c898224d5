#include "exporter/http_request_parser.h"

#include <llhttp.h>

#include <algorithm>
#include <utility>

#include "exporter/http_text.h"

namespace sonde {
namespace {

constexpr int kMaxEmptyLines = 4;
constexpr size_t kMaxLengthDigits = 15;

// What llhttp reports of one head.
struct HeadSink {
  std::string target;
  std::vector<HttpHeader> headers;
  size_t max_headers = 0;
  bool value_seen = true;  // the last header has begun its value
  bool complete = false;
};

HeadSink& SinkOf(llhttp_t* parser) { return *static_cast<HeadSink*>(parser->data); }

int OnUrl(llhttp_t* parser, const char* at, size_t length) {
  SinkOf(parser).target.append(at, length);
  return 0;
}

int OnField(llhttp_t* parser, const char* at, size_t length) {
  HeadSink& sink = SinkOf(parser);
  if (sink.value_seen) {
    if (sink.headers.size() >= sink.max_headers) return HPE_USER;
    sink.headers.emplace_back();
    sink.value_seen = false;
  }
  sink.headers.back().name.append(at, length);
  return 0;
}

int OnValue(llhttp_t* parser, const char* at, size_t length) {
  HeadSink& sink = SinkOf(parser);
  if (sink.headers.empty()) return HPE_USER;
  sink.value_seen = true;
  sink.headers.back().value.append(at, length);
  return 0;
}

// A header without a value gives no span for it.
int OnValueComplete(llhttp_t* parser) {
  SinkOf(parser).value_seen = true;
  return 0;
}

int OnHeadComplete(llhttp_t* parser) {
  SinkOf(parser).complete = true;
  return HPE_PAUSED;  // the body is ours
}

const llhttp_settings_t& Settings() {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_url = OnUrl;
    s.on_header_field = OnField;
    s.on_header_value = OnValue;
    s.on_header_value_complete = OnValueComplete;
    s.on_headers_complete = OnHeadComplete;
    return s;
  }();
  return settings;
}

std::optional<uint64_t> ParseLength(std::string_view text) {
  if (text.empty() || text.size() > kMaxLengthDigits) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

size_t CountHeader(const HttpRequest& request, std::string_view name) {
  return static_cast<size_t>(std::count_if(
      request.headers.begin(), request.headers.end(),
      [&](const HttpHeader& header) { return EqualsIgnoringCase(header.name, name); }));
}

}  // namespace

HttpRequestParser::Event HttpRequestParser::Fail(int status, std::string_view text) {
  state_ = State::kError;
  error_status_ = status;
  error_text_ = std::string(text) + "\n";
  return Event::kError;
}

HttpRequestParser::Event HttpRequestParser::Feed(std::string_view& in) {
  switch (state_) {
    case State::kHead:
      return ScanHead(in);
    case State::kBody:
      return ReadBody(in);
    case State::kError:
      break;
  }
  return Event::kError;
}

// Refuses what HTTP parsers are known to read differently. False after Fail.
bool HttpRequestParser::CheckHeadByte(char c) {
  const unsigned char byte = static_cast<unsigned char>(c);
  if (after_cr_ && c != '\n') return Fail(400, "CR without LF in the head"), false;
  if (c == '\r') return true;
  if (c == '\n') return after_cr_ || (Fail(400, "LF without CR in the head"), false);
  if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
    return Fail(400, "control character in the head"), false;
  }
  if (first_line_) {
    if (byte >= 0x80 || c == '\t') return Fail(400, "bad byte in the request line"), false;
    if (c == ' ' && ++blanks_in_first_line_ > 2) return Fail(400, "bad request line"), false;
  } else if (line_length_ == 0 && (c == ' ' || c == '\t')) {
    return Fail(400, "folded header line"), false;
  }
  return true;
}

HttpRequestParser::Event HttpRequestParser::ScanHead(std::string_view& in) {
  while (!in.empty()) {
    const char c = in.front();
    in.remove_prefix(1);
    if (!CheckHeadByte(c)) return Event::kError;
    head_ += c;
    if (head_.size() > limits_.max_head) {
      return first_line_ ? Fail(414, "request line too long") : Fail(431, "headers too long");
    }
    after_cr_ = c == '\r';
    if (c == '\r') continue;
    if (c != '\n') {
      ++line_length_;
      continue;
    }
    if (std::exchange(line_length_, 0) > 0) {
      first_line_ = false;
    } else if (first_line_) {
      head_.clear();  // RFC 9112 section 2.2: empty lines before the request line
      if (++empty_lines_ > kMaxEmptyLines) return Fail(400, "too many empty lines");
    } else {
      return ParseHead();
    }
  }
  return Event::kNeedMore;
}

HttpRequestParser::Event HttpRequestParser::ParseHead() {
  HeadSink sink;
  sink.max_headers = limits_.max_headers;
  llhttp_t parser;
  llhttp_init(&parser, HTTP_REQUEST, &Settings());
  parser.data = &sink;
  const llhttp_errno_t error = llhttp_execute(&parser, head_.data(), head_.size());
  if (!sink.complete) {
    switch (error) {
      case HPE_USER:
        return Fail(431, "too many headers");
      case HPE_INVALID_METHOD:
        return Fail(501, "unknown method");
      case HPE_INVALID_VERSION:
        return Fail(505, "HTTP/1.0 and HTTP/1.1 only");
      default:
        break;
    }
    const char* reason = llhttp_get_error_reason(&parser);
    return Fail(400, std::string("bad request: ") + (reason != nullptr ? reason : "malformed"));
  }
  const int major = llhttp_get_http_major(&parser);
  request_.version_minor = llhttp_get_http_minor(&parser);
  if (major != 1 || request_.version_minor > 1) return Fail(505, "HTTP/1.0 and HTTP/1.1 only");
  // As sent: llhttp's table of names knows aliases.
  request_.method = head_.substr(0, head_.find(' '));
  request_.headers = std::move(sink.headers);
  if (!CheckFields() || !CheckFraming() || !ParseTarget(sink.target)) return Event::kError;
  state_ = State::kBody;
  return Event::kHead;
}

bool HttpRequestParser::CheckFields() {
  for (HttpHeader& header : request_.headers) {
    // llhttp takes blanks inside a name unless it was built strict.
    if (!IsToken(header.name)) return Fail(400, "bad header name"), false;
    header.value = std::string(TrimBlanks(header.value));
  }
  const size_t hosts = CountHeader(request_, "Host");
  if (hosts > 1) return Fail(400, "more than one Host header"), false;
  if (hosts == 0 && request_.version_minor >= 1) return Fail(400, "Host header missing"), false;
  if (hosts == 1 && !Authority::Parse(request_.Header("Host"), host_)) {
    return Fail(400, "bad Host header"), false;
  }
  const std::string connection = request_.HeaderList("Connection");
  keep_alive_ = request_.version_minor >= 1 || ListContains(connection, "keep-alive");
  if (ListContains(connection, "close")) keep_alive_ = false;
  return true;
}

bool HttpRequestParser::CheckFraming() {
  const size_t lengths = CountHeader(request_, "Content-Length");
  if (const size_t codings = CountHeader(request_, "Transfer-Encoding"); codings > 0) {
    if (lengths > 0) return Fail(400, "both Content-Length and Transfer-Encoding"), false;
    if (request_.version_minor < 1) return Fail(400, "Transfer-Encoding in HTTP/1.0"), false;
    if (codings > 1 || !EqualsIgnoringCase(request_.Header("Transfer-Encoding"), "chunked")) {
      return Fail(501, "no transfer coding but chunked"), false;
    }
    chunked_ = true;
  }
  if (lengths > 1) return Fail(400, "more than one Content-Length header"), false;
  if (lengths == 1) {
    const auto length = ParseLength(request_.Header("Content-Length"));
    if (!length) return Fail(400, "bad Content-Length header"), false;
    content_length_ = *length;
  }
  if (const auto expect = request_.FindHeader("Expect"); expect && request_.version_minor >= 1) {
    if (!EqualsIgnoringCase(*expect, "100-continue")) {
      return Fail(417, "no expectation but 100-continue"), false;
    }
    expects_continue_ = true;
  }
  return true;
}

// RFC 9112 section 3.2: origin-form, absolute-form, "*" with OPTIONS. authority-form is for
// proxies.
bool HttpRequestParser::ParseTarget(std::string_view target) {
  if (request_.method == "CONNECT") return Fail(501, "this is not a proxy"), false;
  if (target.find('#') != std::string_view::npos) return Fail(400, "fragment in the target"), false;
  if (target == "*" && request_.method == "OPTIONS") {
    request_.raw_path = request_.path = "*";
    return true;
  }
  if (target.empty() || target[0] != '/') {
    const size_t scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos) return Fail(400, "bad request target"), false;
    const std::string_view scheme = target.substr(0, scheme_end);
    if (!EqualsIgnoringCase(scheme, "http") && !EqualsIgnoringCase(scheme, "https")) {
      return Fail(400, "bad scheme in the request target"), false;
    }
    target.remove_prefix(scheme_end + 3);
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    if (!Authority::Parse(target.substr(0, end), host_)) {
      return Fail(400, "bad host in the request target"), false;
    }
    target.remove_prefix(end);
  }
  const size_t question = target.find('?');
  request_.raw_path = std::string(target.substr(0, question));
  if (request_.raw_path.empty()) request_.raw_path = "/";
  if (question != std::string_view::npos) request_.query = std::string(target.substr(question + 1));
  auto path = DecodePath(request_.raw_path);
  if (!path) return Fail(400, "bad escape in the path"), false;
  request_.path = std::move(*path);
  // A broken escape in a query is the handler's to judge; a control character is nobody's.
  for (const char c : FormDecode(request_.query)) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return Fail(400, "control character in the query"), false;
  }
  return true;
}

HttpRequestParser::Event HttpRequestParser::ReadBody(std::string_view& in) {
  if (chunked_) {
    switch (decoder_.Feed(in, request_.body, max_body_)) {
      case ChunkedDecoder::Result::kNeedMore:
        return Event::kNeedMore;
      case ChunkedDecoder::Result::kDone:
        return Event::kRequest;
      case ChunkedDecoder::Result::kTooLarge:
        return Fail(413, "body longer than " + std::to_string(max_body_) + " bytes");
      case ChunkedDecoder::Result::kBad:
        break;
    }
    return Fail(400, "bad chunked body");
  }
  if (content_length_ > max_body_) {
    return Fail(413, "body longer than " + std::to_string(max_body_) + " bytes");
  }
  const size_t take =
      std::min(static_cast<size_t>(content_length_) - request_.body.size(), in.size());
  request_.body.append(in.substr(0, take));
  in.remove_prefix(take);
  return request_.body.size() == content_length_ ? Event::kRequest : Event::kNeedMore;
}

HttpRequest HttpRequestParser::TakeRequest() {
  HttpRequest taken = std::move(request_);
  *this = HttpRequestParser(limits_);
  return taken;
}

}  // namespace sonde
