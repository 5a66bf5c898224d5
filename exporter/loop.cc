#include "exporter/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace sonde {
namespace {

constexpr int kWorkerNice = 10;

absl::Status UvError(const char* what, int error) {
  return absl::InternalError(std::string(what) + ": " + uv_strerror(error));
}

// Once per worker thread: what blocks or burns processor time stands back for the probes.
void BeNice() {
  thread_local const int done = setpriority(PRIO_PROCESS, 0, kWorkerNice);
  (void)done;
}

}  // namespace

struct ExporterLoop::Ticker::Box {
  uv_timer_t timer;
  Task tick;
  bool gone = false;

  static void OnTimer(uv_timer_t* timer) {
    Box* box = static_cast<Box*>(timer->data);
    // Taken out while it runs: the tick may destroy its own ticker. The box itself stays until the
    // close callback, which libuv never calls from in here.
    Task tick = std::move(box->tick);
    tick();
    if (!box->gone) box->tick = std::move(tick);
  }
  static void OnClose(uv_handle_t* handle) { delete static_cast<Box*>(handle->data); }
};

struct ExporterLoop::Impl {
  struct Signal {
    uv_signal_t handle;
    Task hook;
  };
  struct Job {
    uv_work_t request;
    Task work;
    Task done;
    Impl* impl;
  };

  explicit Impl(Options given) : options(given) {}

  void DeliverPosted();
  static void OnAsync(uv_async_t* async) { static_cast<Impl*>(async->data)->OnWake(); }
  static void OnSignal(uv_signal_t* handle, int) {
    // Kept alive by the map: hooks are replaced, never removed.
    static_cast<Signal*>(handle->data)->hook();
  }
  void OnWake();

  const Options options;
  uv_loop_t loop;
  uv_async_t wake;
  std::map<int, std::unique_ptr<Signal>> signals;  // loop thread
  size_t jobs = 0;                                 // loop thread
  bool closing = false;                            // loop thread
  std::atomic<std::thread::id> runner{};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> refused{0};
  std::mutex mutex;
  std::deque<Task> posted;  // under mutex
};

absl::StatusOr<std::unique_ptr<ExporterLoop>> ExporterLoop::Create(Options options) {
  setenv("UV_THREADPOOL_SIZE", "2", 1);
  // A client that goes away while it is answered is an error of that write, not of the process.
  signal(SIGPIPE, SIG_IGN);
  auto impl = std::make_unique<Impl>(options);
  if (const int error = uv_loop_init(&impl->loop); error != 0) return UvError("loop", error);
  if (const int error = uv_async_init(&impl->loop, &impl->wake, Impl::OnAsync); error != 0) {
    uv_loop_close(&impl->loop);
    return UvError("loop", error);
  }
  impl->wake.data = impl.get();
  return std::unique_ptr<ExporterLoop>(new ExporterLoop(std::move(impl)));
}

ExporterLoop::ExporterLoop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ExporterLoop::~ExporterLoop() {
  impl_->closing = true;
  std::deque<Task> undelivered;  // destroyed while what they may own can still be closed
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    undelivered.swap(impl_->posted);
  }
  undelivered.clear();
  uv_close(reinterpret_cast<uv_handle_t*>(&impl_->wake), nullptr);
  for (auto& [number, signal] : impl_->signals) {
    uv_close(reinterpret_cast<uv_handle_t*>(&signal->handle), nullptr);
  }
  // Turns until the close callbacks and the workers' jobs are through. A handle somebody forgot to
  // close would hold this up for ever: that is a mistake to be found, not hidden.
  uv_run(&impl_->loop, UV_RUN_DEFAULT);
  uv_loop_close(&impl_->loop);
}

void ExporterLoop::Run() {
  impl_->runner = std::this_thread::get_id();
  // A Stop that came before is seen by the wake-up it caused.
  uv_run(&impl_->loop, UV_RUN_DEFAULT);
  impl_->runner = std::thread::id();
}

