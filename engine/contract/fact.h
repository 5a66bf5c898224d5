// Facts: what a probe measured, as numbers. One table gives each fact its family, its constant
// label, its help and where it shows. A new fact is one line here. At most 59.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace sonde {

// Which switch of `metrics: {families: [...]}` a family answers to.
enum class FamilyGroup : uint8_t { kCore, kPhases, kHistogram, kRatios, kTls, kNative };

// Where a fact shows: in the answer of /probe, in the scheduled series of /metrics, or both.
enum class Shown : uint8_t { kProbe = 1, kScheduled = 2, kBoth = 3 };

// enumerator, family, constant label ("" for none), group, shown, help
// Rows of one family stand together; the order is the order of exposition.
#define SONDE_FACTS(X)                                                                             \
  X(Success, "probe_success", "", Core, Both, "1 when the last run succeeded, else 0")             \
  X(Duration, "probe_duration_seconds", "", Core, Both, "Wall time of the whole probe")            \
  X(Timeout, "probe_timeout_seconds", "", Core, Probe, "The effective time-out of the probe")      \
  X(DnsLookupTime, "probe_dns_lookup_time_seconds", "", Phases, Both,                              \
    "Time spent resolving the target's name")                                                      \
  X(IpProtocol, "probe_ip_protocol", "", Core, Both, "4 or 6; 0 when the name did not resolve")    \
  X(IpAddrHash, "probe_ip_addr_hash", "", Core, Both, "FNV-1a hash of the address probed")         \
  X(HttpResolve, "probe_http_duration_seconds", "phase=\"resolve\"", Phases, Both,                 \
    "Seconds per phase of an HTTP probe, summed over redirects")                                   \
  X(HttpConnect, "probe_http_duration_seconds", "phase=\"connect\"", Phases, Both, "")             \
  X(HttpTls, "probe_http_duration_seconds", "phase=\"tls\"", Phases, Both, "")                     \
  X(HttpProcessing, "probe_http_duration_seconds", "phase=\"processing\"", Phases, Both, "")       \
  X(HttpTransfer, "probe_http_duration_seconds", "phase=\"transfer\"", Phases, Both, "")           \
  X(HttpContentLength, "probe_http_content_length", "", Core, Both,                                \
    "Content-Length of the final response; -1 unknown, 0 without a response")                      \
  X(HttpBodyLength, "probe_http_uncompressed_body_length", "", Core, Both,                         \
    "Body bytes read, after decompression")                                                        \
  X(HttpRedirects, "probe_http_redirects", "", Core, Both, "Redirects received")                   \
  X(HttpSsl, "probe_http_ssl", "", Core, Both, "1 when the final response came over TLS")          \
  X(HttpStatusCode, "probe_http_status_code", "", Core, Both, "Status code of the final response") \
  X(HttpVersion, "probe_http_version", "", Core, Both, "HTTP version of the final response")       \
  X(FailedRegex, "probe_failed_due_to_regex", "", Core, Both,                                      \
    "1 when the last rule evaluated was a regular expression that failed")                         \
  X(FailedBytes, "probe_failed_due_to_bytes", "", Core, Both,                                      \
    "1 when expected bytes did not arrive")                                                        \
  X(HttpLastModified, "probe_http_last_modified_timestamp_seconds", "", Core, Both,                \
    "Last-Modified of the final response")                                                         \
  X(HttpConnectionReused, "probe_http_connection_reused", "", Core, Scheduled,                     \
    "1 when the final request went over a connection of an earlier run")                           \
  X(CertExpiry, "probe_ssl_earliest_cert_expiry", "", Tls, Both,                                   \
    "Earliest expiry among the certificates the peer sent")                                        \
  X(ChainExpiry, "probe_ssl_last_chain_expiry_timestamp_seconds", "", Tls, Both,                   \
    "Expiry of the verified chain that lasts longest; -62135596800 when nothing was verified")     \
  X(TlsResumed, "probe_tls_resumed", "", Tls, Scheduled,                                           \
    "1 when the handshake resumed an earlier session, 0 when it was a full one")                   \
  X(TlsFullHandshake, "probe_tls_last_full_handshake_timestamp_seconds", "", Tls, Scheduled,       \
    "When the handshake was made that the certificate's series are from")                          \
  X(TcpResolve, "probe_tcp_duration_seconds", "phase=\"resolve\"", Phases, Scheduled,              \
    "Seconds per phase of a TCP probe")                                                            \
  X(TcpConnect, "probe_tcp_duration_seconds", "phase=\"connect\"", Phases, Scheduled, "")          \
  X(TcpTls, "probe_tcp_duration_seconds", "phase=\"tls\"", Phases, Scheduled, "")                  \
  X(TcpDialogue, "probe_tcp_duration_seconds", "phase=\"dialogue\"", Phases, Scheduled, "")        \
  X(TcpSynRetransmits, "probe_tcp_syn_retransmits", "", Phases, Scheduled,                         \
    "SYN packets the kernel had to send again before the first connection stood")                  \
  X(TcpKernelRtt, "probe_tcp_rtt_seconds", "", Phases, Scheduled,                                  \
    "Round-trip time the kernel measured while the first connection was opened")                   \
  X(DnsResolve, "probe_dns_duration_seconds", "phase=\"resolve\"", Phases, Both,                   \
    "Seconds per phase of a DNS probe")                                                            \
  X(DnsConnect, "probe_dns_duration_seconds", "phase=\"connect\"", Phases, Both, "")               \
  X(DnsRequest, "probe_dns_duration_seconds", "phase=\"request\"", Phases, Both, "")               \
  X(DnsAnswerRrs, "probe_dns_answer_rrs", "", Core, Both, "Records of the answer section")         \
  X(DnsAuthorityRrs, "probe_dns_authority_rrs", "", Core, Both,                                    \
    "Records of the authority section")                                                            \
  X(DnsAdditionalRrs, "probe_dns_additional_rrs", "", Core, Both,                                  \
    "Records of the additional section")                                                           \
  X(DnsQuerySucceeded, "probe_dns_query_succeeded", "", Core, Both,                                \
    "1 when a well-formed answer arrived, whatever its response code")                             \
  X(DnsSerial, "probe_dns_serial", "", Core, Both, "Serial of the last SOA record of the answer")  \
  X(DnsRcode, "probe_dns_rcode", "", Core, Scheduled, "Response code of the answer")               \
  X(DnsTruncated, "probe_dns_truncated", "", Core, Scheduled,                                      \
    "1 when the answer over UDP had the TC bit set")                                               \
  X(DnsResponseBytes, "probe_dns_response_bytes", "", Core, Scheduled, "Size of the answer")       \
  X(IcmpResolve, "probe_icmp_duration_seconds", "phase=\"resolve\"", Phases, Both,                 \
    "Seconds per phase of an ICMP probe")                                                          \
  X(IcmpSetup, "probe_icmp_duration_seconds", "phase=\"setup\"", Phases, Both, "")                 \
  X(IcmpRtt, "probe_icmp_duration_seconds", "phase=\"rtt\"", Phases, Both, "")                     \
  X(IcmpReplyHopLimit, "probe_icmp_reply_hop_limit", "", Core, Both,                               \
    "Hop limit (TTL) the reply arrived with")                                                      \
  X(IcmpSent, "probe_icmp_packets_sent", "", Core, Scheduled, "Echo requests sent by the run")     \
  X(IcmpReceived, "probe_icmp_packets_received", "", Core, Scheduled,                              \
    "Echo requests of the run that were answered in time")                                         \
  X(IcmpDuplicates, "probe_icmp_packets_duplicated", "", Core, Scheduled,                          \
    "Further replies to requests that were answered already")                                      \
  X(IcmpLoss, "probe_icmp_loss_ratio", "", Core, Scheduled, "Lost share of the requests sent")     \
  X(IcmpRttMin, "probe_icmp_rtt_seconds", "stat=\"min\"", Phases, Scheduled,                       \
    "Round-trip times of the run's packets")                                                       \
  X(IcmpRttAvg, "probe_icmp_rtt_seconds", "stat=\"avg\"", Phases, Scheduled, "")                   \
  X(IcmpRttMax, "probe_icmp_rtt_seconds", "stat=\"max\"", Phases, Scheduled, "")                   \
  X(IcmpRttStddev, "probe_icmp_rtt_seconds", "stat=\"stddev\"", Phases, Scheduled, "")             \
  X(IcmpJitter, "probe_icmp_jitter_seconds", "", Phases, Scheduled,                                \
    "Mean difference between the round-trip times of neighbouring packets")                        \
  X(KernelStamps, "probe_kernel_timestamps", "", Core, Scheduled,                                  \
    "1 when the kernel stamped the arrival of every answer, 0 when a time is the prober's own")

