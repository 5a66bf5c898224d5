#include "engine/shard/certificate_facts.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <iterator>
#include <limits>
#include <string_view>
#include <vector>

namespace sonde {
namespace {

std::string Hex(const uint8_t* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

std::string Utf8(const ASN1_STRING* value) {
  unsigned char* bytes = nullptr;
  const int size = ASN1_STRING_to_UTF8(&bytes, value);
  if (size < 0) return {};
  std::string text(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return text;
}

// RFC 2253's escapes as Go writes them.
std::string Escaped(std::string_view value) {
  std::string text;
  text.reserve(value.size() + 2);
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool special = std::string_view(",+\"\\<>;").find(c) != std::string_view::npos;
    const bool edge_blank = c == ' ' && (i == 0 || i + 1 == value.size());
    if (special || edge_blank || (c == '#' && i == 0)) text += '\\';
    text += c;
  }
  return text;
}

// The attributes with a name of their own, in the order they are printed. Several values of one
// form one part, except where only the last counts.
struct Attribute {
  int nid;
  std::string_view name;
  bool last_only;
};
constexpr std::array kAttributes = {
    Attribute{NID_serialNumber, "SERIALNUMBER", true},
    Attribute{NID_commonName, "CN", true},
    Attribute{NID_organizationalUnitName, "OU", false},
    Attribute{NID_organizationName, "O", false},
    Attribute{NID_postalCode, "POSTALCODE", false},
    Attribute{NID_streetAddress, "STREET", false},
    Attribute{NID_localityName, "L", false},
    Attribute{NID_stateOrProvinceName, "ST", false},
    Attribute{NID_countryName, "C", false},
};

// Go re-encodes an attribute it has no name for: PrintableString when its characters allow, else
// UTF8String, whatever the certificate used.
bool IsPrintable(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(" '()+,-./:=?").find(c) != std::string_view::npos;
  });
}

std::string DerString(std::string_view value) {
  std::vector<uint8_t> der;
  der.push_back(IsPrintable(value) ? V_ASN1_PRINTABLESTRING : V_ASN1_UTF8STRING);
  if (value.size() < 128) {
    der.push_back(static_cast<uint8_t>(value.size()));
  } else {
    std::vector<uint8_t> length;
    for (size_t rest = value.size(); rest != 0; rest >>= 8) {
      length.insert(length.begin(), static_cast<uint8_t>(rest));
    }
    der.push_back(static_cast<uint8_t>(0x80 | length.size()));
    der.insert(der.end(), length.begin(), length.end());
  }
  der.insert(der.end(), value.begin(), value.end());
  return Hex(der.data(), der.size());
}

std::string OtherText(const X509_NAME_ENTRY* entry) {
  char oid[128];
  OBJ_obj2txt(oid, sizeof(oid), X509_NAME_ENTRY_get_object(entry), 1);
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
  std::string text = oid;
  text += "=#";
  // Types that are not text keep their own encoding's content.
  const int type = ASN1_STRING_type(value);
  const bool is_text = type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING ||
                       type == V_ASN1_IA5STRING || type == V_ASN1_T61STRING ||
                       type == V_ASN1_NUMERICSTRING || type == V_ASN1_BMPSTRING ||
                       type == V_ASN1_UNIVERSALSTRING;
  if (is_text) return text + DerString(Utf8(value));
  return text + Hex(ASN1_STRING_get0_data(value), static_cast<size_t>(ASN1_STRING_length(value)));
}

int64_t UnixTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<int64_t>(timegm(&parts));
}

}  // namespace

std::string NameText(const X509_NAME* name) {
  std::array<std::string, kAttributes.size()> named;
  std::vector<std::string> others;
  const int count = X509_NAME_entry_count(name);
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    const auto known = std::find_if(kAttributes.begin(), kAttributes.end(),
                                    [nid](const Attribute& a) { return a.nid == nid; });
    if (known == kAttributes.end()) {
      others.push_back(OtherText(entry));
      continue;
    }
    const std::string value = Utf8(X509_NAME_ENTRY_get_data(entry));
    std::string& part = named[static_cast<size_t>(known - kAttributes.begin())];
    const bool drop = known->last_only && value.empty();
    if (known->last_only || part.empty()) {
      part = drop ? std::string() : std::string(known->name) + "=" + Escaped(value);
    } else {
      part += "+" + std::string(known->name) + "=" + Escaped(value);
    }
  }
  std::string text;
  const auto append = [&text](const std::string& part) {
    if (!text.empty()) text += ',';
    text += part;
  };
  for (const std::string& part : named) {
    if (!part.empty()) append(part);
  }
  std::for_each(others.rbegin(), others.rend(), append);
  return text;
}

std::string DnsNames(const X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return {};
  std::string text;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS) continue;
    if (!text.empty()) text += ',';
    // An IA5String by RFC 5280 section 4.2.1.6; what a peer puts there instead stays harmless.
    const uint8_t* bytes = ASN1_STRING_get0_data(name->d.dNSName);
    std::transform(bytes, bytes + ASN1_STRING_length(name->d.dNSName), std::back_inserter(text),
                   [](uint8_t b) { return b < 0x20 || b >= 0x7f ? '?' : static_cast<char>(b); });
  }
  GENERAL_NAMES_free(names);
  return text;
}

std::string SerialText(const X509* certificate) {
  // An INTEGER's content is its magnitude as OpenSSL keeps it; leading zero bytes are dropped.
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  const uint8_t* bytes = ASN1_STRING_get0_data(serial);
  size_t size = static_cast<size_t>(ASN1_STRING_length(serial));
  while (size > 0 && *bytes == 0) ++bytes, --size;
  return Hex(bytes, size);
}

int64_t NotAfterUnix(const X509* certificate) { return UnixTime(X509_get0_notAfter(certificate)); }

int64_t NotBeforeUnix(const X509* certificate) {
  return UnixTime(X509_get0_notBefore(certificate));
}

int64_t ChainExpiryUnix(const STACK_OF(X509) * chain) {
  int64_t earliest = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    earliest = std::min(earliest, NotAfterUnix(sk_X509_value(chain, i)));
  }
  return earliest;
}

void FillCertificateFacts(X509* leaf, const STACK_OF(X509) * sent, TlsFacts& facts) {
  if (leaf == nullptr) return;
  facts.has_certificate = true;
  facts.earliest_expiry_unix = NotAfterUnix(leaf);
  if (sent != nullptr && sk_X509_num(sent) > 0) {
    facts.earliest_expiry_unix = std::min(facts.earliest_expiry_unix, ChainExpiryUnix(sent));
  }
  facts.subject = NameText(X509_get_subject_name(leaf));
  facts.issuer = NameText(X509_get_issuer_name(leaf));
  facts.subject_alternative = DnsNames(leaf);
  facts.serial_number = SerialText(leaf);
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(leaf, EVP_sha256(), digest, &size) == 1) {
    facts.fingerprint_sha256 = Hex(digest, size);
  }
}

}  // namespace sonde
