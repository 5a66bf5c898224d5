// A protocol without I/O, clock or randomness of its own.
//
// One Conversation is one probe's side of one protocol. It is built in place in a probe slot before
// anything is resolved, lives on its shard's thread, and is destroyed right after Report. The
// engine tells it what happened, always with the event's Instant; it answers with a Step. It never
// blocks, never allocates on the plain paths (buffers come from its context) and never throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/address.h"
#include "engine/contract/instant.h"
#include "engine/contract/outcome.h"
#include "engine/contract/probe_result.h"
#include "engine/contract/tls_profile.h"

namespace sonde {

class Files;

using Bytes = std::span<const uint8_t>;

inline Bytes AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A growable byte buffer borrowed from the shard's pool; returned when destroyed. Keeps its
// capacity between uses, so that steady state allocates nothing.
class BufferPool;
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void Append(Bytes bytes) { data_->insert(data_->end(), bytes.begin(), bytes.end()); }
  void Append(std::string_view text) { Append(AsBytes(text)); }
  void Overwrite(size_t at, Bytes bytes);  // within what is there
  void DropFront(size_t count);
  void Clear() { data_->clear(); }
  Bytes bytes() const { return data_ ? Bytes(*data_) : Bytes(); }
  std::string_view text() const { return AsText(bytes()); }
  size_t size() const { return data_ ? data_->size() : 0; }
  bool empty() const { return size() == 0; }
  explicit operator bool() const { return data_ != nullptr; }  // false: nothing borrowed yet

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, std::vector<uint8_t>* data) : pool_(pool), data_(data) {}
  BufferPool* pool_ = nullptr;
  std::vector<uint8_t>* data_ = nullptr;
};

// One per shard. Buffers that grew beyond kKeepCapacity are freed instead of kept.
class BufferPool {
 public:
  static constexpr size_t kKeepCapacity = 64 * 1024;
  static constexpr size_t kKeepCount = 4096;

  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  Buffer Take();
  size_t borrowed() const { return borrowed_; }

 private:
  friend class Buffer;
  void Return(std::vector<uint8_t>* data);
  std::vector<std::vector<uint8_t>*> free_;
  size_t borrowed_ = 0;
};

// Where a conversation writes. The engine sends as the peer takes it; bytes appended and not yet
// sent when the probe dies make the outcome's phase `send`. On a datagram leg, whatever was
// appended in one call is one message.
class Output {
 public:
  // Copies.
  void Append(Bytes bytes);
  void Append(std::string_view text) { Append(AsBytes(text)); }
  // By reference: the bytes must outlive the probe (request bytes cached in the task's plan).
  // Copies when something is queued already.
  void AppendStable(Bytes bytes);

  explicit Output(BufferPool& pool) : pool_(pool) {}
  Bytes pending() const;
  void Consume(size_t count);  // the engine, after sending
  void Reset();                // the engine, when the leg goes

 private:
  BufferPool& pool_;
  Bytes stable_;
  Buffer copied_;
  size_t copied_sent_ = 0;
};

// Family choice and everything else about a socket that a module may set.
struct NetworkOptions {
  enum class Close : uint8_t { kFin, kReset };
  IpFamily preferred_family = IpFamily::kV6;
  bool fallback = true;               // to the other family, blackbox_contract section 6
  Close close = Close::kFin;          // FIN by default, RST when the module asks
  bool half_open = false;             // TCP: the last ACK of opening is held back; with kReset only
  int dscp = -1;                      // -1: leave as it is
  Address source;                     // family kNone: the kernel chooses; port is ignored
  bool bad_source = false;            // a source was given that is no address: nothing is opened
  std::string interface;              // SO_BINDTODEVICE; empty: any
  std::vector<Address> name_servers;  // empty: the system's
  bool resolver_cache = true;

  // Nothing is asked for that would stay on a socket that is used again (half_open does not).
  bool plain() const { return interface.empty() && dscp < 0 && source.family == IpFamily::kNone; }

  bool operator==(const NetworkOptions&) const = default;
};

// kUdp and kIcmp legs share a few sockets per shard: no descriptor, no port and no system call of
// their own. Of an ICMP leg the conversation writes and reads the payload of echo messages; header,
// checksum and sequence number are the engine's.
enum class Transport : uint8_t { kTcp, kUdp, kIcmp };

// How the datagrams of a leg travel. Legs with equal options share sockets.
struct DatagramOptions {
  // Whether messages may go in pieces that are too large for the way.
  enum class Fragments : uint8_t {
    kAllowed,
    kNeedless,   // none is: with its headers none has more than kSmallPacket bytes
    kForbidden,  // neither here nor (IPv4) on the way
  };
  // Every IPv4 host takes as much (RFC 791 section 3.1), and so does every path today.
  static constexpr size_t kSmallPacket = 576;

