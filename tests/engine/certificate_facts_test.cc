#include "engine/shard/certificate_facts.h"

#include <gtest/gtest.h>

#include "tests/support/test_certificates.h"

namespace sonde {
namespace {

using Subject = std::vector<std::pair<std::string, std::string>>;

std::string Named(const Subject& subject) {
  CertificateOptions options = TestCertificates::LeafOptions("x.test");
  options.subject = subject;
  const Certificate made = Certificate::SelfSigned(options);
  return made ? NameText(X509_get_subject_name(made.x509())) : "(not made)";
}

TEST(NameText, PrintsInFixedOrder) {
  EXPECT_EQ(Named({{"C", "US"},
                   {"ST", "CA"},
                   {"L", "SF"},
                   {"O", "Example, Inc."},
                   {"OU", "Ops"},
                   {"CN", "localhost"}}),
            "CN=localhost,OU=Ops,O=Example\\, Inc.,L=SF,ST=CA,C=US");
}

TEST(NameText, PrintsAllNamedAttributes) {
  EXPECT_EQ(Named({{"street", "High Street 1"},
                   {"serialNumber", "42"},
                   {"postalCode", "1000"},
                   {"C", "CH"},
                   {"CN", "n"},
                   {"O", "o"}}),
            "SERIALNUMBER=42,CN=n,O=o,POSTALCODE=1000,STREET=High Street 1,C=CH");
}

TEST(NameText, OtherAttributesComeLastInReverse) {
  EXPECT_EQ(Named({{"emailAddress", "ia5:a@b"},
                   {"DC", "ia5:dc1"},
                   {"description", "#d"},
                   {"C", "US"},
                   {"CN", "localhost"}}),
            "CN=localhost,C=US,2.5.4.13=#0c022364,0.9.2342.19200300.100.1.25=#1303646331,"
            "1.2.840.113549.1.9.1=#0c03614062");
  EXPECT_EQ(Named({{"DC", "ia5:dc1"}}), "0.9.2342.19200300.100.1.25=#1303646331");
}

TEST(NameText, LongOtherAttributeHasLongDerLength) {
  const std::string long_text(200, 'x');
  const std::string text = Named({{"CN", "n"}, {"description", long_text}});
  EXPECT_EQ(text.substr(0, 24), "CN=n,2.5.4.13=#1381c8787");
  EXPECT_EQ(text.size(), 15u + 2 * 203);
}

TEST(NameText, Escapes) {
  EXPECT_EQ(Named({{"CN", "#a<b>;\"q\"\\z"}}), "CN=\\#a\\<b\\>\\;\\\"q\\\"\\\\z");
  EXPECT_EQ(Named({{"CN", " a b "}}), "CN=\\ a b\\ ");
  EXPECT_EQ(Named({{"CN", "a+b#"}}), "CN=a\\+b#");
  EXPECT_EQ(Named({{"CN", "Zürich"}}), "CN=Zürich");
}

TEST(NameText, SeveralValues) {
  EXPECT_EQ(Named({{"OU", "u1"}, {"OU", "u2"}, {"CN", "first"}, {"CN", "last"}}),
            "CN=last,OU=u1+OU=u2");
}

TEST(NameText, Empty) { EXPECT_EQ(Named({}), ""); }

TEST(CertificateFacts, SerialKeepsLeadingZeroNibble) {
  CertificateOptions options = TestCertificates::LeafOptions("x.test");
  options.serial_hex = "0BFFBC11F1907D02AF719AFCD64FB253";
  EXPECT_EQ(SerialText(Certificate::SelfSigned(options).x509()),
            "0bffbc11f1907d02af719afcd64fb253");
  options.serial_hex = "0";
  EXPECT_EQ(SerialText(Certificate::SelfSigned(options).x509()), "");
  options.serial_hex = "FF00";
  EXPECT_EQ(SerialText(Certificate::SelfSigned(options).x509()), "ff00");
}

TEST(CertificateFacts, DnsNamesInCertificateOrder) {
  EXPECT_EQ(DnsNames(TestCertificates::Get().good.x509()), "good.test,*.wild.test");
  EXPECT_EQ(DnsNames(TestCertificates::Get().ip.x509()), "");
}

TEST(CertificateFacts, HostileDnsNamesStayHarmless) {
  CertificateOptions options = TestCertificates::LeafOptions("x.test");
  options.dns_names = {"a\xff\x01z.test"};
  EXPECT_EQ(DnsNames(Certificate::SelfSigned(options).x509()), "a??z.test");
}

TEST(CertificateFacts, ExpiryBeyondNanoseconds) {
  CertificateOptions options = TestCertificates::LeafOptions("x.test");
  options.not_after_unix = 253402300799;  // 9999-12-31 23:59:59, RFC 5280 section 4.1.2.5
  EXPECT_EQ(NotAfterUnix(Certificate::SelfSigned(options).x509()), 253402300799);
}

TEST(CertificateFacts, FingerprintIsSha256OfDer) {
  const Certificate& good = TestCertificates::Get().good;
  TlsFacts facts;
  FillCertificateFacts(good.x509(), nullptr, facts);
  const std::string der = good.Der();
  uint8_t digest[32];
  ASSERT_EQ(EVP_Digest(der.data(), der.size(), digest, nullptr, EVP_sha256(), nullptr), 1);
  std::string hex;
  for (const uint8_t byte : digest) {
    char two[3];
    std::snprintf(two, sizeof(two), "%02x", byte);
    hex += two;
  }
  EXPECT_EQ(facts.fingerprint_sha256, hex);
  EXPECT_EQ(facts.issuer, "CN=Sonde Test CA,O=Sonde Test,C=US");
}

}  // namespace
}  // namespace sonde
