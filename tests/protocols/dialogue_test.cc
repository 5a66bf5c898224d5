// Dialogues of real protocols, played through the tcp prober: whole, one byte at a time and at
// every split.
#include "protocols/dialogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/tcp_prober.h"
#include "tests/protocols/dialogue_play.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kSmtpStarttls = R"y(
query_response:
  - expect: "^220 ([^ ]+) ESMTP (.+)$"
    labels:
      - {name: host, value: "${1}"}
  - send: "EHLO prober\r"
  - expect: "^250-STARTTLS"
  - send: "STARTTLS\r"
  - expect: "^220"
  - starttls: true
  - send: "EHLO prober\r"
  - expect: "^250 "
  - send: "QUIT\r"
)y";

constexpr std::string_view kRedis = R"y(
query_response:
  - send: "PING\r"
  - expect: "^\\+PONG$"
  - send_bytes: "GET k\r\n"
  - expect_bytes: "$5\r\nhello\r\n"
)y";

constexpr std::string_view kSsh = R"y(
query_response:
  - expect: "^SSH-2.0-([^ -]+)(?: (.*))?$"
    send: "SSH-2.0-sonde_$1\r"
    labels:
      - {name: software, value: "got ${1} here"}
      - {name: where, value: "${1} on ${2}"}
)y";

constexpr std::string_view kPop3 = R"y(
query_response:
  - expect: "^\\+OK .*(<[^>]+>)"
    send: "NOOP $1\r"
  - expect: "^\\+OK"
    send: "QUIT\r"
  - expect: "^\\+OK"
)y";

std::vector<DialoguePlay> Plays() {
  return {
      {"smtp",
       kSmtpStarttls,
       {{"", "220 mail.example ESMTP Postfix (Debian)\r\n"},
        {"EHLO prober\r\n", "250-mail.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 DSN\r\n"},
        {"STARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n"},
        {"EHLO prober\r\n", "250-mail.example\r\n250 DSN\r\n"}},
       "QUIT\r\n"},
      {"redis", kRedis, {{"PING\r\n", "+PONG\r\n"}, {"GET k\r\n", "$5\r\nhello\r\n"}}, ""},
      {"ssh",
       kSsh,
       {{"", "hello there\r\n\r\nSSH-2.0-OpenSSH_6.9p1 Debian-2\r\n"}},
       "SSH-2.0-sonde_OpenSSH_6.9p1\r\n"},
      {"pop3",
       kPop3,
       {{"", "+OK POP3 ready <1896.697@mail.example>\r\n"},
        {"NOOP <1896.697@mail.example>\r\n", "+OK\r\n"},
        {"QUIT\r\n", "+OK bye\r\n"}},
       ""},
  };
}

TEST(Dialogue, PlaysWholeInBytesAndAtAllSplits) {
  for (const DialoguePlay& play : Plays()) PlayAtEverySplit(play);
}

TEST(Dialogue, BreaksAtEveryByte) {
  for (const DialoguePlay& play : Plays()) BreakAtEveryByte(play);
}

TEST(Dialogue, LabelsBecomeOneSeries) {
  const auto probe = Drive(kSsh);
  probe->Open();
  probe->Receive("SSH-2.0-OpenSSH_6.9p1 Debian-2\r\n");
  ASSERT_EQ(probe->texts().size(), 1u);
  const Text& text = probe->texts()[0];
  EXPECT_EQ(text.family, TextFamily::kExpectInfo);
  EXPECT_EQ(text.labels[0],
            std::make_pair(std::string("software"), std::string("got OpenSSH_6.9p1 here")));
  EXPECT_EQ(text.labels[1],
            std::make_pair(std::string("where"), std::string("OpenSSH_6.9p1 on Debian-2")));
  const uint64_t hash = probe->result().texts_hash;
  EXPECT_NE(hash, 0u);

  const auto other = Drive(kSsh);
  other->Open();
  other->Receive("SSH-2.0-dropbear\r\n");
  EXPECT_NE(other->result().texts_hash, hash);

  const auto same = Drive(kSsh);
  same->known_texts_hash = hash;
  same->Open();
  same->Receive("SSH-2.0-OpenSSH_6.9p1 Debian-2\r\n");
  EXPECT_EQ(same->result().texts_hash, hash);
  EXPECT_TRUE(same->texts().empty());
}

