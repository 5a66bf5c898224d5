// The exporter's loop: one libuv loop on one thread (the process's main thread), where HTTP,
// rendering and event streams live, and the two workers beside it for what can block.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/contract/instant.h"

struct uv_loop_s;

namespace sonde {

class ExporterLoop {
 public:
  struct Options {
    size_t max_posted = 65'536;  // messages waiting; more are refused
    size_t max_work = 1'024;     // jobs given to the workers and not finished; more are refused
  };
  using Task = absl::AnyInvocable<void()>;

  // Before other threads start: it sets the size of libuv's pool (2 threads, nice 10) and ignores
  // SIGPIPE for the process.
  static absl::StatusOr<std::unique_ptr<ExporterLoop>> Create(Options options);
  static absl::StatusOr<std::unique_ptr<ExporterLoop>> Create() { return Create(Options()); }

  // Not while Run is on; the thread that ran it. Waits for running jobs of the workers; messages
  // and `done` callbacks not yet delivered are destroyed undelivered. Owners of handles on this
  // loop (HttpServer, ...) go first.
  ~ExporterLoop();
  ExporterLoop(const ExporterLoop&) = delete;
  ExporterLoop& operator=(const ExporterLoop&) = delete;

  // Turns the loop on the calling thread until Stop. Once at a time; may be called again.
  void Run();

  // Any thread. Run returns after the current turn; a Stop before Run makes the next Run return at
  // once, after delivering what was posted before.
  void Stop();

  // Any thread, while the loop object lives. Runs `task` on the loop, in the order of posting per
  // thread. False, and `task` is destroyed by the caller's thread, when the queue is full.
  [[nodiscard]] bool Post(Task task);
  uint64_t posts_refused() const;

  // Loop thread, or before Run. One hook per signal (SIGHUP, SIGTERM, SIGINT, ...); a second call
  // replaces it (not from inside the hook). Called on the loop thread, never in signal context.
  absl::Status OnSignal(int signum, Task hook);

  // Loop thread, or before Run. Runs `work` on a worker, then `done` on the loop thread. False when
  // too many jobs wait. Both closures are destroyed on the loop thread.
  [[nodiscard]] bool RunInWorker(Task work, Task done);

  // Repeats `tick` on the loop thread every `interval` (milliseconds at the finest) until the
  // returned token is destroyed (loop thread, and before the loop). Starting is at the next
  // interval.
  class Ticker;
  std::unique_ptr<Ticker> Every(Duration interval, Task tick);

  // True on the thread that is inside Run.
  bool InLoopThread() const;

  // CLOCK_MONOTONIC.
  static Instant MonotonicNow();

  // Between pieces of work, on whatever thread does them: a shard that waits for this CPU goes
  // first, after half a millisecond of work at the latest. Not at each call: where another program
  // waits, it gets a slice of milliseconds each time.
  static void GiveWay();

  uv_loop_s* uv();

  class Ticker {
   public:
    ~Ticker();
    Ticker(const Ticker&) = delete;
    Ticker& operator=(const Ticker&) = delete;

   private:
    friend class ExporterLoop;
    struct Box;
    explicit Ticker(Box* box) : box_(box) {}
    Box* box_;
  };

 private:
  struct Impl;
  explicit ExporterLoop(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sonde
