#include "protocols/dns_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "tests/protocols/dns_probe.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

// A probe of www.example whose answer is made by `fill`.
template <typename Fill>
std::unique_ptr<ConversationDriver> Judged(const std::string& module, const std::string& expect,
                                           Fill&& fill) {
  std::string query;
  auto probe = AskDnsProbe({.module = "{query_name: www.example, edns_size: 65535" +
                                      (module.empty() ? "" : ", " + module) + "}",
                            .expect = expect},
                           &query);
  DnsAnswer answer(query);
  fill(answer);
  probe->ReceiveDatagram(answer.Text());
  return probe;
}

std::string Rule(const char* list, const char* patterns, const char* section = "answer") {
  return "validate_" + std::string(section) + "_rrs: {fail_if_" + list + ": " + patterns + "}";
}

struct RuleRow {
  const char* list;
  const char* patterns;
  int records;  // of 192.0.2.1, 192.0.2.2, ...
  bool passes;
};

// blackbox_contract 8.4, with blackbox_exporter's surprises (Q10).
constexpr RuleRow kRules[] = {
    {"matches_regexp", "['192.0.2.1$']", 2, false},
    {"matches_regexp", "['192.0.2.9$']", 2, true},
    {"matches_regexp", "[zz, yy, '2.2$']", 2, false},
    {"matches_regexp", "['.']", 0, true},
    {"not_matches_regexp", "['192.0.2']", 2, true},
    {"not_matches_regexp", "['192.0.2.1$']", 2, false},
    {"not_matches_regexp", "['192.0.2', '2.1$']", 1, true},
    {"not_matches_regexp", "['192.0.2', '2.1$']", 2, false},
    {"not_matches_regexp", "['.']", 0, false},  // an empty section
    {"all_match_regexp", "['192.0.2']", 2, true},
    {"all_match_regexp", "['192.0.2.1$']", 2, false},
    {"all_match_regexp", "['192.0.2', '2.1$']", 2, false},
    {"all_match_regexp", "['x']", 0, true},  // an empty section
    {"none_matches_regexp", "['192.0.2.1$']", 2, true},
    {"none_matches_regexp", "[zz, '192.0.2.2$']", 2, true},
    {"none_matches_regexp", "['192.0.2.9$', zz]", 2, false},
    {"none_matches_regexp", "['.']", 0, false},  // an empty section
    // The record as zone files have it.
    {"not_matches_regexp", "['^www\\.example\\.\\t60\\tIN\\tA\\t192\\.0\\.2\\.1$']", 1, true},
    // Patterns that do not compile fail the probe when they are met, not before.
    {"matches_regexp", "['(']", 0, true},
};

TEST(DnsJudge, RuleTable) {
  constexpr struct {
    const char* name;
    Outcome outcome;
  } kSections[] = {{"answer", Outcome::kValidationAnswer},
                   {"authority", Outcome::kValidationAuthority},
                   {"additional", Outcome::kValidationAdditional}};
  for (int section = 0; section < 3; ++section) {
    for (const RuleRow& row : kRules) {
      const auto probe =
          Judged(Rule(row.list, row.patterns, kSections[section].name), "", [&](DnsAnswer& answer) {
            for (int i = 1; i <= row.records; ++i) {
              answer.A("192.0.2." + std::to_string(i), section);
            }
          });
      EXPECT_EQ(probe->outcome(), row.passes ? Outcome::kOk : kSections[section].outcome)
          << kSections[section].name << " " << row.list << " " << row.patterns << " "
          << row.records;
      if (!row.passes) { EXPECT_THAT(probe->evidence().detail, HasSubstr(row.list)); }
      EXPECT_EQ(*probe->result().facts.Get(Fact::kDnsQuerySucceeded), 1);
    }
  }
}

TEST(DnsJudge, DetailsNameRuleAndRecord) {
  const auto two = [](DnsAnswer& answer) { answer.A("192.0.2.1").A("192.0.2.2"); };
  EXPECT_EQ(Judged(Rule("matches_regexp", "[zz, '2$']"), "", two)->evidence().detail,
            "answer record 2, \"www.example.\t60\tIN\tA\t192.0.2.2\", matches /2$/ "
            "(fail_if_matches_regexp)");
  EXPECT_EQ(Judged(Rule("none_matches_regexp", "[zz]"), "", two)->evidence().detail,
            "answer section: no record matches (fail_if_none_matches_regexp)");
  EXPECT_EQ(Judged(Rule("not_matches_regexp", "[x]", "authority"), "", two)->evidence().detail,
            "authority section: there is no record (fail_if_not_matches_regexp)");
}

TEST(DnsJudge, BadPatternsAreTheConfigurationsFault) {
  for (const char* list :
       {"matches_regexp", "all_match_regexp", "not_matches_regexp", "none_matches_regexp"}) {
    const auto probe =
        Judged(Rule(list, "['(']"), "", [](DnsAnswer& answer) { answer.A("192.0.2.1"); });
    EXPECT_EQ(probe->outcome(), Outcome::kProberConfig) << list;
    EXPECT_EQ(probe->evidence().detail, "could not compile regular expression /(/");
    EXPECT_EQ(*probe->result().facts.Get(Fact::kDnsAnswerRrs), 1);  // it was asked all the same
  }
}

struct RcodeRow {
  const char* module;
  const char* expect;
  unsigned rcode;
  Outcome outcome;
  const char* detail;
};

