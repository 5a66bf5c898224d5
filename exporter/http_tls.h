// TLS between a connection and its socket. Both sides are the seam of http_transport.h, so that it
// is tested without a socket. Loop thread.
//
// Bounded: a handshake by the connection's own patience (who says nothing within head_timeout is
// closed), what a peer makes TLS say by kMostOwnWords, and a handshake message by OpenSSL.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "exporter/http_metrics.h"
#include "exporter/http_transport.h"

struct ssl_ctx_st;

namespace sonde {

class TlsTransport final : public HttpTransport, public HttpTransportEvents {
 public:
  // `context` is of a WebConfig; a later one does not change this connection. `lower` and `metrics`
  // outlive this.
  TlsTransport(ssl_ctx_st* context, HttpTransport& lower, HttpMetrics& metrics);
  ~TlsTransport() override;
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  // Before the first event of the socket.
  void Start(HttpTransportEvents* events) { events_ = events; }

  // The connection's side, in plain text.
  void Write(std::string bytes) override;
  size_t pending() const override;
  void SetReading(bool on) override;
  void ShutdownWrite() override;
  void Close() override;
  void Reset() override;

  // The socket's side.
  void OnBytes(std::string_view bytes) override;
  void OnEnd() override;
  void OnDrained() override;
  void OnClosed() override;

  // Bytes TLS itself may have under way (alerts, answers to key updates) before the peer is cut.
  static constexpr size_t kMostOwnWords = 64 * 1024;
  // Bytes read and thrown away after a handshake that failed, so that the peer reads why.
  static constexpr size_t kMostIgnored = 64 * 1024;

 private:
  enum class State : uint8_t {
    kHandshake,
    kOpen,
    kEnded,   // the peer said close_notify
    kFailed,  // we said why, and wait for the peer to leave
  };
  struct Wire;

  void Handshake();
  void Decrypt(std::string* plain);
  void Flush();
  void FailHandshake();
  void Break();
  bool LooksLikeHttp() const;

  HttpTransport& lower_;
  HttpMetrics& metrics_;
  HttpTransportEvents* events_ = nullptr;
  std::unique_ptr<Wire> wire_;
  State state_ = State::kHandshake;
  bool broken_ = false;             // TLS failed after the handshake
  bool reading_ = true;             // as the connection wants it
  bool awaits_drain_ = false;       // the connection wrote since the last OnDrained
  size_t plain_pending_ = 0;        // of the connection's, since then
  size_t own_words_ = 0;            // of TLS's, since then
  size_t ignored_ = 0;              // bytes thrown away in kFailed
  std::array<char, 5> first_ = {};  // of the peer
  size_t first_size_ = 0;
};

}  // namespace sonde
