#include "protocols/dialogue_presets.h"

#include <cstdlib>
#include <vector>

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

using Entry = DialoguePreset::Entry;
using namespace std::string_view_literals;

// The rules of the table: what a service says about itself goes into labels only where it stays the
// same from run to run (no dates, no session ids). A refusal fails at once, by expect_not, instead
// of at the time-out. The service is told that we go; what it answers to that is not waited for,
// except where it is the only thing a stranger can ask.

// Where the first line decides.
constexpr std::string_view kAnyOther = "^";

// RFC 5321 section 4.2: every line of a reply begins with its code.
constexpr std::string_view kSmtpRefusal = "^[^2]";
// A name no server can mistake for another's (RFC 2606), in the form of section 4.1.4.
constexpr std::string_view kHello = "EHLO sonde.invalid\r\n";
// A greeting is waited out (220-): who speaks in the middle of one is taken for a spammer.
constexpr Entry kSmtpGreeting = {.expect = "^220(?: ([^ ]*)|$)",
                                 .expect_not = kSmtpRefusal,
                                 .labels = {{"host", "$1"}},
                                 .send = kHello};
constexpr Entry kSmtpReady = {
    .expect = "^250(?: |$)", .expect_not = kSmtpRefusal, .send = "QUIT\r\n"};
constexpr Entry kSmtp[] = {kSmtpGreeting, kSmtpReady};

// RFC 3207.
constexpr Entry kSmtpStarttls[] = {
    kSmtpGreeting,
    {.expect = "(?i)^250[ -]STARTTLS",
     .expect_not = "^250(?: |$)|^[^2]",  // the last line, and it was not among them
     .send = "STARTTLS\r\n"},
    {.expect = "^220", .expect_not = kSmtpRefusal, .starttls = true},
    {.send = kHello},
    kSmtpReady,
};

// RFC 1939.
constexpr std::string_view kPop3Ok = "^\\+OK";
constexpr Entry Pop3Greeting(std::string_view then) {
  return {.expect = "^\\+OK(?: ([A-Za-z][^ <]*))?",
          .expect_not = kAnyOther,
          .labels = {{"software", "$1"}},
          .send = then};
}
constexpr Entry kPop3[] = {Pop3Greeting("QUIT\r\n")};

// RFC 2595 section 4.
constexpr Entry kPop3Starttls[] = {
    Pop3Greeting("STLS\r\n"),
    {.expect = kPop3Ok, .expect_not = kAnyOther, .starttls = true},
    {.send = "QUIT\r\n"},
    {.expect = kPop3Ok, .expect_not = kAnyOther},
};

// RFC 3501: greeting (7.1), tagged answers, and BYE (7.1.5) where the server has enough.
constexpr Entry ImapGreeting(std::string_view then) {
  return {.expect = "(?i)^\\* (?:OK|PREAUTH)(?: \\[[^\\]]*\\])?(?: ([A-Z][^ ]*))?",
          .expect_not = kAnyOther,
          .labels = {{"software", "$1"}},
          .send = then};
}
constexpr Entry kImap[] = {
    ImapGreeting("a1 NOOP\r\n"),
    {.expect = "(?i)^a1 OK", .expect_not = "(?i)^(?:a1 |\\* BYE)", .send = "a2 LOGOUT\r\n"},
};

// Section 6.2.1.
constexpr Entry kImapStarttls[] = {
    ImapGreeting("a1 STARTTLS\r\n"),
    {.expect = "(?i)^a1 OK", .expect_not = "(?i)^(?:a1 |\\* BYE)", .starttls = true},
    {.send = "a2 NOOP\r\n"},
    {.expect = "(?i)^a2 OK", .expect_not = "(?i)^(?:a2 |\\* BYE)", .send = "a3 LOGOUT\r\n"},
};

// RFC 959 section 4.2: lines within a reply may begin with anything. The last line of the greeting
// often names the software: "220 (vsFTPd 3.0.3)".
constexpr std::string_view kFtpRefusal = "^[45][0-9][0-9](?:[ -]|$)";
constexpr Entry FtpGreeting(std::string_view then) {
  return {.expect = "^220(?:$| (?:.*?([A-Za-z-]*FTP[A-Za-z-]*)(?:[ /]v?([0-9][0-9A-Za-z.]*))?)?)",
          .expect_not = kFtpRefusal,
          .labels = {{"software", "$1"}, {"version", "$2"}},
          .send = then};
}
constexpr Entry kFtp[] = {FtpGreeting("QUIT\r\n")};

