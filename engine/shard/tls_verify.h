// Judging the certificates of a handshake: once, in the one place OpenSSL lets us see them also
// when they are refused.
#pragma once

#include <openssl/ssl.h>

#include <string>
#include <string_view>

#include "engine/contract/instant.h"
#include "engine/contract/outcome.h"
#include "engine/contract/tls_profile.h"

namespace sonde {

// What one connection's certificates came to. The SSL object points at it (SSL_set_app_data) for
// as long as it lives.
struct TlsVerdict {
  bool verify = true;         // in: false = gather the facts, accept everything
  WallTime now;               // in
  std::string name;           // in: for the detail's words
  TlsFacts* facts = nullptr;  // filled
  Outcome outcome = Outcome::kOk;
  std::string detail;
};

// Makes `context` judge through TlsVerdict.
void InstallVerification(SSL_CTX* context);

// Tells `ssl` which name its peer must carry: SANs only, never the common name. False: out of
// memory or not a name.
bool ExpectName(SSL* ssl, std::string_view name);

}  // namespace sonde
