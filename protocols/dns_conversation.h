// One DNS probe: a question over UDP, TCP or TLS, and the judging of its answer (blackbox_contract
// 7.5 and 8.4; RFC 1035 section 4.2, RFC 7858). A truncated answer over UDP may be asked for again
// over TCP.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/contract/conversation.h"
#include "engine/contract/task.h"
#include "protocols/dns_message.h"
#include "protocols/dns_options.h"
#include "protocols/leg_report.h"

namespace sonde {

class DnsConversation final : public Conversation {
 public:
  // Bytes of an answer kept for people.
  static constexpr size_t kShownBytes = 4096;

  DnsConversation(const Task& task, const ConversationContext& context);

  Step Start(Instant now) override;
  Step OnOpen(const Leg& leg, Instant at, Output& out) override;
  Step OnLegFailed(const Leg& leg, Outcome outcome, Instant at) override;
  ReadStep OnBytes(Bytes in, Instant at, Output& out) override;
  Step OnPeerClosed(PeerClose how, Bytes rest, Instant at, Output& out) override;
  void OnDatagramSent(uint16_t number, Instant at, StampClock clock) override;
  Step OnDatagram(const Datagram& message, Output& out) override;
  bool OnStray(const Datagram& message) override;
  Step OnNetworkError(const NetworkError& error, Output& out) override;
  Step OnWake(Instant at, Output& out) override;
  Outcome OnDeadline(Instant at) override;
  void Report(struct Report& report, Instant at) override;

 private:
  bool udp() const { return leg_->transport == Transport::kUdp; }
  bool FindServer();
  Step Misconfigured(std::string_view text);
  void Ask(Output& out);
  // Waits for the answer, and for the time to ask again.
  Step Wait();
  Step Answer(Bytes message, Instant at);
  Step Judge(const DnsReply& reply);
  void Keep(const DnsReply& reply);
  void EndExchange(Instant at);
  void Say(std::string_view text);
  void ShowStrays();
  void ReportTimes(ProbeResult* result) const;
  void ShowAnswer(Evidence* evidence) const;

  // What came besides an answer.
  struct Strays {
    uint32_t wrong_id = 0, wrong_question = 0, foreign = 0;
    Address from;  // the last foreign one's sender
  };

  const DnsModule& module_;
  const DnsTarget& target_;
  const ConversationContext context_;
  LegPlan plan_;
  std::optional<LegPlan> again_;  // over TCP
  LegPlan* leg_ = &plan_;
  Address peer_;               // of the first leg, for the second
  std::array<char, 64> host_;  // a system server's address
  LegTimes times_;
  Strays strays_;

  uint16_t id_ = 0;
  bool asked_ = false;  // the exchange goes on
  bool resolved_ = false;
  bool bytes_came_ = false;  // of the leg
  Instant asked_at_;         // the exchange began: the leg was open, or the question was sent
  Instant first_byte_;
  Instant ask_again_at_;
  Duration connect_, request_, transfer_;

  // The last well-formed answer.
  bool replied_ = false, last_over_udp_ = false;
  bool over_udp_ = false, truncated_ = false, kernel_stamped_ = false;  // of what came over UDP
  uint16_t flags_ = 0, rcode_ = 0;
  std::array<uint16_t, kDnsSections> counts_{};
  uint16_t records_at_ = 0;
  uint32_t serial_ = 0;
  uint32_t reply_bytes_ = 0;
  Buffer shown_;   // its first bytes
  Buffer detail_;  // why the probe failed, in words
};
static_assert(sizeof(DnsConversation) <= kConversationBytes);

}  // namespace sonde
