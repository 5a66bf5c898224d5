// Input: a byte choosing proxy and target, a byte choosing how the peer goes and how reads are
// split, then what the proxy says on each connection. Whatever it says and however it arrives: one
// verdict, the same one as when it arrives whole, and never a secret outside of the login.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/http_conversation.h"
#include "protocols/http_prober.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace {

using namespace sonde;

void Require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::string_view kModules[] = {
    "proxy_url: http://proxy.example:3128",
    "proxy_url: https://user:geheim@proxy.example\nproxy_connect_header: {A: [b]}",
    "proxy_url: socks5://proxy.example",
    "proxy_url: socks5://user:geheim@proxy.example\nskip_resolve_phase_with_proxy: true",
    "proxy_url: http://proxy.example\nno_proxy: '.other.example, 192.0.2.0/28'",
};

struct Said {
  Outcome outcome = Outcome::kProberInternal;
  std::string detail;
  std::vector<std::string> sent;  // on each connection
};

Said Play(const std::shared_ptr<const Module>& module,
          const std::shared_ptr<const TargetPlan>& plan, std::string_view bytes, size_t step,
          unsigned ending) {
  ConversationDriver probe(HttpProber(), module, plan);
  probe.pause = Duration{};
  Said said;
  probe.Start();
  // A hop takes up to four: the target's address, the proxy, the tunnel, TLS.
  unsigned opened = 0;
  while (!probe.finished()) {
    Require(++opened <= 4 * (HttpConversation::kMaxRedirects + 1));
    probe.Open();
    std::string& sent = said.sent.emplace_back(probe.Sent());
    size_t at = 0;
    while (at < bytes.size() && probe.step().kind == Step::Kind::kMore) {
      const size_t count = step == 0 ? bytes.size() - at : std::min(step, bytes.size() - at);
      probe.Receive(bytes.substr(at, count));
      sent += probe.Sent();
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
  said.detail = probe.evidence().detail;
  // What the proxy says itself may be quoted.
  const bool told = bytes.find("geheim") != std::string_view::npos;
  Require(told || said.detail.find("geheim") == std::string::npos);
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const auto modules = [] {
    std::array<std::shared_ptr<const Module>, std::size(kModules)> made;
    for (size_t i = 0; i < made.size(); ++i) made[i] = ReadModule(HttpProber(), kModules[i]).module;
    return made;
  }();
  const size_t which = data[0] % modules.size();
  const bool secure = data[0] & 0x80;
  const auto plan =
      ReadTarget(HttpProber(), secure ? "https://shop.example/" : "shop.example", *modules[which])
          .plan;
  const unsigned ending = data[1] & 3;
  const size_t step = 1 + (data[1] >> 2) % 32;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  const Said whole = Play(modules[which], plan, bytes, 0, ending);
  const Said split = Play(modules[which], plan, bytes, step, ending);
  Require(whole.outcome == split.outcome);
  // A connection that is left for another takes along what was not sent yet: an answer that came
  // before it was asked for, whole, leaves more of it.
  Require(whole.sent.size() == split.sent.size());
  for (size_t i = 0; i < whole.sent.size(); ++i) {
    const bool last = i + 1 == whole.sent.size();
    Require(last ? whole.sent[i] == split.sent[i] : split.sent[i].starts_with(whole.sent[i]));
  }
  return 0;
}
