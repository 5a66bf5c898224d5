// How a run ended: one closed list, the same words in the result, the metric, the API and the page.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sonde {

// Where in a probe it ended. Order is the order of a probe's life; `prober` is our own trouble.
enum class Phase : uint8_t {
  kNone,
  kDns,
  kConnect,
  kTls,
  kSend,
  kFirstByte,
  kHeaders,
  kBody,
  kDialogue,
  kValidation,
  kProber,
};

// Whose trouble it was. `kProber` makes a run inconclusive; it is never a failure of the target.
enum class Fault : uint8_t { kNobody, kTarget, kNetwork, kProber };

// A run's verdict as it is counted: health_check_results knows the first two only.
enum class Verdict : uint8_t { kSuccess, kFailed, kInconclusive };

// phase x reason. The X-macro is the table: enumerator, phase, reason, fault, sentence.
// A new outcome is one line here; every output shows it. Values are not stable across builds: what
// leaves the process carries the words, never the number.
#define SONDE_OUTCOMES(X)                                                                         \
  X(Ok, None, "ok", Nobody, "the target answered as expected")                                    \
  X(DnsNotFound, Dns, "not_found", Target, "the name does not exist (NXDOMAIN)")                  \
  X(DnsNoAddress, Dns, "no_address", Target, "the name has no address of the wanted family")      \
  X(DnsServerFailure, Dns, "server_failure", Network, "the name server answered SERVFAIL")        \
  X(DnsRefused, Dns, "refused", Network, "the name server refused to answer")                     \
  X(DnsMalformed, Dns, "malformed", Network, "the name server's answer made no sense")            \
  X(DnsUnreachable, Dns, "unreachable", Network, "no name server could be reached")               \
  X(DnsTimeout, Dns, "timeout", Network, "the name was not resolved in time")                     \
  X(ConnectRefused, Connect, "refused", Target, "the target refused the connection")              \
  X(ConnectReset, Connect, "reset", Target, "the connection was reset while being opened")        \
  X(ConnectTimeout, Connect, "timeout", Network, "the connection was not established in time")    \
  X(ConnectHostUnreachable, Connect, "host_unreachable", Network, "the host cannot be reached")   \
  X(ConnectNetworkUnreachable, Connect, "network_unreachable", Network,                           \
    "there is no route to the target's network")                                                  \
  X(ConnectDenied, Connect, "denied", Network, "the connection was prohibited by a firewall")     \
  X(ConnectTtlExceeded, Connect, "ttl_exceeded", Network,                                         \
    "the packet's hop limit ran out on the way")                                                  \
  X(ConnectTooBig, Connect, "too_big", Network, "the packet is too large for the way, undivided") \
  X(ConnectError, Connect, "error", Network, "the connection failed for another reason")          \
  X(ConnectProxyUnreachable, Connect, "proxy_unreachable", Network,                               \
    "the proxy could not be reached")                                                             \
  X(ConnectProxyTimeout, Connect, "proxy_timeout", Network, "the proxy did not answer in time")   \
  X(ConnectProxyClosed, Connect, "proxy_closed", Network,                                         \
    "the proxy closed or reset the connection instead of answering")                              \
  X(ConnectProxyAnswer, Connect, "proxy_answer", Network, "the proxy's answer made no sense")     \
  X(ConnectProxyAuth, Connect, "proxy_auth", Network, "the proxy wants other credentials")        \
  X(ConnectProxyRefused, Connect, "proxy_refused", Network,                                       \
    "the proxy did not connect to the target")                                                    \
  X(TlsTimeout, Tls, "timeout", Target, "the TLS handshake did not finish in time")               \
  X(TlsReset, Tls, "reset", Target, "the connection was reset during the TLS handshake")          \
  X(TlsClosed, Tls, "closed", Target, "the peer closed the connection during the TLS handshake")  \
  X(TlsProtocol, Tls, "protocol", Target, "the peer does not speak TLS, or broke its rules")      \
  X(TlsAlert, Tls, "alert", Target, "the peer ended the TLS handshake with an alert")             \
  X(TlsVersion, Tls, "version", Target, "no TLS version or cipher in common")                     \
  X(TlsExpired, Tls, "expired", Target, "the certificate has expired")                            \
  X(TlsNotYetValid, Tls, "not_yet_valid", Target, "the certificate is not valid yet")             \
  X(TlsSelfSigned, Tls, "self_signed", Target, "the certificate is self-signed")                  \
  X(TlsUntrusted, Tls, "untrusted", Target, "the certificate's issuer is not trusted")            \
  X(TlsWrongName, Tls, "wrong_name", Target, "the certificate is for another name")               \
  X(TlsCertificate, Tls, "certificate", Target, "the certificate is not acceptable")              \
  X(SendTimeout, Send, "timeout", Target, "the request could not be sent in time")                \
  X(SendReset, Send, "reset", Target, "the connection was reset while the request was sent")      \
  X(FirstByteTimeout, FirstByte, "timeout", Target, "no byte of an answer arrived in time")       \
  X(FirstByteReset, FirstByte, "reset", Target, "the connection was reset before any answer")     \
  X(FirstByteClosed, FirstByte, "closed", Target, "the peer closed before any answer")            \
  X(FirstByteWrongId, FirstByte, "wrong_id", Target, "answers came, all with another id")         \
  X(FirstByteWrongQuestion, FirstByte, "wrong_question", Target,                                  \
    "answers came, all to another question")                                                      \
  X(FirstByteForeign, FirstByte, "foreign", Network, "answers came, all from another address")    \
  X(HeadersTimeout, Headers, "timeout", Target, "the answer's headers did not end in time")       \
  X(HeadersReset, Headers, "reset", Target, "the connection was reset within the headers")        \
  X(HeadersClosed, Headers, "closed", Target, "the peer closed within the headers")               \
  X(HeadersMalformed, Headers, "malformed", Target, "the answer is not valid HTTP")               \
  X(HeadersTooLarge, Headers, "too_large", Target, "the answer's headers exceed the limit")       \
  X(BodyTimeout, Body, "timeout", Target, "the answer's body did not end in time")                \
  X(BodyReset, Body, "reset", Target, "the connection was reset within the body")                 \
  X(BodyClosed, Body, "closed", Target, "the peer closed before the body was complete")           \
  X(BodyMalformed, Body, "malformed", Target, "the answer's form is not valid")                   \
  X(BodyTooLarge, Body, "too_large", Target, "the body exceeds the limit")                        \
  X(BodyEncoding, Body, "encoding", Target, "the body could not be decompressed")                 \
  X(DialogueTimeout, Dialogue, "timeout", Target, "the expected line did not arrive in time")     \
  X(DialogueReset, Dialogue, "reset", Target, "the connection was reset within the dialogue")     \
  X(DialogueClosed, Dialogue, "closed", Target, "the peer closed before the expected line")       \
  X(DialogueMismatch, Dialogue, "mismatch", Target, "the peer's bytes are not the expected ones") \
  X(DialogueTooLarge, Dialogue, "too_large", Target, "a line of the peer exceeds the limit")      \
  X(ValidationStatus, Validation, "status", Target, "the status code is not an expected one")     \
  X(ValidationVersion, Validation, "version", Target, "the HTTP version is not an expected one")  \
  X(ValidationHeader, Validation, "header", Target, "a header rule is not met")                   \
  X(ValidationBody, Validation, "body", Target, "a body rule is not met")                         \
  X(ValidationRedirect, Validation, "redirect", Target, "a redirect leads nowhere we may go")     \
  X(ValidationTls, Validation, "tls", Target, "TLS was used, or not used, against the rule")      \
  X(ValidationRcode, Validation, "rcode", Target, "the response code is not an expected one")     \
  X(ValidationAnswer, Validation, "answer", Target, "a rule on the answer records is not met")    \
  X(ValidationAuthority, Validation, "authority", Target,                                         \
    "a rule on the authority records is not met")                                                 \
  X(ValidationAdditional, Validation, "additional", Target,                                       \
    "a rule on the additional records is not met")                                                \
  X(ValidationTruncated, Validation, "truncated", Target, "the answer was cut short")             \
  X(ValidationLoss, Validation, "loss", Target, "more packets were lost than allowed")            \
  X(ValidationTarget, Validation, "target", Target, "the target cannot be taken apart")           \
  X(ProberLate, Prober, "late", Prober, "the prober itself stood still during the run")           \
  X(ProberPorts, Prober, "ports", Prober, "the prober had no local port left")                    \
  X(ProberDescriptors, Prober, "descriptors", Prober, "the prober had no descriptor left")        \
  X(ProberMemory, Prober, "memory", Prober, "the prober had no memory or buffer left")            \
  X(ProberReceiveQueue, Prober, "receive_queue", Prober,                                          \
    "the prober's receive queue overflowed during the run")                                       \
  X(ProberPolicy, Prober, "policy", Prober, "the probe policy forbids this destination")          \
  X(ProberConfig, Prober, "config", Prober, "a file or setting the probe needs is not usable")    \
  X(ProberBusy, Prober, "busy", Prober, "the prober had no room to start the run in time")        \
  X(ProberCancelled, Prober, "cancelled", Prober, "the run was cancelled")                        \
  X(ProberInternal, Prober, "internal", Prober, "the prober met an error of its own")

