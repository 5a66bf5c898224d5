#include "tools/farm/dns_target.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "engine/contract/duration_text.h"

namespace sonde {
namespace {

using StepKind = FarmStep::Kind;

constexpr size_t kMostAliases = 8;
constexpr size_t kNoiseSize = 100;
constexpr int64_t kMostText = 60'000;  // with what it takes around it, a message holds that much
constexpr uint32_t kTextTtl = 60;
constexpr uint16_t kQuestionPointer = 0xC000 | kDnsHeaderSize;
constexpr uint16_t kIsAnswer = 0x8000, kAuthoritative = 0x0400, kTruncated = 0x0200;
constexpr uint16_t kRecursionDesired = 0x0100, kRecursionAvailable = 0x0080;
constexpr size_t kFlagsAt = 2, kAnswersAt = 6, kAuthoritiesAt = 8, kAdditionalsAt = 10;

// What is wrong with the message.
enum class Form : uint8_t {
  kGood,
  kCode,  // a response code, and no records
  kEmpty,
  kTc,
  kCut,
  kOtherId,
  kOtherQuestion,
  kNoise,
  kLarge,
  kLoop,
  kFalseCounts,
  kQuery,
};
// What is done with it on a stream.
enum class Stream : uint8_t {
  kWhole,
  kTwice,
  kDrip,
  kEnd,      // whole, then closed
  kFin,      // whole, then FIN while the socket stays
  kHalfCut,  // half of it, then closed
  kHalfReset,
  kHalfHold,
  kByteHold,  // one byte of the length
  kHold,
  kClose,
  kReset,
};

struct Row {
  Behaviour behaviour;
  Form form;
  FarmDnsSending udp;
  Stream tcp;
  FarmDnsCode code = FarmDnsCode::kNoError;
};
constexpr FarmDnsSending kOnce = FarmDnsSending::kOnce, kNever = FarmDnsSending::kNever;
// Behaviours that are not here are good answers.
constexpr Row kRows[] = {
    {Behaviour::kError, Form::kCode, kOnce, Stream::kWhole, FarmDnsCode::kServFail},
    {Behaviour::kNxDomain, Form::kCode, kOnce, Stream::kWhole, FarmDnsCode::kNxDomain},
    {Behaviour::kRefused, Form::kCode, kOnce, Stream::kWhole, FarmDnsCode::kRefused},
    {Behaviour::kFormErr, Form::kCode, kOnce, Stream::kWhole, FarmDnsCode::kFormErr},
    {Behaviour::kNotImp, Form::kCode, kOnce, Stream::kWhole, FarmDnsCode::kNotImp},
    {Behaviour::kEmpty, Form::kEmpty, kOnce, Stream::kWhole},
    {Behaviour::kTruncated, Form::kTc, kOnce, Stream::kWhole},
    {Behaviour::kCut, Form::kCut, kOnce, Stream::kHalfCut},
    {Behaviour::kWrongId, Form::kOtherId, kOnce, Stream::kWhole},
    {Behaviour::kWrongQuestion, Form::kOtherQuestion, kOnce, Stream::kWhole},
    {Behaviour::kOtherPort, Form::kGood, FarmDnsSending::kOtherPort, Stream::kWhole},
    {Behaviour::kOtherAddress, Form::kGood, FarmDnsSending::kOtherAddress, Stream::kWhole},
    {Behaviour::kTwice, Form::kGood, FarmDnsSending::kTwice, Stream::kTwice},
    {Behaviour::kLoop, Form::kLoop, kOnce, Stream::kWhole},
    {Behaviour::kFalseCounts, Form::kFalseCounts, kOnce, Stream::kWhole},
    {Behaviour::kReflect, Form::kQuery, kOnce, Stream::kWhole},
    {Behaviour::kLarge, Form::kLarge, kOnce, Stream::kWhole},
    {Behaviour::kGarbage, Form::kNoise, kOnce, Stream::kEnd},
    {Behaviour::kSilent, Form::kGood, kNever, Stream::kHold},
    {Behaviour::kRefuse, Form::kGood, kNever, Stream::kReset},
    {Behaviour::kReset, Form::kGood, kNever, Stream::kReset},
    {Behaviour::kClosed, Form::kGood, kNever, Stream::kClose},
    {Behaviour::kResetBody, Form::kGood, kNever, Stream::kHalfReset},
    {Behaviour::kStall, Form::kGood, kNever, Stream::kHalfHold},
    {Behaviour::kStallHeaders, Form::kGood, kNever, Stream::kByteHold},
    {Behaviour::kHalfClose, Form::kGood, kOnce, Stream::kFin},
    {Behaviour::kDrip, Form::kGood, kOnce, Stream::kDrip},
};

const Row& RowOf(Behaviour behaviour) {
  static constexpr Row kGood = {Behaviour::kOk, Form::kGood, kOnce, Stream::kWhole};
  if (behaviour == Behaviour::kOk) return kGood;
  for (const Row& row : kRows) {
    if (row.behaviour == behaviour) return row;
  }
  return kGood;
}

char Lower(char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c); }

uint16_t Flags(const FarmDnsQuery& query, FarmDnsCode code, uint16_t more) {
  const unsigned opcode = static_cast<unsigned>(query.opcode) << 11;
  const unsigned recursion = query.recursion_desired ? kRecursionDesired | kRecursionAvailable : 0u;
  return static_cast<uint16_t>(kIsAnswer | opcode | recursion | more |
                               (static_cast<unsigned>(code) & 15));
}

// RFC 1035 section 4.1: header and question. Counts of records and flags are patched in later.
void PutHead(const FarmDnsQuery& query, uint16_t flags, FarmDnsWriter& out) {
  out.U16(query.id);
  out.U16(flags);
  out.U16(query.name_size > 0 ? 1 : 0);
  for (int counts = 0; counts < 3; ++counts) out.U16(0);
  if (query.name_size == 0) return;
  out.Text(query.name_text());
  out.U16(query.type);
  out.U16(query.klass);
}

// RFC 6891 section 6.1.
void PutOpt(const FarmDnsQuery& query, FarmDnsCode code, FarmDnsWriter& out) {
  if (!query.edns) return;
  out.U8(0);
  out.U16(kDnsOpt);
  out.U16(kDnsEdnsLimit);
  out.U8(static_cast<uint8_t>(static_cast<unsigned>(code) >> 4));
  out.U8(0);
  out.U16(0);
  out.U16(0);
  out.PatchU16(kAdditionalsAt, 1);
}

// Records of one owner: a name on the wire, or empty for the question's.
void PutSet(const FarmDnsRecordSet& set, std::string_view owner, FarmDnsWriter& out) {
  for (const std::string& data : set.data) {
    if (owner.empty()) {
      out.U16(kQuestionPointer);
    } else {
      out.Text(owner);
    }
    out.U16(set.type);
    out.U16(kDnsClassIn);
    out.U32(set.ttl);
    out.U16(static_cast<uint16_t>(data.size()));
    out.Text(data);
  }
}

// RFC 2308: what is not there is said with the zone's SOA record.
void PutAuthority(const FarmDnsZones::Result& at, FarmDnsWriter& out) {
  if (at.apex == nullptr) return;
  PutSet(*at.apex->Find(kDnsSoa), at.apex_name, out);
  out.PatchU16(kAuthoritiesAt, 1);
}

// TXT records of `size` bytes of text in all.
uint16_t PutTexts(int64_t size, FarmDnsWriter& out) {
  constexpr size_t kMost = 255;
  static const std::string filler(kMost, 'x');
  uint16_t count = 0;
  for (auto left = static_cast<size_t>(size); left > 0 && !out.overflow(); ++count) {
    const size_t text = std::min(left, kMost);
    out.U16(kQuestionPointer);
    out.U16(kDnsTxt);
    out.U16(kDnsClassIn);
    out.U32(kTextTtl);
    out.U16(static_cast<uint16_t>(1 + text));
    out.U8(static_cast<uint8_t>(text));
    out.Text(std::string_view(filler).substr(0, text));
    left -= text;
  }
  return count;
}

// A record whose owner points at itself.
void PutLoop(FarmDnsWriter& out) {
  out.U16(static_cast<uint16_t>(0xC000 | (out.size() & 0x3FFF)));
  out.U16(kDnsA);
  out.U16(kDnsClassIn);
  out.U32(kTextTtl);
  out.U16(4);
  out.U32(0x7F000001);
}

// What a listener without zones knows of farm.test.
const std::vector<std::string>& DefaultRecords() {
  static const std::vector<std::string> records = {
      "@ NS ns",       "@ A 127.0.0.1", "@ AAAA ::1", "@ MX 10 mail", "@ TXT \"simulated by farm\"",
      "* A 127.0.0.1", "* AAAA ::1",    "www CNAME @"};
  return records;
}

void PlanStream(Stream stream, Duration pace, std::string bytes, FarmSteps& steps) {
  std::string half = bytes.substr(0, bytes.size() / 2);
  switch (stream) {
    case Stream::kWhole:
      steps.SendOwned(std::move(bytes));
      steps.Add(StepKind::kNext);
      return;
    case Stream::kTwice:
      steps.SendOwned(bytes + bytes);
      steps.Add(StepKind::kNext);
      return;
    case Stream::kDrip:
      steps.Drip(pace);
      steps.SendOwned(std::move(bytes));
      steps.Add(StepKind::kNext);
      return;
    case Stream::kEnd:
      steps.SendOwned(std::move(bytes));
      steps.Add(StepKind::kClose);
      return;
    case Stream::kFin:
      steps.SendOwned(std::move(bytes));
      steps.Add(StepKind::kShutdown);
      steps.Add(StepKind::kHold);
      return;
    case Stream::kHalfCut:
      steps.SendOwned(std::move(half));
      steps.Add(StepKind::kCut);
      return;
    case Stream::kHalfReset:
      steps.SendOwned(std::move(half));
      steps.Wait(Milliseconds(20));  // the bytes arrive before the reset discards them
      steps.Add(StepKind::kReset);
      return;
    case Stream::kHalfHold:
      steps.SendOwned(std::move(half));
      steps.Add(StepKind::kHold);
      return;
    case Stream::kByteHold:
      steps.SendOwned(bytes.substr(0, 1));
      steps.Add(StepKind::kHold);
      return;
    case Stream::kHold:
      steps.Add(StepKind::kHold);
      return;
    case Stream::kClose:
      steps.Add(StepKind::kClose);
      return;
    case Stream::kReset:
      steps.Add(StepKind::kReset);
      return;
  }
}

}  // namespace

