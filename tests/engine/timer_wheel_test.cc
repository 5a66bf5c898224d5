#include "engine/shard/timer_wheel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kTick = int64_t{1} << 16;
constexpr int64_t kFinest = 256;  // ticks, of the finest level
constexpr Instant kStart{1'000'000'000'123'456};

struct Timer : TimerNode {
  explicit Timer(int number = 0) : TimerNode(7), id(number) {}
  int id;
};

std::vector<int> Fire(TimerWheel& wheel, Instant now) {
  wheel.AdvanceTo(now);
  std::vector<int> ids;
  while (TimerNode* node = wheel.PopExpired()) ids.push_back(static_cast<Timer*>(node)->id);
  return ids;
}

TEST(TimerWheelTest, FiresAtItsInstantAndNotANanosecondEarlier) {
  // One delay per level, and the ends of ticks and levels.
  for (int64_t delay : {int64_t{1}, kTick - 1, kTick, kTick + 1, 255 * kTick, 256 * kTick,
                        256 * kTick + 1, 65'536 * kTick, 16'777'216 * kTick, Hours(1).ns,
                        Hours(24).ns, Hours(24 * 60).ns, Hours(24 * 366 * 100).ns}) {
    TimerWheel wheel(kStart);
    Timer timer(1);
    wheel.Arm(timer, kStart + Duration{delay});
    EXPECT_THAT(Fire(wheel, kStart + Duration{delay - 1}), IsEmpty()) << delay;
    EXPECT_TRUE(timer.armed());
    EXPECT_THAT(Fire(wheel, kStart + Duration{delay}), ElementsAre(1)) << delay;
    EXPECT_FALSE(timer.armed());
    EXPECT_EQ(timer.when, kStart + Duration{delay});
    EXPECT_EQ(timer.tag, 7);
    EXPECT_EQ(wheel.size(), 0u);
  }
}

TEST(TimerWheelTest, FollowingNextWakeReachesEveryTimerOnTime) {
  for (int64_t delay : {Microseconds(3).ns, Milliseconds(15).ns, Seconds(15).ns, Hours(30).ns,
                        Hours(24 * 366).ns, INT64_MAX - kStart.ns}) {
    TimerWheel wheel(kStart);
    Timer timer(1);
    wheel.Arm(timer, kStart + Duration{delay});
    int wakes = 0;
    while (timer.armed()) {
      ASSERT_LT(++wakes, 20);
      const std::optional<Instant> wake = wheel.NextWake();
      ASSERT_TRUE(wake.has_value());
      ASSERT_LE(*wake, timer.when);
      ASSERT_GE(*wake, wheel.now());
      Fire(wheel, *wake);
    }
    EXPECT_EQ(wheel.now(), timer.when);
    EXPECT_EQ(wheel.NextWake(), std::nullopt);
  }
}

TEST(TimerWheelTest, EqualDeadlinesFireInArmOrderAlsoAfterMovingDown) {
  TimerWheel wheel(kStart);
  const Instant deadline = kStart + Seconds(300);
  Timer first(1), second(2), third(3), fourth(4);
  wheel.Arm(first, deadline);
  Fire(wheel, deadline - Seconds(20));
  wheel.Arm(second, deadline);
  Fire(wheel, deadline - Milliseconds(100));
  wheel.Arm(third, deadline);
  Fire(wheel, deadline - Duration{1});
  wheel.Arm(fourth, deadline);
  EXPECT_THAT(Fire(wheel, deadline), ElementsAre(1, 2, 3, 4));
}

TEST(TimerWheelTest, OneLongJumpFiresEverythingByTick) {
  TimerWheel wheel(kStart);
  Timer a(1), b(2), c(3), d(4);
  wheel.Arm(a, kStart + Hours(1));
  wheel.Arm(b, kStart + Milliseconds(1));
  wheel.Arm(c, kStart + Seconds(5));
  wheel.Arm(d, kStart + Hours(2));
  EXPECT_THAT(Fire(wheel, kStart + Hours(1) + Minutes(1)), ElementsAre(2, 3, 1));
  EXPECT_TRUE(d.armed());
  wheel.Cancel(d);
}

TEST(TimerWheelTest, OverdueAndZeroDelayWaitForTheNextAdvance) {
  TimerWheel wheel(kStart);
  Timer timer(1), late(2);
  wheel.Arm(timer, kStart);
  EXPECT_EQ(wheel.NextWake(), kStart);
  wheel.AdvanceTo(kStart);
  ASSERT_EQ(wheel.PopExpired(), &timer);
  wheel.Arm(timer, kStart);              // re-armed from within the loop
  wheel.Arm(late, kStart - Seconds(9));  // long overdue
  EXPECT_EQ(wheel.PopExpired(), nullptr);
  EXPECT_EQ(wheel.NextWake(), kStart - Seconds(9));
  EXPECT_THAT(Fire(wheel, kStart), ElementsAre(1, 2));
}

TEST(TimerWheelTest, CancelTakesBackAGatheredTimer) {
  TimerWheel wheel(kStart);
  Timer a(1), b(2), c(3), moved(4);
  for (Timer* timer : {&a, &b, &c, &moved}) wheel.Arm(*timer, kStart + Seconds(1));
  wheel.AdvanceTo(kStart + Seconds(2));
  EXPECT_EQ(wheel.size(), 4u);
  EXPECT_EQ(wheel.NextWake(), kStart + Seconds(2)) << "gathered timers wait";
  ASSERT_EQ(wheel.PopExpired(), &a);
  EXPECT_TRUE(b.armed());
  wheel.Cancel(b);
  wheel.Cancel(b);  // nothing happens
  wheel.Arm(moved, kStart + Seconds(3));
  EXPECT_FALSE(b.armed());
  EXPECT_EQ(wheel.PopExpired(), &c);
  EXPECT_EQ(wheel.PopExpired(), nullptr);
  EXPECT_EQ(wheel.size(), 1u);
  EXPECT_THAT(Fire(wheel, kStart + Seconds(3)), ElementsAre(4));
}

TEST(TimerWheelTest, UpcomingShowsWhatWillBePopped) {
  TimerWheel wheel(kStart);
  Timer one(1), two(2);
  wheel.Arm(one, kStart + Milliseconds(1));
  wheel.Arm(two, kStart + Milliseconds(2));
  EXPECT_EQ(wheel.Upcoming(), nullptr);
  wheel.AdvanceTo(kStart + Milliseconds(5));
  EXPECT_EQ(wheel.Upcoming(), &one);
  EXPECT_EQ(wheel.Upcoming(&one), &two);
  EXPECT_EQ(wheel.Upcoming(&two), nullptr);
  EXPECT_EQ(wheel.PopExpired(), &one);
  EXPECT_EQ(wheel.Upcoming(), &two);
  wheel.Cancel(two);
  EXPECT_EQ(wheel.Upcoming(), nullptr);
}

TEST(TimerWheelTest, ArmingAnArmedTimerMovesIt) {
  TimerWheel wheel(kStart);
  Timer timer(1);
  wheel.Arm(timer, kStart + Seconds(1));
  wheel.Arm(timer, kStart + Hours(3));
  EXPECT_EQ(wheel.size(), 1u);
  EXPECT_THAT(Fire(wheel, kStart + Hours(2)), IsEmpty());
  wheel.Arm(timer, kStart + Hours(2) + Duration{5});
  EXPECT_EQ(wheel.NextWake(), kStart + Hours(2) + Duration{5});
  EXPECT_THAT(Fire(wheel, kStart + Hours(2) + Duration{5}), ElementsAre(1));
}

TEST(TimerWheelTest, NextWakeIsExactWithinTheFinestLevelAlsoAfterCancel) {
  TimerWheel wheel(Instant{});
  Timer early(1), same_tick(2), later(3);
  wheel.Arm(same_tick, Instant{1000});
  wheel.Arm(early, Instant{700});
  wheel.Arm(later, Instant{5 * kTick + 9});
  EXPECT_EQ(wheel.NextWake(), Instant{700});
  wheel.Cancel(early);
  EXPECT_EQ(wheel.NextWake(), Instant{1000});
  wheel.Arm(early, Instant{900});
  EXPECT_EQ(wheel.NextWake(), Instant{900});
  EXPECT_THAT(Fire(wheel, Instant{950}), ElementsAre(1));
  EXPECT_EQ(wheel.NextWake(), Instant{1000});
  wheel.Cancel(same_tick);
  EXPECT_EQ(wheel.NextWake(), Instant({5 * kTick + 9}));
  wheel.Cancel(later);
  EXPECT_EQ(wheel.NextWake(), std::nullopt);
}

TEST(TimerWheelTest, DestroyingTheWheelDisarms) {
  Timer waiting(1), gathered(2);
  {
    TimerWheel wheel(kStart);
    wheel.Arm(waiting, kStart + Hours(1));
    wheel.Arm(gathered, kStart);
    wheel.AdvanceTo(kStart);
  }
  EXPECT_FALSE(waiting.armed());
  EXPECT_FALSE(gathered.armed());
}

TEST(TimerWheelDeathTest, AssertsItsRules) {
  EXPECT_DEATH(
      {
        TimerWheel wheel(kStart);
        wheel.AdvanceTo(kStart - Duration{1});
      },
      "now >= now_");
  EXPECT_DEATH(
      {
        TimerWheel wheel(kStart);
        auto timer = std::make_unique<Timer>();
        wheel.Arm(*timer, kStart);
        timer.reset();
      },
      "armed");
}

// The wheel against a sorted map over hours of simulated time: same timers, same order of ticks,
// arm order within a tick, nothing early, NextWake never later than the truth.
class Model {
 public:
  explicit Model(uint32_t seed) : random_(seed), wheel_(kStart) {
    for (int i = 0; i < 300; ++i) timers_.push_back(std::make_unique<Timer>(i));
    armed_.resize(timers_.size(), queue_.end());
  }
  ~Model() {
    for (auto& timer : timers_) wheel_.Cancel(*timer);
  }

  void Run(int steps) {
    for (int step = 0; step < steps; ++step) {
      for (int64_t n = Pick(4); n-- > 0;) ArmOne();
      if (Pick(3) == 0) CancelOne();
      Advance(Step());
      if (::testing::Test::HasFatalFailure()) return;
    }
    EXPECT_GT(wheel_.now() - kStart, Hours(3));
    EXPECT_GT(fired_, steps / 2);
  }

 private:
  // Effective tick, then order of arming.
  using Queue = std::map<std::pair<int64_t, int64_t>, int>;

  int64_t Pick(int64_t below) {
    return std::uniform_int_distribution<int64_t>(0, below - 1)(random_);
  }

  Duration Delay() {
    switch (Pick(6)) {
      case 0:
        return Duration{Pick(3)};
      case 1:
        return Duration{Pick(4 * kTick)};
      case 2:
        return Duration{Pick(Milliseconds(10).ns)};
      case 3:
        return Duration{Pick(20) * Milliseconds(250).ns};  // many equal deadlines
      case 4:
        return Duration{Pick(Minutes(2).ns)};
      default:
        return Duration{Pick(Hours(30).ns)};
    }
  }

  Duration Step() {
    switch (Pick(5)) {
      case 0:
        return Duration{Pick(3)};
      case 1:
        return Duration{Pick(kTick)};
      case 2:
        return Duration{Pick(Milliseconds(5).ns)};
      case 3:
        return Duration{Pick(Milliseconds(400).ns)};
      default:
        return Duration{Pick(Seconds(20).ns)};
    }
  }

  void Forget(int id) {
    if (armed_[id] != queue_.end()) queue_.erase(armed_[id]);
    armed_[id] = queue_.end();
  }

  void ArmOne() {
    const int id = static_cast<int>(Pick(static_cast<int64_t>(timers_.size())));
    Instant when = wheel_.now() + Delay() - Duration{Pick(10) == 0 ? Pick(Seconds(5).ns) : 0};
    if (Pick(3) == 0) when.ns = when.ns / Milliseconds(250).ns * Milliseconds(250).ns;
    wheel_.Arm(*timers_[id], when);
    Forget(id);
    const int64_t tick = std::max(when, wheel_.now()).ns / kTick;
    armed_[id] = queue_.emplace(std::make_pair(tick, ++sequence_), id).first;
  }

  void CancelOne() {
    const int id = static_cast<int>(Pick(static_cast<int64_t>(timers_.size())));
    wheel_.Cancel(*timers_[id]);
    Forget(id);
    ASSERT_FALSE(timers_[id]->armed());
  }

  void CheckWake() {
    const std::optional<Instant> wake = wheel_.NextWake();
    ASSERT_EQ(wake.has_value(), !queue_.empty());
    if (!wake) return;
    int64_t truth = INT64_MAX;
    for (const auto& [key, id] : queue_) truth = std::min(truth, timers_[id]->when.ns);
    ASSERT_LE(wake->ns, truth);
    if (truth / kTick / kFinest == wheel_.now().ns / kTick / kFinest) {
      ASSERT_EQ(wake->ns, truth);
    }
  }

  void Advance(Duration step) {
    CheckWake();
    const Instant now = wheel_.now() + step;
    std::vector<int> due;
    for (const auto& [key, id] : queue_) {
      if (key.first > now.ns / kTick) break;
      if (timers_[id]->when <= now) due.push_back(id);
    }
    wheel_.AdvanceTo(now);
    size_t next = 0;
    std::vector<bool> gathered(timers_.size());
    for (int id : due) gathered[id] = true;
    while (TimerNode* node = wheel_.PopExpired()) {
      const int id = static_cast<Timer*>(node)->id;
      while (next < due.size() && !gathered[due[next]]) ++next;  // taken back meanwhile
      ASSERT_LT(next, due.size());
      ASSERT_EQ(id, due[next++]);
      ASSERT_LE(node->when, now);
      gathered[id] = false;
      Forget(id);
      ++fired_;
      if (Pick(4) == 0) Touch(gathered);
    }
    for (bool left : gathered) ASSERT_FALSE(left);
    ASSERT_EQ(wheel_.size(), queue_.size());
  }

  // From within the expiry loop: take back or move any timer, gathered ones included.
  void Touch(std::vector<bool>& gathered) {
    const int id = static_cast<int>(Pick(static_cast<int64_t>(timers_.size())));
    gathered[id] = false;
    wheel_.Cancel(*timers_[id]);
    Forget(id);
    if (Pick(2) == 0) return;
    const Instant when = wheel_.now() + Duration{Pick(2) * Pick(Seconds(3).ns)};
    wheel_.Arm(*timers_[id], when);
    armed_[id] = queue_.emplace(std::make_pair(when.ns / kTick, ++sequence_), id).first;
  }

  std::mt19937 random_;
  TimerWheel wheel_;
  std::vector<std::unique_ptr<Timer>> timers_;
  Queue queue_;
  std::vector<Queue::iterator> armed_;
  int64_t sequence_ = 0;
  int fired_ = 0;
};

TEST(TimerWheelTest, AgreesWithASortedMapOverHours) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    Model model(seed);
    model.Run(8000);
    if (HasFatalFailure()) return;
  }
}