TEST(Dialogue, LabelsOfSeveralEntriesAreMerged) {
  const auto probe = Drive(R"y(
query_response:
  - {expect: "a(.)", labels: [{name: x, value: $1}, {name: y, value: y$1}]}
  - {expect: "b(.)", labels: [{name: x, value: $1}]}
)y");
  probe->Open();
  probe->Receive("a1\nb2\n");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  ASSERT_EQ(probe->texts().size(), 1u);
  EXPECT_EQ(probe->texts()[0].labels,
            (std::vector<std::pair<std::string, std::string>>{{"x", "2"}, {"y", "y1"}}));
}

TEST(Dialogue, LabelValuesAreBounded) {
  const auto probe =
      Drive("query_response: [{expect: '^(.+)$', labels: [{name: all, value: 'x$1'}]}]");
  probe->Open();
  std::string line;
  for (int i = 0; i < 5000; ++i) line += "\xc3\xa9";
  probe->Receive(line + "\n");
  ASSERT_EQ(probe->texts().size(), 1u);
  const std::string& value = probe->texts()[0].labels[0].second;
  EXPECT_EQ(value.size(), DialogueScript::kMaxLabelValue - 1);  // not cut within a character
  EXPECT_TRUE(IsValidUtf8(value));
}

TEST(Dialogue, SendIsExpandedOnlyBesideExpect) {
  const auto probe = Drive(R"y(
query_response:
  - send: "literal $1 $$"
  - expect: "^a$"
    send: "b$$c $1 ${0}x ${nope}"
  - expect: "^(z)?a"
    send: "$1"
  - send_bytes: "raw $1"
  - {}
  -
  - expect: "^end"
)y");
  probe->Open();
  EXPECT_EQ(probe->Sent(), "literal $1 $$\n");
  probe->Receive("a\n");
  EXPECT_EQ(probe->Sent(), "b$c  ax \n");
  probe->Receive("a\n");
  EXPECT_EQ(probe->Sent(), "raw $1");  // an empty expansion sends nothing, not even a line feed
  probe->Receive("end\n");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Dialogue, OneReadMayAnswerSeveralEntries) {
  const auto probe = Drive(R"y(
query_response:
  - expect: "^one"
    send: "1"
  - expect_bytes: "two"
    send: "2"
  - expect: "^three"
)y");
  probe->Open();
  probe->Receive("zero\none\ntwothree\n");  // what an expect left over feeds expect_bytes
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(probe->Sent(), "1\n2\n");
}

TEST(Dialogue, LinesLoseOneCarriageReturn) {
  const auto probe = Drive("query_response: [{expect: '^a\\r$'}]");
  probe->Open();
  probe->Receive("a\r\n");
  EXPECT_FALSE(probe->finished());
  probe->Receive("a\r\r\n");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Dialogue, AnEmptyPatternTakesAnyLine) {
  const auto probe = Drive("query_response: [{expect: ''}]");
  probe->Open();
  EXPECT_FALSE(probe->finished());
  probe->Receive("\n");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Dialogue, UnterminatedLinesCountOnlyAtTheEnd) {
  const auto waiting = Drive("query_response: [{expect: '^login: $'}]");
  waiting->Open();
  waiting->Receive("login: ");
  waiting->Deadline();
  EXPECT_EQ(waiting->outcome(), Outcome::kDialogueTimeout);
  EXPECT_EQ(*waiting->result().facts.Get(Fact::kFailedRegex), 0);  // unchanged by a time-out
  EXPECT_EQ(waiting->evidence().detail,
            "step 1: expected /^login: $/, got \"login: \" without a line end");

  const auto closed = Drive("query_response: [{expect: '^login: $'}]");
  closed->Open();
  closed->Receive("login: ");
  closed->Close();
  EXPECT_EQ(closed->outcome(), Outcome::kOk);
}

