// Judges an answer in blackbox_exporter's order: response code, then the rules over the answer,
// authority and additional section; what fails first is the verdict (blackbox_contract 8.4). The
// task's `expect` goes along, and so does truncation, between code and records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "engine/contract/conversation.h"
#include "protocols/dns_message.h"
#include "protocols/dns_options.h"

namespace sonde {

// Lives for one answer, on its shard's thread. Without rules over records it takes nothing from the
// heap.
class DnsJudge {
 public:
  // Text matched against rules, all records of an answer together; more is body/too_large.
  static constexpr size_t kTextLimit = 1 << 20;
  // A record in a detail is cut behind this many bytes.
  static constexpr size_t kShownText = 200;

  DnsJudge(const DnsModule& module, const DnsExpect& expect, const ConversationContext& context)
      : module_(module), expect_(expect), context_(context) {}

  // kOk, or what the answer fails with; TakeDetail() says then which rule and which record.
  Outcome Judge(const DnsReply& reply);
  Buffer TakeDetail() { return std::move(detail_); }

 private:
  Outcome JudgeRcode(const DnsReply& reply);
  Outcome JudgeSection(const DnsReply& reply, DnsSection section);
  Outcome JudgeRecord(const DnsRules& rules);
  Outcome JudgeExpect(const DnsReply& reply);
  void NoteExpected();
  Outcome Bad(const DnsPattern& pattern);
  Outcome Fails(std::string_view rule, const DnsPattern* pattern, std::string_view what);
  bool Matches(const DnsPattern& pattern) const;
  void Say(std::string_view text);
  void SayNumber(uint64_t number);

  const DnsModule& module_;
  const DnsExpect& expect_;
  const ConversationContext& context_;
  Buffer text_;  // the record being judged
  Buffer detail_;
  size_t judged_text_ = 0;
  DnsSection section_ = DnsSection::kCount;
  uint16_t number_ = 0;     // of the record
  bool any_match_ = false;  // of none_matches, so far in the section
  bool all_match_ = true;   // of all_match
  uint64_t contained_ = 0;  // bits: expect's texts found so far
};

}  // namespace sonde
