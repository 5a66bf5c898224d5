// The other end of a TLS connection, in memory: for channel tests and simulated TLS peers.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/farm/certificate_maker.h"

namespace sonde {

struct TlsServerOptions {
  std::vector<Certificate> chain;          // leaf first; the leaf's key is used
  int min_version = 0;                     // TLS1_2_VERSION ..., 0: lowest
  int max_version = 0;                     // 0: highest
  std::string ciphers;                     // TLS 1.2 and below; empty: OpenSSL's
  std::string alpn;                        // the one protocol it speaks; empty: none
  const Certificate* client_ca = nullptr;  // asks for a client certificate of this authority
  bool tickets = true;
  int ticket_seconds = -1;  // TLS 1.3: lifetime of its tickets, which only this server knows then
  std::string ticket_keys;  // 80 bytes; servers with the same accept each other's tickets
};

class TlsServer {
 public:
  explicit TlsServer(const TlsServerOptions& options);
  ~TlsServer();

  // Takes ciphertext of the client; returns what to send. Decrypted bytes go to received().
  std::string Feed(std::string_view cipher);
  // Encrypts; returns the ciphertext.
  std::string Write(std::string_view plain);
  std::string Shutdown();  // close_notify

  bool open() const { return open_; }
  bool failed() const { return failed_; }
  bool ended() const { return ended_; }  // the client sent close_notify
  const std::string& received() const { return received_; }
  std::string server_name() const;  // SNI the client sent; empty: none
  bool client_certificate() const;
  bool resumed() const;

 private:
  std::string Drain();
  TlsServerOptions options_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  bool open_ = false, failed_ = false, ended_ = false;
  std::string received_;
};

}  // namespace sonde
