// Probe slots: each runs one conversation over its legs, from Start to the one Finish.
//
// A slot's life: resolving -> connecting -> (handshaking) -> open -> finished; redirects and
// STARTTLS go back. Everything runs on the shard's thread. Nothing here knows schedules or tallies:
// whoever starts a probe is told of its end through ProbeOwner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "engine/contract/conversation.h"
#include "engine/contract/engine_stats.h"
#include "engine/contract/files.h"
#include "engine/contract/probe_policy.h"
#include "engine/contract/task.h"
#include "engine/shard/echo_table.h"
#include "engine/shard/idle_connections.h"
#include "engine/shard/network.h"
#include "engine/shard/timer_wheel.h"
#include "engine/shard/tls_channel.h"
#include "engine/shard/token_table.h"

namespace sonde {

class ProbeTable : public NetworkEvents {
 public:
  struct Slot : TimerNode {
    enum class State : uint8_t { kFree, kStarting, kResolving, kConnecting, kHandshaking, kOpen };

    SlotRef ref;
    State state = State::kFree;
    bool ending = false;  // Finish was entered: nothing may drive the slot any more
    bool holds_handshake = false;
    bool more_to_read = false;  // to be read again in this turn's Advance, or the next
    bool send_broken = false;   // the peer takes nothing more; what it said is still read
    bool may_resume = false;    // the task's session is this run's first resumable handshake's
    bool unproven = false;      // the leg is reused, and has brought nothing yet
    bool reusable = false;      // the verdict leaves the connection good for another run
    uint8_t legs = 0;
    StreamId stream = kNoStream;
    SharedSocket shared;            // of a datagram leg
    uint16_t datagrams_queued = 0;  // of the leg; the next one's number
    uint16_t datagrams_left = 0;    // of them those that left, or never will
    uint32_t answered = 0;      // the last generation of this slot whose datagrams were answered
    uint64_t drops_before = 0;  // of the socket, when the leg was opened
    std::shared_ptr<const Task> task;
    void* owner_data = nullptr;  // the owner's own
    Conversation* conversation = nullptr;
    const LegPlan* plan = nullptr;
    Leg leg;
    Instant started, deadline, wake_at;
    std::optional<Output> out;
    Buffer rest;        // bytes the conversation did not consume yet
    Buffer cipher_out;  // TLS records not sent yet
    size_t cipher_sent = 0;
    std::unique_ptr<TlsChannel> tls;
    alignas(std::max_align_t) std::byte place[kConversationBytes];
  };

  // Told once per probe, before the conversation is destroyed: `slot.conversation` may still be
  // asked to Report. The slot is freed on return.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnProbeFinished(Slot& slot, Outcome outcome, Instant at) = 0;
    // Where the task's session stands from run to run: made by the table when there is one to keep.
    // Null: nowhere, every handshake is a full one. It stays until the probe was freed.
    virtual std::unique_ptr<TlsMemory>* MemoryOf(Slot&) { return nullptr; }
    // Where its connection waits from run to run of the same task. Null: nowhere, none is kept.
    // Asked where the leg's plan wants it (LegPlan::keep).
    virtual IdleConnections::PlaceId* IdlePlaceOf(Slot&) { return nullptr; }
  };

  struct Counters {
    uint64_t handshakes_full = 0, handshakes_resumed = 0, handshakes_failed = 0;
    uint64_t handshakes_in_progress = 0;
    std::array<uint64_t, kPolicyKinds> policy_refusals{};
    uint64_t datagrams_sent = 0, datagrams_received = 0, datagrams_unstamped = 0;
    std::array<uint64_t, kStrayReasons> datagrams_stray{};
    uint64_t reused = 0, retried = 0;  // connections of earlier runs
  };

  ProbeTable(unsigned shard, Network& network, Files* files, uint64_t random_seed, Instant start,
             Owner& owner);
  ~ProbeTable() override;

  // Runs the task's conversation; may finish before it returns. `ref` is written before anything
  // can finish, for Cancel.
  void Start(std::shared_ptr<const Task> task, void* owner_data, SlotRef* ref);
  // Ends a running probe with prober/cancelled (or another outcome).
  void Cancel(SlotRef ref, Outcome outcome, Instant at);

  void CancelAll(Instant at);

  // Expires deadlines and wake-ups up to `now`, goes on reading where a budget was used up.
  void Advance(Instant now);
  std::optional<Instant> NextWake() const;

  // Sends the datagrams that were written since. Starts and timers send a full batch by themselves.
  void SendDatagrams();

  // Did the kernel drop messages of the slot's shared socket since its leg was opened?
  bool ReceiveQueueOverflowed(const Slot& slot);

  void SetPolicy(std::shared_ptr<const ProbePolicy> policy) { policy_ = std::move(policy); }
  void SetWallOffset(Duration wall_minus_mono) { wall_offset_ = wall_minus_mono; }

  size_t in_flight() const { return in_flight_; }
  size_t bytes_per_slot() const { return sizeof(Slot); }
  const Counters& counters() const { return counters_; }
  IdleConnections& idle() { return idle_; }
  Slot* Find(SlotRef ref);
  template <typename Visit>
  void ForEach(Visit&& visit) {
    for (Slot& slot : slots_) {
      if (slot.state != Slot::State::kFree) visit(slot);
    }
  }

