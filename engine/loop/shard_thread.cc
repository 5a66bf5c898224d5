#include "engine/loop/shard_thread.h"

#include <pthread.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "engine/loop/epoll_network.h"
#include "engine/loop/thread_setup.h"
#include "engine/loop/uring_network.h"

namespace sonde {
namespace {

absl::Status UvStatus(int error, const char* what) {
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(std::string(what) + ": " + uv_strerror(error));
}

}  // namespace

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
  auto timer = WakeTimer::Make(*poller_);
  if (!timer.ok()) return timer.status();
  timer_ = *std::move(timer);
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
  timer_->WakeBy(shard.start);
  return OpenLoop();
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
  if (!uring.ok()) return uring.status();
  network_ = *std::move(uring);
  return absl::OkStatus();
}

absl::Status ShardThread::OpenLoop() {
  if (const int error = uv_loop_init(&loop_)) return UvStatus(error, "uv_loop_init");
  loop_open_ = true;
  if (const int error = uv_poll_init(&loop_, &poll_handle_, poller_->fd())) {
    return UvStatus(error, "uv_poll_init");
  }
  poll_open_ = true;
  poll_handle_.data = this;
  const int error = uv_async_init(&loop_, &wake_handle_, [](uv_async_t* handle) {
    static_cast<ShardThread*>(handle->data)->Turn();
  });
  if (error != 0) return UvStatus(error, "uv_async_init");
  wake_open_ = true;
  wake_handle_.data = this;
  const auto ready = [](uv_poll_t* handle, int, int) {
    static_cast<ShardThread*>(handle->data)->Turn();
  };
  return UvStatus(uv_poll_start(&poll_handle_, UV_READABLE, ready), "uv_poll_start");
}

ShardThread::~ShardThread() {
  Stop();
  if (!loop_open_) return;
  CloseHandles();  // when the thread never ran
  uv_run(&loop_, UV_RUN_DEFAULT);
  uv_loop_close(&loop_);
}

void ShardThread::CloseHandles() {
  const auto close_once = [](auto* handle, bool* open) {
    if (std::exchange(*open, false)) uv_close(reinterpret_cast<uv_handle_t*>(handle), nullptr);
  };
  close_once(&poll_handle_, &poll_open_);
  close_once(&wake_handle_, &wake_open_);
}

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
  // Under the lock: once Stop has taken it, the handle may be gone.
  if (!std::exchange(woken_, true)) uv_async_send(&wake_handle_);
  return Posted::kTaken;
}

// False: the budget ran out before the messages did. A change of fifty thousand tasks must not keep
// the loop from its sockets.
bool ShardThread::RunMessages(Duration budget) {
  const Instant began = MonotonicNow();
  for (;;) {
    if (batch_.empty()) {
      const std::lock_guard lock(mutex_);
      woken_ = false;
      batch_.swap(inbox_);
    }
    if (batch_.empty()) return true;
    const Message message = std::move(batch_.front());
    batch_.pop_front();
    message({*shard_, *resolver_});
    if (MonotonicNow() - began >= budget) return false;
  }
}

void ShardThread::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    uv_async_send(&wake_handle_);
  }
  thread_.join();
}

// ---- the loop -----------------------------------------------------------------------------------

void ShardThread::Run() {
  SetUpThread("sonde-shard-" + std::to_string(options_.index));
  SetExactTimers();
  if (options_.cpu >= 0) PinThread(static_cast<unsigned>(options_.cpu));
  clockid_t clock = kNoClock;
  pthread_getcpuclockid(pthread_self(), &clock);
  published_.clock.store(clock, std::memory_order_release);
  uv_run(&loop_, UV_RUN_DEFAULT);
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
  if (closing_) return;
  const Instant woke = MonotonicNow();
  shard_->BeginTurn(woke);
  Poll();
  resolver_->Tick(poll_began_);  // after the poll: an answer that is there is not late
  const bool all_heard = RunMessages(kMessageBudget);
  bool stopping;
  {
    const std::lock_guard lock(mutex_);
    stopping = stopping_;
  }
  if (stopping) {
    RunMessages(Hours(1));  // what was taken is carried out; then everything ends
    shard_->Clear();
    CloseHandles();
    closing_ = true;
    Publish(woke, MonotonicNow());
    return;
  }
  shard_->EndTurn(poll_began_, wall_at_poll_);
  network_->Submit();
  const Instant end = MonotonicNow();
  Publish(woke, end);
  Instant wake = shard_->NextWake();
  if (const Instant next = resolver_->NextTimeout(); next.stamped()) wake = std::min(wake, next);
  if (!all_heard || network_->pending()) wake = end;
  timer_->WakeBy(wake);
}

// Polls until a poll finds less than it could carry: what is not told by then was not there when it
// began. When that never comes, the stamp of an earlier turn stands and no deadline expires.
void ShardThread::Poll() {
  for (int i = 0; i < kMostPolls; ++i) {
    const Instant began = MonotonicNow();
    const WallTime wall = WallNow();
    if (network_->DispatchEvents(shard_->events())) continue;
    poll_began_ = began;
    wall_at_poll_ = wall;
    return;
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
  stats.datagrams_dropped = published_.datagrams_dropped.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace sonde