TEST(Dialogue, LinesThatDoNotMatchThenTheEnd) {
  const auto probe = Drive("query_response: [{expect: '^220'}, {send: x}]");
  probe->Open();
  probe->Receive("554 go away\r\n");
  EXPECT_FALSE(probe->finished());
  probe->Close();
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueMismatch);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kFailedRegex), 1);
  EXPECT_EQ(probe->evidence().detail, "step 1: expected /^220/, got \"554 go away\"");
  EXPECT_EQ(probe->evidence().body, "554 go away\r\n");
}

TEST(Dialogue, TheEndInTheMiddleOfADialogue) {
  const auto probe = Drive("query_response: [{expect: '^220'}, {send: HELO}, {expect: '^250'}]");
  probe->Open();
  probe->Receive("220 hi\r\n");
  EXPECT_EQ(probe->Sent(), "HELO\n");
  probe->Close();
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueClosed);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kFailedRegex), 1);
  EXPECT_EQ(probe->evidence().detail, "step 3: expected /^250/");
}

// A peer that closes its half early still gets what the script says.
TEST(Dialogue, HalfClosedPeerIsAnsweredToTheEnd) {
  const auto probe = Drive("query_response: [{expect: '^220'}, {send: QUIT}]");
  probe->Open();
  probe->Receive("220 hi");
  probe->Close();
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
  EXPECT_EQ(probe->Sent(), "QUIT\n");
}

TEST(Dialogue, StarttlsAfterTheEndIsAFailedHandshake) {
  const auto probe = Drive("query_response: [{expect: '^220'}, {starttls: true}]");
  probe->Open();
  probe->Receive("220 hi");
  probe->Close();
  EXPECT_EQ(probe->outcome(), Outcome::kTlsClosed);
}

TEST(Dialogue, ExpectBytesDecidesAtTheFirstWrongByte) {
  const auto probe = Drive("query_response: [{expect_bytes: abcdef}]");
  probe->Open();
  probe->Receive("abc");
  EXPECT_FALSE(probe->finished());
  probe->Receive("x");
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueMismatch);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kFailedBytes), 1);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kFailedRegex), 0);
  EXPECT_EQ(probe->evidence().detail,
            "step 1: expected bytes \"abcdef\", the first 3 came, got \"x\"");
}

TEST(Dialogue, ExpectBytesThatEndEarlyLeaveTheGauge) {
  const auto probe = Drive("query_response: [{expect_bytes: abcdef}]");
  probe->Open();
  probe->Receive("abc");
  probe->Close();
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueClosed);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kFailedBytes), 0);
}

TEST(Dialogue, ExpectNotEndsItAtOnce) {
  const auto probe = Drive("query_response: [{expect: '^2..', expect_not: '^[45]'}, {send: x}]");
  probe->Open();
  probe->Receive("100 wait\n4");
  EXPECT_FALSE(probe->finished());  // a line counts when it is there
  probe->Receive("21 no\n200 too late\n");
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueMismatch);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kFailedRegex), 1);
  EXPECT_EQ(probe->evidence().detail, "step 1: expected /^2../, got \"421 no\"");
}

TEST(Dialogue, ExpectGoesBeforeExpectNot) {
  const auto both = Drive("query_response: [{expect: '^a', expect_not: '^'}]");
  both->Open();
  both->Receive("a\n");
  EXPECT_EQ(both->outcome(), Outcome::kOk);
  const auto strict = Drive("query_response: [{expect: '^a', expect_not: ''}]");
  strict->Open();
  strict->Receive("b\na\n");  // an empty one: no line may be skipped
  EXPECT_EQ(strict->outcome(), Outcome::kDialogueMismatch);
}

