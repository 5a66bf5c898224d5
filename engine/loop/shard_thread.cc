#include "engine/loop/shard_thread.h"

#include <pthread.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "engine/loop/epoll_network.h"
#include "engine/loop/thread_setup.h"
#include "engine/loop/uring_network.h"

namespace sonde {

absl::StatusOr<std::unique_ptr<ShardThread>> ShardThread::Start(const Options& options,
                                                                Files* files, ResultSink* sink) {
  std::unique_ptr<ShardThread> made(new ShardThread(options));
  if (const absl::Status status = made->Open(files, sink); !status.ok()) return status;
  made->thread_ = std::thread([self = made.get()] { self->Run(); });
  return made;
}

absl::Status ShardThread::Open(Files* files, ResultSink* sink) {
  auto poller = Poller::Make();
  if (!poller.ok()) return poller.status();
  poller_ = *std::move(poller);
  resolver_ = std::make_unique<Resolver>(*poller_, options_.resolver);
  if (options_.hosts) resolver_->SetHosts(options_.hosts);
  if (const absl::Status status = OpenNetwork(); !status.ok()) return status;
  auto loop = UvLoop::Make(*poller_);
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  auto clock = ClockWatch::Make(
      *poller_, [this](Duration wall_minus_mono) { shard_->ClockStepped(wall_minus_mono); });
  if (!clock.ok()) return clock.status();
  clock_watch_ = *std::move(clock);

  Shard::Options shard;
  shard.index = options_.index;
  shard.limits = options_.limits;
  shard.random_seed = options_.random_seed;
  shard.start = MonotonicNow();
  shard.wall_minus_mono = WallMinusMonotonic();
  shard.timer_spacing = kTimerSpacing;
  shard_ = std::make_unique<Shard>(shard, *network_, files, sink);
  if (options_.policy) shard_->SetPolicy(options_.policy);
  window_began_ = poll_began_ = shard.start;
  wall_at_poll_ = {shard.start.ns + shard.wall_minus_mono.ns};
  return absl::OkStatus();
}

absl::Status ShardThread::OpenNetwork() {
  auto epoll = std::make_unique<EpollNetwork>(
      *poller_, *resolver_, options_.max_descriptors,
      DatagramSockets::Options{.random_seed = options_.random_seed,
                               .transmit_stamps = options_.transmit_stamps});
  epoll->datagrams().OpenDefaults();
  if (options_.uring_streams == 0) {
    network_ = std::move(epoll);
    return absl::OkStatus();
  }
  auto uring =
      UringNetwork::Make(*poller_, std::move(epoll), options_.uring_streams, options_.uring_table);
  if (!uring.ok()) {
    return absl::Status(uring.status().code(),
                        "engine.io: io_uring: " + std::string(uring.status().message()));
  }
  network_ = *std::move(uring);
  return absl::OkStatus();
}

ShardThread::~ShardThread() { Stop(); }

// ---- messages -----------------------------------------------------------------------------------

bool ShardThread::Post(Message message) {
  return Enqueue(std::move(message), SIZE_MAX) == Posted::kTaken;
}

ShardThread::Posted ShardThread::TryPost(Message message) {
  return Enqueue(std::move(message), kMostWaiting);
}

ShardThread::Posted ShardThread::Enqueue(Message message, size_t most_waiting) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return Posted::kStopping;
  if (inbox_.size() >= most_waiting) {
    refused_posts_.fetch_add(1, std::memory_order_relaxed);
    return Posted::kFull;
  }
  inbox_.push_back(std::move(message));
  if (!told_.exchange(true)) loop_->Wake();
  return Posted::kTaken;
}

// False: the budget ran out before the messages did. A change of fifty thousand tasks must not keep
// the loop from its sockets.
bool ShardThread::RunMessages(Duration budget) {
  const Instant began = MonotonicNow();
  for (;;) {
    if (batch_.empty()) {
      const std::lock_guard lock(mutex_);
      told_ = false;
      batch_.swap(inbox_);
    }
    if (batch_.empty()) return true;
    const Message message = std::move(batch_.front());
    batch_.pop_front();
    message({*shard_, *resolver_});
    if (MonotonicNow() - began >= budget) return false;
  }
}

bool ShardThread::Stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void ShardThread::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    told_ = true;
    loop_->Wake();
  }
  thread_.join();
}

// ---- the loop -----------------------------------------------------------------------------------