FarmDnsTarget::FarmDnsTarget(const ListenerConfig& config) : config_(config) {
  if (!config.is_dns()) return;
  for (const FarmDnsZoneConfig& zone : config.zones) {
    status_.Update(zones_.AddZone(zone.name, zone.ttl, zone.records));
  }
  if (config.zones.empty()) status_.Update(zones_.AddZone("farm.test.", 60, DefaultRecords()));
}

FarmDnsSending FarmDnsTarget::SendingOf(Behaviour behaviour) { return RowOf(behaviour).udp; }

FarmDnsAsked FarmDnsTarget::ReadName(const FarmDnsQuery& query) {
  FarmDnsAsked asked;
  asked.size = query.name_size;
  const std::string_view name = query.name_text();
  std::transform(name.begin(), name.end(), asked.name.begin(), Lower);
  // Labels are taken off as long as they ask for something.
  while (asked.rest().size() > 1) {
    const std::string_view label = asked.rest().substr(1, static_cast<uint8_t>(asked.rest()[0]));
    if (label.find('-') == label.npos) break;
    const auto argument = [label](std::string_view word) {
      return label.starts_with(word) ? label.substr(word.size()) : std::string_view();
    };
    if (const auto behaviour = FindBehaviour(argument("do-"))) {
      asked.behaviour = behaviour;
    } else if (const auto delay = ParseDuration(argument("delay-"));
               delay && delay->ns >= 0 && *delay <= Hours(1)) {
      asked.delay = *delay;
    } else if (const std::string_view text = argument("bytes-"); !text.empty()) {
      int64_t bytes = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
      if (error != std::errc() || end != text.data() + text.size() || bytes < 0 ||
          bytes > kMostText) {
        break;
      }
      asked.text_bytes = bytes;
    } else {
      break;
    }
    asked.skipped += 1 + label.size();
  }
  return asked;
}

