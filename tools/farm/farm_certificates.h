// The farm's TLS identities: one authority, and one leaf per thing that can be wrong.
#pragma once

#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tools/farm/certificate_maker.h"

namespace sonde {

class FarmCertificates {
 public:
  // Valid around `now_unix`. Good for: localhost, farm.test, *.farm.test, 127.0.0.1 to 127.0.0.16
  // and ::1. With a directory: writes ca.pem, other-ca.pem, and NAME.pem with NAME.key for each.
  static absl::StatusOr<FarmCertificates> Make(int64_t now_unix, const std::string& directory);

  // A server's context; `name` as in ListenerConfig::certificate, `tls_max` and `tickets` as there.
  std::shared_ptr<SSL_CTX> Context(const std::string& name, const std::string& tls_max,
                                   bool tickets) const;

  const Certificate& ca() const { return ca_; }

 private:
  Certificate ca_, other_ca_;
  std::map<std::string, Certificate> leaves_;
};

}  // namespace sonde
