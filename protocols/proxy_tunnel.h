// Asking a proxy for a connection to a target: CONNECT (RFC 9110 section 9.3.6, RFC 9112) and
// SOCKS5 (RFC 1928, RFC 1929).
#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/contract/conversation.h"
#include "protocols/proxy_options.h"

namespace sonde {

// Whether one of the header lines, each with its line end, is of this name.
bool NamesHeader(std::string_view lines, std::string_view name);

// Part of a conversation, on its shard's thread. Begin, then Take until it is open or has failed.
class ProxyTunnel {
 public:
  // Most bytes of answers to a CONNECT, interim ones included.
  static constexpr size_t kMaxHead = 16 * 1024;

  enum class State : uint8_t {
    kAsking,
    kOpen,    // what follows is the target's
    kFailed,  // outcome() and detail() say why
  };

  // `options` and `proxy` must outlive it. `host` is a name or a literal address, without brackets.
  State Begin(const ProxyOptions& options, const Proxy& proxy, std::string_view host, uint16_t port,
              Output& out);

  // How many bytes of `in` the proxy's dialogue took; none: more are needed, and `in` is to be
  // given again with them.
  size_t Take(Bytes in, Output& out);

  // The proxy closed or reset the connection while asked.
  void Closed(PeerClose how);

  State state() const { return state_; }
  Outcome outcome() const { return outcome_; }           // kFailed: of phase connect
  const std::string& detail() const { return detail_; }  // kFailed: in words; names the proxy

 private:
  enum class Expected : uint8_t { kHead, kMethod, kLogin, kReply };
  struct Parsing;

  void Ask(const ProxyOptions& options, Output& out);
  void BeginHead();
  size_t TakeHead(Bytes in);
  void EndHead();
  void Greet(Output& out);
  size_t TakeMethod(Bytes in, Output& out);
  size_t TakeLogin(Bytes in, Output& out);
  void Request(Output& out);
  size_t TakeReply(Bytes in);
  size_t Fail(Outcome outcome, std::string_view words);

  State state_ = State::kAsking;
  Expected expected_ = Expected::kHead;
  Outcome outcome_ = Outcome::kOk;
  uint16_t port_ = 0;
  size_t head_bytes_ = 0;
  const Proxy* proxy_ = nullptr;
  llhttp_t parser_{};
  std::string host_, reason_, detail_;
};

}  // namespace sonde
