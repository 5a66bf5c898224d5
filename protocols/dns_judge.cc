#include "protocols/dns_judge.h"

#include <algorithm>
#include <charconv>

#include "protocols/dns_record_text.h"
#include "protocols/dns_types.h"

namespace sonde {
namespace {

constexpr Outcome kRuleFails[kDnsSections] = {
    Outcome::kValidationAnswer, Outcome::kValidationAuthority, Outcome::kValidationAdditional};

}  // namespace

void DnsJudge::Say(std::string_view text) {
  if (!detail_) detail_ = context_.buffers.Take();
  detail_.Append(text);
}

void DnsJudge::SayNumber(uint64_t number) {
  char text[24];
  Say({text, static_cast<size_t>(std::to_chars(text, std::end(text), number).ptr - text)});
}

Outcome DnsJudge::Judge(const DnsReply& reply) {
  if (const Outcome outcome = JudgeRcode(reply); outcome != Outcome::kOk) return outcome;
  if (reply.truncated() && module_.fail_if_truncated) return Outcome::kValidationTruncated;
  if (!module_.has_rules && expect_.answer_contains.empty()) return JudgeExpect(reply);
  for (size_t i = 0; i < kDnsSections; ++i) {
    const Outcome outcome = JudgeSection(reply, static_cast<DnsSection>(i));
    if (outcome != Outcome::kOk) return outcome;
  }
  return Outcome::kOk;
}

Outcome DnsJudge::JudgeRcode(const DnsReply& reply) {
  const bool own = !expect_.rcodes.empty();
  if (!own && !module_.unknown_rcode.empty()) {
    Say("valid_rcodes: there is no response code ");
    Say(module_.unknown_rcode);
    return Outcome::kProberConfig;
  }
  const DnsRcodes& good = own ? expect_.rcodes : module_.valid_rcodes;
  if (std::find(good.begin(), good.end(), reply.rcode) != good.end()) return Outcome::kOk;
  const auto say = [this](uint16_t rcode) {
    const std::string_view name = DnsRcodeName(rcode);
    Say(name);
    if (name.empty()) SayNumber(rcode);
  };
  say(reply.rcode);
  Say(good.empty() ? ", and none is accepted" : ", expected ");
  for (size_t i = 0; i < good.size(); ++i) {
    if (i > 0) Say(" or ");
    say(good[i]);
  }
  return Outcome::kValidationRcode;
}

Outcome DnsJudge::JudgeSection(const DnsReply& reply, DnsSection section) {
  const DnsRules& rules = module_.rules[static_cast<size_t>(section)];
  const bool answer = section == DnsSection::kAnswer;
  const bool looks_for = answer && !expect_.answer_contains.empty();
  if (rules.empty() && !looks_for) return answer ? JudgeExpect(reply) : Outcome::kOk;
  section_ = section;
  number_ = 0;
  any_match_ = false;
  all_match_ = true;
  if (reply.counts[static_cast<size_t>(section)] == 0) {
    if (!rules.not_matches.empty()) {
      return Fails("fail_if_not_matches_regexp", nullptr, "there is no record");
    }
    if (!rules.none_matches.empty()) {
      return Fails("fail_if_none_matches_regexp", nullptr, "there is no record");
    }
  }
  if (!text_) text_ = context_.buffers.Take();
  for (DnsRecords records(reply); records.Next();) {
    if (records.section() > section) break;
    if (records.section() != section) continue;
    number_ = records.number();
    text_.Clear();
    AppendDnsRecord(reply.message, records.record(), &text_);
    judged_text_ += text_.size();
    if (judged_text_ > kTextLimit) {
      Say("more than 1 MiB of text to match");
      return Outcome::kBodyTooLarge;
    }
    if (const Outcome outcome = JudgeRecord(rules); outcome != Outcome::kOk) return outcome;
    if (looks_for) NoteExpected();
  }
  if (!rules.all_match.empty() && !all_match_) {
    return Fails("fail_if_all_match_regexp", nullptr, "not all records match");
  }
  if (!rules.none_matches.empty() && !any_match_) {
    return Fails("fail_if_none_matches_regexp", nullptr, "no record matches");
  }
  return answer ? JudgeExpect(reply) : Outcome::kOk;
}

// In the order of blackbox_exporter, so that the same pattern is met first.
Outcome DnsJudge::JudgeRecord(const DnsRules& rules) {
  for (const DnsPattern& pattern : rules.matches) {
    if (!pattern.regex) return Bad(pattern);
    if (Matches(pattern)) return Fails("fail_if_matches_regexp", &pattern, "matches");
  }
  for (const DnsPattern& pattern : rules.all_match) {
    if (!pattern.regex) return Bad(pattern);
    if (!Matches(pattern)) all_match_ = false;
  }
  for (const DnsPattern& pattern : rules.not_matches) {
    if (!pattern.regex) return Bad(pattern);
    if (!Matches(pattern)) return Fails("fail_if_not_matches_regexp", &pattern, "does not match");
  }
  for (const DnsPattern& pattern : rules.none_matches) {
    if (!pattern.regex) return Bad(pattern);
    if (Matches(pattern)) any_match_ = true;
  }
  return Outcome::kOk;
}

bool DnsJudge::Matches(const DnsPattern& pattern) const {
  return pattern.regex->Match(context_.shard, text_.text());
}

void DnsJudge::NoteExpected() {
  for (size_t i = 0; i < expect_.answer_contains.size(); ++i) {
    if (text_.text().find(expect_.answer_contains[i]) != std::string_view::npos) {
      contained_ |= uint64_t{1} << i;
    }
  }
}

Outcome DnsJudge::JudgeExpect(const DnsReply& reply) {
  if (reply.counts[0] < expect_.min_answers) {
    Say("the answer section has ");
    SayNumber(reply.counts[0]);
    Say(" records, expected at least ");
    SayNumber(expect_.min_answers);
    return Outcome::kValidationAnswer;
  }
  for (size_t i = 0; i < expect_.answer_contains.size(); ++i) {
    if ((contained_ >> i & 1) != 0) continue;
    Say("no record of the answer contains \"");
    Say(std::string_view(expect_.answer_contains[i]).substr(0, kShownText));
    Say("\"");
    return Outcome::kValidationAnswer;
  }
  return Outcome::kOk;
}

Outcome DnsJudge::Bad(const DnsPattern& pattern) {
  Say("could not compile regular expression /");
  Say(std::string_view(pattern.text).substr(0, kShownText));
  Say("/");
  return Outcome::kProberConfig;
}

// "answer record 2, "www.example...", matches /192/ (fail_if_matches_regexp)".
Outcome DnsJudge::Fails(std::string_view rule, const DnsPattern* pattern, std::string_view what) {
  Say(DnsSectionName(section_));
  if (pattern) {
    Say(" record ");
    SayNumber(number_);
    Say(", \"");
    Say(text_.text().substr(0, kShownText));
    Say(text_.size() > kShownText ? "\"...," : "\",");
  } else {
    Say(" section:");
  }
  Say(" ");
  Say(what);
  if (pattern) {
    Say(" /");
    Say(std::string_view(pattern->text).substr(0, kShownText));
    Say("/");
  }
  Say(" (");
  Say(rule);
  Say(")");
  return kRuleFails[static_cast<size_t>(section_)];
}

}  // namespace sonde
