#include "engine/loop/poller.h"

#include <poll.h>
#include <sys/epoll.h>

#include <thread>
#include <vector>

#include "engine/loop/uv_loop.h"
#include "tests/engine/loop/loop_harness.h"

namespace sonde {
namespace {

using Urgency = Poller::Urgency;

// An event that can be set, and remembers how often the poller told of it.
class Told final : public Poller::Handler {
 public:
  Told(Poller& poller, Urgency urgency) : poller_(poller), event_(eventfd(0, EFD_CLOEXEC)) {
    EXPECT_EQ(poller_.Add(event_.get(), EPOLLIN | EPOLLET, this, urgency), 0);
  }
  ~Told() { poller_.Remove(event_.get()); }
  void Set() { eventfd_write(event_.get(), 1); }
  int fd() const { return event_.get(); }
  int times = 0;

 private:
  void OnReady(int, uint32_t, Instant) override { ++times; }
  Poller& poller_;
  Descriptor event_;
};

bool Readable(const Poller& poller) {
  pollfd waits{poller.fd(), POLLIN, 0};
  return poll(&waits, 1, 0) == 1;
}

TEST(PollerTest, WhatCanWaitWakesLikeTheRestUntilItIsHeld) {
  auto poller = *Poller::Make();
  Told patient(*poller, Urgency::kCanWait);
  patient.Set();
  EXPECT_TRUE(Readable(*poller));
  EXPECT_GE(poller->DispatchOnce(), 1);
  EXPECT_EQ(patient.times, 1);
  EXPECT_FALSE(Readable(*poller));
}

TEST(PollerTest, WhatIsHeldWakesNobodyAndIsFoundByThePoll) {
  auto poller = *Poller::Make();
  Told patient(*poller, Urgency::kCanWait), urgent(*poller, Urgency::kUrgent);
  poller->Hold(true);
  patient.Set();
  EXPECT_FALSE(Readable(*poller));
  EXPECT_EQ(poller->DispatchOnce(), 1);
  EXPECT_EQ(patient.times, 1);
  EXPECT_EQ(poller->DispatchOnce(), 0);
  patient.Set();
  urgent.Set();
  EXPECT_TRUE(Readable(*poller));
  poller->Await(kPatience);
  poller->DispatchOnce();
  EXPECT_EQ(patient.times, 2);
  EXPECT_EQ(urgent.times, 1);
}

TEST(PollerTest, WhatCameWhileHeldWakesOnceItIsNot) {
  auto poller = *Poller::Make();
  Told patient(*poller, Urgency::kCanWait);
  poller->Hold(true);
  poller->Hold(true);
  patient.Set();
  EXPECT_FALSE(Readable(*poller));
  poller->Hold(false);
  EXPECT_TRUE(Readable(*poller));
  poller->Await(kPatience);
  poller->DispatchOnce();
  EXPECT_EQ(patient.times, 1);
}

TEST(PollerTest, ModifiedAndRemovedWhereTheyWereAdded) {
  auto poller = *Poller::Make();
  auto patient = std::make_unique<Told>(*poller, Urgency::kCanWait);
  patient->Set();
  EXPECT_EQ(poller->Modify(patient->fd(), 0), 0);
  EXPECT_FALSE(Readable(*poller));
  EXPECT_EQ(poller->Modify(patient->fd(), EPOLLIN), 0);
  EXPECT_TRUE(Readable(*poller));
  patient.reset();
  EXPECT_FALSE(Readable(*poller));
}

TEST(PollerTest, AwaitedEventsAreHandedOutOnce) {
  auto poller = *Poller::Make();
  Told urgent(*poller, Urgency::kUrgent);
  urgent.Set();
  poller->Await(kPatience);
  EXPECT_EQ(poller->DispatchOnce(), 1);
  EXPECT_EQ(urgent.times, 1);
  EXPECT_EQ(poller->DispatchOnce(), 0);
  EXPECT_EQ(urgent.times, 1);
}

// More than fit one batch of those that can wait: the poller says that there may be more.
TEST(PollerTest, ManyThatCanWaitAreToldInTurns) {
  auto poller = *Poller::Make();
  std::vector<std::unique_ptr<Told>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(std::make_unique<Told>(*poller, Urgency::kCanWait));
    all.back()->Set();
  }
  EXPECT_EQ(poller->DispatchOnce(), Poller::kBatch);
  EXPECT_LT(poller->DispatchOnce(), Poller::kBatch);
  for (const auto& told : all) EXPECT_EQ(told->times, 1);
}

TEST(PollerTest, SleepsAsLongAsItIsTold) {
  auto poller = *Poller::Make();
  for (const Duration most : {Milliseconds(2), Milliseconds(20), Duration{}, Duration{-5}}) {
    const Instant began = MonotonicNow();
    poller->Await(most);
    EXPECT_GE((MonotonicNow() - began).ns, most.ns - most.ns / 1000);
    EXPECT_EQ(poller->DispatchOnce(), 0);
  }
}

TEST(UvLoopTest, WakesFromAnotherThreadEachTime) {
  auto poller = *Poller::Make();
  auto loop = *UvLoop::Make(*poller);
  for (int round = 0; round < 3; ++round) {
    EXPECT_FALSE(Readable(*poller));
    std::thread other([&] { loop->Wake(); });
    poller->Await(kPatience);
    EXPECT_EQ(poller->DispatchOnce(), 1);
    other.join();
  }
}

TEST(UvLoopTest, WokenBeforeTheSleepIsNotForgotten) {
  auto poller = *Poller::Make();
  auto loop = *UvLoop::Make(*poller);
  loop->Wake();
  loop->Wake();
  poller->Await(kPatience);
  EXPECT_EQ(poller->DispatchOnce(), 1);
  EXPECT_FALSE(Readable(*poller));
}

}  // namespace
}  // namespace sonde