TEST(Dialogue, ExpectUntilEndsLinesWithAnyText) {
  const std::string text = "x\n login:\r\nlogin: Password: ";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    SCOPED_TRACE(cut);
    const auto probe = Drive(R"y(
query_response:
  - {expect: "(?s)login$", expect_until: ": ", send: "me $0"}
  - {expect: "^(Password)$", expect_until: ": ", labels: [{name: prompt, value: $1}]}
)y");
    probe->Open();
    probe->Receive(text.substr(0, cut));
    probe->Receive(text.substr(cut));
    EXPECT_EQ(probe->outcome(), Outcome::kOk) << probe->evidence().detail;
    EXPECT_EQ(probe->Sent(), "me login\n");
    ASSERT_EQ(probe->texts().size(), 1u);
    EXPECT_EQ(probe->texts()[0].labels[0].second, "Password");
  }
}

// A carriage return before such an end is part of the text.
TEST(Dialogue, ExpectUntilKeepsCarriageReturns) {
  const auto probe = Drive("query_response: [{expect: '^a\\r$', expect_until: ;}]");
  probe->Open();
  probe->Receive("a\r;");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Dialogue, ExpectUntilIsLimitedLikeLines) {
  for (const bool bytewise : {false, true}) {
    for (const size_t more : {size_t{0}, size_t{1}}) {
      const std::string text(Dialogue::kLineLimit - 2 + more, 'x');
      const auto probe = Drive("query_response: [{expect: x$, expect_until: '::'}]");
      probe->Open();
      if (bytewise) {
        probe->Receive(text);
        probe->ReceiveOneByOne("::");
      } else {
        probe->Receive(text + "::");
      }
      EXPECT_EQ(probe->outcome(), more == 0 ? Outcome::kOk : Outcome::kDialogueTooLarge);
    }
  }
}

TEST(Dialogue, ExpectLengthTakesExactlySoManyBytes) {
  constexpr std::string_view kModule = R"y(
query_response:
  - {expect: '^([A-C])\n.$', expect_length: 3, labels: [{name: kind, value: $1}]}
  - {expect: "^rest$"}
)y";
  const std::string text = "B\nxrest\n";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto probe = Drive(kModule);
    probe->Open();
    probe->Receive(text.substr(0, cut));
    probe->Receive(text.substr(cut));
    EXPECT_EQ(probe->outcome(), Outcome::kOk) << cut << probe->evidence().detail;
    EXPECT_EQ(probe->texts()[0].labels[0].second, "B");
  }
  const auto wrong = Drive(kModule);
  wrong->Open();
  wrong->Receive("D\n");
  EXPECT_FALSE(wrong->finished());
  wrong->Receive("x");
  EXPECT_EQ(wrong->outcome(), Outcome::kDialogueMismatch);  // nothing is skipped
  EXPECT_EQ(*wrong->result().facts.Get(Fact::kFailedRegex), 1);
  EXPECT_EQ(wrong->evidence().detail,
            "step 1: expected 3 bytes like /^([A-C])\\n.$/, got \"D\\nx\"");
  const auto few = Drive(kModule);
  few->Open();
  few->Receive("B\n");
  few->Close();
  EXPECT_EQ(few->outcome(), Outcome::kDialogueClosed);
  EXPECT_THAT(few->evidence().detail, HasSubstr("got \"B\\n\" and no more"));
}

