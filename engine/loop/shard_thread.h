// A thread that turns one shard: its libuv loop, its sockets, timers and resolver.
//
// One turn of the loop:
//   stamp, BeginTurn                 a late wake-up is noticed before anything else
//   poll until a batch is not full   every event handled; the stamp before the last poll is kept
//   messages                         within a budget: the rest waits for the next turn
//   EndTurn(that stamp)              only what a later poll could not save expires
//   arm the timer
#pragma once

#include <time.h>
#include <uv.h>

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
#include "engine/loop/wake_timer.h"
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
    std::atomic<uint64_t> resolver_hits{0}, resolver_misses{0}, descriptors{0};
    std::atomic<uint64_t> datagrams_dropped{0}, turns{0};
    std::atomic<clockid_t> clock{kNoClock};  // of the thread's processor time
    std::atomic<double> cpu_seconds{0};      // once the thread has ended
  };
  static constexpr clockid_t kNoClock = -1;
  // Lateness of starts under load, and the most wake-ups by timer: 5,000 a second.
  static constexpr Duration kTimerSpacing = Microseconds(200);
  static constexpr int kMostPolls = 64;  // per turn: full batches in a row
  static constexpr Duration kMessageBudget = Milliseconds(2);
  static constexpr Duration kUtilizationWindow = Seconds(1);

  explicit ShardThread(const Options& options) : options_(options) {}
  absl::Status Open(Files* files, ResultSink* sink);
  absl::Status OpenNetwork();
  absl::Status OpenLoop();
  Posted Enqueue(Message message, size_t most_waiting);
  void Run();
  void Turn();
  void Poll();
  bool RunMessages(Duration budget);
  void Publish(Instant woke, Instant end);
  double CpuSeconds() const;  // any thread
  void CloseHandles();

  const Options options_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<LoopNetwork> network_;
  std::unique_ptr<WakeTimer> timer_;
  std::unique_ptr<ClockWatch> clock_watch_;
  std::unique_ptr<Shard> shard_;

  uv_loop_t loop_{};
  uv_poll_t poll_handle_{};
  uv_async_t wake_handle_{};
  bool loop_open_ = false, poll_open_ = false, wake_open_ = false;
  bool closing_ = false;  // the loop's thread

  // The last poll of a turn that left nothing behind.
  Instant poll_began_;
  WallTime wall_at_poll_;
  Instant window_began_;
  Duration busy_{};
  std::deque<Message> batch_;  // taken from inbox_, not yet run
  Published published_;

  std::mutex mutex_;  // guards the three below
  std::deque<Message> inbox_;
  bool stopping_ = false;
  bool woken_ = false;  // the loop was told and has not looked yet
  std::atomic<uint64_t> refused_posts_{0};
  std::thread thread_;
};

}  // namespace sonde
