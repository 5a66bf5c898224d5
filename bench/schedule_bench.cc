// The next slot of a task, by kind of schedule, with what it takes from the heap.
#include <benchmark/benchmark.h>

#include "bench/counted.h"
#include "engine/contract/schedule.h"

namespace sonde {
namespace {

void NextSlots(benchmark::State& state, const Schedule& schedule) {
  WallTime at{1'782'864'000'000'000'000};
  const WallTime end = at + Hours(24 * 365 * 20);
  uint64_t id = 0;
  Counted counted(state);
  for (auto _ : state) {
    const std::optional<WallTime> next = schedule.NextAfter(++id, at);
    benchmark::DoNotOptimize(next);
    at = *next < end ? *next : WallTime{1'782'864'000'000'000'000};
  }
  counted.Report();
}

void Interval(benchmark::State& state) { NextSlots(state, *Schedule::Every(Seconds(15))); }
void CronUtc(benchmark::State& state) { NextSlots(state, *Schedule::Cron("*/15 * * * * *")); }
void CronZone(benchmark::State& state) {
  NextSlots(state, *Schedule::Cron("*/15 * * * * *", "Europe/Berlin"));
}
void CronDaily(benchmark::State& state) {
  NextSlots(state, *Schedule::Cron("30 2 * * *", "Europe/Berlin"));
}
void CronLeapDay(benchmark::State& state) {
  NextSlots(state, *Schedule::Cron("0 0 29 2 *", "Europe/Berlin"));
}
void CronParse(benchmark::State& state) {
  static_cast<void>(Schedule::Cron("* * * * *", "Europe/Berlin"));  // reads the zone
  Counted counted(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(Schedule::Cron("*/15 9-17 * * mon-fri", "Europe/Berlin"));
  }
  counted.Report();
}
BENCHMARK(Interval);
BENCHMARK(CronUtc);
BENCHMARK(CronZone);
BENCHMARK(CronDaily);
BENCHMARK(CronLeapDay);
BENCHMARK(CronParse);

}  // namespace
}  // namespace sonde

BENCHMARK_MAIN();