TEST(Dialogue, ExpectLengthAtItsLimit) {
  const std::string most(DialogueScript::kLineLimit, 'x');
  const auto probe = Drive("query_response: [{expect: ^x+$, expect_length: 65536}]");
  probe->Open();
  probe->Receive(most.substr(1));
  EXPECT_FALSE(probe->finished());
  probe->Receive("x");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Dialogue, BinaryBytesGoBothWays) {
  const auto probe =
      Drive("query_response: [{send_bytes: !!binary AAEC/w==}, {expect_bytes: !!binary /wAK}]");
  probe->Open();
  EXPECT_EQ(probe->Sent(), std::string("\x00\x01\x02\xff", 4));
  probe->ReceiveOneByOne(std::string_view("\xff\x00\x0a", 3));
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Dialogue, LinesAreLimited) {
  const std::string most(Dialogue::kLineLimit - 1, 'x');
  const auto fits = Drive("query_response: [{expect: 'x$'}]");
  fits->Open();
  fits->Receive(most + "\n");
  EXPECT_EQ(fits->outcome(), Outcome::kOk);

  const auto whole = Drive("query_response: [{expect: 'x$'}]");
  whole->Open();
  whole->Receive(most + "x\n");
  EXPECT_EQ(whole->outcome(), Outcome::kDialogueTooLarge);

  const auto endless = Drive("query_response: [{expect: 'x$'}]");
  endless->Open();
  for (int i = 0; i < 100 && !endless->finished(); ++i) endless->Receive(std::string(1000, 'x'));
  EXPECT_EQ(endless->outcome(), Outcome::kDialogueTooLarge);
  EXPECT_LE(endless->unread().size(), Dialogue::kLineLimit + 1000);
}

TEST(Dialogue, PeersThatNeverStopAreCutOff) {
  const auto probe = Drive("query_response: [{expect: '^never$'}]");
  probe->Open();
  std::string garbage;
  while (garbage.size() < 64 * 1024) garbage += "some other line\n";
  int reads = 0;
  while (!probe->finished() && reads < 10000) {
    probe->Receive(garbage);
    ++reads;
  }
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueTooLarge);
  EXPECT_LT(reads, 300);
  EXPECT_EQ(probe->evidence().body.size(), Evidence::kBodyLimit);
}

TEST(Dialogue, GarbageIsNoLine) {
  std::string garbage;
  uint32_t x = 7;
  for (int i = 0; i < 4000; ++i) {
    garbage += static_cast<char>((x = x * 1664525u + 1013904223u) >> 24);
  }
  const auto probe = Drive(kSmtpStarttls);
  probe->Open();
  probe->ReceiveOneByOne(garbage);
  EXPECT_FALSE(probe->finished());
  probe->Close();
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueMismatch);
  EXPECT_EQ(probe->evidence().body, garbage.substr(0, Evidence::kBodyLimit));
}

// Bytes that came in plain text before the handshake must not count as said inside it.
TEST(Dialogue, NothingSaidBeforeTlsCountsWithinIt) {
  const auto probe = Drive(kSmtpStarttls);
  probe->Open();
  probe->Receive("220 mail.example ESMTP x\r\n");
  probe->Receive("250-STARTTLS\r\n");
  probe->Receive("220 ready\r\n250 injected\r\n");
  ASSERT_EQ(probe->step().kind, Step::Kind::kSecure);
  probe->Open();
  EXPECT_FALSE(probe->finished());
  probe->Receive("250 real\r\n");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

TEST(Dialogue, ContainsLooksAcrossReads) {
  const std::string text = "welcome to the needle shop";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto probe = Drive("", "peer.example:25", "contains: needle");
    probe->Open();
    probe->Receive(text.substr(0, cut));
    probe->Receive(text.substr(cut));
    EXPECT_EQ(probe->outcome(), Outcome::kOk) << cut;
  }
  const auto bytes = Drive("", "peer.example:25", "contains: nneedle");
  bytes->Open();
  bytes->ReceiveOneByOne("nnneedle");
  EXPECT_EQ(bytes->outcome(), Outcome::kOk);
}

TEST(Dialogue, ContainsFailsAtTheEnd) {
  const auto probe = Drive("", "peer.example:25", "contains: needle");
  probe->Open();
  probe->Receive("haystack");
  probe->Close();
  EXPECT_EQ(probe->outcome(), Outcome::kDialogueMismatch);
  EXPECT_EQ(*probe->result().facts.Get(Fact::kFailedRegex), 0);
  EXPECT_EQ(probe->evidence().detail, "step 1: expected \"needle\" somewhere");

  const auto silent = Drive("", "peer.example:25", "contains: needle");
  silent->Open();
  silent->Deadline();
  EXPECT_EQ(silent->outcome(), Outcome::kFirstByteTimeout);
}

