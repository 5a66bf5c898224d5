// What a certificate says about itself, in the words of the series (blackbox_contract 9): names in
// the form Go prints them, serial, fingerprint, expiry. Pure; any thread.
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <string>

#include "engine/contract/tls_profile.h"

namespace sonde {

// Distinguished name: SERIALNUMBER, CN, OU, O, POSTALCODE, STREET, L, ST, C in this order whatever
// theirs, then all other attributes last first as dotted.oid=#hex.
std::string NameText(const X509_NAME* name);

// DNS names among the subject's alternative names, comma-joined, in certificate order.
std::string DnsNames(const X509* certificate);

// Lower-case hex of the magnitude, two digits a byte; empty for 0.
std::string SerialText(const X509* certificate);

// notAfter / notBefore in seconds since the epoch; 0 for a time that cannot be read.
int64_t NotAfterUnix(const X509* certificate);
int64_t NotBeforeUnix(const X509* certificate);

// Fills the certificate part of `facts` from what the peer sent: `leaf`, and all of `sent` (may be
// null or hold the leaf too).
void FillCertificateFacts(X509* leaf, const STACK_OF(X509) * sent, TlsFacts& facts);

// Smallest notAfter of a verified chain.
int64_t ChainExpiryUnix(const STACK_OF(X509) * chain);

}  // namespace sonde
