// One client's connection: requests in, answers out, strictly one after the other. Knows neither
// sockets nor the clock, so every limit and time-out is tested without them.
//
// Memory per connection is bounded: a head, a body (the route's limit), max_pipelined bytes read
// ahead, and one slice of the answer (the next one is made when the last has left).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/contract/address.h"
#include "exporter/gzip.h"
#include "exporter/http_host.h"
#include "exporter/http_message.h"
#include "exporter/http_metrics.h"
#include "exporter/http_options.h"
#include "exporter/http_request_parser.h"
#include "exporter/http_transport.h"
#include "exporter/routes.h"
#include "exporter/web_gate.h"

namespace sonde {

// What the connections of one server share. Outlives them.
struct HttpService {
  HttpServerOptions& options;
  const Router& router;
  const HostRule& hosts;
  HttpMetrics& metrics;
  WebGate& gate;
  bool draining = false;
  size_t body_bytes = 0;  // of all requests being read or handled
  size_t gzips = 0;       // encoders in use

  Instant Now() { return options.now(); }
};

class HttpConnection final : public HttpTransportEvents {
 public:
  // `transport` outlives the connection.
  HttpConnection(HttpService& service, HttpTransport& transport, Address peer);
  ~HttpConnection() override;
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void OnBytes(std::string_view bytes) override;
  void OnEnd() override;
  void OnDrained() override;
  void OnClosed() override;

  // Cuts what is overdue; to be called every now and then.
  void CheckTimeouts(Instant now);
  // The service drains: closes at once when idle, else after the answer in flight.
  void Drain();
  // Drops the connection, whatever it is doing.
  void Cut(HttpCut reason);

 private:
  class Exchange;
  class WholeBody;
  enum class State : uint8_t {
    kIdle,      // nothing of the next request has come
    kHead,      // part of a head
    kLogin,     // a head came, its password is being checked
    kBody,      // a head was accepted, its body is on the way
    kHandling,  // a handler holds the request
    kSending,   // an answer is on the way
    kLinger,    // all said, our FIN sent, waiting for the client's
    kClosed,
  };

  bool AwaitsInput() const {
    return state_ == State::kIdle || state_ == State::kHead || state_ == State::kBody;
  }
  void SetState(State state);
  void Advance();
  void UpdateReading();
  void OnHead();
  bool RefusesHead(bool close);
  void LogIn(bool close);
  void TakeLogin(PasswordChecker::Answer answer, bool close);
  void FindRoute(bool close);
  void Dispatch();
  void BeginExchange();
  void Refuse(HttpResponse response, bool close);

  void Respond(HttpResponse response);
  void SendBodyless(const HttpResponse& response, bool whole);
  void StartBody(HttpResponse response, size_t whole_size, bool whole);
  std::string HeadText(const HttpResponse& response, std::string_view framing) const;
  void FillSlice(std::string& out);
  void Pump();
  void Wake();
  void Write(std::string bytes);
  void FinishResponse();
  void Release();
  void DropGzip();
  bool HoldBody();
  void Linger();
  bool SlowReader(Instant now);

  HttpService& service_;
  HttpTransport& transport_;
  const Address peer_;
  HttpRequestParser parser_;
  State state_ = State::kIdle;
  Instant since_;      // when state_ was entered
  std::string input_;  // read and not yet parsed
  bool reading_ = true;
  bool input_ended_ = false;
  size_t requests_ = 0;
  size_t held_body_ = 0;           // this connection's share of body_bytes
  size_t lingered_ = 0;            // bytes thrown away while lingering
  PasswordChecker::Ticket login_;  // while in kLogin

  // The request being answered.
  std::shared_ptr<Exchange> exchange_;
  Router::Match match_;
  Instant request_time_;  // end of its head
  bool keep_alive_ = false;
  int status_ = 0;  // of the answer; 0: none yet

  // The answer being sent.
  std::unique_ptr<BodySource> source_;
  std::unique_ptr<GzipEncoder> gzip_;
  std::string scratch_;  // a slice before compression
  bool chunked_ = false;
  bool compressible_ = false;
  bool body_ended_ = false;
  bool body_failed_ = false;
  bool later_ = false;    // the source said kLater
  bool woken_ = false;    // and has something since
  bool filling_ = false;  // inside the source's Next
  bool drained_ = true;   // everything written was taken

  // Progress of a slow reader.
  uint64_t written_ = 0;
  uint64_t mark_taken_ = 0;
  Instant mark_time_;
};

}  // namespace sonde
