// A thread that turns one shard: its poller, sockets, resolver and libuv loop.
//
// One turn of the loop:
//   sleep until something is ready
//   stamp, BeginTurn                 a late wake-up is noticed before anything else
//   handle what was ready            polling on while batches are full, or a deadline is due
//   messages                         within a budget: the rest waits for the next turn
//   EndTurn(stamp)                   of the last poll: only what a later one could not save expires
//   hold answers back                that may wait until the next turn
#pragma once

#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "engine/contract/engine_stats.h"
#include "engine/contract/files.h"
#include "engine/contract/task_set.h"
#include "engine/loop/clock_watch.h"
#include "engine/loop/loop_network.h"
#include "engine/loop/poller.h"
#include "engine/loop/resolver.h"
#include "engine/loop/uv_loop.h"
#include "engine/shard/shard.h"

namespace sonde {

class ShardThread {
 public:
  struct Options {
    unsigned index = 0;
    ShardLimits limits;
    size_t max_descriptors = 4096;
    size_t uring_streams = 0;  // over io_uring at most so many; 0: epoll
    size_t uring_table = 0;    // of each ring, at most RLIMIT_NOFILE
    ResolverOptions resolver;
    std::shared_ptr<const HostsTable> hosts;  // may be null: empty
    std::shared_ptr<const ProbePolicy> policy;
    uint64_t random_seed = 1;
    bool transmit_stamps = false;  // the kernel's, of datagrams
    int cpu = -1;                  // pinned there; -1: anywhere
  };
  // What a message may touch, on the shard's thread.
  struct Parts {
    Shard& shard;
    Resolver& resolver;
  };
  using Message = std::function<void(Parts)>;

  // `files` and `sink` may be null; both outlive the thread.
  static absl::StatusOr<std::unique_ptr<ShardThread>> Start(const Options& options, Files* files,
                                                            ResultSink* sink);
  ~ShardThread();
  ShardThread(const ShardThread&) = delete;
  ShardThread& operator=(const ShardThread&) = delete;

  // Any thread. Messages run in order, each exactly once, also those in the queue when Stop is
  // called. False: not taken, because the thread stops.
  bool Post(Message message);
  // The same for what may come in any number: kFull when kMostWaiting messages wait already, which
  // is counted.
  enum class Posted : uint8_t { kTaken, kFull, kStopping };
  Posted TryPost(Message message);
  static constexpr size_t kMostWaiting = 4096;
  uint64_t refused_posts() const { return refused_posts_.load(std::memory_order_relaxed); }

  // Cancels every run, forgets all tasks, ends the thread. Not from the shard's thread. Idempotent.
  void Stop();

  ShardStats Stats() const;  // any thread; does not wait for the shard

 private:
  // What the loop alone knows, for readers on other threads.
  struct Published {
    std::atomic<double> utilization{0};
    std::atomic<uint64_t> resolver_hits{0}, resolver_misses{0}, descriptors{0}, spares{0};
    std::atomic<uint64_t> datagrams_dropped{0}, turns{0};
    std::atomic<clockid_t> clock{kNoClock};  // of the thread's processor time
    std::atomic<double> cpu_seconds{0};      // once the thread has ended
  };
  static constexpr clockid_t kNoClock = -1;
  // Lateness of starts under load, and the most wake-ups by timer: 5,000 a second.
  static constexpr Duration kTimerSpacing = Microseconds(200);
  // A turn that begins so soon will do for the answers over shared sockets: they are stamped.
  static constexpr Duration kAnswersWait = Microseconds(500);
  static constexpr int kMostPolls = 64;  // per turn: full batches in a row
  static constexpr Duration kMessageBudget = Milliseconds(2);
  static constexpr Duration kUtilizationWindow = Seconds(1);

  explicit ShardThread(const Options& options) : options_(options) {}
  absl::Status Open(Files* files, ResultSink* sink);
  absl::Status OpenNetwork();
  Posted Enqueue(Message message, size_t most_waiting);
  void Run();
  void Turn();
  void Poll(Instant woke, WallTime wall);  // the two clocks, read together
  bool RunMessages(Duration budget);
  bool Stopping();
  void StopTurning(Instant woke);
  void Publish(Instant woke, Instant end);
  double CpuSeconds() const;  // any thread

  const Options options_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<LoopNetwork> network_;
  std::unique_ptr<UvLoop> loop_;
  std::unique_ptr<ClockWatch> clock_watch_;
  std::unique_ptr<Shard> shard_;

  // The shard's thread.
  bool stopped_ = false;
  Duration sleep_{};  // until the next turn, unless something is ready
  // The last poll of a turn that left nothing behind.
  Instant poll_began_;
  WallTime wall_at_poll_;
  Instant window_began_;
  Duration busy_{};
  std::deque<Message> batch_;  // taken from inbox_, not yet run
  Published published_;

  std::mutex mutex_;  // guards the two below
  std::deque<Message> inbox_;
  bool stopping_ = false;
  std::atomic<bool> told_{false};  // the loop was woken for them and has not looked yet
  std::atomic<uint64_t> refused_posts_{0};
  std::thread thread_;
};

}  // namespace sonde
