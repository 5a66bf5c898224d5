#include "tools/farm/certificate_maker.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string_view>

namespace sonde {
namespace {

constexpr std::string_view kIa5 = "ia5:";

bool AddName(X509_NAME* name, const std::string& attribute, std::string_view value) {
  int type = V_ASN1_UTF8STRING;
  if (value.starts_with(kIa5)) {
    type = V_ASN1_IA5STRING;
    value.remove_prefix(kIa5.size());
  }
  ASN1_OBJECT* object = OBJ_txt2obj(attribute.c_str(), 0);
  if (object == nullptr) return false;
  const bool added = X509_NAME_add_entry_by_OBJ(
                         name, object, type, reinterpret_cast<const unsigned char*>(value.data()),
                         static_cast<int>(value.size()), -1, 0) == 1;
  ASN1_OBJECT_free(object);
  return added;
}

bool AddExtension(X509* x509, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(x509, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool SetSerial(X509* x509, const CertificateOptions& options) {
  BIGNUM* number = nullptr;
  if (options.serial_hex.empty()) {
    number = BN_new();
    if (number != nullptr) BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY);
  } else {
    BN_hex2bn(&number, options.serial_hex.c_str());
  }
  const bool set =
      number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nullptr;
  BN_free(number);
  return set;
}

std::string AlternativeNames(const CertificateOptions& options) {
  std::string names;
  for (const std::string& dns : options.dns_names) {
    names += (names.empty() ? "DNS:" : ",DNS:") + dns;
  }
  for (const std::string& ip : options.ip_addresses) {
    names += (names.empty() ? "IP:" : ",IP:") + ip;
  }
  return names;
}

template <typename Write>
std::string Written(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  write(bio);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

}  // namespace

Certificate Certificate::SelfSigned(const CertificateOptions& options) {
  return Make(nullptr, options);
}

Certificate Certificate::SignedBy(const Certificate& issuer, const CertificateOptions& options) {
  return issuer ? Make(&issuer, options) : Certificate();
}

Certificate Certificate::Make(const Certificate* issuer, const CertificateOptions& options) {
  Certificate made;
  made.key_.reset(EVP_EC_gen("P-256"), EVP_PKEY_free);
  made.x509_.reset(X509_new(), X509_free);
  if (!made.key_ || !made.x509_) return {};
  X509* x509 = made.x509();
  X509* issued_by = issuer ? issuer->x509() : x509;

  bool good = X509_set_version(x509, X509_VERSION_3) == 1 && SetSerial(x509, options);
  ASN1_TIME_set(X509_getm_notBefore(x509), options.not_before_unix);
  ASN1_TIME_set(X509_getm_notAfter(x509), options.not_after_unix);
  for (const auto& [attribute, value] : options.subject) {
    good = good && AddName(X509_get_subject_name(x509), attribute, value);
  }
  good = good && X509_set_issuer_name(x509, X509_get_subject_name(issued_by)) == 1 &&
         X509_set_pubkey(x509, made.key()) == 1;
  if (options.is_authority) {
    good = good && AddExtension(x509, issued_by, NID_basic_constraints, "critical,CA:TRUE") &&
           AddExtension(x509, issued_by, NID_key_usage, "critical,keyCertSign,cRLSign");
  }
  const std::string names = AlternativeNames(options);
  if (!names.empty()) good = good && AddExtension(x509, issued_by, NID_subject_alt_name, names);
  good = good && AddExtension(x509, issued_by, NID_subject_key_identifier, "hash");
  if (issuer) good = good && AddExtension(x509, issued_by, NID_authority_key_identifier, "keyid");
  good = good && X509_sign(x509, issuer ? issuer->key() : made.key(), EVP_sha256()) > 0;
  return good ? made : Certificate();
}

std::string Certificate::Pem() const {
  return Written([this](BIO* bio) { PEM_write_bio_X509(bio, x509()); });
}

std::string Certificate::KeyPem() const {
  return Written([this](BIO* bio) {
    PEM_write_bio_PrivateKey(bio, key(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string Certificate::Der() const {
  return Written([this](BIO* bio) { i2d_X509_bio(bio, x509()); });
}

}  // namespace sonde
