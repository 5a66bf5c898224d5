#include "tests/support/test_certificates.h"

#include <openssl/x509.h>

#include "engine/contract/address.h"

namespace sonde {

CertificateOptions TestCertificates::CaOptions(const std::string& common_name) {
  CertificateOptions options;
  options.subject = {{"C", "US"}, {"O", "Sonde Test"}, {"CN", common_name}};
  options.is_authority = true;
  options.not_before_unix = kTestNowUnix - 1000 * kDay;
  options.not_after_unix = kTestNowUnix + 1000 * kDay;
  return options;
}

CertificateOptions TestCertificates::LeafOptions(const std::string& host) {
  CertificateOptions options;
  options.subject = {{"CN", host}};
  if (Address::ParseLiteral(host)) {
    options.ip_addresses = {host};
  } else {
    options.dns_names = {host};
  }
  options.not_before_unix = kTestNowUnix - 30 * kDay;
  options.not_after_unix = kTestNowUnix + 30 * kDay;
  return options;
}

Certificate TestCertificates::Leaf(const std::string& host) const {
  return Certificate::SignedBy(ca, LeafOptions(host));
}

const TestCertificates& TestCertificates::Get() {
  static const TestCertificates* const all = [] {
    auto* c = new TestCertificates;
    c->ca = Certificate::SelfSigned(CaOptions("Sonde Test CA"));
    c->other_ca = Certificate::SelfSigned(CaOptions("Another CA"));
    CertificateOptions middle = CaOptions("Sonde Test Intermediate");
    middle.not_after_unix = kTestNowUnix + 10 * kDay;
    c->intermediate = Certificate::SignedBy(c->ca, middle);

    CertificateOptions usual = LeafOptions("good.test");
    usual.dns_names = {"good.test", "*.wild.test"};
    c->good = Certificate::SignedBy(c->ca, usual);
    c->by_intermediate = Certificate::SignedBy(c->intermediate, usual);
    c->self_signed = Certificate::SelfSigned(usual);
    c->untrusted = Certificate::SignedBy(c->other_ca, usual);
    c->wrong_name = c->Leaf("elsewhere.test");

    CertificateOptions late = usual;
    late.not_before_unix = kTestNowUnix - 60 * kDay;
    late.not_after_unix = kTestNowUnix - kDay;
    c->expired = Certificate::SignedBy(c->ca, late);
    CertificateOptions early = usual;
    early.not_before_unix = kTestNowUnix + kDay;
    early.not_after_unix = kTestNowUnix + 60 * kDay;
    c->not_yet_valid = Certificate::SignedBy(c->ca, early);

    CertificateOptions address = LeafOptions("192.0.2.7");
    address.ip_addresses.push_back("2001:db8::7");
    c->ip = Certificate::SignedBy(c->ca, address);
    CertificateOptions bare = usual;
    bare.dns_names.clear();
    c->name_only = Certificate::SignedBy(c->ca, bare);
    c->client = c->Leaf("client.test");
    c->tampered = c->Leaf("good.test");
    const ASN1_BIT_STRING* signature = nullptr;
    X509_get0_signature(&signature, nullptr, c->tampered.x509());
    signature->data[signature->length - 1] ^= 1;
    return c;
  }();
  return *all;
}

}  // namespace sonde
