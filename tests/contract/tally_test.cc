#include "engine/contract/tally.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace sonde {
namespace {

using ::testing::IsEmpty;

constexpr WallTime kNow{1'782'864'000'000'000'000};  // 2026-07-01T00:00:00Z, the start of all slots

ProbeResult Result(Outcome outcome, Duration duration = Milliseconds(7), bool recorded = true) {
  ProbeResult result;
  result.outcome = outcome;
  result.duration = duration;
  result.latency_recorded = recorded;
  return result;
}

// What a task costs while it rests. A change here is a decision: 50,000 tasks pay for it.
TEST(TallyTest, SizeIsPinned) {
  constexpr size_t kCounters = 4 * 8;
  constexpr size_t kReasons = 8 * 4 + 8 * 1 + 8;             // counts, outcomes, page
  constexpr size_t kLatency = 12 * 4 + 8;                    // buckets, sum
  constexpr size_t kSlots = 64 * 4 + 3 * 4;                  // slots, newest slot of each window
  constexpr size_t kLast = 4 + 8 + 8 + sizeof(ProbeResult);  // version, last run, outcome
  constexpr size_t kTextsHash = 8;
  constexpr size_t kOptional = 2 * sizeof(void*);  // 488 and 396 bytes where they are wanted
  EXPECT_EQ(sizeof(ProbeResult), 288u);
  EXPECT_EQ(sizeof(Tally),
            kCounters + kReasons + kLatency + kSlots + kLast + kTextsHash + kOptional);
  EXPECT_EQ(sizeof(Tally), 736u);
}

TEST(TallyTest, AWindowsSlotsFillTheSharedArray) {
  size_t first = 0;
  for (const WindowInfo& window : kWindows) {
    EXPECT_EQ(window.first, first);
    first += window.slots;
  }
  EXPECT_EQ(first, kWindowSlots);
}

TEST(TallyTest, StartsEmpty) {
  Tally tally;
  EXPECT_EQ(tally.counts().success + tally.counts().failed + tally.counts().inconclusive +
                tally.counts().skipped,
            0u);
  std::vector<Tally::Reason> reasons;
  tally.Reasons(&reasons);
  EXPECT_THAT(reasons, IsEmpty());
  EXPECT_EQ(tally.latency().count, 0u);
  EXPECT_EQ(tally.ratio(Window::k5m, kNow).value(), std::nullopt);
  EXPECT_EQ(tally.last(), std::nullopt) << "never";
  EXPECT_EQ(tally.last_run(), WallTime{});
}

TEST(TallyTest, CountsVerdictsAndSkips) {
  Tally tally;
  for (int i = 0; i < 3; ++i) tally.Record(Result(Outcome::kOk), kNow);
  for (int i = 0; i < 2; ++i) tally.Record(Result(Outcome::kConnectRefused), kNow);
  tally.Record(Result(Outcome::kProberLate), kNow);
  tally.CountSkipped(40);
  tally.CountSkipped(2);
  const Tally::Counts counts = tally.counts();
  EXPECT_EQ(counts.success, 3u);
  EXPECT_EQ(counts.failed, 2u);
  EXPECT_EQ(counts.inconclusive, 1u);
  EXPECT_EQ(counts.skipped, 42u);
  const Tally::Ratio ratio = tally.ratio(Window::k5m, kNow);
  EXPECT_EQ(ratio.passed, 3u);
  EXPECT_EQ(ratio.failed, 2u) << "an inconclusive run is neither";
}

TEST(TallyTest, ReasonsInTheOrderFirstMetBeyondTheInlineOnes) {
  Tally tally;
  std::vector<Outcome> met;
  for (const OutcomeInfo& info : Outcomes()) {
    if (info.outcome != Outcome::kOk) met.push_back(info.outcome);
  }
  std::reverse(met.begin(), met.end());
  ASSERT_GT(met.size(), 8u + 36u) << "reaches a second page";
  for (size_t times = 1; times <= 3; ++times) {
    for (size_t i = 0; i < met.size(); i += times) tally.Record(Result(met[i]), kNow);
  }
  tally.Record(Result(Outcome::kOk), kNow);
  std::vector<Tally::Reason> reasons;
  tally.Reasons(&reasons);
  ASSERT_EQ(reasons.size(), met.size());
  for (size_t i = 0; i < met.size(); ++i) {
    EXPECT_EQ(reasons[i].outcome, met[i]);
    EXPECT_EQ(reasons[i].count, 1u + (i % 2 == 0) + (i % 3 == 0)) << i;
  }
}

TEST(TallyTest, LatencyOfPassedRunsWhoseLatencyWasRecorded) {
  Tally tally;
  tally.Record(Result(Outcome::kOk, Milliseconds(1)), kNow);  // on the bound: belongs below it
  tally.Record(Result(Outcome::kOk, Milliseconds(1) + Duration{1}), kNow);
  tally.Record(Result(Outcome::kOk, Milliseconds(2500)), kNow);
  tally.Record(Result(Outcome::kOk, Milliseconds(2501)), kNow);
  tally.Record(Result(Outcome::kOk, Duration{}), kNow);
  tally.Record(Result(Outcome::kOk, Seconds(60), false), kNow);
  tally.Record(Result(Outcome::kBodyTimeout, Seconds(60), true), kNow);
  tally.Record(Result(Outcome::kProberLate, Seconds(60), true), kNow);
  const Tally::Latency latency = tally.latency();
  EXPECT_EQ(latency.buckets[0], 2u);
  EXPECT_EQ(latency.buckets[1], 1u);
  EXPECT_EQ(latency.buckets[10], 1u);
  EXPECT_EQ(latency.buckets[11], 1u);
  EXPECT_EQ(latency.count, 5u);
  EXPECT_NEAR(latency.sum_seconds, 5.003, 1e-6);
}

TEST(TallyTest, LastIsTheLastConclusiveResultAndLastRunTheLastOfAny) {
  Tally tally;
  tally.Record(Result(Outcome::kProberPorts), kNow);
  EXPECT_EQ(tally.last(), std::nullopt);
  EXPECT_EQ(tally.last_run(), kNow);
  EXPECT_EQ(tally.last_outcome(), Outcome::kProberPorts);

  ProbeResult result = Result(Outcome::kTlsExpired, Milliseconds(31));
  result.due = kNow;
  result.texts_hash = 0xfeed;
  result.AddStage(Stage::kTls, Milliseconds(11));
  result.legs = 2;
  tally.Record(result, kNow + Seconds(1));
  tally.Record(Result(Outcome::kProberLate), kNow + Seconds(2));
  const std::optional<ProbeResult> last = tally.last();
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->outcome, Outcome::kTlsExpired);
  EXPECT_EQ(last->duration, Milliseconds(31));
  EXPECT_EQ(last->due, kNow);
  EXPECT_EQ(last->texts_hash, 0xfeedu);
  EXPECT_EQ(last->stage_us[static_cast<size_t>(Stage::kTls)], 11'000u);
  EXPECT_EQ(last->legs, 2);
  EXPECT_EQ(tally.last_run(), kNow + Seconds(2));
  EXPECT_EQ(tally.last_outcome(), Outcome::kProberLate);
}

std::vector<RecentRun> Recent(const Tally& tally) {
  std::vector<RecentRun> runs;
  tally.Recent(&runs);
  return runs;
}

TEST(TallyTest, WithoutTheOptionalPartsThereIsNothingOfThem) {
  Tally tally;
  tally.Record(Result(Outcome::kOk), kNow);
  NativeCounts native;
  EXPECT_FALSE(tally.Native(&native));
  EXPECT_THAT(Recent(tally), IsEmpty());
}

TEST(TallyTest, RecentRunsAreOfEveryVerdict) {
  Tally tally;
  tally.ProvideRecent();
  EXPECT_THAT(Recent(tally), IsEmpty());
  tally.Record(Result(Outcome::kOk), kNow);
  tally.Record(Result(Outcome::kTlsExpired, Microseconds(31)), kNow + Seconds(1));
  tally.ProvideRecent();  // it is there
  tally.Record(Result(Outcome::kProberLate, Microseconds(4)), kNow + Milliseconds(2500));
  const std::vector<RecentRun> expected = {
      {kNow, Outcome::kOk, Recent(tally).at(0).duration},
      {kNow + Seconds(1), Outcome::kTlsExpired, Microseconds(31)},
      {kNow + Seconds(2), Outcome::kProberLate, Microseconds(4)}};
  EXPECT_EQ(Recent(tally), expected);
  EXPECT_NEAR(Recent(tally)[0].duration.millis(), 7, 1e-4);
}

TEST(TallyTest, NativeBucketsHoldTheRunsOfTheClassicOnes) {
  Tally tally;
  tally.ProvideNative();
  NativeCounts native;
  EXPECT_FALSE(tally.Native(&native)) << "before the first run";
  tally.Record(Result(Outcome::kConnectRefused), kNow);
  ASSERT_TRUE(tally.Native(&native));
  EXPECT_EQ(native.count, 0u);
  tally.Record(Result(Outcome::kOk, Milliseconds(20)), kNow);
  tally.Record(Result(Outcome::kOk, Seconds(60), false), kNow);  // spoilt by a gap
  tally.Record(Result(Outcome::kProberLate, Seconds(60)), kNow);
  ASSERT_TRUE(tally.Native(&native));
  EXPECT_EQ(native.count, 1u);
  EXPECT_EQ(native.buckets[static_cast<size_t>(NativeBucket(Milliseconds(20)) - kNativeFirst)], 1u);
  EXPECT_EQ(tally.latency().count, 1u);
}

TEST(TallyTest, PartsThatComeLateLoseNoCount) {
  Tally tally;
  for (int i = 0; i < 100; ++i) tally.Record(Result(Outcome::kOk, Milliseconds(i * 40)), kNow);
  tally.ProvideNative();
  tally.ProvideRecent();
  NativeCounts native;
  EXPECT_FALSE(tally.Native(&native)) << "not before the writer has seen it";
  tally.Record(Result(Outcome::kOk, Milliseconds(3)), kNow);
  ASSERT_TRUE(tally.Native(&native));
  EXPECT_EQ(native.count, 101u);
  EXPECT_EQ(tally.latency().count, 101u);
  EXPECT_EQ(tally.counts().success, 101u);
  EXPECT_EQ(Recent(tally).size(), 1u);
  // Runs before stand in the bucket of their classic bound.
  EXPECT_EQ(native.buckets[static_cast<size_t>(NativeBucket(Milliseconds(2500)) - kNativeFirst)],
            tally.latency().buckets[10]);
}

TEST(TallyTest, WindowsDropASlotAtATime) {
  Tally tally;
  tally.Record(Result(Outcome::kOk), kNow);
  tally.Record(Result(Outcome::kBodyReset), kNow + Seconds(30));
  const auto passed = [&](Window window, WallTime at) { return tally.ratio(window, at).passed; };
  EXPECT_EQ(passed(Window::k5m, kNow + Seconds(300) - Duration{1}), 1u);
  EXPECT_EQ(passed(Window::k5m, kNow + Seconds(300)), 0u);
  EXPECT_EQ(tally.ratio(Window::k5m, kNow + Seconds(300)).failed, 1u);
  EXPECT_EQ(tally.ratio(Window::k5m, kNow + Seconds(330)).value(), std::nullopt);
  EXPECT_EQ(passed(Window::k1h, kNow + Hours(1) - Duration{1}), 1u);
  EXPECT_EQ(passed(Window::k1h, kNow + Hours(1)), 0u);
  EXPECT_EQ(passed(Window::k24h, kNow + Hours(24) - Duration{1}), 1u);
  EXPECT_EQ(passed(Window::k24h, kNow + Hours(24)), 0u);
  EXPECT_EQ(passed(Window::k24h, kNow + Hours(24 * 365 * 100)), 0u);
}

TEST(TallyTest, AWriterThatComesBackAfterAPauseFindsNothingOld) {
  for (Duration pause : {Seconds(30), Seconds(270), Seconds(300), Seconds(301), Hours(2), Hours(23),
                         Hours(24), Hours(24 * 400)}) {
    Tally tally;
    tally.Record(Result(Outcome::kBodyReset), kNow);
    tally.Record(Result(Outcome::kOk), kNow + pause);
    const auto failed = [&](Window window) { return tally.ratio(window, kNow + pause).failed; };
    EXPECT_EQ(failed(Window::k5m), pause < Seconds(300) ? 1u : 0u) << pause.seconds();
    EXPECT_EQ(failed(Window::k1h), pause < Hours(1) ? 1u : 0u) << pause.seconds();
    EXPECT_EQ(failed(Window::k24h), pause < Hours(24) ? 1u : 0u) << pause.seconds();
    EXPECT_EQ(tally.ratio(Window::k24h, kNow + pause).passed, 1u);
  }
}

TEST(TallyTest, AClockGoingBackCorruptsNothing) {
  Tally tally;
  tally.Record(Result(Outcome::kOk), kNow);
  tally.Record(Result(Outcome::kOk), kNow - Seconds(100));  // counted where we are
  tally.Record(Result(Outcome::kConnectRefused), kNow - Hours(3));
  Tally::Ratio day = tally.ratio(Window::k24h, kNow);
  EXPECT_EQ(day.passed, 2u);
  EXPECT_EQ(day.failed, 1u);
  // Three hours are more than the shorter windows hold: they began anew.
  EXPECT_EQ(tally.ratio(Window::k5m, kNow - Hours(3)).passed, 0u);
  EXPECT_EQ(tally.ratio(Window::k5m, kNow - Hours(3)).failed, 1u);
  // A clock that stood years ahead and was set right.
  tally.Record(Result(Outcome::kOk), kNow + Hours(24 * 3650));
  tally.Record(Result(Outcome::kOk), kNow);
  tally.Record(Result(Outcome::kOk), kNow + Minutes(4));
  EXPECT_EQ(tally.ratio(Window::k5m, kNow + Minutes(4)).passed, 2u);
  EXPECT_EQ(tally.ratio(Window::k5m, kNow + Minutes(5)).passed, 1u);
  tally.Record(Result(Outcome::kOk), WallTime{-5});
  EXPECT_EQ(tally.ratio(Window::k24h, WallTime{}).passed, 1u);
}

TEST(TallyTest, ASlotSaturatesInsteadOfRunningOver) {
  Tally tally;
  for (int i = 0; i < 70'000; ++i) tally.Record(Result(Outcome::kBodyReset), kNow);
  tally.Record(Result(Outcome::kOk), kNow);
  EXPECT_EQ(tally.ratio(Window::k5m, kNow).failed, 65'535u);
  EXPECT_EQ(tally.ratio(Window::k5m, kNow).passed, 1u);
  for (int i = 0; i < 70'000; ++i) tally.Record(Result(Outcome::kOk), kNow);
  EXPECT_EQ(tally.ratio(Window::k24h, kNow).passed, 65'535u);
  EXPECT_EQ(tally.ratio(Window::k24h, kNow).failed, 65'535u);
  EXPECT_EQ(tally.counts().success, 70'001u);
}

// Everything against a list of all runs.
struct Finished {
  ProbeResult result;
  WallTime finished;
};

void ExpectEqualToModel(const Tally& tally, const std::vector<Finished>& runs, WallTime now) {
  Tally::Counts counts;
  std::map<Outcome, uint32_t> reasons;
  std::array<uint64_t, kLatencyBuckets> buckets{};
  double sum = 0;
  const ProbeResult* last = nullptr;
  for (const Finished& run : runs) {
    const Verdict verdict = run.result.verdict();
    ++(verdict == Verdict::kSuccess  ? counts.success
       : verdict == Verdict::kFailed ? counts.failed
                                     : counts.inconclusive);
    if (run.result.outcome != Outcome::kOk) ++reasons[run.result.outcome];
    if (verdict != Verdict::kInconclusive) last = &run.result;
    if (verdict != Verdict::kSuccess || !run.result.latency_recorded) continue;
    const auto bound = std::lower_bound(kLatencyBounds.begin(), kLatencyBounds.end(),
                                        run.result.duration.seconds());
    ++buckets[static_cast<size_t>(bound - kLatencyBounds.begin())];
    sum += run.result.duration.seconds();
  }
  EXPECT_EQ(tally.counts().success, counts.success);
  EXPECT_EQ(tally.counts().failed, counts.failed);
  EXPECT_EQ(tally.counts().inconclusive, counts.inconclusive);
  std::vector<Tally::Reason> read;
  tally.Reasons(&read);
  std::map<Outcome, uint32_t> read_map;
  for (const Tally::Reason& reason : read) read_map[reason.outcome] = reason.count;
  EXPECT_EQ(read_map, reasons);
  EXPECT_EQ(tally.latency().buckets, buckets);
  EXPECT_NEAR(tally.latency().sum_seconds, sum, 1e-6);
  ASSERT_EQ(tally.last().has_value(), last != nullptr);
  if (last != nullptr) {
    EXPECT_EQ(tally.last()->outcome, last->outcome);
    EXPECT_EQ(tally.last()->duration, last->duration);
  }
  for (size_t w = 0; w < kWindows.size(); ++w) {
    const int64_t slot = kWindows[w].slot.ns;
    Tally::Ratio ratio;
    for (const Finished& run : runs) {
      if (run.finished.ns / slot <= now.ns / slot - kWindows[w].slots) continue;
      if (run.result.verdict() == Verdict::kSuccess) ++ratio.passed;
      if (run.result.verdict() == Verdict::kFailed) ++ratio.failed;
    }
    EXPECT_EQ(tally.ratio(static_cast<Window>(w), now).passed, ratio.passed) << kWindows[w].name;
    EXPECT_EQ(tally.ratio(static_cast<Window>(w), now).failed, ratio.failed) << kWindows[w].name;
  }
}

TEST(TallyTest, AgreesWithAListOfAllRuns) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 8; ++round) {
    auto tally = std::make_unique<Tally>();
    std::vector<Finished> runs;
    WallTime now = kNow + Duration{static_cast<int64_t>(random() % 1'000'000'000'000)};
    for (int i = 0; i < 600; ++i) {
      // Mostly a steady rhythm, at times a long pause.
      const int64_t pause = random() % 40 == 0 ? Hours(30).ns : Seconds(90).ns;
      now = now + Duration{static_cast<int64_t>(random() % static_cast<uint64_t>(pause))};
      const auto outcome = static_cast<Outcome>(
          random() % 2 == 0 ? 0 : random() % (round < 4 ? 6 : Outcomes().size()));
      const Duration duration{static_cast<int64_t>(random() % 4'000'000'000)};
      runs.push_back({Result(outcome, duration, random() % 8 != 0), now});
      tally->Record(runs.back().result, now);
      if (i % 20 == 0) {
        ExpectEqualToModel(*tally, runs,
                           now + Duration{static_cast<int64_t>(random() % Hours(2).ns)});
      }
    }
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace sonde
