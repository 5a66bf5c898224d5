#include "protocols/round_trips.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sonde {
namespace {

Instant At(int64_t ms) { return Instant{} + Milliseconds(1000 + ms); }

TEST(RoundTrips, NothingIsKnownAtFirst) {
  BufferPool buffers;
  RoundTrips trips(3, buffers);
  EXPECT_EQ(trips.sent(), 0u);
  EXPECT_EQ(trips.loss(), 0);
  EXPECT_FALSE(trips.complete());
  EXPECT_FALSE(trips.Summary().first_sent.stamped());
  const RoundTrips::Statistics none = trips.Summary();
  EXPECT_EQ(none.count, 0u);
  EXPECT_EQ(none.neighbours, 0u);
  EXPECT_EQ(none.most, Duration{});
}

TEST(RoundTrips, ThreeTimes) {
  BufferPool buffers;
  RoundTrips trips(3, buffers);
  const int64_t times[] = {10, 16, 12};
  for (unsigned i = 0; i < 3; ++i) {
    trips.Sent(i, At(100 * i), StampClock::kUser);
    EXPECT_TRUE(trips.Answered(i, At(100 * i + times[i])));
  }
  EXPECT_TRUE(trips.complete());
  EXPECT_EQ(trips.loss(), 0);
  EXPECT_EQ(trips.Summary().first_sent, At(0));
  EXPECT_EQ(trips.Summary().last_answered, At(212));
  const RoundTrips::Statistics all = trips.Summary();
  EXPECT_EQ(all.count, 3u);
  EXPECT_EQ(all.least, Milliseconds(10));
  EXPECT_EQ(all.most, Milliseconds(16));
  EXPECT_EQ(all.mean.ns, 12'666'666);
  // Of 10, 16, 12: the squares of -8/3, 10/3 and -2/3 add up to 168/9, divided by 3.
  EXPECT_NEAR(all.deviation.seconds(), std::sqrt(168.0 / 27) * 1e-3, 1e-9);
  EXPECT_EQ(all.neighbours, 2u);
  EXPECT_EQ(all.jitter, Milliseconds(5));  // (6 + 4) / 2
}

TEST(RoundTrips, JitterIsBetweenNeighboursThatWereBothAnswered) {
  BufferPool buffers;
  RoundTrips trips(5, buffers);
  for (unsigned i = 0; i < 5; ++i) trips.Sent(i, At(100 * i), StampClock::kUser);
  // Answers out of order; packet 2 gets none.
  trips.Answered(4, At(430));
  trips.Answered(3, At(310));
  trips.Answered(1, At(101));
  trips.Answered(0, At(5));
  EXPECT_EQ(trips.Summary().neighbours, 2u);
  EXPECT_EQ(trips.Summary().jitter, Milliseconds(12));  // (|1-5| + |30-10|) / 2
  EXPECT_EQ(trips.Summary().last_answered, At(430));
  EXPECT_FALSE(trips.complete());

  RoundTrips apart(3, buffers);
  for (unsigned i = 0; i < 3; ++i) apart.Sent(i, At(i), StampClock::kUser);
  apart.Answered(0, At(5));
  apart.Answered(2, At(9));
  EXPECT_EQ(apart.Summary().count, 2u);
  EXPECT_EQ(apart.Summary().neighbours, 0u);
}

TEST(RoundTrips, DuplicatesCountOnlyAfterAnAnswer) {
  BufferPool buffers;
  RoundTrips trips(2, buffers);
  EXPECT_FALSE(trips.Answered(0, At(1)));  // not sent
  trips.Sent(0, At(2), StampClock::kUser);
  trips.Sent(0, At(50), StampClock::kUser);  // the first moment stays
  EXPECT_EQ(trips.sent(), 1u);
  EXPECT_TRUE(trips.Answered(0, At(3)));
  EXPECT_FALSE(trips.Answered(0, At(4)));
  EXPECT_FALSE(trips.Answered(0, At(5)));
  EXPECT_EQ(trips.duplicates(), 2u);
  EXPECT_EQ(trips.answered(), 1u);
  EXPECT_EQ(trips.Summary().most, Milliseconds(1));
}

TEST(RoundTrips, WhatIsLostStaysLost) {
  BufferPool buffers;
  RoundTrips trips(3, buffers);
  trips.Sent(0, At(0), StampClock::kUser);
  trips.Sent(1, At(1), StampClock::kUser);
  EXPECT_TRUE(trips.Lost(0));
  EXPECT_FALSE(trips.Lost(0));
  EXPECT_FALSE(trips.Answered(0, At(2)));
  EXPECT_EQ(trips.duplicates(), 0u);
  trips.Answered(1, At(3));
  EXPECT_FALSE(trips.Lost(1));
  EXPECT_TRUE(trips.Lost(2));  // could not even be sent
  trips.Sent(2, At(4), StampClock::kUser);
  EXPECT_EQ(trips.sent(), 3u);
  EXPECT_EQ(trips.lost(), 2u);
  EXPECT_TRUE(trips.complete());
  EXPECT_DOUBLE_EQ(trips.loss(), 2.0 / 3);
}

// The kernel says a little later when a packet really left.
TEST(RoundTrips, TheKernelsStampIsTheBetterOne) {
  BufferPool buffers;
  RoundTrips trips(3, buffers);
  trips.Sent(0, At(0), StampClock::kUser);
  trips.Sent(0, At(1), StampClock::kKernel);
  EXPECT_EQ(trips.sent(), 1u);
  trips.Answered(0, At(10));
  EXPECT_EQ(trips.Summary().mean, Milliseconds(9));
  EXPECT_EQ(trips.Summary().first_sent, At(1));
  // Also when the answer was told before.
  trips.Sent(1, At(20), StampClock::kUser);
  trips.Answered(1, At(30));
  trips.Sent(1, At(22), StampClock::kKernel);
  EXPECT_EQ(trips.Summary().least, Milliseconds(8));
  EXPECT_EQ(trips.answered(), 2u);
  // One that could not be sent was not sent.
  trips.Lost(2);
  trips.Sent(2, At(40), StampClock::kKernel);
  EXPECT_EQ(trips.sent(), 3u);
  EXPECT_EQ(trips.Summary().count, 2u);
}

TEST(RoundTrips, NumbersBeyondTheCountAreNobodys) {
  BufferPool buffers;
  RoundTrips trips(2, buffers);
  for (const unsigned number : {2u, 255u, 65535u}) {
    trips.Sent(number, At(0), StampClock::kUser);
    EXPECT_FALSE(trips.Answered(number, At(1)));
    EXPECT_FALSE(trips.Lost(number));
  }
  EXPECT_EQ(trips.sent(), 0u);
}

TEST(RoundTrips, NoAnswerComesBeforeItsQuestion) {
  BufferPool buffers;
  RoundTrips trips(1, buffers);
  trips.Sent(0, At(5), StampClock::kUser);
  EXPECT_TRUE(trips.Answered(0, At(4)));  // the kernel's clock and ours differ a little
  EXPECT_EQ(trips.Summary().least, Duration{});
}

// Those in place and those in the buffer behave alike, whatever comes first.
TEST(RoundTrips, AsManyAsThereMayBe) {
  BufferPool buffers;
  {
    RoundTrips trips(RoundTrips::kMost, buffers);
    trips.Sent(RoundTrips::kMost - 1, At(0), StampClock::kUser);
    EXPECT_EQ(buffers.borrowed(), 1u);
    for (unsigned i = 0; i < RoundTrips::kMost; ++i) trips.Sent(i, At(i), StampClock::kUser);
    for (unsigned i = 0; i < RoundTrips::kMost; i += 2) EXPECT_TRUE(trips.Answered(i, At(i + 2)));
    EXPECT_EQ(trips.sent(), 255u);
    EXPECT_EQ(trips.answered(), 128u);
    EXPECT_EQ(trips.Summary().count, 128u);
    EXPECT_EQ(trips.Summary().neighbours, 0u);
    EXPECT_EQ(trips.Summary().most, Milliseconds(256));  // the last one left first
    for (unsigned i = 1; i < RoundTrips::kMost; i += 2) EXPECT_TRUE(trips.Lost(i));
    EXPECT_TRUE(trips.complete());
  }
  EXPECT_EQ(buffers.borrowed(), 0u);
}

TEST(RoundTrips, FewNeedNoBuffer) {
  BufferPool buffers;
  RoundTrips trips(RoundTrips::kInline, buffers);
  for (unsigned i = 0; i < RoundTrips::kInline; ++i) trips.Sent(i, At(i), StampClock::kUser);
  EXPECT_EQ(buffers.borrowed(), 0u);
}

}  // namespace
}  // namespace sonde
