// Certificates made on the spot: an authority, intermediates and leaves with whatever is wrong with
// them. For simulated targets and tests; keys are fresh P-256 ones and guard nothing.
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sonde {

struct CertificateOptions {
  // Attributes in certificate order: short name or dotted OID, and text ("CN", "localhost").
  // A value "ia5:TEXT" is stored as an IA5String, everything else as UTF8String.
  std::vector<std::pair<std::string, std::string>> subject = {{"CN", "localhost"}};
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  int64_t not_before_unix = 0;
  int64_t not_after_unix = 0;
  bool is_authority = false;
  std::string serial_hex;  // empty: one derived from the key
};

// A certificate with its private key; copies share both.
class Certificate {
 public:
  // Empty (false) when OpenSSL refused: an unknown attribute, a bad address.
  static Certificate SelfSigned(const CertificateOptions& options);
  static Certificate SignedBy(const Certificate& issuer, const CertificateOptions& options);

  explicit operator bool() const { return x509_ != nullptr; }
  X509* x509() const { return x509_.get(); }
  EVP_PKEY* key() const { return key_.get(); }
  std::string Pem() const;
  std::string KeyPem() const;
  std::string Der() const;

 private:
  static Certificate Make(const Certificate* issuer, const CertificateOptions& options);
  std::shared_ptr<X509> x509_;
  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace sonde