void ShardThread::Run() {
  SetUpThread("sonde-shard-" + std::to_string(options_.index));
  SetExactTimers();
  AskForShortSlices();
  if (options_.cpu >= 0) PinThread(static_cast<unsigned>(options_.cpu));
  clockid_t clock = kNoClock;
  pthread_getcpuclockid(pthread_self(), &clock);
  published_.clock.store(clock, std::memory_order_release);
  while (!stopped_) {
    poller_->Await(sleep_);
    Turn();
  }
  published_.cpu_seconds.store(CpuSeconds(), std::memory_order_relaxed);
  published_.clock.store(kNoClock, std::memory_order_release);
}

double ShardThread::CpuSeconds() const {
  timespec used{};
  const clockid_t clock = published_.clock.load(std::memory_order_acquire);
  // The thread may end between the two: its clock is gone then.
  if (clock == kNoClock || clock_gettime(clock, &used) != 0) {
    return published_.cpu_seconds.load(std::memory_order_relaxed);
  }
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

void ShardThread::Turn() {
  const Instant woke = MonotonicNow();
  const WallTime wall = WallNow();
  shard_->BeginTurn(woke);
  Poll(woke, wall);
  resolver_->Tick(poll_began_);  // after the poll: an answer that is there is not late
  bool all_heard = true;
  if (told_ || !batch_.empty()) {
    all_heard = RunMessages(kMessageBudget);
    if (Stopping()) return StopTurning(woke);
  }
  shard_->EndTurn(poll_began_, wall_at_poll_);
  network_->Submit();
  const Instant end = MonotonicNow();
  Publish(woke, end);
  Instant wake = shard_->NextWake();
  if (const Instant next = resolver_->NextTimeout(); next.stamped()) wake = std::min(wake, next);
  if (!all_heard || network_->pending()) wake = end;
  sleep_ = wake - end;
  network_->ComesBackSoon(sleep_ < kAnswersWait);
}

// What was taken is carried out; then everything ends.
void ShardThread::StopTurning(Instant woke) {
  RunMessages(Hours(1));
  shard_->Clear();
  stopped_ = true;
  Publish(woke, MonotonicNow());
}

// Polls until a poll finds less than it could carry: what is not told by then was not there when it
// began. When that never comes, the stamp of an earlier turn stands and no deadline expires. What
// ended the sleep was looked for before `woke`: it will do where nothing is about to expire.
void ShardThread::Poll(Instant woke, WallTime wall) {
  const Instant next = resolver_->NextTimeout();
  bool once_more = shard_->ExpiresBy(woke) || (next.stamped() && next <= woke);
  Instant began = woke;
  for (int i = 0; i < kMostPolls; ++i) {
    const bool full = network_->DispatchEvents(shard_->events());
    if (!full && !std::exchange(once_more, false)) {
      poll_began_ = began;
      wall_at_poll_ = wall;
      return;
    }
    began = MonotonicNow();
    wall = WallNow();
  }
}

void ShardThread::Publish(Instant woke, Instant end) {
  busy_ = busy_ + (end - woke);
  if (const Duration window = end - window_began_; window >= kUtilizationWindow) {
    published_.utilization.store(busy_.seconds() / window.seconds(), std::memory_order_relaxed);
    window_began_ = end;
    busy_ = {};
  }
  published_.turns.store(published_.turns.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
  const Resolver::Counters& resolver = resolver_->counters();
  published_.resolver_hits.store(resolver.hits, std::memory_order_relaxed);
  published_.resolver_misses.store(resolver.misses, std::memory_order_relaxed);
  published_.descriptors.store(network_->open(), std::memory_order_relaxed);
  published_.spares.store(network_->spares(), std::memory_order_relaxed);
  published_.datagrams_dropped.store(network_->datagrams().dropped(), std::memory_order_relaxed);
}

ShardStats ShardThread::Stats() const {
  ShardStats stats = shard_->Stats();
  stats.loop_utilization = published_.utilization.load(std::memory_order_relaxed);
  stats.cpu_seconds = CpuSeconds();
  stats.turns = published_.turns.load(std::memory_order_relaxed);
  stats.resolver_hits = published_.resolver_hits.load(std::memory_order_relaxed);
  stats.resolver_misses = published_.resolver_misses.load(std::memory_order_relaxed);
  stats.descriptors = published_.descriptors.load(std::memory_order_relaxed);
  stats.spares = published_.spares.load(std::memory_order_relaxed);
  stats.datagrams_dropped = published_.datagrams_dropped.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace sonde
