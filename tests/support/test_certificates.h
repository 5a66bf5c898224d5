// One authority and what it signed, good and bad, made once per test process. Times are relative to
// kTestNow, so that no test depends on today.
#pragma once

#include <string>
#include <vector>

#include "engine/contract/instant.h"
#include "tools/farm/certificate_maker.h"

namespace sonde {

inline constexpr int64_t kTestNowUnix = 1'900'000'000;  // 2030-03-17
inline constexpr WallTime kTestNow{kTestNowUnix * 1'000'000'000};
inline constexpr int64_t kDay = 86'400;

class TestCertificates {
 public:
  // Made at first use, kept until the process ends.
  static const TestCertificates& Get();

  // A leaf of `ca` for `host` (a name or an address), valid around kTestNow.
  Certificate Leaf(const std::string& host) const;
  // The same with any option changed first.
  static CertificateOptions LeafOptions(const std::string& host);
  static CertificateOptions CaOptions(const std::string& common_name);

  Certificate ca, other_ca;
  Certificate intermediate;     // of ca
  Certificate good;             // "good.test", *.wild.test, of ca; 30 days left
  Certificate by_intermediate;  // "good.test", of intermediate
  Certificate expired, not_yet_valid, wrong_name;
  Certificate self_signed;  // "good.test", its own issuer
  Certificate untrusted;    // "good.test", of other_ca
  Certificate tampered;     // "good.test", of ca, with a bit of its signature turned
  Certificate ip;           // 192.0.2.7 and 2001:db8::7
  Certificate name_only;    // CN good.test, no alternative name
  Certificate client;       // of ca, for client authentication
};

}  // namespace sonde
