#include "exporter/http_connection.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "exporter/http_encoding.h"
#include "exporter/http_text.h"
#include "exporter/loop.h"

namespace sonde {
namespace {

constexpr size_t kMinCompressed = 1024;          // shorter bodies are sent as they are
constexpr size_t kSliceBytes = 64 * 1024;        // output per turn of the loop
constexpr size_t kSliceRawBytes = 256 * 1024;    // body made per turn, when it is compressed
constexpr int kSliceCalls = 256;                 // calls of Next per turn
constexpr size_t kMinProgress = 16 * 1024;       // per write_timeout
constexpr size_t kMaxLingerBytes = 1024 * 1024;  // read and thrown away after our FIN
constexpr int kClientGone = 499;                 // in the metrics only

// Headers the server itself is responsible for.
constexpr std::string_view kOwnHeaders[] = {"Connection", "Content-Length", "Transfer-Encoding",
                                            "Content-Type", "X-Content-Type-Options"};

bool MaySend(const HttpHeader& header) {
  const std::string_view value = header.value;
  if (!IsToken(header.name) || value.find_first_of(std::string_view("\r\n\0", 3)) != value.npos) {
    return false;
  }
  return std::none_of(std::begin(kOwnHeaders), std::end(kOwnHeaders),
                      [&](std::string_view own) { return EqualsIgnoringCase(own, header.name); });
}

bool HasHeader(std::span<const HttpHeader> headers, std::string_view name) {
  return std::any_of(headers.begin(), headers.end(), [&](const HttpHeader& header) {
    return EqualsIgnoringCase(header.name, name);
  });
}

bool ChangesSomething(std::string_view method) {
  return method != "GET" && method != "HEAD" && method != "OPTIONS";
}

std::string ChunkOf(std::string_view bytes) {
  char size[16];
  const auto end = std::to_chars(std::begin(size), std::end(size), bytes.size(), 16).ptr;
  std::string out;
  out.reserve(bytes.size() + 24);
  out.append(size, end).append("\r\n").append(bytes).append("\r\n");
  return out;
}

}  // namespace

// Keeps the request for its handler; cut loose from the connection when that goes first.
class HttpConnection::Exchange final : public HttpExchange {
 public:
  Exchange(HttpConnection* connection, HttpRequest request)
      : connection_(connection), request_(std::move(request)) {}

  const HttpRequest& request() const override { return request_; }
  bool connected() const override { return connection_ != nullptr && !connection_->input_ended_; }
  void Send(HttpResponse response) override {
    if (connection_ == nullptr || std::exchange(answered_, true)) return;
    on_disconnect_ = nullptr;
    connection_->Respond(std::move(response));
  }
  void OnDisconnect(absl::AnyInvocable<void()> callback) override {
    if (connected() && !answered_) on_disconnect_ = std::move(callback);
  }

  HttpRequest& mutable_request() { return request_; }
  void Detach() { connection_ = nullptr; }
  // The caller holds a reference to this exchange.
  void TellDisconnect() {
    if (auto callback = std::exchange(on_disconnect_, nullptr)) callback();
  }

 private:
  HttpConnection* connection_;
  HttpRequest request_;
  absl::AnyInvocable<void()> on_disconnect_;
  bool answered_ = false;
};

// A body that is there whole, handed out in slices so that a big one does not hold the loop.
class HttpConnection::WholeBody final : public BodySource {
 public:
  explicit WholeBody(std::string body) : body_(std::move(body)) {}
  BodyStep Next(std::string& chunk) override {
    const size_t take = std::min(kBodyChunk, body_.size() - offset_);
    chunk.append(body_, offset_, take);
    offset_ += take;
    return offset_ == body_.size() ? BodyStep::kEnd : BodyStep::kMore;
  }

 private:
  const std::string body_;
  size_t offset_ = 0;
};

HttpConnection::HttpConnection(HttpService& service, HttpTransport& transport, Address peer)
    : service_(service),
      transport_(transport),
      peer_(peer),
      parser_({service.options.max_head, service.options.max_headers}),
      since_(service.Now()) {}

HttpConnection::~HttpConnection() { OnClosed(); }

void HttpConnection::SetState(State state) {
  state_ = state;
  since_ = service_.Now();
}

// ---- requests ----

void HttpConnection::OnBytes(std::string_view bytes) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kLinger) {
    lingered_ += bytes.size();
    if (lingered_ > kMaxLingerBytes) transport_.Close();
    return;
  }
  input_ += bytes;
  if (AwaitsInput()) Advance();
  UpdateReading();
}

