#include "tools/farm/farm_certificates.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace sonde {
namespace {

constexpr int64_t kDay = 86'400;

CertificateOptions Authority(const std::string& name, int64_t now) {
  CertificateOptions options;
  options.subject = {{"O", "sonde farm"}, {"CN", name}};
  options.is_authority = true;
  options.not_before_unix = now - 90 * kDay;
  options.not_after_unix = now + 3650 * kDay;
  return options;
}

CertificateOptions Leaf(int64_t now) {
  CertificateOptions options;
  options.subject = {{"O", "sonde farm"}, {"CN", "farm.test"}};
  options.dns_names = {"localhost", "farm.test", "*.farm.test"};
  for (int i = 1; i <= 16; ++i) options.ip_addresses.push_back("127.0.0." + std::to_string(i));
  options.ip_addresses.push_back("::1");
  options.not_before_unix = now - 30 * kDay;
  options.not_after_unix = now + 90 * kDay;
  return options;
}

absl::Status WriteFile(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (out) return absl::OkStatus();
  return absl::UnavailableError("write '" + path.string() + "': " + std::strerror(errno));
}

}  // namespace

absl::StatusOr<FarmCertificates> FarmCertificates::Make(int64_t now, const std::string& directory) {
  FarmCertificates made;
  made.ca_ = Certificate::SelfSigned(Authority("sonde farm CA", now));
  made.other_ca_ = Certificate::SelfSigned(Authority("an authority nobody trusts", now));
  const CertificateOptions good = Leaf(now);
  CertificateOptions expired = good, early = good, elsewhere = good;
  expired.not_before_unix = now - 60 * kDay;
  expired.not_after_unix = now - kDay;
  early.not_before_unix = now + 30 * kDay;
  elsewhere.subject = {{"CN", "elsewhere.invalid"}};
  elsewhere.dns_names = {"elsewhere.invalid"};
  elsewhere.ip_addresses.clear();
  made.leaves_ = {{"good", Certificate::SignedBy(made.ca_, good)},
                  {"expired", Certificate::SignedBy(made.ca_, expired)},
                  {"not_yet_valid", Certificate::SignedBy(made.ca_, early)},
                  {"self_signed", Certificate::SelfSigned(good)},
                  {"wrong_name", Certificate::SignedBy(made.ca_, elsewhere)},
                  {"untrusted", Certificate::SignedBy(made.other_ca_, good)}};
  if (directory.empty()) return made;

  const std::filesystem::path at(directory);
  std::error_code error;
  std::filesystem::create_directories(at, error);
  if (error) return absl::UnavailableError("create '" + directory + "': " + error.message());
  absl::Status status = WriteFile(at / "ca.pem", made.ca_.Pem());
  status.Update(WriteFile(at / "other-ca.pem", made.other_ca_.Pem()));
  for (const auto& [name, leaf] : made.leaves_) {
    status.Update(WriteFile(at / (name + ".pem"), leaf.Pem()));
    status.Update(WriteFile(at / (name + ".key"), leaf.KeyPem()));
  }
  if (!status.ok()) return status;
  return made;
}

std::shared_ptr<SSL_CTX> FarmCertificates::Context(const std::string& name,
                                                   const std::string& tls_max, bool tickets) const {
  const auto leaf = leaves_.find(name);
  if (leaf == leaves_.end()) return nullptr;
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return nullptr;
  // Old versions are for those who ask: level 0 lets them in.
  const std::map<std::string, int> versions = {{"TLS10", TLS1_VERSION},
                                               {"TLS11", TLS1_1_VERSION},
                                               {"TLS12", TLS1_2_VERSION},
                                               {"TLS13", TLS1_3_VERSION}};
  const auto most = versions.find(tls_max);
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), most == versions.end() ? 0 : most->second);
  SSL_CTX_set_num_tickets(context.get(), tickets ? 1 : 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_use_certificate(context.get(), leaf->second.x509());
  SSL_CTX_use_PrivateKey(context.get(), leaf->second.key());
  return context;
}

}  // namespace sonde
