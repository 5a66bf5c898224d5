// The search for the highest rate that holds, driven by machines made up here.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "tools/sonde/bench/rate_search.h"

namespace sonde {
namespace {

struct Found {
  double held = 0, broke = 0;
  std::vector<double> tried;
};

// Gives up after a hundred tries: no search needs as many.
Found Search(const RateSearch::Options& options, const std::function<bool(double)>& holds) {
  RateSearch search(options);
  Found found;
  while (const auto rate = search.Next()) {
    found.tried.push_back(*rate);
    if (found.tried.size() > 100) break;
    search.Add(holds(*rate));
  }
  found.held = search.held();
  found.broke = search.broke();
  return found;
}

TEST(RateSearch, ConvergesFromBelowAndFromAbove) {
  for (const double capacity : {37.0, 1000.0, 21'340.0, 180'000.0}) {
    for (const double first : {10.0, 1000.0, 500'000.0}) {
      RateSearch::Options options;
      options.first = first;
      const Found found = Search(options, [&](double rate) { return rate <= capacity; });
      EXPECT_LE(found.held, capacity);
      EXPECT_GT(found.broke, capacity);
      EXPECT_LE(found.broke, found.held * (1 + options.tolerance)) << capacity << " " << first;
      EXPECT_LT(found.tried.size(), 60u);
    }
  }
}

TEST(RateSearch, NeverTriesBeyondItsRange) {
  RateSearch::Options options;
  options.first = 100;
  options.lowest = 50;
  options.highest = 1000;
  const Found up = Search(options, [](double) { return true; });
  EXPECT_EQ(up.held, 1000);
  EXPECT_EQ(up.broke, 0);
  const Found down = Search(options, [](double) { return false; });
  EXPECT_EQ(down.held, 0);
  EXPECT_EQ(down.broke, 50);
  for (const Found* found : {&up, &down}) {
    for (const double rate : found->tried) {
      EXPECT_GE(rate, 50);
      EXPECT_LE(rate, 1000);
    }
  }
}

TEST(RateSearch, AFirstRateOutsideTheRangeIsMovedIntoIt) {
  RateSearch::Options options;
  options.first = 1e9;
  options.highest = 200;
  EXPECT_EQ(RateSearch(options).Next(), 200);
}

// One stumble is forgiven: the same rate is tried again, twice at the most.
TEST(RateSearch, OneBrokenTryOfThreeIsForgiven) {
  RateSearch search({.first = 100, .lowest = 1, .highest = 1000});
  search.Add(false);
  EXPECT_EQ(search.Next(), 100);
  search.Add(true);
  EXPECT_EQ(search.Next(), 100);
  EXPECT_EQ(search.held(), 0);
  search.Add(true);
  EXPECT_EQ(search.held(), 100);
  EXPECT_EQ(search.Next(), 150);
}

TEST(RateSearch, TwoBrokenTriesOfThreeAreBelieved) {
  RateSearch search({.first = 100, .lowest = 1, .highest = 1000});
  search.Add(false);
  search.Add(true);
  search.Add(false);
  EXPECT_EQ(search.broke(), 100);
  EXPECT_DOUBLE_EQ(*search.Next(), 100 / 1.5);
}

// A machine that stumbles at one try in ten, whatever the rate, and one whose edge is not sharp.
TEST(RateSearch, NoiseMovesTheAnswerLittle) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> unit(0, 1);
  int near = 0;
  constexpr int kSearches = 200;
  for (int i = 0; i < kSearches; ++i) {
    RateSearch::Options options;
    options.first = 500;
    const Found found = Search(options, [&](double rate) {
      const double edge = 10'000 * (1 + 0.03 * (unit(random) - 0.5));
      return rate <= edge && unit(random) > 0.1;
    });
    near += std::abs(found.held / 10'000 - 1) < 0.1;
  }
  EXPECT_GT(near, kSearches * 7 / 10);
}

TEST(RateSearch, EndsAlsoWhereNothingIsMonotone) {
  int count = 0;
  const Found found = Search({.first = 100}, [&](double) { return ++count % 3 != 0; });
  EXPECT_LE(found.tried.size(), 100u);
}

TEST(RateSearch, WhatIsAddedAfterTheEndChangesNothing) {
  RateSearch search({.first = 100, .lowest = 100, .highest = 100});
  search.Add(true);
  EXPECT_EQ(search.Next(), std::nullopt);
  search.Add(false);
  search.Add(false);
  EXPECT_EQ(search.held(), 100);
  EXPECT_EQ(search.broke(), 0);
}

TEST(RangeConfidence, IsThatOfOrderStatistics) {
  EXPECT_EQ(RangeConfidence(0), 0);
  EXPECT_EQ(RangeConfidence(1), 0);
  EXPECT_EQ(RangeConfidence(2), 0.5);
  EXPECT_EQ(RangeConfidence(3), 0.75);
  EXPECT_EQ(RangeConfidence(6), 0.96875);
}

}  // namespace
}  // namespace sonde
