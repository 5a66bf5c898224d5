// What a line does with packets, without devices and clocks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tools/farm/line_options.h"
#include "tools/farm/packet_queue.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kMs = 1'000'000;

void Put(PacketQueue& queue, std::string_view bytes, int64_t now, size_t direction = 0) {
  std::memcpy(queue.Room().data(), bytes.data(), bytes.size());
  queue.Put(direction, bytes.size(), now);
}

struct Out {
  std::string bytes;
  int64_t at;
  size_t direction;
  bool operator==(const Out&) const = default;
};

std::vector<Out> TakeAll(PacketQueue& queue) {
  std::vector<Out> out;
  while (queue.size() > 0) {
    const PacketQueue::Packet packet = queue.Next();
    EXPECT_EQ(packet.due_ns, queue.NextDue());
    out.push_back(
        {std::string(packet.bytes.begin(), packet.bytes.end()), packet.due_ns, packet.direction});
    queue.Pop();
  }
  EXPECT_EQ(queue.NextDue(), INT64_MAX);
  return out;
}

TEST(PacketQueue, DelaysEachWayAndKeepsTheBytes) {
  LineConditions there, back;
  there.delay = Milliseconds(20);
  back.delay = Milliseconds(5);
  PacketQueue queue(there, back, 100, 10, 1);
  EXPECT_EQ(queue.Room().size(), 100u);
  Put(queue, "first", 1 * kMs);
  Put(queue, "second", 2 * kMs);
  Put(queue, "answer", 3 * kMs, 1);
  Put(queue, "", 4 * kMs, 1);
  EXPECT_THAT(TakeAll(queue), ElementsAre(Out{"answer", 8 * kMs, 1}, Out{"", 9 * kMs, 1},
                                          Out{"first", 21 * kMs, 0}, Out{"second", 22 * kMs, 0}));
}

TEST(PacketQueue, EqualTimesKeepTheirOrder) {
  PacketQueue queue({}, {}, 10, 1000, 1);
  std::string in, out;
  for (char c = 'a'; c <= 'z'; ++c) {
    Put(queue, std::string(1, c), 7);
    in += c;
  }
  for (const Out& packet : TakeAll(queue)) out += packet.bytes;
  EXPECT_EQ(out, in);
}

TEST(PacketQueue, SharesAreKept) {
  LineConditions conditions;
  conditions.loss = 0.2;
  conditions.duplicate = 0.1;
  conditions.reorder = 0.05;
  PacketQueue queue(conditions, {}, 10, 100, 42);
  constexpr int kMany = 20'000;
  size_t out = 0;
  for (int i = 0; i < kMany; ++i) {
    Put(queue, "x", i);
    out += TakeAll(queue).size();
  }
  const LineCounts& counts = queue.counts(0);
  EXPECT_EQ(counts.taken, static_cast<uint64_t>(kMany));
  EXPECT_NEAR(static_cast<double>(counts.lost), kMany * 0.2, 300);
  EXPECT_NEAR(static_cast<double>(counts.duplicated), kMany * 0.8 * 0.1, 200);
  EXPECT_NEAR(static_cast<double>(counts.reordered), kMany * 0.8 * 0.05, 150);
  EXPECT_EQ(out, counts.taken - counts.lost + counts.duplicated);
  EXPECT_EQ(queue.counts(1).taken, 0u);
}

TEST(PacketQueue, AllOrNothing) {
  LineConditions conditions;
  conditions.loss = 1;
  PacketQueue lossy(conditions, {}, 10, 100, 1);
  Put(lossy, "x", 1);
  EXPECT_EQ(lossy.size(), 0u);
  conditions.loss = 0;
  conditions.duplicate = 1;
  PacketQueue doubling(conditions, {}, 10, 100, 1);
  Put(doubling, "x", 1);
  EXPECT_THAT(TakeAll(doubling), ElementsAre(Out{"x", 1, 0}, Out{"x", 1, 0}));
}

