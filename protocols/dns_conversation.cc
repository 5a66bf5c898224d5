#include "protocols/dns_conversation.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "engine/contract/files.h"
#include "protocols/dns_judge.h"
#include "protocols/dns_record_text.h"
#include "protocols/dns_types.h"

namespace sonde {
namespace {

// A number as text, for details.
class Digits {
 public:
  explicit Digits(uint64_t number) {
    size_ = static_cast<size_t>(std::to_chars(text_, std::end(text_), number).ptr - text_);
  }
  operator std::string_view() const {
    return {text_, size_};
  }  // NOLINT(google-explicit-constructor)

 private:
  char text_[24];
  size_t size_;
};

// Where the time to the open leg begins: behind resolving.
Instant ConnectStart(const Leg& leg) {
  return leg.resolve_end.stamped() ? leg.resolve_end : leg.start;
}

}  // namespace

DnsConversation::DnsConversation(const Task& task, const ConversationContext& context)
    : module_(static_cast<const DnsModule&>(*task.module)),
      target_(static_cast<const DnsTarget&>(*task.plan)),
      context_(context) {
  __builtin_prefetch(target_.query.data());  // not read since the last run
  __builtin_prefetch(target_.question.data());
}

void DnsConversation::Say(std::string_view text) {
  if (!detail_) detail_ = context_.buffers.Take();
  if (detail_.size() < 1024) detail_.Append(text.substr(0, 1024));
}

Step DnsConversation::Misconfigured(std::string_view text) {
  Say(text);
  return Step::Fail(Outcome::kProberConfig);
}

// ---- opening ------------------------------------------------------------------------------------

Step DnsConversation::Start(Instant) {
  if (module_.transport == DnsModule::Transport::kUnknown) {
    return Misconfigured("transport_protocol is neither udp nor tcp");
  }
  const bool tcp = module_.transport == DnsModule::Transport::kTcp;
  leg_->transport = tcp ? Transport::kTcp : Transport::kUdp;
  leg_->port = target_.address.port;
  leg_->scheme = "dns";
  leg_->tls = tcp && module_.tls ? &module_.tls_profile : nullptr;
  leg_->network = &module_.network;
  if (!FindServer()) return Step::Fail(Outcome::kProberConfig);
  return Step::Open(*leg_);
}

// Fills in whom to ask. False: there is no such file, which the detail says.
bool DnsConversation::FindServer() {
  if (target_.server != DnsModule::Server::kSystem) {
    leg_->host = target_.address.host;
    return true;
  }
  const auto file = context_.files ? context_.files->Find(kResolvConf) : nullptr;
  if (!file || !file->ok()) {
    Say(file ? std::string_view(file->error) : "resolv.conf is not loaded");
    return false;
  }
  const std::string_view server = FirstNameServer(file->data);
  const size_t size = std::min(server.size(), host_.size());
  std::memcpy(host_.data(), server.data(), size);
  leg_->host = {host_.data(), size};
  return true;
}

Step DnsConversation::OnOpen(const Leg& leg, Instant at, Output& out) {
  times_.Opened(leg);
  resolved_ = true;
  peer_ = leg.peer;
  asked_at_ = at;
  first_byte_ = {};
  connect_ = connect_ + std::max(at - ConnectStart(leg), Duration{});
  if (udp() && module_.tls) { return Misconfigured("dns_over_tls needs transport_protocol: tcp"); }
  id_ = udp() ? leg.token : static_cast<uint16_t>(context_.Random() >> 16);
  bytes_came_ = false;
  asked_ = true;
  Ask(out);
  if (udp() && module_.retransmit > Duration{}) ask_again_at_ = at + module_.retransmit;
  return Wait();
}

Step DnsConversation::OnLegFailed(const Leg& leg, Outcome outcome, Instant at) {
  times_.Failed(leg, at);
  if (leg.resolved) {
    resolved_ = true;
    connect_ = connect_ + std::max(at - ConnectStart(leg), Duration{});
  }
  if (!leg.detail.empty()) {
    if (replied_) Say("again over tcp: ");
    Say(leg.detail.substr(0, 300));
  }
  return Step::Fail(outcome);
}

// ---- the exchange -------------------------------------------------------------------------------

void DnsConversation::Ask(Output& out) {
  const size_t size = target_.query.size() + 2;
  const uint8_t numbers[4] = {static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size),
                              static_cast<uint8_t>(id_ >> 8), static_cast<uint8_t>(id_)};
  out.Append(udp() ? Bytes(numbers).subspan(2) : Bytes(numbers));
  out.Append(target_.query);
}

Step DnsConversation::Wait() {
  return ask_again_at_.stamped() ? Step::WakeAt(ask_again_at_) : Step::More();
}

Step DnsConversation::OnWake(Instant at, Output& out) {
  if (!ask_again_at_.stamped()) return Step::More();
  Ask(out);
  ask_again_at_ = at + module_.retransmit;
  return Wait();
}

// The exchange begins when the question goes out; what is sent again changes nothing. The kernel's
// stamp may follow the one of the system call, and lie before it.
void DnsConversation::OnDatagramSent(uint16_t number, Instant at, StampClock) {
  if (number != 0 || !asked_ || !udp()) return;
  connect_ = connect_ + (at - asked_at_);
  asked_at_ = at;
}

