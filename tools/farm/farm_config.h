// What a farm is made of, as data: listeners, how fast they answer and how they misbehave.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/contract/config_node.h"
#include "engine/contract/instant.h"
#include "tools/farm/random_delay.h"

namespace sonde {

// How a target can behave. enumerator, word, what it does.
#define SONDE_BEHAVIOURS(X)                                                                  \
  X(Ok, "ok", "answers as configured")                                                       \
  X(Error, "error", "HTTP: status 500; DNS: SERVFAIL")                                       \
  X(Refuse, "refuse", "resets the connection as soon as it was accepted")                    \
  X(Reset, "reset", "resets the connection in place of an answer")                           \
  X(Silent, "silent", "takes everything, never answers")                                     \
  X(Closed, "closed", "closes the connection in place of an answer")                         \
  X(Garbage, "garbage", "answers with random bytes and closes")                              \
  X(Truncated, "truncated", "HTTP: closes in the middle of the body; DNS: TC over UDP")      \
  X(ResetBody, "reset_body", "HTTP: resets in the middle of the body")                       \
  X(Stall, "stall", "HTTP: falls silent in the middle of the body")                          \
  X(StallHeaders, "stall_headers", "HTTP: falls silent in the middle of the headers")        \
  X(HalfClose, "half_close", "HTTP: body without a length, then FIN while the socket stays") \
  X(Chunked, "chunked", "HTTP: the body in chunks")                                          \
  X(Redirect, "redirect", "HTTP: 302 to `location`")                                         \
  X(RedirectLoop, "redirect_loop", "HTTP: 302 to the same place, for ever")                  \
  X(Large, "large", "HTTP: a body of `large_bytes`; DNS: too large for the client")          \
  X(HugeHeaders, "huge_headers", "HTTP: 256 KiB of headers")                                 \
  X(Drip, "drip", "the answer one byte at a time, `pace` apart")                             \
  X(SlowBody, "slow_body", "HTTP: headers at once, the body in ten parts, `pace` apart")     \
  X(NxDomain, "nxdomain", "DNS: the name does not exist")                                    \
  X(Refused, "refused", "DNS: response code REFUSED")                                        \
  X(FormErr, "formerr", "DNS: response code FORMERR")                                        \
  X(NotImp, "notimp", "DNS: response code NOTIMP")                                           \
  X(Empty, "empty", "DNS: no record of that type")                                           \
  X(Cut, "cut", "DNS: half the message")                                                     \
  X(WrongId, "wrong_id", "DNS: another id")                                                  \
  X(WrongQuestion, "wrong_question", "DNS: another question")                                \
  X(OtherPort, "other_port", "DNS over UDP: from another port")                              \
  X(OtherAddress, "other_address", "DNS over UDP: from another address")                     \
  X(Twice, "twice", "DNS: the answer twice")                                                 \
  X(Loop, "loop", "DNS: a compressed name that points at itself")                            \
  X(FalseCounts, "false_counts", "DNS: says it holds 65535 records")                         \
  X(Reflect, "reflect", "DNS: the query itself comes back")

enum class Behaviour : uint8_t {
#define SONDE_BEHAVIOUR_ENUM(name, word, help) k##name,
  SONDE_BEHAVIOURS(SONDE_BEHAVIOUR_ENUM)
#undef SONDE_BEHAVIOUR_ENUM
      kCount,
};
inline constexpr size_t kBehaviourCount = static_cast<size_t>(Behaviour::kCount);
std::string_view BehaviourName(Behaviour behaviour);
std::string_view BehaviourHelp(Behaviour behaviour);
std::optional<Behaviour> FindBehaviour(std::string_view name);

// Shares of behaviours in percent; what is left to 100 is kOk.
struct Mix {
  enum class Per : uint8_t {
    kRequest,     // drawn for each request (TCP: each connection)
    kConnection,  // drawn once per connection
    kTarget,      // a property of (address, port): the same targets misbehave always
  };
  std::vector<std::pair<Behaviour, double>> shares;
  Per per = Per::kRequest;

