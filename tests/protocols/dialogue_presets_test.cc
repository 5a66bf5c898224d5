// Each preset with peers that answer well, refuse, stop anywhere and talk garbage.
#include "protocols/dialogue_presets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/contract/label_name.h"
#include "protocols/dialogue.h"
#include "protocols/tcp_prober.h"
#include "tests/protocols/dialogue_play.h"
#include "tests/protocols/usual_report.h"

namespace sonde {
namespace {

using namespace std::string_view_literals;
using ::testing::HasSubstr;

using Labels = std::vector<std::pair<std::string, std::string>>;

struct PresetPlay {
  DialoguePlay play;
  Labels labels;  // what probe_expect_info says afterwards, sorted
};

constexpr std::string_view kMysqlGreeting =
    "\x4a\0\0\0\x0a"
    "8.0.36\0\x0b\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0\x0axyz\0"
    "caching_sha2_password\0"sv;
constexpr std::string_view kMariadbGreeting =
    "\xfe\0\0\0\x0a"
    "5.5.5-10.11.6-MariaDB-0+deb12u1\0\x0b\0\0\0abcdefgh\0"sv;
constexpr std::string_view kSslRequest = "\0\0\0\x08\x04\xd2\x16\x2f"sv;

std::vector<PresetPlay> Good() {
  return {
      {{"smtp",
        "preset: smtp",
        {{"", "220-mail.example wait for it\r\n220 mail.example ESMTP Postfix (Debian)\r\n"},
         {"EHLO sonde.invalid\r\n", "250-mail.example\r\n250-STARTTLS\r\n250 DSN\r\n"}},
        "QUIT\r\n"},
       {{"host", "mail.example"}}},
      {{"smtp without a word",
        "preset: smtp",
        {{"", "220\r\n"}, {"EHLO sonde.invalid\r\n", "250\r\n"}},
        "QUIT\r\n"},
       {{"host", ""}}},
      {{"smtp_starttls",
        "preset: smtp_starttls",
        {{"", "220 mail.example ESMTP\r\n"},
         {"EHLO sonde.invalid\r\n", "250-mail.example\r\n250-starttls\r\n250 DSN\r\n"},
         {"STARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n"},
         {"EHLO sonde.invalid\r\n", "250-mail.example\r\n250 DSN\r\n"}},
        "QUIT\r\n"},
       {{"host", "mail.example"}}},
      {{"smtp_starttls in the last line",
        "preset: smtp_starttls",
        {{"", "220 a\r\n"},
         {"EHLO sonde.invalid\r\n", "250-a\r\n250 STARTTLS\r\n"},
         {"STARTTLS\r\n", "220 go\r\n"},
         {"EHLO sonde.invalid\r\n", "250 a\r\n"}},
        "QUIT\r\n"},
       {{"host", "a"}}},
      {{"pop3",
        "preset: pop3",
        {{"", "+OK Dovecot (Debian) ready. <1896.697@mail.example>\r\n"}},
        "QUIT\r\n"},
       {{"software", "Dovecot"}}},
      {{"pop3 with a stamp", "preset: pop3", {{"", "+OK <1896.697@mail.example>\r\n"}}, "QUIT\r\n"},
       {{"software", ""}}},
      {{"pop3_starttls",
        "preset: pop3_starttls",
        {{"", "+OK Dovecot ready.\r\n"},
         {"STLS\r\n", "+OK Begin TLS\r\n"},
         {"QUIT\r\n", "+OK Logging out\r\n"}},
        ""},
       {{"software", "Dovecot"}}},
      {{"imap",
        "preset: imap",
        {{"", "* OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS] Dovecot (Debian) ready.\r\n"},
         {"a1 NOOP\r\n", "* 5 EXISTS\r\na1 OK NOOP completed.\r\n"}},
        "a2 LOGOUT\r\n"},
       {{"software", "Dovecot"}}},
      {{"imap_starttls",
        "preset: imap_starttls",
        {{"", "* PREAUTH Gimap ready\r\n"},
         {"a1 STARTTLS\r\n", "a1 OK Begin TLS negotiation now.\r\n"},
         {"a2 NOOP\r\n", "a2 OK\r\n"}},
        "a3 LOGOUT\r\n"},
       {{"software", "Gimap"}}},
      {{"ftp", "preset: ftp", {{"", "220 (vsFTPd 3.0.3)\r\n"}}, "QUIT\r\n"},
       {{"software", "vsFTPd"}, {"version", "3.0.3"}}},
      {{"ftp of many lines",
        "preset: ftp",
        {{"",
          "220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n"
          "220-Local time is now 10:00. Server port: 21.\r\n"
          "220 You will be disconnected after 15 minutes of inactivity.\r\n"}},
        "QUIT\r\n"},
       {{"software", ""}, {"version", ""}}},
      {{"ftp_starttls",
        "preset: ftp_starttls",
        {{"", "220 ProFTPD 1.3.8b Server (Debian) [::ffff:192.0.2.1]\r\n"},
         {"AUTH TLS\r\n", "234 AUTH TLS successful\r\n"},
         {"QUIT\r\n", "221 Goodbye.\r\n"}},
        ""},
       {{"software", "ProFTPD"}, {"version", "1.3.8b"}}},
      {{"ssh",
        "preset: ssh",
        {{"", "a line before it\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n"}},
        "SSH-2.0-sonde\r\n"},
       {{"software", "OpenSSH_9.2p1"}}},
      {{"redis", "preset: redis", {{"PING\r\n", "+PONG\r\n"}}, ""}, {}},
      {{"memcached", "preset: memcached", {{"version\r\n", "VERSION 1.6.18\r\n"}}, "quit\r\n"},
       {{"version", "1.6.18"}}},
      {{"mysql", "preset: mysql", {{"", kMysqlGreeting}}, ""}, {{"version", "8.0.36"}}},
      {{"mysql from MariaDB", "preset: mysql", {{"", kMariadbGreeting}}, ""},
       {{"version", "10.11.6-MariaDB-0+deb12u1"}}},
      {{"postgresql", "preset: postgresql", {{kSslRequest, "S"}}, ""}, {{"ssl", "S"}}},
      {{"postgresql without TLS", "preset: postgresql", {{kSslRequest, "N"}}, ""}, {{"ssl", "N"}}},
      {{"postgresql_starttls", "preset: postgresql_starttls", {{kSslRequest, "S"}}, ""}, {}},
  };
}

TEST(DialoguePresets, PlayWholeInBytesAndAtAllSplits) {
  for (const PresetPlay& good : Good()) PlayAtEverySplit(good.play);
}

TEST(DialoguePresets, BreakAtEveryByte) {
  for (const PresetPlay& good : Good()) BreakAtEveryByte(good.play);
}

TEST(DialoguePresets, EachIsPlayed) {
  std::set<std::string> played, known;
  for (const PresetPlay& good : Good()) {
    played.insert(std::string(good.play.module.substr(good.play.module.find(' ') + 1)));
  }
  for (const DialoguePreset& preset : DialoguePresets()) known.insert(std::string(preset.name));
  EXPECT_EQ(played, known);
}

TEST(DialoguePresets, CaptureWhatTheServiceSaysAboutItself) {
  for (const PresetPlay& good : Good()) {
    SCOPED_TRACE(good.play.name);
    const auto probe = Drive(good.play.module);
    ASSERT_TRUE(probe);
    Feed(good.play, *probe, 0);
    Labels found;
    for (const Text& text : probe->texts()) {
      if (text.family == TextFamily::kExpectInfo) found = text.labels;
    }
    EXPECT_EQ(found, good.labels);
    ExpectUsualReport(*probe);
  }
}

// What a peer says instead, and how soon that is known: with the line's end, not at the time-out.
struct Refusal {
  std::string_view preset;
  std::vector<std::string_view> says;
  std::string_view detail;
};

TEST(DialoguePresets, RefusalsFailAtOnce) {
  const std::vector<Refusal> refusals = {
      {"smtp", {"554 5.7.1 not you\r\n"}, "got \"554 5.7.1 not you\""},
      {"smtp", {"554-not you\r\n"}, "step 1: expected /^220"},
      {"smtp", {"220 a\r\n", "250-a\r\n421 later\r\n"}, "step 2: expected /^250"},
      {"smtp_starttls", {"220 a\r\n", "250-a\r\n250 DSN\r\n"}, "got \"250 DSN\""},
      {"smtp_starttls", {"220 a\r\n", "250 STARTTLS\r\n", "454 no TLS\r\n"}, "got \"454 no TLS\""},
      {"pop3", {"-ERR too busy\r\n"}, "got \"-ERR too busy\""},
      {"pop3_starttls", {"+OK\r\n", "-ERR unknown command\r\n"}, "step 2"},
      {"imap", {"* BYE too many connections\r\n"}, "too many"},
      {"imap", {"* OK\r\n", "a1 BAD what\r\n"}, "step 2"},
      {"imap_starttls", {"* OK\r\n", "a1 NO not here\r\n"}, "step 2"},
      {"smtp", {"SSH-2.0-OpenSSH_9.2p1\r\n"}, "step 1"},
      {"redis", {"HTTP/1.1 400 Bad Request\r\n"}, "step 2"},
      {"imap", {"+OK POP3 ready\r\n"}, "step 1"},
      {"ftp", {"421 too many users\r\n"}, "step 1"},
      {"ftp_starttls", {"220 x\r\n", "530 Please login with USER and PASS.\r\n"}, "step 2"},
      {"ssh", {"SSH-1.5-ancient\r\n"}, "step 1"},
      {"redis", {"-NOAUTH Authentication required.\r\n"}, "NOAUTH"},
      {"memcached", {"ERROR\r\n"}, "step 2"},
      {"memcached", {"SERVER_ERROR out of memory\r\n"}, "out of memory"},
      {"mysql", {"\x17\0\0\0\xff\x10\x04Too many connections"sv}, "\\xff"},
      {"mysql", {"SSH-2.0-OpenSSH_9.2p1\r\n"}, "expected 5 bytes like"},
      {"postgresql", {"E\0\0\0\x10"sv}, "got \"E\""},
      {"postgresql_starttls", {"N"}, "expected bytes \"S\", got \"N\""},
  };
  for (const Refusal& refusal : refusals) {
    for (const bool bytewise : {false, true}) {
      SCOPED_TRACE(std::string(refusal.preset) + ": " + QuotedForPeople(refusal.says.back()));
      const auto probe = Drive("preset: " + std::string(refusal.preset));
      ASSERT_TRUE(probe);
      OpenAll(*probe);
      for (const std::string_view says : refusal.says) {
        ASSERT_FALSE(probe->finished());
        if (bytewise) {
          probe->ReceiveOneByOne(says);
        } else {
          probe->Receive(says);
        }
        OpenAll(*probe);
      }
      EXPECT_EQ(probe->outcome(), Outcome::kDialogueMismatch);
      const FactSet& facts = probe->result().facts;
      EXPECT_EQ(*facts.Get(Fact::kFailedRegex) + *facts.Get(Fact::kFailedBytes), 1);
      EXPECT_THAT(probe->evidence().detail, HasSubstr(refusal.detail));
    }
  }
}

// No preset takes noise for its service, and none takes longer than the time-out over it.
TEST(DialoguePresets, GarbageIsNoService) {
  std::string garbage;
  uint32_t x = 11;
  while (garbage.size() < 4000)
    garbage += static_cast<char>((x = x * 1664525u + 1013904223u) >> 24);
  for (const DialoguePreset& preset : DialoguePresets()) {
    SCOPED_TRACE(preset.name);
    const auto probe = Drive("preset: " + std::string(preset.name));
    ASSERT_TRUE(probe);
    OpenAll(*probe);
    probe->ReceiveOneByOne(garbage);
    probe->Close();
    EXPECT_EQ(probe->outcome(), Outcome::kDialogueMismatch);
  }
}

// The early reply of a spammer's trap must not be answered: a server that says 220- is not ready.
TEST(DialoguePresets, SmtpWaitsForTheWholeGreeting) {
  const auto probe = Drive("preset: smtp");
  OpenAll(*probe);
  probe->Receive("220-mail.example\r\n");
  EXPECT_EQ(probe->Sent(), "");
  probe->Receive("220 mail.example\r\n");
  EXPECT_EQ(probe->Sent(), "EHLO sonde.invalid\r\n");
}

TEST(DialoguePresets, GoOverTlsFromTheStart) {
  const auto probe = Drive("{preset: imap, tls: true}");
  ASSERT_TRUE(probe);
  EXPECT_NE(probe->leg().tls, nullptr);
  OpenAll(*probe);
  probe->Receive("* OK hi\r\na1 OK\r\n");
  EXPECT_EQ(probe->outcome(), Outcome::kOk);
}

std::string ErrorsOf(std::string_view yaml) {
  const ModuleText read = ReadModule(TcpProber(), yaml);
  EXPECT_FALSE(read.module) << yaml;
  return read.errors();
}

TEST(DialoguePresets, LoadErrors) {
  EXPECT_EQ(ErrorsOf("tls_config: {}\npreset: smtp\nquery_response: [{send: a}]"),
            "2:1: module.preset: a dialogue is a preset or a query_response, not both\n");
  const std::string unknown = ErrorsOf("preset: smpt");
  EXPECT_THAT(unknown, HasSubstr("there is no preset 'smpt' (did you mean 'smtp'?); there are"));
  for (const DialoguePreset& preset : DialoguePresets()) {
    EXPECT_THAT(unknown, HasSubstr(std::string(preset.name)));
  }
  EXPECT_THAT(ErrorsOf("preset: [smtp]"), HasSubstr("module.preset"));
  EXPECT_THAT(ErrorsOf("preset: ''"), HasSubstr("there is no preset ''"));
  EXPECT_THAT(ErrorsOf("{preset: smtp_starttls, tls: true}"),
              HasSubstr("module.preset: starttls is not possible with tls: true"));
}

TEST(DialoguePresets, AreToldApartAndSorted) {
  std::set<uint64_t> hashes;
  std::string_view before;
  for (const DialoguePreset& preset : DialoguePresets()) {
    EXPECT_LT(before, preset.name);
    before = preset.name;
    const ModuleText read = ReadModule(TcpProber(), "preset: " + std::string(preset.name));
    ASSERT_TRUE(read.module) << read.errors();
    hashes.insert(read.module->content_hash);
  }
  EXPECT_EQ(hashes.size(), DialoguePresets().size());
}

// The rules a file's entries are held to.
TEST(DialoguePresets, KeepTheRulesOfEntries) {
  for (const DialoguePreset& preset : DialoguePresets()) {
    for (const auto& entry : preset.entries) {
      for (const auto& label : entry.labels) {
        if (label.name.empty()) continue;
        EXPECT_TRUE(IsLegalLabelName(label.name)) << label.name;
        EXPECT_FALSE(entry.expect.empty()) << preset.name;
      }
      const bool variant = entry.expect_length > 0 || !entry.expect_until.empty();
      EXPECT_TRUE(!variant || !entry.expect.empty()) << preset.name;
      EXPECT_LE(int{!entry.expect.empty()} + int{!entry.expect_bytes.empty()}, 1) << preset.name;
    }
  }
}

TEST(DialoguePresets, AllStandInTheDocumentation) {
  std::ifstream file("docs/tcp.md");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  for (const DialoguePreset& preset : DialoguePresets()) {
    EXPECT_THAT(text, HasSubstr("`" + std::string(preset.name) + "`"));
  }
}

}  // namespace
}  // namespace sonde
