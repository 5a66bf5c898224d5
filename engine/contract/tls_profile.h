// How to speak TLS, as data. Parsed once per module, immutable; a shard keeps one SSL_CTX per
// distinct profile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/instant.h"

namespace sonde {

struct TlsProfile {
  enum class Version : uint8_t { kTls10, kTls11, kTls12, kTls13 };

  // Trust and client certificate: a file or inline PEM; both empty = system roots / none.
  std::string ca_file, ca_pem;
  std::string cert_file, cert_pem;
  std::string key_file, key_pem;
  std::string server_name;  // SNI and verified name; empty: the leg's own
  bool verify = true;       // insecure_skip_verify negated
  Version min_version = Version::kTls12;
  Version max_version = Version::kTls13;
  // One of so many handshakes of a task is a full one, the others may resume. 1: all are full.
  int32_t full_handshake_every = 1;
  Duration full_handshake_max_age = Hours(1);  // a full one is due when the last is older
  std::string fault;                           // why no handshake can be made with it; empty: none
  std::vector<std::string> alpn;               // in order of preference; empty: none offered

  bool resumes() const { return full_handshake_every > 1; }
  bool operator==(const TlsProfile&) const = default;
};

// What a handshake, successful or not, told about the peer. Owned by the connection; views and
// references die with the leg. A resumed handshake shows no certificates: what is said of them, and
// of verifying them, is what the task's last full handshake came to.
struct TlsFacts {
  bool established = false;
  bool verified = false;  // a chain was built and checked
  bool resumed = false;
  WallTime full_at;                  // when the handshake was made that the certificates are from
  std::string verify_result = "ok";  // OpenSSL's short word: ok, expired, self_signed, ...
  std::string version;               // "TLS 1.3" (blackbox_contract 9)
  std::string cipher;                // IANA name
  std::string alpn;
  bool has_certificate = false;
  // In seconds: a certificate may end in the year 9999, beyond WallTime's nanoseconds.
  int64_t earliest_expiry_unix = 0;          // smallest notAfter among the certificates sent
  int64_t chain_expiry_unix = -62135596800;  // of the verified chain that lasts longest
  std::string fingerprint_sha256, issuer, subject, subject_alternative, serial_number;
};

}  // namespace sonde
