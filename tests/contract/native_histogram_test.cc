#include "engine/contract/native_histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace sonde {
namespace {

// The definition, in other arithmetic: the smallest index whose bound 2^(i/4) is not below.
long double BoundNs(int index) { return std::exp2(static_cast<long double>(index) / 4) * 1e9L; }

int ByDefinition(int64_t ns) {
  int index = kNativeZero;
  while (index<kNativeLast&& static_cast<long double>(ns)> BoundNs(index)) ++index;
  return index;
}

uint64_t Bucket(const NativeCounts& counts, int index) {
  return index == kNativeZero ? counts.zero
                              : counts.buckets[static_cast<size_t>(index - kNativeFirst)];
}

TEST(NativeHistogramTest, SizeIsPinned) {
  EXPECT_EQ(kNativeBuckets, 97u);
  EXPECT_EQ(sizeof(NativeHistogram), 98u * 4 + 4);
}

TEST(NativeHistogramTest, EveryBoundBelongsToTheBucketBelowIt) {
  for (int index = kNativeZero; index < kNativeLast; ++index) {
    const auto bound = static_cast<int64_t>(std::floor(BoundNs(index)));
    EXPECT_EQ(NativeBucket({bound - 1}), index);
    EXPECT_EQ(NativeBucket({bound}), index) << "2^(" << index << "/4) s is " << bound << " ns";
    EXPECT_EQ(NativeBucket({bound + 1}), index + 1);
  }
}

// Bounds that are whole nanoseconds are on the bound, not near it.
TEST(NativeHistogramTest, PowersOfTwoAreBounds) {
  for (int power = -9; power <= 8; ++power) {
    const auto ns = static_cast<int64_t>(std::ldexp(1e9, power));
    EXPECT_EQ(NativeBucket({ns}), power * 4);
    EXPECT_EQ(NativeBucket({ns + 1}), power * 4 + 1);
  }
}

TEST(NativeHistogramTest, AgreesWithTheDefinition) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 200'000; ++i) {
    const auto ns = static_cast<int64_t>(random() >> (1 + random() % 62));
    ASSERT_EQ(NativeBucket({ns}), ByDefinition(ns)) << ns;
  }
}

TEST(NativeHistogramTest, TheEndsHoldWhatIsBeyond) {
  EXPECT_EQ(NativeBucket({-5}), kNativeZero);
  EXPECT_EQ(NativeBucket({0}), kNativeZero);
  EXPECT_EQ(NativeBucket({15'258}), kNativeZero);
  EXPECT_EQ(NativeBucket({15'259}), kNativeFirst);
  EXPECT_EQ(NativeBucket(Minutes(5)), kNativeLast)
      << "the longest time-out has a bucket of its own";
  EXPECT_LT(300e9L, BoundNs(kNativeLast));
  EXPECT_GT(300e9L, BoundNs(kNativeLast - 1));
  EXPECT_EQ(NativeBucket(Hours(1)), kNativeLast);
  EXPECT_EQ(NativeBucket({INT64_MAX}), kNativeLast);
  EXPECT_EQ(kNativeZeroThreshold, std::exp2(static_cast<double>(kNativeZero) / 4));
}

TEST(NativeHistogramTest, CountsOnceStarted) {
  NativeHistogram histogram;
  NativeCounts counts;
  EXPECT_FALSE(histogram.Read(&counts));
  histogram.Start({}, {});
  ASSERT_TRUE(histogram.Read(&counts));
  EXPECT_EQ(counts.count, 0u);
  for (int i = 0; i < 3; ++i) histogram.Count(Milliseconds(20));
  histogram.Count(Microseconds(3));
  histogram.Count(Hours(2));
  ASSERT_TRUE(histogram.Read(&counts));
  EXPECT_EQ(Bucket(counts, NativeBucket(Milliseconds(20))), 3u);
  EXPECT_EQ(counts.zero, 1u);
  EXPECT_EQ(Bucket(counts, kNativeLast), 1u);
  EXPECT_EQ(counts.count, 5u);
}

TEST(NativeHistogramTest, StartsWithWhatTheClassicBucketsHold) {
  constexpr double kBounds[] = {0.001, 1.0, 2.5};
  constexpr uint64_t kCounts[] = {7, 0, 5, 3};
  NativeHistogram histogram;
  histogram.Start(kBounds, kCounts);
  histogram.Count(Seconds(1));
  NativeCounts counts;
  ASSERT_TRUE(histogram.Read(&counts));
  EXPECT_EQ(counts.count, 16u);
  EXPECT_EQ(Bucket(counts, NativeBucket(Milliseconds(1))), 7u);
  EXPECT_EQ(Bucket(counts, 0), 1u) << "one second";
  EXPECT_EQ(Bucket(counts, NativeBucket(Milliseconds(2500))), 5u);
  EXPECT_EQ(Bucket(counts, NativeBucket(Milliseconds(2500)) + 1), 3u) << "above the last bound";
}

}  // namespace
}  // namespace sonde