// RFC 4217.
constexpr Entry kFtpStarttls[] = {
    FtpGreeting("AUTH TLS\r\n"),
    {.expect = "^234", .expect_not = kFtpRefusal, .starttls = true},
    {.send = "QUIT\r\n"},
    {.expect = "^221", .expect_not = kFtpRefusal},
};

// RFC 4253 section 4.2: lines may come before the identification; ours spares the server's log an
// error.
constexpr Entry kSsh[] = {
    {.expect = "^SSH-(?:2\\.0|1\\.99)-([^ ]+)",
     .expect_not = "^SSH-",
     .labels = {{"software", "$1"}},
     .send = "SSH-2.0-sonde\r\n"},
};

constexpr Entry kRedis[] = {
    {.send = "PING\r\n"},
    {.expect = "^\\+PONG", .expect_not = kAnyOther},
};

constexpr Entry kMemcached[] = {
    {.send = "version\r\n"},
    {.expect = "^VERSION (.+)",
     .expect_not = kAnyOther,
     .labels = {{"version", "$1"}},
     .send = "quit\r\n"},
};

// The server's first packet: three bytes of length and the number 0; then the protocol's version,
// 10 (255 is an error, such as too many connections); then the server's version, which ends with a
// NUL. MariaDB puts 5.5.5- before its own.
constexpr Entry kMysql[] = {
    {.expect = "(?s)^.\\x00\\x00\\x00\\x0a$", .expect_length = 5},
    {.expect = "^(?:5\\.5\\.5-)?(.+)$", .expect_until = "\0"sv, .labels = {{"version", "$1"}}},
};

// SSLRequest: a length of 8 and the code 80877103, answered by one byte.
constexpr std::string_view kSslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"sv;
constexpr Entry kPostgresql[] = {
    {.send = kSslRequest},
    {.expect = "^([SN])$", .expect_length = 1, .labels = {{"ssl", "$1"}}},
};
constexpr Entry kPostgresqlStarttls[] = {
    {.send = kSslRequest},
    {.expect_bytes = "S", .starttls = true},
};

constexpr DialoguePreset kPresets[] = {
    {"ftp", kFtp},
    {"ftp_starttls", kFtpStarttls},
    {"imap", kImap},
    {"imap_starttls", kImapStarttls},
    {"memcached", kMemcached},
    {"mysql", kMysql},
    {"pop3", kPop3},
    {"pop3_starttls", kPop3Starttls},
    {"postgresql", kPostgresql},
    {"postgresql_starttls", kPostgresqlStarttls},
    {"redis", kRedis},
    {"smtp", kSmtp},
    {"smtp_starttls", kSmtpStarttls},
    {"ssh", kSsh},
};

// A pattern of the table that does not compile is a bug a test finds.
std::unique_ptr<const Regex> Compiled(std::string_view pattern) {
  if (pattern.empty()) return nullptr;
  std::string error;
  std::unique_ptr<const Regex> regex = Regex::Compile(pattern, &error);
  if (!regex) std::abort();
  return regex;
}

DialogueEntry Made(const Entry& row) {
  DialogueEntry entry;
  entry.expect = Compiled(row.expect);
  entry.expect_not = Compiled(row.expect_not);
  entry.expect_until = row.expect_until;
  entry.expect_length = row.expect_length;
  entry.expect_bytes = row.expect_bytes;
  for (const Entry::Label& label : row.labels) {
    if (label.name.empty()) continue;
    DialogueEntry::Label made{std::string(label.name), {}};
    std::string error;
    if (!TemplateText::Parse(label.value, *entry.expect, &made.value, &error)) std::abort();
    entry.labels.push_back(std::move(made));
  }
  entry.send = row.send;
  entry.needs_groups = !entry.labels.empty();
  entry.starttls = row.starttls;
  return entry;
}

}  // namespace

DialogueScript DialoguePreset::Script() const {
  DialogueScript script;
  for (const Entry& row : entries) {
    script.entries.push_back(Made(row));
    script.starttls = script.starttls || row.starttls;
  }
  return script;
}

std::span<const DialoguePreset> DialoguePresets() { return kPresets; }

const DialoguePreset* FindDialoguePreset(std::string_view name) {
  for (const DialoguePreset& preset : kPresets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

std::string UnknownPreset(std::string_view name) {
  std::vector<std::string_view> names;
  std::string list;
  for (const DialoguePreset& preset : kPresets) {
    names.push_back(preset.name);
    list += (list.empty() ? "" : ", ") + std::string(preset.name);
  }
  return "there is no preset " + Quote(name) + Suggestion(name, names) + "; there are " + list;
}

}  // namespace sonde