  int ttl = 0;  // hop limit, 1..255; 0: the system's
  Fragments fragments = Fragments::kNeedless;

  bool operator==(const DatagramOptions&) const = default;
};

// How far a leg goes. Short of the peer nothing is connected: OnOpen says that the probe policy
// lets it go there (kName: name, port and scheme; kAddress: the resolved address too), and nothing
// can be written. For what is reached through another peer, a proxy.
enum class Reach : uint8_t { kPeer, kAddress, kName };

// No connection waits longer for the next run, whatever LegPlan::keep says. Short of what servers
// and the boxes between grant.
inline constexpr Duration kLongestIdle = Minutes(2);

// Where a probe wants to go next, as data. Redirects and proxies are leg plans. The strings must
// stay valid until the leg was opened or failed (they live in the task's plan or the conversation).
struct LegPlan {
  Transport transport = Transport::kTcp;
  Reach reach = Reach::kPeer;
  uint16_t port = 0;
  std::string_view host;                    // name or literal address, without brackets
  std::string_view scheme;                  // for the probe policy: http, https, tcp, ...
  const TlsProfile* tls = nullptr;          // TLS right after the connection; nullptr: plain
  std::string_view server_name;             // when the profile names none; empty: host
  const NetworkOptions* network = nullptr;  // never null when opened
  const Address* address = nullptr;  // go there instead of resolving `host` (relative redirects)
  const DatagramOptions* datagram = nullptr;  // kUdp, kIcmp; nullptr: defaults
  // kTcp: the connection may be one that an earlier run of the task opened and left, no longer ago
  // than this, and may be left for a later run (Step::reusable). Zero: neither. For what may be
  // asked twice only: an old connection that ends before it brought anything (or Step::Replace) is
  // replaced by a new one within the run, and OnOpen is told again. So the strings stay valid as
  // long as the leg.
  Duration keep{};
};

// What happened to a leg so far. Unstamped instants did not happen. Valid during the call only;
// the TLS facts stay valid as long as the leg is open (a failed leg's: during OnLegFailed).
struct Leg {
  Address peer;
  Instant start;                       // the leg was asked for
  Instant resolve_start, resolve_end;  // both unset for `LegPlan::address`
  bool resolved = false;
  Instant connect_start, connected;
  Instant tls_start, tls_end;
  const TlsFacts* tls = nullptr;  // also on failed handshakes that got a certificate
  std::string_view detail;        // what failed, in words (TLS alert text, errno text)
  // The connection carried an earlier run: `connected` and `tls_end` are that one's, and `tls`
  // tells of that handshake; nothing was resolved, and no start but the leg's is set.
  bool reused = false;

  // TCP: as the kernel saw the connection (TCP_INFO, linux/tcp.h), read once, when it was open or
  // had failed. Negative: unknown.
  int syn_retransmits = -1;
  Duration kernel_rtt{-1};

  // UDP: no other leg of this socket to this peer has the same. A protocol with an id in the first
  // two bytes of its messages writes it there (network order): answers are matched by peer and it.
  uint16_t token = 0;
};

// Whose clock stamped a moment: ours, read beside the system call, or the kernel's own, taken where
// the packet passed.
enum class StampClock : uint8_t { kUser, kKernel };

// One whole message of a peer.
struct Datagram {
  Bytes bytes;  // UDP: the payload. ICMP: the payload of the echo reply, as long as what was sent
  Address peer;
  Instant at;  // when it arrived
  StampClock clock = StampClock::kUser;
  int ttl = -1;         // hop limit it arrived with; -1: unknown
  uint16_t number = 0;  // ICMP: which datagram of this leg it answers, from 0
};

// Why datagrams cannot come through: an ICMP error about one of ours, or an errno of sending it.
struct NetworkError {
  Outcome outcome = Outcome::kConnectError;  // phase connect, or prober/*
  Address from;                              // who said so; family kNone: this machine
  Instant at;
  uint16_t number = 0;      // which datagram of this leg it is about, from 0
  std::string_view detail;  // in words; valid during the call
};

// What a conversation wants next.
struct [[nodiscard]] Step {
  enum class Kind : uint8_t { kMore, kPass, kFail, kSecure, kOpen, kReplace };
  Kind kind = Kind::kMore;
  Outcome outcome = Outcome::kOk;  // kFail: any outcome that is not kOk
  bool reusable = false;  // kPass, kFail: the connection may carry another run (LegPlan::keep)
  Instant wake_at;        // kMore: OnWake then; unset: only on events
  const LegPlan* leg = nullptr;  // kOpen: closes the current leg first
  // kSecure: start TLS on the open leg, inside the TLS that it may speak already (STARTTLS, tunnels
  // of proxies); OnOpen follows
  const TlsProfile* tls = nullptr;
  std::string_view server_name;  // kSecure