// Reads ahead a little while answering, also to see the client leave; then lets TCP hold it back.
void HttpConnection::UpdateReading() {
  const bool wanted =
      AwaitsInput() || state_ == State::kLinger || input_.size() < service_.options.max_pipelined;
  if (state_ == State::kClosed || wanted == reading_) return;
  reading_ = wanted;
  transport_.SetReading(wanted);
}

void HttpConnection::Advance() {
  while (AwaitsInput()) {
    std::string_view rest = input_;
    const HttpRequestParser::Event event = parser_.Feed(rest);
    input_.erase(0, input_.size() - rest.size());
    switch (event) {
      case HttpRequestParser::Event::kNeedMore:
        if (state_ == State::kIdle && parser_.started()) SetState(State::kHead);
        if (HoldBody()) return;
        Refuse(HttpResponse::Text(503, "too many request bodies at once\n"), true);
        break;
      case HttpRequestParser::Event::kHead:
        OnHead();
        break;
      case HttpRequestParser::Event::kRequest:
        HoldBody();  // it is here: too late to refuse it, but it counts
        Dispatch();
        break;
      case HttpRequestParser::Event::kError:
        if (state_ != State::kBody) request_time_ = service_.Now();
        Refuse(HttpResponse::Text(parser_.error_status(), parser_.error_text()), true);
        break;
    }
  }
}

// Everything that can be refused is refused before the body is read.
void HttpConnection::OnHead() {
  request_time_ = service_.Now();
  match_ = {};
  const bool close = parser_.has_body();  // it is not worth reading
  if (!RefusesHead(close)) LogIn(close);
}

bool HttpConnection::RefusesHead(bool close) {
  if (auto refusal = service_.gate.Refuses(request_time_)) {
    Refuse(*std::move(refusal), close);
    return true;
  }
  const HttpRequest& request = parser_.request();
  if (const Authority& host = parser_.host(); !host.host.empty() && !service_.hosts.Allows(host)) {
    Refuse(HttpResponse::Text(421, "this server does not answer to the name '" + host.host +
                                       "': allow it with " + service_.options.allowed_hosts_flag +
                                       "\n"),
           close);
    return true;
  }
  if (ChangesSomething(request.method) && request.FindHeader("Origin") &&
      !service_.hosts.AllowsOrigin(request.HeaderList("Origin"), parser_.host())) {
    Refuse(HttpResponse::Text(403, "request from another site: allow its host with " +
                                       service_.options.allowed_hosts_flag + "\n"),
           close);
    return true;
  }
  return false;
}

// Checking a password takes a worker tens of milliseconds; what comes meanwhile waits in input_.
void HttpConnection::LogIn(bool close) {
  using Answer = PasswordChecker::Answer;
  const auto later = [this, close](Answer answer) {
    login_.reset();
    TakeLogin(answer, close);
    Advance();
    if (input_ended_ && AwaitsInput()) transport_.Close();  // the rest of that request never comes
    UpdateReading();
  };
  const Answer answer =
      service_.gate.LogIn(parser_.request().Header("Authorization"), peer_, later, &login_);
  if (answer == Answer::kLater) {
    SetState(State::kLogin);
  } else {
    TakeLogin(answer, close);
  }
}

void HttpConnection::TakeLogin(PasswordChecker::Answer answer, bool close) {
  if (answer == PasswordChecker::Answer::kGood) {
    FindRoute(close);
  } else {
    Refuse(WebGate::Refusal(answer), close);
  }
}