enum class Fact : uint8_t {
#define SONDE_FACT_ENUM(name, family, label, group, shown, help) k##name,
  SONDE_FACTS(SONDE_FACT_ENUM)
#undef SONDE_FACT_ENUM
      kCount,
};

inline constexpr size_t kFactCount = static_cast<size_t>(Fact::kCount);
static_assert(kFactCount <= 59, "the presence bitmap holds 59 facts");

struct FactInfo {
  Fact fact;
  std::string_view family;
  std::string_view label;  // `name="value"`, ready for exposition; empty for none
  FamilyGroup group;
  Shown shown;
  std::string_view help;  // given by the first row of a family
};

// The whole table, indexed by the enumerator's value. Any thread.
std::span<const FactInfo> Facts();
inline const FactInfo& Info(Fact fact) { return Facts()[static_cast<size_t>(fact)]; }

// Families whose value is always 1 and whose labels carry the message.
#define SONDE_TEXT_FAMILIES(X)                                                             \
  X(ChainInfo, "probe_ssl_last_chain_info", Tls, "The leaf certificate the peer sent")     \
  X(TlsVersion, "probe_tls_version_info", Tls, "The TLS version in use")                   \
  X(TlsCipher, "probe_tls_cipher_info", Tls, "The TLS cipher in use")                      \
  X(VerifyResult, "probe_ssl_verify_result_info", Tls, "What verifying the chain came to") \
  X(ExpectInfo, "probe_expect_info", Core, "Labels captured by a dialogue's expect entries")