// The records of a good answer behind the question.
FarmDnsCode FarmDnsTarget::PutRecords(const FarmDnsQuery& query, std::string_view name,
                                      FarmDnsWriter& out) const {
  uint16_t answers = 0;
  const auto put = [&](const FarmDnsRecordSet& set, std::string_view owner) {
    PutSet(set, owner, out);
    answers = static_cast<uint16_t>(answers + set.data.size());
  };
  std::string_view owner;  // the question's
  std::array<char, kDnsLongestName> lower;
  FarmDnsZones::Result at = zones_.Find(name);
  if (at.found == FarmDnsZones::Found::kForeign) return FarmDnsCode::kRefused;
  for (size_t hops = 0; at.found == FarmDnsZones::Found::kName; ++hops) {
    if (query.type == kDnsAny) {
      for (const FarmDnsRecordSet& set : at.node->sets) put(set, owner);
      break;
    }
    const FarmDnsRecordSet* const set = at.node->Find(query.type);
    const FarmDnsRecordSet* const alias = set == nullptr ? at.node->Find(kDnsCname) : nullptr;
    if (set != nullptr) put(*set, owner);
    if (alias != nullptr) put(*alias, owner);
    if (alias == nullptr || hops == kMostAliases) break;
    owner = alias->data.front();
    std::transform(owner.begin(), owner.end(), lower.begin(), Lower);
    at = zones_.Find({lower.data(), owner.size()});
  }
  out.PatchU16(kAnswersAt, answers);
  const bool nothing = at.found == FarmDnsZones::Found::kNothing;
  if (nothing || answers == 0) PutAuthority(at, out);
  return nothing ? FarmDnsCode::kNxDomain : FarmDnsCode::kNoError;
}