  static Step More() { return {}; }
  static Step WakeAt(Instant at) {
    Step s;
    s.wake_at = at;
    return s;
  }
  static Step Pass(bool reusable = false) {
    Step s;
    s.kind = Kind::kPass;
    s.reusable = reusable;
    return s;
  }
  static Step Fail(Outcome outcome, bool reusable = false) {
    Step s;
    s.kind = Kind::kFail;
    s.outcome = outcome;
    s.reusable = reusable;
    return s;
  }
  static Step Open(const LegPlan& leg) {
    Step s;
    s.kind = Kind::kOpen;
    s.leg = &leg;
    return s;
  }
  // The reused connection had ended, so its peer says on it: a new one takes its place, as if it
  // had brought nothing.
  static Step Replace() {
    Step s;
    s.kind = Kind::kReplace;
    return s;
  }
  static Step Secure(const TlsProfile& tls, std::string_view server_name) {
    Step s;
    s.kind = Kind::kSecure;
    s.tls = &tls;
    s.server_name = server_name;
    return s;
  }
};

struct ReadStep {
  size_t consumed =
      0;  // of the bytes given; the engine keeps the rest and gives it again with more
  Step step;
};

// How the peer went away.
enum class PeerClose : uint8_t {
  kEnd /* FIN, close_notify */,
  kTruncated /* FIN within TLS */,
  kReset /* RST, a broken record, a TLS alert */
};

// Passed to Report. Facts are always filled; the rest only when asked for.
struct Report {
  ProbeResult& result;     // outcome, stamps and stages are the engine's; facts the protocol's
  Texts* texts = nullptr;  // null: nobody wants them (texts_hash is set all the same)
  uint64_t known_texts_hash = 0;  // texts that hash to this are known already: leave them out
  Evidence* evidence = nullptr;   // null: nobody wants it
};

// What a conversation may use besides its task.
struct ConversationContext {
  BufferPool& buffers;
  unsigned shard = 0;                   // index for per-shard copies (regular expressions)
  uint64_t (*random)(void*) = nullptr;  // uniform 64 bits; seeded in simulation
  void* random_state = nullptr;
  Files* files = nullptr;  // contents of the files its module names

  uint64_t Random() const { return random(random_state); }
};

class Conversation {
 public:
  virtual ~Conversation() = default;

  // First call. Returns Open(leg), or Fail when the task cannot be probed at all.
  virtual Step Start(Instant now) = 0;

  // The leg (or, after Secure, its TLS) is ready for bytes or datagrams. Told a second time when a
  // reused one had to be replaced: whatever was written goes with the first.
  virtual Step OnOpen(const Leg& leg, Instant at, Output& out) = 0;

  // The leg, or after Secure its TLS, could not be opened; `outcome` says why. Default: that is the
  // verdict. Also told when the deadline passed (or the run was cancelled) on the way: the verdict
  // is `outcome` then, whatever the step.
  virtual Step OnLegFailed(const Leg& leg, Outcome outcome, Instant at);

  // ---- stream legs ----
  // Bytes of the stream; `in` begins with what was not consumed before. Called again at once with
  // the rest when something but not all was consumed and the step was More.
  virtual ReadStep OnBytes(Bytes in, Instant at, Output& out);

  // The peer will send nothing more (kEnd, kTruncated) or tore the connection down (kReset).
  // `rest` is what OnBytes did not consume. Must not return More unless it still waits for OnWake.
  virtual Step OnPeerClosed(PeerClose how, Bytes rest, Instant at, Output& out);

  // ---- datagram legs ----
  // Datagram `number` of this leg went out. Before any answer to it is told; not always in the turn
  // it was written in.
  virtual void OnDatagramSent(uint16_t number, Instant at, StampClock clock);

  // A message with this leg's token from this leg's peer (UDP), or an answer to one of its echoes
  // (ICMP), each time one comes: duplicates too. None comes that arrived after the deadline.
  virtual Step OnDatagram(const Datagram& message, Output& out);

  // UDP: a message that matches no leg: from this leg's peer with another token, or with its token
  // from another peer. True: it is about this probe, which must have counted it; others are asked
  // otherwise.
  virtual bool OnStray(const Datagram& message);

  // Default: that is the verdict.
  virtual Step OnNetworkError(const NetworkError& error, Output& out);

  virtual Step OnWake(Instant at, Output& out);

  // The deadline passed while the leg was open and nothing of ours was unsent (else the engine
  // knows the outcome itself): which time-out is it? kOk: what came is enough.
  virtual Outcome OnDeadline(Instant at) = 0;

  // Exactly once, by the engine, on every path, also when nothing was opened. result.outcome is
  // final but for `late`.
  virtual void Report(struct Report& report, Instant at) = 0;
};

// A conversation must fit its slot.
inline constexpr size_t kConversationBytes = 1024;

}  // namespace sonde
