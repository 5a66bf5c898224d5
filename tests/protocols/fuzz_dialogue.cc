// Input: a byte choosing the module (the high bit adds a text to look for), a byte choosing how the
// peer goes and how reads are split, then the peer's bytes. Whatever a peer says and however it
// arrives: one verdict, and the same one as when it arrives whole.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/dialogue.h"
#include "protocols/tcp_prober.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace {

using namespace sonde;

void Require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::string_view kModules[] = {
    "query_response: [{expect: '^220 (.*) ESMTP', labels: [{name: h, value: $1}]},"
    " {send: EHLO}, {expect: '^250-STARTTLS'}, {send: STARTTLS}, {expect: '^220'},"
    " {starttls: true}, {send: EHLO}, {expect: '^250 '}, {send: QUIT}]",
    "query_response: [{send: PING}, {expect: '^[+]PONG'}, {expect_bytes: \"$5\\r\\nhello\\r\\n\"}]",
    "query_response: [{expect: '^SSH-2.0-([^ -]+)(?: (.*))?$', send: 'SSH-2.0-x_$1 ${2}'}]",
    "query_response: [{expect: '(?P<a>.)(?P<a>.)?', send: '$a$0'}, {}, {expect_bytes: ab},"
    " {expect: ''}, {expect: x$}]",
    "",
    "query_response: [{expect: '(?s)^(a*)$', expect_until: '::', send: 'x$1'},"
    " {expect: ^.b.$, expect_length: 3}, {expect: ^ok, expect_not: '^[45]', send: bye}]",
    "preset: mysql",
    "preset: postgresql",
    "preset: postgresql_starttls",
    "preset: smtp_starttls",
    "preset: imap_starttls",
    "preset: ftp",
};
constexpr size_t kNoDialogue = 4;  // the empty one

struct Said {
  Outcome outcome = Outcome::kProberInternal;
  std::string sent;
  uint64_t texts_hash = 0;
  std::string body;
};

// `step` bytes a read; 0 for all at once.
Said Play(const std::shared_ptr<const Module>& module,
          const std::shared_ptr<const TargetPlan>& plan, std::string_view bytes, size_t step,
          unsigned ending) {
  ConversationDriver probe(TcpProber(), module, plan);
  probe.pause = Duration{};
  Said said;
  probe.Start();
  probe.Open();
  size_t at = 0;
  while (at < bytes.size() && !probe.finished() && probe.step().kind != Step::Kind::kSecure) {
    const size_t count = step == 0 ? bytes.size() - at : std::min(step, bytes.size() - at);
    probe.Receive(bytes.substr(at, count));
    at += count;
  }
  if (probe.step().kind == Step::Kind::kSecure) {
    // What came before TLS is nobody's; the same text again, inside.
    probe.Open();
    for (at = 0; at < bytes.size() && !probe.finished(); ++at) probe.Receive(bytes.substr(at, 1));
  }
  if (!probe.finished()) {
    switch (ending) {
      case 0:
        probe.Deadline();
        break;
      case 1:
        probe.Close(PeerClose::kReset);
        break;
      default:
        probe.Close(ending == 2 ? PeerClose::kEnd : PeerClose::kTruncated);
    }
  }
  Require(probe.finished());
  said.outcome = probe.outcome();
  said.sent = probe.Sent();
  said.texts_hash = probe.result().texts_hash;
  said.body = probe.evidence().body;
  Require(said.body.size() <= Evidence::kBodyLimit);
  Require(probe.evidence().detail.size() < 2000);
  for (const Text& text : probe.texts()) {
    for (const auto& [name, value] : text.labels) {
      Require(value.size() <= DialogueScript::kMaxLabelValue);
    }
  }
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const auto modules = [] {
    std::array<std::shared_ptr<const Module>, std::size(kModules)> made;
    for (size_t i = 0; i < made.size(); ++i) made[i] = ReadModule(TcpProber(), kModules[i]).module;
    return made;
  }();
  const size_t chosen = (data[0] & 0x7f) % modules.size();
  const auto& module = modules[chosen];
  Require(module != nullptr);
  const bool contains = (data[0] & 0x80) != 0 || chosen == kNoDialogue;
  static const auto plain = ReadTarget(TcpProber(), "h:1", *modules[0]).plan;
  static const auto looking = ReadTarget(TcpProber(), "h:1", *modules[0], "contains: abab").plan;
  const auto& plan = contains ? looking : plain;
  const unsigned ending = data[1] & 3;
  const size_t step = 1 + (data[1] >> 2) % 16;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  const Said whole = Play(module, plan, bytes, 0, ending);
  const Said split = Play(module, plan, bytes, step, ending);
  Require(whole.outcome == split.outcome);
  Require(whole.sent == split.sent);
  Require(whole.texts_hash == split.texts_hash);
  return 0;
}