// Everything between the question and OPT. Returns the response code.
FarmDnsCode FarmDnsTarget::PutSections(const FarmDnsQuery& query, const FarmDnsAsked& asked,
                                       Behaviour behaviour, FarmDnsWriter& out) const {
  if (query.edns && query.edns_version > 0) return FarmDnsCode::kBadVers;
  if (query.klass != kDnsClassIn && query.klass != kDnsClassAny) return FarmDnsCode::kRefused;
  const Row& row = RowOf(behaviour);
  switch (row.form) {
    case Form::kCode:
    case Form::kEmpty:
      if (row.form == Form::kEmpty || row.code == FarmDnsCode::kNxDomain) {
        PutAuthority(zones_.Find(asked.rest()), out);
      }
      return row.code;
    case Form::kTc:
      return FarmDnsCode::kNoError;
    case Form::kLarge:
      out.PatchU16(kAnswersAt, PutTexts(std::min(config_.large_bytes, kMostText), out));
      return FarmDnsCode::kNoError;
    case Form::kLoop:
      PutLoop(out);
      out.PatchU16(kAnswersAt, 1);
      return FarmDnsCode::kNoError;
    default:
      if (asked.text_bytes < 0) return PutRecords(query, asked.rest(), out);
      out.PatchU16(kAnswersAt, PutTexts(asked.text_bytes, out));
      return FarmDnsCode::kNoError;
  }
}