  Behaviour At(double unit) const;  // unit in [0, 1)
};

// A line service's own script: what it waits for (a prefix of a line; empty: nothing) and says.
struct ScriptLine {
  std::string expect;
  std::string send;  // sent as it stands: write the line end
};

// Records in the words of a zone file: "NAME [TTL] [IN] TYPE DATA".
struct FarmDnsZoneConfig {
  std::string name;
  uint32_t ttl = 60;  // of records that give none
  std::vector<std::string> records;
};

struct ListenerConfig {
  enum class Kind : uint8_t {
    kHttp,
    kHttps,
    kTcp,
    kRefused,    // bound, not listening: connections are refused, and nobody else takes the port
    kBlackhole,  // listens with a full queue: connections are neither accepted nor refused
    kControl,    // /farm-stats, /farm-set
    kDns,        // over UDP and TCP on the same port
    kDot,        // DNS over TLS
  };
  enum class Transport : uint8_t { kBoth, kUdp, kTcp };
  enum class Service : uint8_t { kBanner, kEcho, kDiscard, kSmtp, kRedis, kScript };

  Kind kind = Kind::kHttp;
  // "loopback": every address of 127/8 (bound to all addresses of the loopback device); otherwise
  // one literal address ("0.0.0.0" and "::" listen to the world).
  std::string address = "loopback";
  uint16_t first_port = 0, last_port = 0;  // 0: the kernel chooses one
  Delay delay;                             // before each answer (TCP: each thing said)
  Mix mix;
  Duration pace = Milliseconds(1);  // of drip and slow_body

  // HTTP
  int status = 200;
  std::string body = "ok\n";
  std::vector<std::pair<std::string, std::string>> headers = {{"Content-Type", "text/plain"}};
  std::string location = "/";
  int64_t large_bytes = 10 * 1024 * 1024;

  // HTTPS, DoT, and SMTP's STARTTLS: good, expired, not_yet_valid, self_signed, wrong_name,
  // untrusted
  std::string certificate = "good";
  std::string tls_max;   // TLS10 .. TLS13; empty: the highest
  bool tickets = false;  // sessions can be resumed

  // TCP
  Service service = Service::kBanner;
  std::string banner = "hello\r\n";
  std::vector<ScriptLine> script;

  // DNS
  Transport transport = Transport::kBoth;  // of kDns
  std::vector<FarmDnsZoneConfig> zones;    // none: farm.test

  bool is_dns() const { return kind == Kind::kDns || kind == Kind::kDot; }
  bool has_tls() const { return kind == Kind::kHttps || kind == Kind::kDot; }
  bool is_passive() const { return kind == Kind::kRefused || kind == Kind::kBlackhole; }
  // What stands on each port. A refused port is refused over UDP too.
  bool wants_tcp() const { return kind != Kind::kDns || transport != Transport::kUdp; }
  bool wants_udp() const {
    return kind == Kind::kRefused || (kind == Kind::kDns && transport != Transport::kTcp);
  }
};

struct FarmConfig {
  uint64_t seed = 1;
  int threads = 1;
  bool spin = false;             // they look for work without sleeping
  std::string certificates;      // directory to write them to; empty: kept in memory
  Duration idle = Seconds(300);  // a connection nothing happens on is closed
  std::vector<ListenerConfig> listeners;

  // Reads the tree of a farm's YAML; what is wrong goes to `diagnostics`.
  static FarmConfig Read(const ConfigNode& root, Diagnostics& diagnostics);
  // One listener out of a flag: "http:8080", "https:8443:expired", "tcp:2525:smtp",
  // "refused:9", "blackhole:81", "control:9900", "dns:5353:nxdomain", "dot:8853"; ports may be
  // ranges
  // ("http:8000-8099").
  static std::optional<ListenerConfig> ReadFlag(std::string_view text, std::string* error);
};

}  // namespace sonde