void DnsConversation::EndExchange(Instant at) {
  if (!asked_) return;
  asked_ = false;
  ask_again_at_ = {};
  request_ = request_ + std::max(at - asked_at_, Duration{});
  if (first_byte_.stamped()) transfer_ = transfer_ + std::max(at - first_byte_, Duration{});
}

Step DnsConversation::OnDatagram(const Datagram& message, Output&) {
  if (message.bytes.size() > module_.udp_limit()) {
    EndExchange(message.at);
    Say(Digits(message.bytes.size()));
    Say(" bytes over udp, at most ");
    Say(Digits(module_.udp_limit()));
    Say(" were asked for (edns_size)");
    return Step::Fail(Outcome::kBodyTooLarge);
  }
  kernel_stamped_ = message.clock == StampClock::kKernel;
  return Answer(message.bytes, message.at);
}

// An answer to our question with another id, or with our id from elsewhere.
bool DnsConversation::OnStray(const Datagram& message) {
  if (!asked_ || !AnswersDnsQuestion(message.bytes, AsBytes(target_.question))) return false;
  if (message.peer == peer_) {
    ++strays_.wrong_id;
  } else {
    ++strays_.foreign;
    strays_.from = message.peer;
  }
  return true;
}

Step DnsConversation::OnNetworkError(const NetworkError& error, Output&) {
  EndExchange(error.at);
  Say(error.detail.substr(0, 300));
  return Step::Fail(error.outcome);
}

// RFC 1035 section 4.2.2: two bytes of length before each message.
ReadStep DnsConversation::OnBytes(Bytes in, Instant at, Output&) {
  if (!bytes_came_) first_byte_ = std::max(at, asked_at_);
  bytes_came_ = true;
  if (in.size() < 2) return {0, Step::More()};
  const size_t size = DnsNumber16(in, 0);
  if (in.size() - 2 < size) return {0, Step::More()};
  return {2 + size, Answer(in.subspan(2, size), at)};
}

Step DnsConversation::OnPeerClosed(PeerClose how, Bytes, Instant at, Output&) {
  EndExchange(at);
  const bool reset = how == PeerClose::kReset;
  if (bytes_came_) return Step::Fail(reset ? Outcome::kBodyReset : Outcome::kBodyClosed);
  return Step::Fail(reset ? Outcome::kFirstByteReset : Outcome::kFirstByteClosed);
}

Outcome DnsConversation::OnDeadline(Instant at) {
  EndExchange(at);
  if (bytes_came_) return Outcome::kBodyTimeout;
  ShowStrays();
  // The most telling one: our server answered us, another question; it answered somebody; somebody
  // answered.
  return strays_.wrong_question > 0 ? Outcome::kFirstByteWrongQuestion
         : strays_.wrong_id > 0     ? Outcome::kFirstByteWrongId
         : strays_.foreign > 0      ? Outcome::kFirstByteForeign
                                    : Outcome::kFirstByteTimeout;
}

// ---- the answer ---------------------------------------------------------------------------------

Step DnsConversation::Answer(Bytes message, Instant at) {
  if (!udp() && message.size() >= 2 && DnsNumber16(message, 0) != id_) {
    EndExchange(at);
    Say("the answer's id is ");
    Say(Digits(DnsNumber16(message, 0)));
    Say(", not ");
    Say(Digits(id_));
    return Step::Fail(Outcome::kFirstByteWrongId);
  }
  DnsReply reply;
  const DnsRead read = ReadDnsReply(message, AsBytes(target_.question), &reply);
  if (read == DnsRead::kOtherQuestion && udp()) {
    ++strays_.wrong_question;
    return Wait();
  }
  EndExchange(at);
  switch (read) {
    case DnsRead::kOtherQuestion:
      return Step::Fail(Outcome::kFirstByteWrongQuestion);
    case DnsRead::kMalformed:
      if (reply.fault_section != DnsSection::kCount) {
        Say(DnsSectionName(reply.fault_section));
        Say(" record ");
        Say(Digits(reply.fault_record));
        Say(": ");
      }
      Say(reply.fault);
      return Step::Fail(Outcome::kBodyMalformed);
    case DnsRead::kReply:
      break;
  }
  Keep(reply);
  return Judge(reply);
}

void DnsConversation::Keep(const DnsReply& reply) {
  replied_ = true;
  last_over_udp_ = udp();
  if (udp()) {
    over_udp_ = true;
    truncated_ = reply.truncated();
  }
  records_at_ = static_cast<uint16_t>(reply.records_at);
  flags_ = reply.flags;
  rcode_ = reply.rcode;
  std::copy(std::begin(reply.counts), std::end(reply.counts), counts_.begin());
  serial_ = reply.serial;
  reply_bytes_ = static_cast<uint32_t>(reply.message.size());
  if (!shown_) shown_ = context_.buffers.Take();
  shown_.Clear();
  shown_.Append(reply.message.first(std::min(reply.message.size(), kShownBytes)));
}