void HttpConnection::FindRoute(bool close) {
  const HttpRequest& request = parser_.request();
  match_ = service_.router.Find(request.method, request.raw_path);
  if (match_.status != 200) {
    HttpResponse response = HttpResponse::Text(
        match_.status, match_.status == 405 ? "method not allowed here, only " + match_.allow + "\n"
                                            : std::string("there is nothing here\n"));
    if (match_.status == 405) response.headers.push_back({"Allow", match_.allow});
    Refuse(std::move(response), close);
    return;
  }
  const size_t max_body = match_.route->limits.max_body;
  parser_.set_max_body(max_body);
  SetState(State::kBody);
  // A body that is too long is refused by the parser, at once when its length is announced.
  if (parser_.expects_continue() && parser_.has_body() && input_.empty() &&
      parser_.content_length() <= max_body) {
    Write("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

void HttpConnection::BeginExchange() {
  keep_alive_ = parser_.keep_alive();
  HttpRequest request = parser_.TakeRequest();
  request.peer = peer_;
  request.route = match_.pattern;
  request.captures = std::move(match_.captures);
  exchange_ = std::make_shared<Exchange>(this, std::move(request));
  status_ = 0;
  SetState(State::kHandling);
}

void HttpConnection::Dispatch() {
  BeginExchange();
  // The handler may answer (and this connection go on) before it returns.
  const std::shared_ptr<Exchange> exchange = exchange_;
  match_.route->handler(exchange->request(), ResponseHandle(exchange));
}

void HttpConnection::Refuse(HttpResponse response, bool close) {
  BeginExchange();
  if (close) keep_alive_ = false;
  response.compressible = false;
  const std::shared_ptr<Exchange> exchange = exchange_;
  exchange->Send(std::move(response));
}

// ---- answers ----

void HttpConnection::Respond(HttpResponse response) {
  SetState(State::kSending);
  if (response.status < 200 || response.status > 999) response.status = 500;
  status_ = response.status;
  ++requests_;
  if (service_.draining || requests_ >= service_.options.max_requests ||
      (input_ended_ && input_.empty())) {
    keep_alive_ = false;
  }
  const HttpRequest& request = exchange_->request();
  const bool whole = response.source == nullptr;
  const size_t whole_size = response.body.size();
  compressible_ = response.compressible && (!whole || whole_size > kMinCompressed) &&
                  !HasHeader(response.headers, "Content-Encoding");
  if (compressible_ && service_.gzips < service_.options.max_gzip &&
      PrefersGzip(request.HeaderList("Accept-Encoding"))) {
    gzip_ = std::make_unique<GzipEncoder>();
    ++service_.gzips;
  }
  if (request.method == "HEAD" || status_ == 204 || status_ == 304) {
    SendBodyless(response, whole);
  } else {
    StartBody(std::move(response), whole_size, whole);
  }
}

// RFC 9110 sections 8.6 and 9.3.2: HEAD says what GET would, as far as that is known.
void HttpConnection::SendBodyless(const HttpResponse& response, bool whole) {
  body_ended_ = true;
  std::string framing;
  if (exchange_->request().method == "HEAD" && status_ != 204 && status_ != 304) {
    if (whole && gzip_ == nullptr) {
      framing = "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
    } else if (exchange_->request().version_minor >= 1) {
      framing = "Transfer-Encoding: chunked\r\n";
    }
  }
  Write(HeadText(response, framing));
}

void HttpConnection::StartBody(HttpResponse response, size_t whole_size, bool whole) {
  source_ =
      whole ? std::make_unique<WholeBody>(std::move(response.body)) : std::move(response.source);
  source_->wake_ = [this] { Wake(); };
  std::string slice;
  FillSlice(slice);
  if (body_failed_) {  // nothing has been said yet: there is still time for an honest answer
    status_ = 500;
    response = HttpResponse::Text(500, "the answer could not be made\n");
    slice = response.body;
    body_failed_ = compressible_ = later_ = false;
    body_ended_ = true;
    DropGzip();
  }
  std::string framing;
  if (body_ended_ || (whole && gzip_ == nullptr)) {
    framing = "Content-Length: " + std::to_string(body_ended_ ? slice.size() : whole_size) + "\r\n";
  } else if (exchange_->request().version_minor >= 1) {
    chunked_ = true;
    framing = "Transfer-Encoding: chunked\r\n";
    if (!slice.empty()) slice = ChunkOf(slice);
  } else {
    keep_alive_ = false;  // the end of the connection is the end of the body
  }
  Write(HeadText(response, framing) + slice);
}

std::string HttpConnection::HeadText(const HttpResponse& response, std::string_view framing) const {
  std::string head = "HTTP/1.1 " + std::to_string(status_) + " ";
  head.append(StatusText(status_)).append("\r\n");
  const auto add = [&](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  if (!response.content_type.empty() && status_ != 204 && status_ != 304 &&
      MaySend({"Type", response.content_type})) {
    add("Content-Type", response.content_type);
  }
  head.append(framing);
  if (gzip_ != nullptr) add("Content-Encoding", "gzip");
  if (compressible_) add("Vary", "Accept-Encoding");
  add("X-Content-Type-Options", "nosniff");
  const std::span<const HttpHeader> everywhere = service_.gate.headers();
  for (const HttpHeader& header : everywhere) {
    if (MaySend(header)) add(header.name, header.value);
  }
  for (const HttpHeader& header : response.headers) {
    if (MaySend(header) && !HasHeader(everywhere, header.name)) add(header.name, header.value);
  }
  if (!keep_alive_) {
    add("Connection", "close");
  } else if (exchange_->request().version_minor == 0) {
    add("Connection", "keep-alive");
  }
  return head.append("\r\n");
}

// Makes about one slice of the body. Sets body_ended_, body_failed_ or later_ when it stops early.
void HttpConnection::FillSlice(std::string& out) {
  size_t raw = 0;
  filling_ = true;
  woken_ = false;
  for (int i = 0; i < kSliceCalls && out.size() < kSliceBytes && raw < kSliceRawBytes; ++i) {
    std::string& chunk = gzip_ ? scratch_ : out;
    const size_t before = chunk.size();
    const size_t made = raw;
    const BodyStep step = source_->Next(chunk);
    ExporterLoop::GiveWay();
    raw += chunk.size() - before;
    if (gzip_) {
      body_failed_ = !gzip_->Append(scratch_, out);
      scratch_.clear();
    }
    if (body_failed_ || step == BodyStep::kFail) {
      body_failed_ = true;
    } else if (step == BodyStep::kEnd) {
      body_ended_ = true;
      if (gzip_) body_failed_ = !gzip_->Finish(out);
    } else if (step == BodyStep::kLater) {
      if (std::exchange(woken_, false)) continue;
      later_ = true;
      if (gzip_ && raw > 0) body_failed_ = !gzip_->Flush(out);
    }
    if (body_ended_ || body_failed_ || later_) break;
    if (raw == made) break;  // a call's worth of work without a byte: the others' turn
  }
  filling_ = false;
}

void HttpConnection::Pump() {
  std::string slice;
  FillSlice(slice);
  if (body_failed_) {
    Cut(HttpCut::kBrokenBody);
    return;
  }
  if (later_ && slice.empty()) return;
  if (chunked_ && !slice.empty()) slice = ChunkOf(slice);
  if (chunked_ && body_ended_) slice += "0\r\n\r\n";
  Write(std::move(slice));
}

void HttpConnection::Wake() {
  woken_ = true;
  if (filling_ || !later_ || !drained_ || state_ != State::kSending) return;
  later_ = false;
  Pump();
}

void HttpConnection::Write(std::string bytes) {
  if (drained_) {
    mark_time_ = service_.Now();
    mark_taken_ = written_;
  }
  drained_ = false;
  written_ += bytes.size();
  transport_.Write(std::move(bytes));
}

void HttpConnection::OnDrained() {
  drained_ = true;
  if (state_ != State::kSending) return;
  if (body_ended_) {
    FinishResponse();
  } else if (!later_) {
    Pump();
  } else if (woken_) {
    later_ = false;
    Pump();
  }
}

// Counts what the request's body holds. False when all bodies together hold too much.
bool HttpConnection::HoldBody() {
  if (state_ != State::kBody) return true;
  const size_t now = parser_.request().body.size();
  service_.body_bytes += now - held_body_;
  held_body_ = now;
  return service_.body_bytes <= service_.options.max_body_total;
}

void HttpConnection::DropGzip() {
  if (gzip_ != nullptr) --service_.gzips;
  gzip_.reset();
}

// Gives back what one request and its answer took: an idle connection is a small thing.
void HttpConnection::Release() {
  source_.reset();
  DropGzip();
  scratch_ = std::string();
  if (input_.empty()) input_ = std::string();
  service_.body_bytes -= std::exchange(held_body_, 0);
}

void HttpConnection::FinishResponse() {
  const HttpRequest& request = exchange_->request();
  service_.metrics.CountRequest(request.method, request.route, status_,
                                service_.Now() - request_time_);
  exchange_->Detach();
  exchange_.reset();
  Release();
  chunked_ = body_ended_ = body_failed_ = later_ = woken_ = false;
  match_ = {};
  if (!keep_alive_ || service_.draining || (input_ended_ && input_.empty())) {
    Linger();
    return;
  }
  SetState(State::kIdle);
  Advance();
  if (input_ended_ && AwaitsInput()) transport_.Close();  // the rest of that request never comes
  UpdateReading();
}

// Closing with unread input would reset the connection and could take our answer with it.
void HttpConnection::Linger() {
  SetState(State::kLinger);
  input_.clear();
  if (input_ended_ || service_.draining) {
    transport_.Close();
    return;
  }
  transport_.ShutdownWrite();
  UpdateReading();
}

// ---- endings ----

void HttpConnection::OnEnd() {
  input_ended_ = true;
  switch (state_) {
    case State::kHandling: {
      const std::shared_ptr<Exchange> exchange = exchange_;
      exchange->TellDisconnect();
      break;
    }
    case State::kLogin:  // an answer is tried all the same
      break;
    case State::kSending:
      if (later_) transport_.Close();  // nobody is left to wait for what may come
      break;
    default:
      transport_.Close();
      break;
  }
}

void HttpConnection::OnClosed() {
  if (std::exchange(state_, State::kClosed) == State::kClosed) return;
  login_.reset();
  if (const std::shared_ptr<Exchange> exchange = std::move(exchange_)) {
    const HttpRequest& request = exchange->request();
    service_.metrics.CountRequest(request.method, request.route,
                                  status_ == 0 ? kClientGone : status_,
                                  service_.Now() - request_time_);
    exchange->Detach();
    exchange->TellDisconnect();
  }
  Release();
}

void HttpConnection::Cut(HttpCut reason) {
  if (state_ == State::kClosed) return;
  service_.metrics.CountCut(reason);
  transport_.Reset();
}

void HttpConnection::Drain() {
  if (state_ == State::kIdle) transport_.Close();
}

bool HttpConnection::SlowReader(Instant now) {
  if (drained_ || transport_.pending() == 0) return false;
  const uint64_t taken = written_ - transport_.pending();
  if (taken - mark_taken_ >= kMinProgress) {
    mark_taken_ = taken;
    mark_time_ = now;
  }
  return now - mark_time_ > service_.options.write_timeout;
}

void HttpConnection::CheckTimeouts(Instant now) {
  const HttpServerOptions& options = service_.options;
  const Duration spent = now - since_;
  if (SlowReader(now)) {
    Cut(HttpCut::kSlowReader);
    return;
  }
  switch (state_) {
    case State::kIdle:
      // Whoever connects is expected to say something; whoever was served may think.
      if (spent > (requests_ == 0 ? options.head_timeout : options.idle_timeout)) {
        transport_.Close();
      }
      break;
    case State::kHead:
    case State::kBody: {
      const bool head = state_ == State::kHead;
      if (spent <= (head ? options.head_timeout : options.body_timeout)) break;
      service_.metrics.CountCut(head ? HttpCut::kHeadTimeout : HttpCut::kBodyTimeout);
      if (head) {
        request_time_ = now;
        match_ = {};
      }
      Refuse(HttpResponse::Text(408, "the request took too long to arrive\n"), true);
      break;
    }
    case State::kLinger:
      if (spent > options.linger_timeout) transport_.Close();
      break;
    case State::kLogin:     // few wait for a password, so it does not take long
    case State::kHandling:  // handlers have time limits of their own
    case State::kSending:
    case State::kClosed:
      break;
  }
}

}  // namespace sonde
