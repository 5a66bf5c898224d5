// One writer, several readers: the last result is never torn, counters never go back. Runs under
// ThreadSanitizer too.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "engine/contract/tally.h"

namespace sonde {
namespace {

constexpr WallTime kStart{1'782'864'000'000'000'000};
constexpr size_t kFacts = std::min(FactSet::kCapacity, kFactCount);

// Every word of the result follows from its number.
ProbeResult Numbered(int64_t number) {
  ProbeResult result;
  result.outcome = number % 3 == 0 ? Outcome::kConnectRefused : Outcome::kOk;
  result.due = WallTime{number};
  result.started = WallTime{number * 3};
  result.duration = Duration{number * 5};
  result.texts_hash = static_cast<uint64_t>(number * 7);
  for (uint32_t& stage : result.stage_us) stage = static_cast<uint32_t>(number);
  for (size_t i = 0; i < kFacts; ++i) {
    result.facts.Set(static_cast<Fact>(i), static_cast<double>(number));
  }
  result.latency_recorded = true;
  return result;
}

bool IsWhole(const ProbeResult& result) {
  const int64_t number = result.due.ns;
  const ProbeResult expected = Numbered(number);
  if (result.started != expected.started || result.duration != expected.duration ||
      result.texts_hash != expected.texts_hash || result.outcome != expected.outcome) {
    return false;
  }
  for (uint32_t stage : result.stage_us) {
    if (stage != static_cast<uint32_t>(number)) return false;
  }
  for (size_t i = 0; i < kFacts; ++i) {
    if (result.facts.Get(static_cast<Fact>(i)) != static_cast<double>(number)) return false;
  }
  return true;
}

TEST(TallyThreadsTest, ReadersSeeWholeResultsAndGrowingCounts) {
  constexpr int64_t kWrites = 60'000;
  constexpr int kReaders = 3;
  Tally tally;
  std::atomic<bool> done{false};
  std::atomic<int> ready{0};
  std::vector<std::thread> readers;
  std::array<int64_t, kReaders> reads{}, torn{}, backwards{};
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      ready.fetch_add(1);
      int64_t newest = 0;
      bool finished = false;
      uint64_t conclusive = 0;
      std::vector<Tally::Reason> reasons;
      while (true) {
        if (const std::optional<ProbeResult> last = tally.last()) {
          ++reads[r];
          if (!IsWhole(*last)) ++torn[r];
          if (last->due.ns < newest) ++backwards[r];
          newest = last->due.ns;
        }
        const Tally::Counts counts = tally.counts();
        if (counts.success + counts.failed < conclusive) ++backwards[r];
        conclusive = counts.success + counts.failed;
        reasons.clear();
        tally.Reasons(&reasons);
        for (const Tally::Reason& reason : reasons) {
          if (Info(reason.outcome).fault == Fault::kNobody) ++torn[r];
        }
        const Tally::Ratio ratio = tally.ratio(Window::k5m, tally.last_run());
        const std::optional<double> value = ratio.value();
        if (value && (*value < 0 || *value > 1)) ++torn[r];
        if (tally.latency().count > static_cast<uint64_t>(kWrites)) ++torn[r];
        // A read may find nothing while the writer, preempted within a write, stands still; once it
        // has ended every read succeeds.
        if (finished && newest != kWrites) ++torn[r];
        if (finished) break;
        finished = done.load(std::memory_order_acquire);
      }
    });
  }
  while (ready.load() < kReaders) std::this_thread::yield();
  for (int64_t i = 1; i <= kWrites; ++i) {
    tally.Record(Numbered(i), kStart + Seconds(i));
    // Reasons beyond the inline ones appear while others read.
    if (i % 1000 == 0) {
      ProbeResult result;
      result.outcome = static_cast<Outcome>(1 + (i / 1000) % (Outcomes().size() - 1));
      if (VerdictOf(result.outcome) == Verdict::kInconclusive) tally.Record(result, kStart);
    }
    if (i % 256 == 0) std::this_thread::yield();
  }
  done.store(true, std::memory_order_release);
  for (std::thread& reader : readers) reader.join();
  for (int r = 0; r < kReaders; ++r) {
    EXPECT_GT(reads[r], 0);
    EXPECT_EQ(torn[r], 0) << "of " << reads[r] << " reads";
    EXPECT_EQ(backwards[r], 0);
  }
  EXPECT_TRUE(IsWhole(*tally.last()));
  EXPECT_EQ(tally.last()->due.ns, kWrites);
}

