#include "engine/shard/tls_verify.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <iterator>
#include <optional>

#include "engine/contract/address.h"
#include "engine/shard/certificate_facts.h"

namespace sonde {
namespace {

struct Refusal {
  int error;  // X509_V_ERR_*
  Outcome outcome;
  std::string_view word;  // TlsFacts::verify_result
};

// What is not listed is kTlsCertificate, "invalid".
constexpr Refusal kRefusals[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, Outcome::kTlsExpired, "expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, Outcome::kTlsNotYetValid, "not_yet_valid"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, Outcome::kTlsSelfSigned, "self_signed"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, Outcome::kTlsUntrusted, "untrusted"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, Outcome::kTlsUntrusted, "untrusted"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, Outcome::kTlsUntrusted, "untrusted"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, Outcome::kTlsUntrusted, "untrusted"},
    {X509_V_ERR_CERT_UNTRUSTED, Outcome::kTlsUntrusted, "untrusted"},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, Outcome::kTlsUntrusted, "chain_too_long"},
    {X509_V_ERR_HOSTNAME_MISMATCH, Outcome::kTlsWrongName, "wrong_name"},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, Outcome::kTlsWrongName, "wrong_name"},
    {X509_V_ERR_CERT_REVOKED, Outcome::kTlsCertificate, "revoked"},
    {X509_V_ERR_INVALID_PURPOSE, Outcome::kTlsCertificate, "invalid_purpose"},
    {X509_V_ERR_EE_KEY_TOO_SMALL, Outcome::kTlsCertificate, "weak_key"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, Outcome::kTlsCertificate, "weak_key"},
    {X509_V_ERR_CA_MD_TOO_WEAK, Outcome::kTlsCertificate, "weak_signature"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, Outcome::kTlsCertificate, "bad_signature"},
    {X509_V_ERR_OUT_OF_MEM, Outcome::kProberMemory, "not_checked"},
};

Refusal RefusalOf(int error) {
  for (const Refusal& refusal : kRefusals) {
    if (refusal.error == error) return refusal;
  }
  return {error, Outcome::kTlsCertificate, "invalid"};
}

std::string UtcText(int64_t unix_seconds) {
  const std::time_t time = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  char text[40];
  gmtime_r(&time, &parts);
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

// The peer chose these words: bounded, and printable ASCII.
std::string Quoted(std::string_view text) {
  constexpr size_t kMost = 200;
  std::string quoted;
  for (const char c : text.substr(0, kMost)) {
    quoted += static_cast<signed char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return text.size() > kMost ? quoted + "..." : quoted;
}

std::string Detail(const Refusal& refusal, X509* at, int depth, const TlsVerdict& verdict) {
  std::string text = X509_verify_cert_error_string(refusal.error);
  switch (refusal.outcome) {
    case Outcome::kTlsExpired:
      text += at ? " on " + UtcText(NotAfterUnix(at)) : std::string();
      break;
    case Outcome::kTlsNotYetValid:
      text += at ? " until " + UtcText(NotBeforeUnix(at)) : std::string();
      break;
    case Outcome::kTlsWrongName:
      text +=
          ": asked for '" + Quoted(verdict.name) + "', the certificate is for '" +
          Quoted(verdict.facts->subject_alternative.empty() ? verdict.facts->subject
                                                            : verdict.facts->subject_alternative) +
          "'";
      break;
    default:
      break;
  }
  if (depth > 0 && at != nullptr) {
    text += " (" + Quoted(NameText(X509_get_subject_name(at))) + ", issuer at depth " +
            std::to_string(depth) + ")";
  } else if (refusal.outcome == Outcome::kTlsUntrusted) {
    text += " (issuer " + Quoted(verdict.facts->issuer) + ")";
  }
  return text;
}

// In place of X509_verify_cert: the facts are taken here because a refused chain is thrown away.
int Judge(X509_STORE_CTX* store, void*) {
  const SSL* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* verdict = static_cast<TlsVerdict*>(SSL_get_app_data(ssl));
  TlsFacts& facts = *verdict->facts;
  FillCertificateFacts(X509_STORE_CTX_get0_cert(store), X509_STORE_CTX_get0_untrusted(store),
                       facts);
  if (!verdict->verify) {
    facts.verify_result = "skipped";
    return 1;
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(store);
  // A profile that reaches back to TLS 1.0 lowers the level of ciphers, not of certificates.
  X509_VERIFY_PARAM_set_auth_level(param, 1);
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  X509_VERIFY_PARAM_set_time(param, static_cast<time_t>(verdict->now.ns / 1'000'000'000));
  const int good = X509_verify_cert(store);
  if (good == 1) {
    facts.verified = true;
    facts.chain_expiry_unix = ChainExpiryUnix(X509_STORE_CTX_get0_chain(store));
    return 1;
  }
  int error = X509_STORE_CTX_get_error(store);
  if (error == X509_V_OK) error = X509_V_ERR_UNSPECIFIED;
  const Refusal refusal = RefusalOf(error);
  facts.verify_result = std::string(refusal.word);
  verdict->outcome = refusal.outcome;
  verdict->detail = Detail(refusal, X509_STORE_CTX_get_current_cert(store),
                           X509_STORE_CTX_get_error_depth(store), *verdict);
  X509_STORE_CTX_set_error(store, error);  // chooses the alert the peer gets
  return 0;
}

}  // namespace

void InstallVerification(SSL_CTX* context) {
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context, Judge, nullptr);
}

bool ExpectName(SSL* ssl, std::string_view name) {
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(
      param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (const std::optional<Address> literal = Address::ParseLiteral(name)) {
    return X509_VERIFY_PARAM_set1_ip(param, literal->bytes.data(),
                                     literal->family == IpFamily::kV4 ? 4 : 16) == 1;
  }
  return X509_VERIFY_PARAM_set1_host(param, name.data(), name.size()) == 1;
}

}  // namespace sonde