TEST(Dialogue, ContainsComesAfterTheModulesDialogue) {
  const auto probe =
      Drive("query_response: [{send: hello}, {expect: '^1'}]", "h:25", "contains: needle");
  probe->Open();
  probe->Receive("needle\n1\n");
  EXPECT_FALSE(probe->finished());
  probe->Receive("needle");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

std::string ErrorsOf(std::string_view yaml) {
  const ModuleText read = ReadModule(TcpProber(), yaml);
  EXPECT_FALSE(read.module) << yaml;
  return read.errors();
}

TEST(DialogueScript, LoadErrors) {
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, expect_bytes: b}]"),
              HasSubstr("both expect and expect_bytes"));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: '['}]"),
              HasSubstr("\"Could not compile regular expression\" regexp=\"[\""));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: '['}]"), HasSubstr("query_response[0].expect"));
  EXPECT_THAT(ErrorsOf("{tls: true, query_response: [{starttls: true}]}"),
              HasSubstr("not possible with tls: true"));
  EXPECT_THAT(ErrorsOf("query_response: [{starttls: true}, {starttls: true}]"),
              HasSubstr("once only"));
  EXPECT_THAT(ErrorsOf("query_response: [{send: a, send_bytes: b}]"),
              HasSubstr("at most one of send and send_bytes"));
  EXPECT_THAT(ErrorsOf("query_response: [{expects: a}]"), HasSubstr("did you mean 'expect'"));
  EXPECT_THAT(ErrorsOf("query_response: {expect: a}"), HasSubstr("query_response"));
  EXPECT_THAT(ErrorsOf("query_response: [a]"), HasSubstr("query_response[0]"));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, labels: [{name: a-b, value: c}]}]"),
              HasSubstr("not a label name"));
  EXPECT_THAT(ErrorsOf("query_response: [{starttls: 'true'}]"), HasSubstr("starttls"));
  for (const std::string key : {"expect_not: a", "expect_until: a", "expect_length: 3"}) {
    EXPECT_THAT(ErrorsOf("query_response: [{expect_bytes: a, " + key + "}]"),
                HasSubstr("goes with expect only"));
  }
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, expect_not: '['}]"),
              HasSubstr("query_response[0].expect_not"));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, expect_until: ''}]"),
              HasSubstr("at least one byte"));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, expect_length: 0}]"), HasSubstr("between 1"));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, expect_length: 65537}]"), HasSubstr("65536"));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, expect_length: 3, expect_not: b}]"),
              HasSubstr("query_response[0].expect_not: has no meaning with expect_length"));
  EXPECT_THAT(ErrorsOf("query_response: [{expect: a, expect_length: 3, expect_until: b}]"),
              HasSubstr("query_response[0].expect_until: has no meaning"));
  std::string many = "query_response:\n";
  for (size_t i = 0; i <= DialogueScript::kMaxEntries; ++i) many += "- {send: a}\n";
  EXPECT_THAT(ErrorsOf(many), HasSubstr("at most 1000"));
}

TEST(DialogueScript, LabelsWithoutExpectAreWarnedOf) {
  const ModuleText read =
      ReadModule(TcpProber(), "query_response: [{send: a, labels: [{name: a, value: b}]}]");
  EXPECT_TRUE(read.module);
  EXPECT_THAT(read.errors(), HasSubstr("no effect"));
}

TEST(QuotedForPeople, ShowsEveryByte) {
  EXPECT_EQ(QuotedForPeople(std::string_view("a\"\\\r\n\x00\x1b\xff", 8)),
            "\"a\\\"\\\\\\r\\n\\x00\\x1b\\xff\"");
  EXPECT_EQ(QuotedForPeople("abcdef", 3), "\"abc\"...");
}

}  // namespace
}  // namespace sonde