TEST(PacketQueue, OnlyTheHeldBackAreOvertaken) {
  LineConditions conditions;
  conditions.delay = Milliseconds(1);
  conditions.jitter.kind = Delay::Kind::kUniform;
  conditions.jitter.b = Milliseconds(10);
  PacketQueue steady(conditions, {}, 10, 1000, 1);
  for (int i = 0; i < 200; ++i) Put(steady, std::to_string(i), i * kMs);
  int next = 0;
  for (const Out& packet : TakeAll(steady)) {
    EXPECT_EQ(packet.bytes, std::to_string(next));
    EXPECT_GE(packet.at, (next + 1) * kMs);
    EXPECT_LE(packet.at, (next + 11) * kMs);
    ++next;
  }
  conditions.jitter = {};
  conditions.reorder = 0.1;
  conditions.reorder_by = Milliseconds(3);
  PacketQueue loose(conditions, {}, 10, 1000, 1);
  for (int i = 0; i < 200; ++i) Put(loose, std::to_string(i), i * kMs);
  size_t held = 0;
  for (const Out& packet : TakeAll(loose)) {
    const int64_t waited = packet.at - std::stoi(packet.bytes) * kMs;
    EXPECT_TRUE(waited == 1 * kMs || waited == 4 * kMs) << waited;
    held += waited == 4 * kMs;
  }
  EXPECT_EQ(held, loose.counts(0).reordered);
  EXPECT_GT(held, 5u);
}

TEST(PacketQueue, TheSameSeedTreatsPacketsTheSame) {
  const auto day = [](uint64_t seed) {
    LineConditions conditions;
    conditions.loss = 0.3;
    PacketQueue queue(conditions, conditions, 10, 1000, seed);
    std::string fates;
    for (int i = 0; i < 100; ++i) {
      Put(queue, "x", i, static_cast<size_t>(i % 2));
      fates += TakeAll(queue).empty() ? '-' : '+';
    }
    return fates;
  };
  EXPECT_EQ(day(1), day(1));
  EXPECT_NE(day(1), day(2));
}

TEST(PacketQueue, AFullLineLosesAndSaysSo) {
  LineConditions conditions;
  conditions.delay = Milliseconds(1);
  PacketQueue queue(conditions, {}, 10, 3, 1);
  for (int i = 0; i < 5; ++i) Put(queue, std::to_string(i), i);
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.counts(0).overflow, 2u);
  EXPECT_EQ(TakeAll(queue).size(), 3u);
  for (int i = 0; i < 1000; ++i) {  // slots come back
    Put(queue, "x", i);
    EXPECT_EQ(TakeAll(queue).size(), 1u);
  }
}

TEST(LineOptions, ConditionsForBothWaysOrEach) {
  LineOptions options;
  for (const auto& [what, text] : {std::pair("delay", "20ms,30ms"),
                                   {"jitter", "uniform:1ms:5ms,lognormal:2ms:0.5"},
                                   {"loss", "1%,0.5"},
                                   {"duplicate", "100%"},
                                   {"reorder", "0"},
                                   {"reorder_by", "7ms"}}) {
    EXPECT_TRUE(ReadCondition(what, text, &options).ok()) << what;
  }
  EXPECT_EQ(options.there.delay, Milliseconds(20));
  EXPECT_EQ(options.back.delay, Milliseconds(30));
  EXPECT_EQ(options.there.jitter.kind, Delay::Kind::kUniform);
  EXPECT_EQ(options.there.jitter.b, Milliseconds(5));
  EXPECT_EQ(options.back.jitter.kind, Delay::Kind::kLognormal);
  EXPECT_EQ(options.back.jitter.sigma, 0.5);
  EXPECT_DOUBLE_EQ(options.there.loss, 0.01);
  EXPECT_DOUBLE_EQ(options.back.loss, 0.5);
  EXPECT_DOUBLE_EQ(options.back.duplicate, 1);
  EXPECT_EQ(options.back.reorder_by, Milliseconds(7));
}

TEST(LineOptions, SayWhatIsWrong) {
  LineOptions options;
  for (const auto& [what, text] : {std::pair("delay", ""),
                                   {"delay", "5"},
                                   {"delay", "-1ms"},
                                   {"delay", "1ms,2ms,3ms"},
                                   {"delay", "1ms,"},
                                   {"delay", "2h"},
                                   {"jitter", "5ms"},
                                   {"jitter", "uniform:5ms:1ms"},
                                   {"jitter", "exponential"},
                                   {"jitter", "lognormal:1ms:9"},
                                   {"loss", "101%"},
                                   {"loss", "1.1"},
                                   {"loss", "-1%"},
                                   {"loss", "nan"},
                                   {"loss", "1%x"},
                                   {"color", "1"}}) {
    EXPECT_FALSE(ReadCondition(what, text, &options).ok()) << what << " " << text;
  }
}

}  // namespace
}  // namespace sonde