enum class Outcome : uint8_t {
#define SONDE_OUTCOME_ENUM(name, phase, reason, fault, sentence) k##name,
  SONDE_OUTCOMES(SONDE_OUTCOME_ENUM)
#undef SONDE_OUTCOME_ENUM
};

struct OutcomeInfo {
  Outcome outcome;
  Phase phase;
  std::string_view reason;  // label value `reason`
  Fault fault;
  std::string_view sentence;  // for people
};

// The whole table, indexed by the enumerator's value. Any thread.
std::span<const OutcomeInfo> Outcomes();
const OutcomeInfo& Info(Outcome outcome);

// Label value `phase` of probe_failures_total: dns, connect, tls, send, first_byte, ...
std::string_view PhaseName(Phase phase);

// "dns/timeout"; "ok" for kOk. For logs, the page and the command line; points into static storage.
std::string_view OutcomeName(Outcome outcome);
std::optional<Outcome> FindOutcome(std::string_view name);  // inverse of OutcomeName

constexpr Verdict VerdictOf(Fault fault) {
  return fault == Fault::kNobody   ? Verdict::kSuccess
         : fault == Fault::kProber ? Verdict::kInconclusive
                                   : Verdict::kFailed;
}
inline constexpr std::array kVerdictOfOutcome = {
#define SONDE_OUTCOME_VERDICT(name, phase, reason, fault, sentence) VerdictOf(Fault::k##fault),
    SONDE_OUTCOMES(SONDE_OUTCOME_VERDICT)
#undef SONDE_OUTCOME_VERDICT
};
constexpr Verdict VerdictOf(Outcome outcome) {
  return kVerdictOfOutcome[static_cast<size_t>(outcome)];
}
std::string_view VerdictName(Verdict verdict);  // success, failed, inconclusive

}  // namespace sonde