Step DnsConversation::Judge(const DnsReply& reply) {
  if (udp() && reply.truncated() && module_.retry_over_tcp) {
    leg_ = &again_.emplace(plan_);
    leg_->transport = Transport::kTcp;
    leg_->address = &peer_;
    return Step::Open(*leg_);
  }
  DnsJudge judge(module_, target_.expect, context_);
  const Outcome outcome = judge.Judge(reply);
  if (outcome == Outcome::kOk) return Step::Pass();
  detail_ = judge.TakeDetail();
  return Step::Fail(outcome);
}

void DnsConversation::ShowStrays() {
  const std::pair<uint32_t, std::string_view> kinds[] = {
      {strays_.wrong_question, " to another question"},
      {strays_.wrong_id, " with another id"},
      {strays_.foreign, " from another address"}};
  bool first = true;
  for (const auto& [count, what] : kinds) {
    if (count == 0) continue;
    Say(first ? "answers that are none: " : ", ");
    Say(Digits(count));
    Say(what);
    first = false;
  }
  if (strays_.foreign == 0) return;
  Say(", last ");
  Say(strays_.from.HostPort());
}

// ---- the report ---------------------------------------------------------------------------------

void DnsConversation::Report(struct Report& report, Instant at) {
  ProbeResult& result = report.result;
  FactSet& facts = result.facts;
  EndExchange(at);
  times_.SetCommonFacts(&facts);
  ReportTimes(&result);
  facts.Set(Fact::kDnsAnswerRrs, counts_[0]);
  facts.Set(Fact::kDnsAuthorityRrs, counts_[1]);
  facts.Set(Fact::kDnsAdditionalRrs, counts_[2]);
  facts.Set(Fact::kDnsQuerySucceeded, replied_ ? 1 : 0);
  if (replied_) {
    if (target_.asks_serial) facts.Set(Fact::kDnsSerial, serial_);
    facts.Set(Fact::kDnsRcode, rcode_);
  }
  if (over_udp_) facts.Set(Fact::kDnsTruncated, truncated_ ? 1 : 0);
  if (replied_) facts.Set(Fact::kDnsResponseBytes, reply_bytes_);
  if (over_udp_) facts.Set(Fact::kKernelStamps, kernel_stamped_ ? 1 : 0);
  result.texts_hash = 0;
  if (!report.evidence) return;
  report.evidence->peer = times_.peer();
  report.evidence->detail.assign(result.outcome == Outcome::kOk ? "" : detail_.text());
  ShowAnswer(report.evidence);
}

// The phases are there from the start, at 0 (blackbox_contract 7.5); resolving that failed took
// none of the time.
void DnsConversation::ReportTimes(ProbeResult* result) const {
  result->facts.Set(Fact::kDnsResolve, resolved_ ? times_.resolve().seconds() : 0);
  result->facts.Set(Fact::kDnsConnect, std::max(connect_, Duration{}).seconds());
  result->facts.Set(Fact::kDnsRequest, request_.seconds());
  times_.SetStages(result);
  if (!asked_at_.stamped()) return;
  SetStage(result, Stage::kWait, request_ - transfer_);
  if (first_byte_.stamped()) SetStage(result, Stage::kTransfer, transfer_);
}

// In place: the strings keep their room from run to run.
void DnsConversation::ShowAnswer(Evidence* evidence) const {
  std::string& head = evidence->head;
  std::string& body = evidence->body;
  head.clear();
  body.clear();
  if (!replied_) return;
  DnsReply reply;
  reply.message = shown_.bytes();
  reply.records_at = records_at_;
  std::copy(counts_.begin(), counts_.end(), std::begin(reply.counts));
  head.append("id ").append(Digits(DnsNumber16(reply.message, 0))).append(": ");
  const std::string_view rcode = DnsRcodeName(rcode_);
  head.append(rcode);
  if (rcode.empty()) head.append(Digits(rcode_));
  static constexpr std::pair<uint16_t, std::string_view> kFlags[] = {
      {dns_flag::kAuthoritative, " aa"},    {dns_flag::kTruncated, " tc"},
      {dns_flag::kRecursionDesired, " rd"}, {dns_flag::kRecursionAvailable, " ra"},
      {dns_flag::kAuthentic, " ad"},        {dns_flag::kCheckingDisabled, " cd"}};
  for (const auto& [flag, name] : kFlags) {
    if ((flags_ & flag) != 0) head.append(name);
  }
  head.append("; answer ").append(Digits(counts_[0]));
  head.append(", authority ").append(Digits(counts_[1]));
  head.append(", additional ").append(Digits(counts_[2]));
  head.append("; ").append(Digits(reply_bytes_));
  head.append(last_over_udp_ ? " bytes, udp" : " bytes, tcp");

  Buffer line = context_.buffers.Take();
  for (DnsRecords records(reply); records.Next() && body.size() < Evidence::kBodyLimit;) {
    line.Clear();
    AppendDnsRecord(reply.message, records.record(), &line);
    line.Append("\n");
    body.append(line.text().substr(0, Evidence::kBodyLimit - body.size()));
  }
}

}  // namespace sonde