TEST(DnsJudge, ResponseCodes) {
  constexpr RcodeRow kRows[] = {
      {"", "", 0, Outcome::kOk, ""},
      {"", "", 3, Outcome::kValidationRcode, "NXDOMAIN, expected NOERROR"},
      {"", "", 12, Outcome::kValidationRcode, "12, expected NOERROR"},
      {"valid_rcodes: [NXDOMAIN, REFUSED]", "", 3, Outcome::kOk, ""},
      {"valid_rcodes: [NXDOMAIN, REFUSED]", "", 0, Outcome::kValidationRcode,
       "NOERROR, expected NXDOMAIN or REFUSED"},
      {"valid_rcodes: [NOTIMPL]", "", 4, Outcome::kOk, ""},
      {"valid_rcodes: []", "", 0, Outcome::kValidationRcode, "NOERROR, and none is accepted"},
      {"valid_rcodes: [NOERROR, nope]", "", 0, Outcome::kProberConfig,
       "valid_rcodes: there is no response code 'nope'"},
      // A task's own replaces the module's.
      {"valid_rcodes: [nope]", "rcode: NXDOMAIN", 3, Outcome::kOk, ""},
      {"", "rcode: [NXDOMAIN, SERVFAIL]", 2, Outcome::kOk, ""},
      {"", "rcode: NXDOMAIN", 0, Outcome::kValidationRcode, "NOERROR, expected NXDOMAIN"},
  };
  for (const RcodeRow& row : kRows) {
    const auto probe =
        Judged(row.module, row.expect, [&](DnsAnswer& answer) { answer.Rcode(row.rcode); });
    EXPECT_EQ(probe->outcome(), row.outcome) << row.module << row.expect;
    EXPECT_EQ(probe->evidence().detail, row.detail);
    EXPECT_EQ(*probe->result().facts.Get(Fact::kDnsRcode), row.rcode);
  }
}

TEST(DnsJudge, TheFirstFailureIsTheVerdict) {
  const std::string all = "fail_if_truncated: true, " + Rule("matches_regexp", "[A]") + ", " +
                          Rule("matches_regexp", "[A]", "authority") + ", " +
                          Rule("matches_regexp", "[A]", "additional");
  const auto outcome = [&](bool rcode, bool truncated, int first) {
    return Judged(all, "",
                  [&](DnsAnswer& answer) {
                    if (rcode) answer.Rcode(2);
                    if (truncated) answer.Truncated();
                    for (int section = first; section < 3; ++section)
                      answer.A("192.0.2.1", section);
                  })
        ->outcome();
  };
  EXPECT_EQ(outcome(true, true, 0), Outcome::kValidationRcode);
  EXPECT_EQ(outcome(false, true, 0), Outcome::kValidationTruncated);
  EXPECT_EQ(outcome(false, false, 0), Outcome::kValidationAnswer);
  EXPECT_EQ(outcome(false, false, 1), Outcome::kValidationAuthority);
  EXPECT_EQ(outcome(false, false, 2), Outcome::kValidationAdditional);
  EXPECT_EQ(outcome(false, false, 3), Outcome::kOk);
}

TEST(DnsJudge, Expect) {
  const auto two = [](DnsAnswer& answer) {
    answer.A("192.0.2.1").A("192.0.2.2").A("192.0.2.3", 1);
  };
  EXPECT_EQ(Judged("", "answer_contains: 192.0.2.2", two)->outcome(), Outcome::kOk);
  EXPECT_EQ(Judged("", "answer_contains: [2.2, \"2.1\"]", two)->outcome(), Outcome::kOk);
  const auto missing = Judged("", "answer_contains: [2.2, 192.0.2.3]", two);
  EXPECT_EQ(missing->outcome(), Outcome::kValidationAnswer);
  EXPECT_EQ(missing->evidence().detail, "no record of the answer contains \"192.0.2.3\"");
  EXPECT_EQ(Judged("", "answer_contains: a", [](DnsAnswer&) {})->outcome(),
            Outcome::kValidationAnswer);
  EXPECT_EQ(Judged("", "min_answers: 2", two)->outcome(), Outcome::kOk);
  const auto few = Judged("", "min_answers: 3", two);
  EXPECT_EQ(few->outcome(), Outcome::kValidationAnswer);
  EXPECT_EQ(few->evidence().detail, "the answer section has 2 records, expected at least 3");
}

// Names of two bytes that print as four times 250 each: a hostile message stays cheap.
TEST(DnsJudge, MatchedTextIsBounded) {
  const auto fill = [](size_t records) {
    return [records](DnsAnswer& answer) {
      const std::string label = '\x3f' + std::string(63, '\x01');
      answer.Add(0, 2, label + label + label + '\x3b' + std::string(59, '\x01') + '\0');
      // Points at the name in the record before it.
      const std::string owner = Number16(0xc000 | (12 + 17 + 12));
      for (size_t i = 1; i < records; ++i) answer.Add(0, 1, "abcd", 60, owner);
    };
  };
  const std::string rule = Rule("matches_regexp", "[zzz]");
  EXPECT_EQ(Judged(rule, "", fill(1000))->outcome(), Outcome::kOk);
  const auto probe = Judged(rule, "", fill(1100));
  EXPECT_EQ(probe->outcome(), Outcome::kBodyTooLarge);
  EXPECT_EQ(probe->evidence().detail, "more than 1 MiB of text to match");
  EXPECT_EQ(Judged("", "", fill(1100))->outcome(), Outcome::kOk);  // nothing to match
}

}  // namespace
}  // namespace sonde