// So many timers, with few deadlines, that buckets of a minute are moved down over several calls
// while others are armed for the same ticks: nothing is lost, early, or out of the order of arming.
void LiveWithLargeBuckets(uint32_t seed) {
  constexpr size_t kTimers = 30'000;
  constexpr int64_t kGrid = Seconds(5).ns;
  std::mt19937 random(seed);
  const auto pick = [&random](int64_t below) {
    return std::uniform_int_distribution<int64_t>(0, below - 1)(random);
  };
  std::vector<std::unique_ptr<Timer>> timers;
  for (size_t i = 0; i < kTimers; ++i)
    timers.push_back(std::make_unique<Timer>(static_cast<int>(i)));
  TimerWheel wheel(kStart);
  std::multimap<int64_t, int> queue;  // by tick; equal keys keep the order they came in
  std::vector<std::multimap<int64_t, int>::iterator> places(kTimers, queue.end());
  const auto forget = [&](int id) {
    const auto place = static_cast<size_t>(id);
    if (places[place] != queue.end()) queue.erase(places[place]);
    places[place] = queue.end();
  };
  const auto arm = [&](int id) {
    Instant when = wheel.now() + Duration{1 + pick(Seconds(240).ns)};
    if (pick(4) != 0) when.ns = (when.ns / kGrid + 1) * kGrid + pick(3) * kTick / 2;
    wheel.Arm(*timers[static_cast<size_t>(id)], when);
    forget(id);
    places[static_cast<size_t>(id)] = queue.emplace(when.ns / kTick, id);
  };
  for (size_t id = 0; id < kTimers; ++id) arm(static_cast<int>(id));
  size_t fired = 0;
  for (int step = 0; step < 400; ++step) {
    for (int i = 0; i < 200; ++i) arm(static_cast<int>(pick(kTimers)));
    for (int i = 0; i < 50; ++i) {
      const int id = static_cast<int>(pick(kTimers));
      wheel.Cancel(*timers[static_cast<size_t>(id)]);
      forget(id);
    }
    const int64_t steps[] = {kTick, Milliseconds(1).ns, Milliseconds(30).ns, Seconds(3).ns};
    const Instant now = wheel.now() + Duration{1 + pick(steps[pick(4)])};
    const auto wake = wheel.NextWake();
    ASSERT_TRUE(wake && wake->ns / kTick <= queue.begin()->first);
    std::vector<int> due;
    for (const auto& [tick, id] : queue) {
      if (tick > now.ns / kTick) break;
      if (timers[static_cast<size_t>(id)]->when <= now) due.push_back(id);
    }
    wheel.AdvanceTo(now);
    for (const int id : due) {
      const TimerNode* node = wheel.PopExpired();
      ASSERT_EQ(node, timers[static_cast<size_t>(id)].get()) << "step " << step;
      forget(id);
    }
    ASSERT_EQ(wheel.PopExpired(), nullptr) << "step " << step;
    ASSERT_EQ(wheel.size(), queue.size());
    for (const int id : due) arm(id);
    fired += due.size();
  }
  EXPECT_GT(fired, kTimers / 2);
  EXPECT_GT(wheel.now() - kStart, Minutes(2));
  for (auto& timer : timers) wheel.Cancel(*timer);
}

TEST(TimerWheelTest, LargeBucketsMoveDownPieceByPieceInOrder) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    LiveWithLargeBuckets(seed);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace sonde
