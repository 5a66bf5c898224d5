#include "exporter/loop.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>
#include <vector>

namespace sonde {
namespace {

std::unique_ptr<ExporterLoop> MakeLoop(ExporterLoop::Options options = {}) {
  auto loop = ExporterLoop::Create(options);
  EXPECT_TRUE(loop.ok());
  return std::move(*loop);
}

TEST(ExporterLoopTest, RunsWhatIsPostedInOrderAndStops) {
  auto loop = MakeLoop();
  std::vector<int> seen;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(loop->Post([&, i] { seen.push_back(i); }));
  ASSERT_TRUE(loop->Post([&] {
    EXPECT_TRUE(loop->InLoopThread());
    loop->Stop();
  }));
  EXPECT_FALSE(loop->InLoopThread());
  loop->Run();
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(ExporterLoopTest, AStopBeforeRunIsKept) {
  auto loop = MakeLoop();
  bool ran = false;
  ASSERT_TRUE(loop->Post([&] { ran = true; }));
  loop->Stop();
  loop->Run();
  EXPECT_TRUE(ran);
  ran = false;
  ASSERT_TRUE(loop->Post([&] { ran = true; }));
  loop->Stop();
  loop->Run();
  EXPECT_TRUE(ran);
}

TEST(ExporterLoopTest, ThePostQueueIsBounded) {
  auto loop = MakeLoop({.max_posted = 2, .max_work = 1});
  int ran = 0;
  EXPECT_TRUE(loop->Post([&] { ++ran; }));
  EXPECT_TRUE(loop->Post([&] { ++ran; }));
  EXPECT_FALSE(loop->Post([&] { ++ran; }));
  EXPECT_EQ(loop->posts_refused(), 1u);
  loop->Stop();
  loop->Run();
  EXPECT_EQ(ran, 2);
}

TEST(ExporterLoopTest, UndeliveredMessagesAreDestroyed) {
  auto token = std::make_shared<int>(1);
  {
    auto loop = MakeLoop();
    ASSERT_TRUE(loop->Post([token] { FAIL(); }));
    ASSERT_TRUE(loop->RunInWorker([token] {}, [token] { FAIL(); }));
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(ExporterLoopTest, ManyThreadsPost) {
  auto loop = MakeLoop();
  constexpr int kThreads = 4, kPosts = 2000;
  std::vector<int> last(kThreads, -1);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        ASSERT_TRUE(loop->Post([&, t, i] {
          EXPECT_EQ(last[t], i - 1);
          last[t] = i;
          if (++total == kThreads * kPosts) loop->Stop();
        }));
      }
    });
  }
  loop->Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kPosts);
}

TEST(ExporterLoopTest, WorkersAreTwoAndNiceAndAnswerOnTheLoop) {
  auto loop = MakeLoop();
  const int own_nice = getpriority(PRIO_PROCESS, 0);
  const auto loop_thread = std::this_thread::get_id();
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(loop->RunInWorker(
        [&] {
          const int now = ++inside;
          int seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {}
          EXPECT_NE(std::this_thread::get_id(), loop_thread);
          EXPECT_GE(getpriority(PRIO_PROCESS, 0), 10);
          for (int spin = 0; spin < 1000; ++spin) std::this_thread::yield();
          --inside;
        },
        [&] {
          EXPECT_EQ(std::this_thread::get_id(), loop_thread);
          if (++done == 20) loop->Stop();
        }));
  }
  loop->Run();
  EXPECT_EQ(done, 20);
  EXPECT_LE(most, 2);
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), own_nice);
}

TEST(ExporterLoopTest, WorkersQueueIsBounded) {
  auto loop = MakeLoop({.max_posted = 10, .max_work = 1});
  bool done = false;
  ASSERT_TRUE(loop->RunInWorker([] {},
                                [&] {
                                  done = true;
                                  loop->Stop();
                                }));
  EXPECT_FALSE(loop->RunInWorker([] { FAIL(); }, [] { FAIL(); }));
  loop->Run();
  EXPECT_TRUE(done);
}

TEST(ExporterLoopTest, SignalsCallTheirHook) {
  auto loop = MakeLoop();
  int first = 0, second = 0;
  ASSERT_TRUE(loop->OnSignal(SIGHUP, [&] { ++first; }).ok());
  ASSERT_TRUE(loop->OnSignal(SIGHUP,
                             [&] {
                               ++second;
                               loop->Stop();
                             })
                  .ok());
  kill(getpid(), SIGHUP);
  loop->Run();
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
  EXPECT_FALSE(loop->OnSignal(SIGKILL, [] {}).ok());
}

TEST(ExporterLoopTest, ATickerMayEndItself) {
  auto loop = MakeLoop();
  int ticks = 0;
  std::unique_ptr<ExporterLoop::Ticker> ticker;
  ticker = loop->Every(Milliseconds(1), [&] {
    if (++ticks == 3) {
      ticker.reset();
      loop->Stop();
    }
  });
  loop->Run();
  EXPECT_EQ(ticks, 3);
}

}  // namespace
}  // namespace sonde
