// What a handler sees of a request and what it gives back. Values only; everything here is touched
// on the exporter's loop thread.
//
// A handler gets a ResponseHandle and answers through it exactly once: at once, or later (a probe,
// a reload) from the loop thread. A handle dropped without an answer answers 500.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "engine/contract/address.h"

namespace sonde {

struct HttpHeader {
  std::string name;
  std::string value;
};

// One request, whole. Target handling follows RFC 9112 section 3.2 and RFC 3986: the path is
// percent-decoded once, a NUL or control character in it never gets this far.
struct HttpRequest {
  std::string method;                // as sent, case-sensitive: "GET"
  std::string raw_path;              // as sent, without query: "/a%20b"; starts with '/'
  std::string path;                  // decoded once: "/a b"
  std::string query;                 // raw, without '?'; empty when there is none
  int version_minor = 1;             // HTTP/1.0 or HTTP/1.1
  std::vector<HttpHeader> headers;   // in the order sent, values trimmed
  std::string body;                  // at most the route's max_body
  Address peer;                      // the client
  std::string_view route;            // pattern of the matched route, lives as long as the router
  std::vector<HttpHeader> captures;  // what `{name}` and `*` of the pattern matched, decoded

  // First header of that name, ASCII case ignored; empty when absent. FindHeader tells absent from
  // empty; HeaderList joins all of them with ", " (for Accept and Accept-Encoding).
  std::string_view Header(std::string_view name) const;
  std::optional<std::string_view> FindHeader(std::string_view name) const;
  std::string HeaderList(std::string_view name) const;

  // Query parameters, name and value decoded ('+' is a blank); first value, or all in order.
  // A parameter without '=' has the value "". A broken escape is kept as it stands.
  std::optional<std::string> QueryParam(std::string_view name) const;
  std::vector<std::string> QueryParams(std::string_view name) const;

  // What `{name}` matched ("*" for the rest); empty when the pattern has no such part.
  std::string_view Capture(std::string_view name) const;
};

// What BodySource::Next says about the body after this chunk.
enum class BodyStep : uint8_t {
  kMore,   // call again when the socket has drained
  kEnd,    // that was the last chunk (it may be empty)
  kLater,  // nothing now: call again after Wake(); the client leaving destroys the source
  kFail,   // cut the connection, so that the client sees a broken body instead of a short one
};

// A body made piece by piece. Next appends to `chunk` (about kBodyChunk bytes; the server may call
// several times per turn of the loop until it has a slice). Owned by the connection, destroyed when
// the body has been sent or the client has gone. Loop thread.
class BodySource {
 public:
  static constexpr size_t kBodyChunk = 64 * 1024;

  virtual ~BodySource() = default;
  virtual BodyStep Next(std::string& chunk) = 0;

 protected:
  // After kLater: there is something now. Next is called from a later turn or from inside this
  // call, so call it last. Harmless at any other time.
  void Wake() {
    if (wake_) wake_();
  }

 private:
  friend class HttpConnection;
  absl::AnyInvocable<void()> wake_;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";  // empty: none is sent
  // Extra headers. Names and values with CR, LF or NUL are dropped. The server itself adds
  // Content-Type, Content-Length, Transfer-Encoding, Content-Encoding, Vary, Connection and
  // X-Content-Type-Options.
  std::vector<HttpHeader> headers;
  std::string body;                    // the whole body, or
  std::unique_ptr<BodySource> source;  // a streamed one; `body` is then ignored
  // False for what is compressed already and for event streams. True: gzip when the client takes it
  // and the body is streamed or longer than 1 KiB.
  bool compressible = true;

  static HttpResponse Text(int status, std::string_view text);
  static HttpResponse Html(std::string_view html);
  static HttpResponse Stream(std::string_view content_type, std::unique_ptr<BodySource> source);
};

// The server's side of one request that still wants its answer; see ResponseHandle.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual bool connected() const = 0;
  virtual void Send(HttpResponse response) = 0;
  virtual void OnDisconnect(absl::AnyInvocable<void()> callback) = 0;
};

// The right and the duty to answer one request. Move-only. It may travel through other threads
// inside a posted message, but is used and destroyed on the loop thread only.
class ResponseHandle {
 public:
  explicit ResponseHandle(std::shared_ptr<HttpExchange> exchange)
      : exchange_(std::move(exchange)) {}
  ResponseHandle(ResponseHandle&&) noexcept = default;
  ResponseHandle& operator=(ResponseHandle&& other) noexcept;
  ~ResponseHandle();

  // False after the answer was sent (or the handle was moved from).
  explicit operator bool() const { return exchange_ != nullptr; }
  // The request; lives as long as the handle has not answered.
  const HttpRequest& request() const { return exchange_->request(); }
  // False when the client has gone; an answer is then dropped silently.
  bool connected() const { return exchange_->connected(); }
  // Called at most once, from the loop, if the client goes away before the answer; not from inside
  // OnDisconnect. A client that only closed its sending side counts as gone, but an answer is still
  // tried. The callback may answer, or drop the handle.
  void OnDisconnect(absl::AnyInvocable<void()> callback) {
    exchange_->OnDisconnect(std::move(callback));
  }
  // Answers; the handle is empty afterwards.
  void Send(HttpResponse response);

 private:
  std::shared_ptr<HttpExchange> exchange_;
};

// Called on the loop thread with a whole request. `request` lives as long as the handle has not
// answered.
using HttpHandler = absl::AnyInvocable<void(const HttpRequest& request, ResponseHandle handle)>;

// Makes a handler of a function that answers at once: `HttpResponse f(const HttpRequest&)`.
template <typename Function>
HttpHandler AnswerAtOnce(Function function) {
  return [f = std::move(function)](const HttpRequest& request, ResponseHandle handle) mutable {
    HttpResponse response = f(request);
    handle.Send(std::move(response));
  };
}

}  // namespace sonde