enum class TextFamily : uint8_t {
#define SONDE_TEXT_ENUM(name, family, group, help) k##name,
  SONDE_TEXT_FAMILIES(SONDE_TEXT_ENUM)
#undef SONDE_TEXT_ENUM
      kCount,
};

struct TextFamilyInfo {
  TextFamily family;
  std::string_view name;
  FamilyGroup group;
  std::string_view help;
};
std::span<const TextFamilyInfo> TextFamilies();

// The facts of one probe: a bitmap of those set (absent is not 0), their number and their values
// packed in table order. Trivially copyable; a probe sets at most kCapacity of them, more is a
// programming error. Set in table order, where a fact's value goes is not searched for.
class FactSet {
 public:
  static constexpr size_t kCapacity = 28;

  void Set(Fact fact, double value) {
    const uint64_t bit = Bit(fact);
    if (present() >= bit) return Put(bit, value);
    if (size() == kCapacity) __builtin_trap();
    values_[size()] = value;
    word_ += bit + kOne;
  }
  void Clear(Fact fact) {
    const uint64_t bit = Bit(fact);
    if (!(word_ & bit)) return;
    const size_t at = Rank(bit);
    std::memmove(values_ + at, values_ + at + 1, (size() - at - 1) * sizeof(double));
    word_ -= bit + kOne;
  }
  // None is set. What the values were stays behind, where nobody sees it.
  void Reset() { word_ = 0; }
  bool Has(Fact fact) const { return (word_ & Bit(fact)) != 0; }
  std::optional<double> Get(Fact fact) const {
    const uint64_t bit = Bit(fact);
    if (!(word_ & bit)) return std::nullopt;
    return values_[Rank(bit)];
  }
  size_t size() const { return static_cast<size_t>(word_ >> kCountShift); }
  uint64_t present() const { return word_ & (kOne - 1); }
  // Of its bytes those that say anything: the first so many.
  size_t bytes_used() const { return sizeof word_ + size() * sizeof(double); }

 private:
  static constexpr unsigned kCountShift = 59;
  static constexpr uint64_t kOne = uint64_t{1} << kCountShift;
  static_assert(kCapacity < 1u << (64 - kCountShift));

  static constexpr uint64_t Bit(Fact fact) { return uint64_t{1} << static_cast<unsigned>(fact); }
  // Bits counted in pairs, fours and bytes (Warren, Hacker's Delight, 5-1): std::popcount is a call
  // into a library on a processor that may lack the instruction.
  static constexpr size_t CountBits(uint64_t bits) {
    bits -= bits >> 1 & 0x5555555555555555;
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return static_cast<size_t>(bits * 0x0101010101010101 >> 56);
  }
  size_t Rank(uint64_t bit) const { return CountBits(word_ & (bit - 1)); }
  // A fact that is there, or goes before one that is.
  void Put(uint64_t bit, double value) {
    const size_t at = Rank(bit);
    if (!(word_ & bit)) {
      if (size() == kCapacity) __builtin_trap();
      std::memmove(values_ + at + 1, values_ + at, (size() - at) * sizeof(double));
      word_ += bit + kOne;
    }
    values_[at] = value;
  }

  uint64_t word_ = 0;  // a bit per fact, above them their number
  double values_[kCapacity] = {};
};

}  // namespace sonde
