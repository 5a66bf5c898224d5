// The wheel against libuv's timer heap: the cost of one "fire and re-arm" and of one "cancel and
// arm" with N timers of a 15 s interval, spread evenly; and of asking for the next wake-up.
#include <benchmark/benchmark.h>
#include <uv.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <random>
#include <vector>

#include "bench/counted.h"
#include "engine/shard/timer_wheel.h"

namespace sonde {
namespace {

constexpr Duration kInterval = Seconds(15);

struct WheelTimers {
  explicit WheelTimers(size_t count, Duration interval = kInterval)
      : timers(std::make_unique<TimerNode[]>(count)) {
    std::mt19937_64 random(1);
    for (size_t i = 0; i < count; ++i) {
      const auto phase = static_cast<int64_t>(random() % static_cast<uint64_t>(interval.ns));
      wheel.Arm(timers[i], wheel.now() + Duration{phase});
    }
  }
  std::unique_ptr<TimerNode[]> timers;  // outlive the wheel, which disarms them
  TimerWheel wheel{Instant{Seconds(1000).ns}};
};

// Time moves in steps of 1 ms; every timer that fires is armed one interval later.
void WheelFireAndRearm(benchmark::State& state) {
  WheelTimers armed(static_cast<size_t>(state.range(0)));
  TimerWheel& wheel = armed.wheel;
  int64_t fired = 0;
  Counted counted(state);
  for (auto _ : state) {
    wheel.AdvanceTo(wheel.now() + Milliseconds(1));
    while (TimerNode* timer = wheel.PopExpired()) {
      wheel.Arm(*timer, timer->when + kInterval);
      ++fired;
    }
    benchmark::DoNotOptimize(wheel.NextWake());
  }
  counted.Report(fired);
}
BENCHMARK(WheelFireAndRearm)->Arg(10'000)->Arg(50'000)->Arg(1'000'000)->MinTime(2);

// The longest AdvanceTo of some minutes with a million timers, in microseconds of the thread's
// processor. A turn is a millisecond.
void WheelLongestAdvance(benchmark::State& state) {
  const Duration interval = Seconds(state.range(0));
  const auto cpu_ns = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  };
  std::vector<int64_t> longest;
  int64_t fired = 0;
  for (auto _ : state) {
    WheelTimers armed(1'000'000, interval);
    TimerWheel& wheel = armed.wheel;
    const Instant end = wheel.now() + Minutes(state.range(1));
    while (wheel.now() < end) {
      const int64_t began = cpu_ns();
      wheel.AdvanceTo(wheel.now() + Milliseconds(1));
      longest.push_back(cpu_ns() - began);
      while (TimerNode* timer = wheel.PopExpired()) {
        wheel.Arm(*timer, timer->when + interval);
        ++fired;
      }
    }
  }
  std::sort(longest.begin(), longest.end());
  state.SetItemsProcessed(fired);
  state.counters["longest_us"] = static_cast<double>(longest.back()) / 1e3;
  state.counters["p9999_us"] =
      static_cast<double>(longest[longest.size() - longest.size() / 10'000 - 1]) / 1e3;
}
BENCHMARK(WheelLongestAdvance)
    ->ArgNames({"seconds", "minutes"})
    ->Args({15, 2})
    ->Args({60, 3})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

// What a finished probe does to its deadline.
void WheelCancelAndArm(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  WheelTimers armed(count);
  std::mt19937_64 random(2);
  Counted counted(state);
  for (auto _ : state) {
    TimerNode& timer = armed.timers[random() % count];
    const Instant when = timer.when;
    armed.wheel.Cancel(timer);
    armed.wheel.Arm(timer, when + Milliseconds(3));
  }
  counted.Report();
}
BENCHMARK(WheelCancelAndArm)->Arg(10'000)->Arg(50'000)->Arg(1'000'000);

// libuv reads the clock itself, so its timers run against real milliseconds: about 200 of them are
// due in each, whatever the number of timers.
struct UvTimers {
  explicit UvTimers(size_t size)
      : count(size), spread_ms(size / 200), timers(std::make_unique<uv_timer_t[]>(size)) {
    uv_loop_init(&loop);
    std::mt19937_64 random(1);
    for (size_t i = 0; i < count; ++i) {
      uv_timer_init(&loop, &timers[i]);
      timers[i].data = this;
      uv_timer_start(&timers[i], Fired, random() % spread_ms, 0);
    }
  }
  ~UvTimers() {
    for (size_t i = 0; i < count; ++i) {
      uv_close(reinterpret_cast<uv_handle_t*>(&timers[i]), nullptr);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
  }
  static void Fired(uv_timer_t* timer) {
    auto* self = static_cast<UvTimers*>(timer->data);
    ++self->fired;
    // In the future, so that the loop gathers it in a later turn.
    uv_timer_start(timer, Fired, 1 + static_cast<uint64_t>(self->fired) % self->spread_ms, 0);
  }

  uv_loop_t loop;
  size_t count;
  uint64_t spread_ms;
  std::unique_ptr<uv_timer_t[]> timers;
  int64_t fired = 0;
};

// Only the turns' own time counts (CPU time): a loop with nothing due sleeps in epoll.
void UvFireAndRearm(benchmark::State& state) {
  UvTimers uv(static_cast<size_t>(state.range(0)));
  uv_run(&uv.loop, UV_RUN_NOWAIT);
  uv.fired = 0;
  for (auto _ : state) uv_run(&uv.loop, UV_RUN_ONCE);
  state.SetItemsProcessed(uv.fired);
}
BENCHMARK(UvFireAndRearm)->Arg(10'000)->Arg(50'000)->Arg(1'000'000)->MinTime(2);

void UvCancelAndArm(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  UvTimers uv(count);
  std::mt19937_64 random(2);
  for (auto _ : state) {
    uv_timer_t& timer = uv.timers[random() % count];
    uv_timer_stop(&timer);
    uv_timer_start(&timer, UvTimers::Fired, random() % 15'000, 0);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(UvCancelAndArm)->Arg(10'000)->Arg(50'000)->Arg(1'000'000);

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