// The whole message, but for what the sender does to it.
size_t FarmDnsTarget::Write(FarmDnsParse parsed, const FarmDnsQuery& query,
                            const FarmDnsAsked& asked, Behaviour behaviour, size_t limit,
                            Random& random, std::span<uint8_t> bytes) const {
  FarmDnsWriter out(bytes);
  if (parsed != FarmDnsParse::kGood) {
    const bool malformed = parsed == FarmDnsParse::kMalformed;
    PutHead(query, Flags(query, malformed ? FarmDnsCode::kFormErr : FarmDnsCode::kNotImp, 0), out);
    return out.size();
  }
  const Form form = RowOf(behaviour).form;
  if (form == Form::kNoise) {  // an answer to this query as far as its first three bytes go
    out.U16(query.id);
    out.U8(0x80);
    for (size_t i = 0; i < kNoiseSize; i += sizeof(uint32_t)) {
      out.U32(static_cast<uint32_t>(random.Next()));
    }
    return out.size();
  }
  const auto id = static_cast<uint16_t>(form == Form::kOtherId ? query.id ^ 0x5A5A : query.id);
  PutHead(query, query.recursion_desired ? kRecursionDesired : 0, out);
  out.PatchU16(0, id);
  if (form == Form::kQuery) return out.size();
  const size_t question_end = out.size();
  if (form == Form::kOtherQuestion) {  // for the same name, of a type nobody asks for
    out.PatchU16(question_end - 4, static_cast<uint16_t>(query.type ^ 0x5A00));
  }
  const FarmDnsCode code = PutSections(query, asked, behaviour, out);
  PutOpt(query, code, out);
  bool whole = form != Form::kTc;
  if (out.overflow() || out.size() > limit) {
    // RFC 2181 section 9: what is not whole is left out.
    out.CutTo(question_end);
    for (const size_t count : {kAnswersAt, kAuthoritiesAt, kAdditionalsAt}) out.PatchU16(count, 0);
    PutOpt(query, code, out);
    whole = false;
  }
  const auto more = static_cast<uint16_t>(kAuthoritative | (whole ? 0 : kTruncated));
  out.PatchU16(kFlagsAt, Flags(query, code, more));
  if (form == Form::kFalseCounts) {
    for (const size_t count : {kAnswersAt, kAuthoritiesAt}) out.PatchU16(count, 0xFFFF);
  }
  return out.size();
}

size_t FarmDnsTarget::WriteDatagram(FarmDnsParse parsed, const FarmDnsQuery& query,
                                    const FarmDnsAsked& asked, Behaviour behaviour, Random& random,
                                    std::span<uint8_t> out) const {
  const size_t limit = IsLarge(behaviour) ? out.size() : query.udp_limit();
  const size_t size = Write(parsed, query, asked, behaviour, limit, random, out);
  return RowOf(behaviour).form == Form::kCut && parsed == FarmDnsParse::kGood ? size / 2 : size;
}

Behaviour FarmDnsTarget::AnswerStream(std::span<const uint8_t> message, Behaviour behaviour,
                                      Random& random, FarmSteps& steps) const {
  FarmDnsQuery query;
  const FarmDnsParse parsed = ReadFarmDnsQuery(message, &query);
  if (parsed == FarmDnsParse::kIgnore) {
    steps.Add(StepKind::kClose);
    return behaviour;
  }
  const FarmDnsAsked asked = ReadName(query);
  behaviour = asked.behaviour.value_or(behaviour);
  const Row& row = RowOf(behaviour);
  // Cut short over UDP only, so that clients can go on over TCP.
  const Behaviour said = row.form == Form::kTc ? Behaviour::kOk : behaviour;
  std::array<uint8_t, kDnsLargest> out;
  const size_t size = Write(parsed, query, asked, said, kDnsLargest, random, out);
  std::string bytes = {static_cast<char>(size >> 8), static_cast<char>(size)};
  bytes.append(reinterpret_cast<const char*>(out.data()), size);
  steps.Wait(config_.delay.Draw(random));
  steps.Wait(asked.delay);
  const Stream stream = parsed == FarmDnsParse::kGood ? row.tcp : Stream::kWhole;
  PlanStream(stream, config_.pace, std::move(bytes), steps);
  return behaviour;
}

}  // namespace sonde
