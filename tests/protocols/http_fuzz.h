// What the fuzz targets of HTTP share. Input: a byte choosing the module, a byte choosing how the
// peer goes and how reads are split, then the peer's bytes, the same for every hop. Whatever a peer
// says and however it arrives: one verdict, and the same one, with the same facts, as when it
// arrives whole.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/body_budget.h"
#include "protocols/http_conversation.h"
#include "protocols/http_prober.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace sonde::fuzz {

inline void Require(bool holds) {
  if (!holds) std::abort();
}

inline constexpr std::string_view kModules[] = {
    "header_size_limit: 4KiB",
    "method: HEAD\nvalid_status_codes: [1xx, 2xx, 3xx]",
    "compression: gzip\nbody_size_limit: 64KiB\nfail_if_body_matches_regexp: ['(?i)error']",
    "compression: br\nbody_size_limit: 64KiB",
    "compression: deflate\nbody_size_limit: 64KiB",
    "follow_redirects: false\nvalid_status_codes: [301, 302, 200]\n"
    "fail_if_header_matches: [{header: Location, regexp: evil, allow_missing: true}]",
    "fail_if_header_not_matches: [{header: Server, regexp: '^nginx'}]\n"
    "fail_if_body_not_matches_regexp: ['^h', 'o$']\nvalid_http_versions: [HTTP/1.1]",
    "method: POST\nbody: data\nheaders: {Upgrade: x, Cookie: a=b}\n"
    "basic_auth: {username: u, password: p}\nvalid_status_codes: [101, 2xx]",
};

struct Said {
  Outcome outcome = Outcome::kProberInternal;
  uint64_t present = 0;
  std::array<double, 7> facts{};
  std::string sent;
};

inline Said Play(const std::shared_ptr<const Module>& module,
                 const std::shared_ptr<const TargetPlan>& plan, std::string_view bytes, size_t step,
                 unsigned ending, std::string_view alpn) {
  ConversationDriver probe(HttpProber(), module, plan);
  probe.pause = Duration{};
  Said said;
  probe.Start();
  unsigned hops = 0;
  LegScript script;
  script.facts.alpn = alpn;
  while (!probe.finished()) {
    Require(++hops <= HttpConversation::kMaxRedirects + 1);
    probe.Open(script);
    said.sent += probe.Sent();
    size_t at = 0;
    while (at < bytes.size() && probe.step().kind == Step::Kind::kMore) {
      const size_t count = step == 0 ? bytes.size() - at : std::min(step, bytes.size() - at);
      probe.Receive(bytes.substr(at, count));
      at += count;
    }
    if (probe.step().kind != Step::Kind::kMore) continue;
    if (ending == 0) {
      probe.Deadline();
    } else {
      probe.Close(ending == 1   ? PeerClose::kReset
                  : ending == 2 ? PeerClose::kEnd
                                : PeerClose::kTruncated);
    }
    Require(probe.step().kind != Step::Kind::kMore);
  }
  said.outcome = probe.outcome();
  const FactSet& facts = probe.result().facts;
  said.present = facts.present();
  constexpr Fact kCompared[] = {
      Fact::kHttpContentLength, Fact::kHttpBodyLength, Fact::kHttpRedirects, Fact::kHttpSsl,
      Fact::kHttpStatusCode,    Fact::kHttpVersion,    Fact::kFailedRegex};
  for (size_t i = 0; i < std::size(kCompared); ++i) said.facts[i] = facts.Get(kCompared[i]).value();
  Require(said.facts[2] <= HttpConversation::kMaxRedirects + 1);
  Require(probe.evidence().head.size() <= Evidence::kHeadLimit);
  Require(probe.evidence().body.size() <= Evidence::kBodyLimit);
  return said;
}

// `alpn` is what the server chooses; "h2" makes all targets https.
inline void PlayInput(const uint8_t* data, size_t size, std::string_view alpn) {
  if (size < 2) return;
  static const auto modules = [] {
    std::array<std::shared_ptr<const Module>, std::size(kModules)> made;
    for (size_t i = 0; i < made.size(); ++i) made[i] = ReadModule(HttpProber(), kModules[i]).module;
    return made;
  }();
  static const auto plans = [alpn] {
    std::array<std::shared_ptr<const TargetPlan>, std::size(kModules)> made;
    for (size_t i = 0; i < made.size(); ++i) {
      made[i] = ReadTarget(HttpProber(),
                           i % 2 || !alpn.empty() ? "https://u:p@shop.example/a/b" : "shop.example",
                           *modules[i], i % 3 ? "" : "body_contains: hello")
                    .plan;
    }
    return made;
  }();
  const size_t which = data[0] % modules.size();
  const unsigned ending = data[1] & 3;
  const size_t step = 1 + (data[1] >> 2) % 32;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  const Said whole = Play(modules[which], plans[which], bytes, 0, ending, alpn);
  const Said split = Play(modules[which], plans[which], bytes, step, ending, alpn);
  // How much of a body that is longer than it should be comes before that is found out, and whether
  // it breaks another rule first, depends on reads with HTTP/2.
  const bool both_in_body =
      Info(whole.outcome).phase == Phase::kBody && Info(split.outcome).phase == Phase::kBody;
  Require(whole.outcome == split.outcome || (alpn == "h2" && both_in_body));
  Require(whole.present == split.present);
  // A head or body that breaks a limit or a rule of its format in the middle of a read leaves
  // behind what came before: only then may counts differ.
  if (whole.outcome == Outcome::kOk) Require(whole.facts == split.facts);
  Require(whole.sent == split.sent);
  Require(BodyBudget::Global().used() == 0);
}

}  // namespace sonde::fuzz