  // NetworkEvents.
  void OnResolved(SlotRef ref, const ResolveAnswer& answer) override;
  void OnConnected(SlotRef ref, Instant at) override;
  void OnConnectFailed(SlotRef ref, int error, Instant at) override;
  void OnReadable(SlotRef ref, Instant at) override;
  void OnWritable(SlotRef ref, Instant at) override;
  void OnDatagram(const ReceivedDatagram& message) override;
  void OnDatagramError(const DatagramError& error) override;
  void OnDatagramStamped(const SentDatagram& sent) override;

 private:
  // Most bytes kept for a conversation that does not consume, and reads per event.
  static constexpr size_t kRestLimit = 1 << 20;
  static constexpr int kReadsPerEvent = 8;
  static constexpr size_t kReadSize = 64 * 1024;
  // Messages sent at once, and legs asked whose a stray one is.
  static constexpr size_t kSendBatch = 64;
  static constexpr int kStrayVisits = 16;

  // Each returns the step that follows at once, if there is one; Drive goes on until none does.
  using Next = std::optional<Step>;
  void Drive(Slot& slot, Step step, Instant at);
  template <typename Check>
  ProbePolicy::Decision Judge(const Slot& slot, Check&& check);
  Next OpenLeg(Slot& slot, const LegPlan& plan, Instant at);
  Next Resolved(Slot& slot, const ResolveAnswer& answer, bool at_once);
  Next JudgePeer(Slot& slot);
  Next ConnectTo(Slot& slot, const Address& address, Instant now);
  Next FailLeg(Slot& slot, Outcome outcome, std::string_view detail, Instant at);
  Next Opened(Slot& slot, Instant at);
  void Inspect(Slot& slot);

  // TLS: probe_tls.cc.
  Next StartTls(Slot& slot, const TlsProfile& profile, std::string_view server_name, Instant at);
  void ResumeTls(Slot& slot, const SSL_CTX* context, const TlsProfile& profile,
                 std::string_view server_name);
  Next AfterTls(Slot& slot, TlsChannel::State before, Instant at);
  Next CarrierGone(Slot& slot, Instant at);
  void EndHandshake(Slot& slot);
  // Connections of earlier runs: probe_reuse.cc.
  Next Reuse(Slot& slot, Instant at);
  Next Replace(Slot& slot, Instant at);
  void Park(Slot& slot, Instant at);

  // Datagram legs: probe_datagrams.cc.
  Next JoinSocket(Slot& slot, Instant now);
  void LeaveSocket(Slot& slot);
  void QueueDatagram(Slot& slot);
  void SendFullBatch();
  void OnEcho(const ReceivedDatagram& message);
  void OnUdp(const ReceivedDatagram& message);
  void OnStray(const ReceivedDatagram& message, uint16_t token);
  Slot* EchoSlot(const EchoTable::Claim& claim, SocketId socket, const Address& peer);
  StrayReason EchoStray(const EchoTable::Claim& claim) const;
  void Deliver(Slot& slot, const ReceivedDatagram& message, Bytes bytes, uint16_t number);
  void FailDatagram(Slot& slot, const NetworkError& error);
  void CountStray(StrayReason reason) { ++counters_.datagrams_stray[static_cast<size_t>(reason)]; }

  void Read(Slot& slot);
  void ReadLater(Slot& slot);
  Next TakeBytes(Slot& slot, Bytes bytes, Instant at);
  Next GivePlain(Slot& slot, Bytes bytes, Instant at);
  Next PeerClosed(Slot& slot, PeerClose how, Instant at);
  void Flush(Slot& slot);
  size_t SendAll(Slot& slot, Bytes bytes);
  bool Unsent(const Slot& slot) const;

  void CloseLeg(Slot& slot, bool orderly);
  void ArmTimer(Slot& slot);
  void OnTimer(Slot& slot, Instant now);
  Outcome TimeoutOutcome(Slot& slot, Instant at);
  static bool Opening(const Slot& slot);
  void Finish(Slot& slot, Outcome outcome, Instant at);
  Slot& TakeSlot();
  uint64_t Random();

  unsigned shard_;
  Network& network_;
  Owner& owner_;
  Files* files_;
  TlsContexts tls_contexts_;
  BufferPool buffers_;
  IdleConnections idle_;
  TimerWheel wheel_;
  std::shared_ptr<const ProbePolicy> policy_;
  Duration wall_offset_{};
  uint64_t random_state_;
  std::deque<Slot> slots_;
  std::vector<uint32_t> free_;
  std::vector<SlotRef> hungry_;  // more_to_read
  std::vector<SlotRef> hungry_now_;
  size_t in_flight_ = 0;
  Counters counters_;
  std::unique_ptr<uint8_t[]> read_buffer_;
  Buffer plain_;  // scratch of one Feed
  TokenTable tokens_;
  EchoTable echoes_;
  std::vector<uint8_t> echo_;  // scratch of one echo request
};

}  // namespace sonde
