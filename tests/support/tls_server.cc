#include "tests/support/tls_server.h"

#include <openssl/err.h>

namespace sonde {
namespace {

int ChooseAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
               unsigned in_size, void* state) {
  const auto* wanted = static_cast<const std::string*>(state);
  for (unsigned i = 0; i < in_size; i += 1u + in[i]) {
    if (std::string_view(reinterpret_cast<const char*>(in + i + 1), in[i]) != *wanted) continue;
    *out = in + i + 1;
    *out_size = in[i];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

int Shorten(SSL* ssl, void* seconds) {
  SSL_SESSION_set_timeout(SSL_get_session(ssl), *static_cast<int*>(seconds));
  return 1;
}

}  // namespace

TlsServer::TlsServer(const TlsServerOptions& options)
    : options_(options),
      context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free),
      ssl_(nullptr, SSL_free) {
  SSL_CTX* context = context_.get();
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_cipher_list(context, options_.ciphers.empty() ? "ALL" : options_.ciphers.c_str());
  SSL_CTX_set_min_proto_version(context, options_.min_version);
  SSL_CTX_set_max_proto_version(context, options_.max_version);
  if (!options_.tickets) {
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  }
  if (options_.ticket_seconds >= 0) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);  // OpenSSL seals no ticket without a lifetime
    SSL_CTX_set_session_ticket_cb(context, Shorten, nullptr, &options_.ticket_seconds);
  }
  if (!options_.ticket_keys.empty()) {
    SSL_CTX_set_tlsext_ticket_keys(context, options_.ticket_keys.data(),
                                   static_cast<long>(options_.ticket_keys.size()));
  }
  for (size_t i = 0; i < options_.chain.size(); ++i) {
    const Certificate& certificate = options_.chain[i];
    if (i == 0) {
      SSL_CTX_use_certificate(context, certificate.x509());
      SSL_CTX_use_PrivateKey(context, certificate.key());
    } else {
      SSL_CTX_add1_chain_cert(context, certificate.x509());
    }
  }
  if (!options_.alpn.empty()) SSL_CTX_set_alpn_select_cb(context, ChooseAlpn, &options_.alpn);
  if (options_.client_ca != nullptr) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), options_.client_ca->x509());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_NO_CHECK_TIME);
  }
  ssl_.reset(SSL_new(context));
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_accept_state(ssl_.get());
}

TlsServer::~TlsServer() = default;

std::string TlsServer::Drain() {
  char* data = nullptr;
  BIO* out = SSL_get_wbio(ssl_.get());
  const long size = BIO_get_mem_data(out, &data);
  std::string cipher(data, static_cast<size_t>(size));
  BIO_reset(out);
  return cipher;
}

std::string TlsServer::Feed(std::string_view cipher) {
  BIO_write(SSL_get_rbio(ssl_.get()), cipher.data(), static_cast<int>(cipher.size()));
  ERR_clear_error();
  if (!open_ && !failed_) {
    const int done = SSL_do_handshake(ssl_.get());
    open_ = done == 1;
    failed_ = done != 1 && SSL_get_error(ssl_.get(), done) != SSL_ERROR_WANT_READ;
  }
  while (open_ && !ended_) {
    char plain[4096];
    const int size = SSL_read(ssl_.get(), plain, sizeof(plain));
    if (size <= 0) {
      const int error = SSL_get_error(ssl_.get(), size);
      ended_ = error == SSL_ERROR_ZERO_RETURN;
      failed_ = failed_ || (!ended_ && error != SSL_ERROR_WANT_READ);
      break;
    }
    received_.append(plain, static_cast<size_t>(size));
  }
  ERR_clear_error();
  return Drain();
}

std::string TlsServer::Write(std::string_view plain) {
  SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
  return Drain();
}

std::string TlsServer::Shutdown() {
  SSL_shutdown(ssl_.get());
  return Drain();
}

std::string TlsServer::server_name() const {
  const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  return name ? name : "";
}

bool TlsServer::client_certificate() const {
  return SSL_get0_peer_certificate(ssl_.get()) != nullptr;
}

bool TlsServer::resumed() const { return SSL_session_reused(ssl_.get()) == 1; }

}  // namespace sonde