void ExporterLoop::Stop() {
  impl_->stop = true;
  uv_async_send(&impl_->wake);
}

bool ExporterLoop::Post(Task task) {
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    if (impl_->posted.size() >= impl_->options.max_posted) {
      impl_->refused.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    impl_->posted.push_back(std::move(task));
  }
  uv_async_send(&impl_->wake);
  return true;
}

uint64_t ExporterLoop::posts_refused() const {
  return impl_->refused.load(std::memory_order_relaxed);
}

void ExporterLoop::Impl::OnWake() {
  const bool stopping = stop.exchange(false);
  DeliverPosted();
  if (stopping) uv_stop(&loop);
}

// What is posted meanwhile waits for the next turn, so that messages cannot starve the sockets.
void ExporterLoop::Impl::DeliverPosted() {
  std::deque<Task> batch;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    batch.swap(posted);
  }
  for (Task& task : batch) {
    task();
    task = nullptr;  // destroyed in order, each before the next runs
  }
}

absl::Status ExporterLoop::OnSignal(int signum, Task hook) {
  if (const auto found = impl_->signals.find(signum); found != impl_->signals.end()) {
    found->second->hook = std::move(hook);
    return absl::OkStatus();
  }
  auto signal = std::make_unique<Impl::Signal>();
  signal->hook = std::move(hook);
  if (const int error = uv_signal_init(&impl_->loop, &signal->handle); error != 0) {
    return UvError("signal", error);
  }
  signal->handle.data = signal.get();
  uv_signal_t* handle = &signal->handle;
  impl_->signals.emplace(signum, std::move(signal));
  const int error = uv_signal_start(handle, Impl::OnSignal, signum);
  return error == 0 ? absl::OkStatus() : UvError("signal", error);
}

bool ExporterLoop::RunInWorker(Task work, Task done) {
  if (impl_->jobs >= impl_->options.max_work) return false;
  auto job = std::make_unique<Impl::Job>();
  job->work = std::move(work);
  job->done = std::move(done);
  job->impl = impl_.get();
  job->request.data = job.get();
  const auto run = [](uv_work_t* request) {
    BeNice();
    static_cast<Impl::Job*>(request->data)->work();
  };
  const auto after = [](uv_work_t* request, int) {
    const std::unique_ptr<Impl::Job> finished(static_cast<Impl::Job*>(request->data));
    --finished->impl->jobs;
    if (!finished->impl->closing && finished->done) finished->done();
  };
  if (uv_queue_work(&impl_->loop, &job->request, run, after) != 0) return false;
  ++impl_->jobs;
  job.release();  // `after` frees it
  return true;
}

std::unique_ptr<ExporterLoop::Ticker> ExporterLoop::Every(Duration interval, Task tick) {
  auto* box = new Ticker::Box;  // freed by the close callback
  box->tick = std::move(tick);
  box->timer.data = box;
  const uint64_t millis = static_cast<uint64_t>(std::max<int64_t>(1, interval.ns / 1'000'000));
  // Neither can fail: the loop is alive and the callback is not null.
  uv_timer_init(&impl_->loop, &box->timer);
  uv_timer_start(&box->timer, Ticker::Box::OnTimer, millis, millis);
  return std::unique_ptr<Ticker>(new Ticker(box));
}

ExporterLoop::Ticker::~Ticker() {
  box_->gone = true;
  box_->tick = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&box_->timer), Box::OnClose);
}

bool ExporterLoop::InLoopThread() const { return impl_->runner == std::this_thread::get_id(); }

void ExporterLoop::GiveWay() {
  constexpr Duration kWork = Microseconds(500);
  thread_local Instant gave;
  if (MonotonicNow() - gave < kWork) return;
  std::this_thread::yield();
  gave = MonotonicNow();
}

Instant ExporterLoop::MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return {static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec};
}

uv_loop_s* ExporterLoop::uv() { return &impl_->loop; }

}  // namespace sonde