// A run whose time, outcome and duration follow from its number.
RecentRun RecentNumbered(int64_t number) {
  return {kStart + Seconds(number), number % 3 == 0 ? Outcome::kConnectRefused : Outcome::kOk,
          Nanoseconds(number)};
}

// The optional parts come while others write and read: no run is torn, out of order or lost.
TEST(TallyThreadsTest, OptionalPartsComeWhileOthersWriteAndRead) {
  constexpr int64_t kWrites = 60'000;  // as nanoseconds exact in a word
  constexpr int kReaders = 3;
  Tally tally;
  std::atomic<bool> done{false};
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  std::array<int64_t, kReaders> runs_seen{}, wrong{}, lost{};
  for (int r = 0; r < kReaders; ++r) {
    threads.emplace_back([&, r] {
      ready.fetch_add(1);
      std::vector<RecentRun> runs;
      NativeCounts native;
      int64_t newest = 0;
      uint64_t counted = 0;
      for (bool finished = false;; finished = done.load(std::memory_order_acquire)) {
        runs.clear();
        tally.Recent(&runs);
        runs_seen[r] += static_cast<int64_t>(runs.size());
        if (runs.size() > ResultRing::kRuns) ++wrong[r];
        for (size_t i = 0; i < runs.size(); ++i) {
          const int64_t number = (runs[i].finished - kStart).ns / Seconds(1).ns;
          if (runs[i] != RecentNumbered(number)) ++wrong[r];
          if (i > 0 && runs[i].finished != runs[i - 1].finished + Seconds(1)) ++wrong[r];
        }
        if (!runs.empty()) {
          const int64_t last = runs.back().duration.ns;
          if (last < newest) ++wrong[r];
          newest = last;
        }
        // In this order: what the classic buckets held, the native ones hold.
        const uint64_t classic = tally.latency().count;
        if (tally.Native(&native)) {
          if (native.count < classic || native.count < counted) ++lost[r];
          counted = native.count;
        }
        if (finished) break;
      }
      if (runs.size() != ResultRing::kRuns || newest != kWrites) ++wrong[r];
    });
  }
  while (ready.load() < kReaders) std::this_thread::yield();
  threads.emplace_back([&] {
    while (tally.counts().success < 1000) std::this_thread::yield();
    tally.ProvideNative();
    tally.ProvideRecent();
  });
  for (int64_t i = 1; i <= kWrites; ++i) {
    const RecentRun run = RecentNumbered(i);
    ProbeResult result;
    result.outcome = run.outcome;
    result.duration = run.duration;
    result.latency_recorded = true;
    tally.Record(result, run.finished);
    if (i % 256 == 0) std::this_thread::yield();
    // On one processor the writer may be done before the parts are there.
    if (i == kWrites / 2) threads.back().join();
  }
  done.store(true, std::memory_order_release);
  for (int r = 0; r < kReaders; ++r) {
    threads[static_cast<size_t>(r)].join();
    EXPECT_GT(runs_seen[r], 0);
    EXPECT_EQ(wrong[r], 0);
    EXPECT_EQ(lost[r], 0);
  }
  NativeCounts native;
  ASSERT_TRUE(tally.Native(&native));
  EXPECT_EQ(native.count, tally.latency().count);
  EXPECT_EQ(native.count, tally.counts().success);
}

}  // namespace
}  // namespace sonde
