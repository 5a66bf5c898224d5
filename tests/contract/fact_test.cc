#include "engine/contract/fact.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sonde {
namespace {

Fact Number(size_t number) { return static_cast<Fact>(number); }

void ExpectEqual(const FactSet& facts, const std::map<size_t, double>& expected) {
  EXPECT_EQ(facts.size(), expected.size());
  uint64_t present = 0;
  for (const auto& [number, value] : expected) present |= uint64_t{1} << number;
  EXPECT_EQ(facts.present(), present);
  for (size_t number = 0; number < kFactCount; ++number) {
    const auto found = expected.find(number);
    EXPECT_EQ(facts.Has(Number(number)), found != expected.end()) << number;
    const auto value = facts.Get(Number(number));
    ASSERT_EQ(value.has_value(), found != expected.end()) << number;
    if (value) { EXPECT_EQ(*value, found->second) << number; }
  }
}

TEST(FactSetTest, HoldsWhatAMapHoldsInAnyOrder) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    FactSet facts;
    std::map<size_t, double> expected;
    for (int step = 0; step < 100; ++step) {
      const size_t number = random() % kFactCount;
      const bool room = expected.size() < FactSet::kCapacity || expected.contains(number);
      if (random() % 4 != 0 && room) {
        facts.Set(Number(number), step);
        expected[number] = step;
      } else {
        facts.Clear(Number(number));
        expected.erase(number);
      }
    }
    ExpectEqual(facts, expected);
  }
}

TEST(FactSetTest, TheLastFactsOfTheTableInOrderAndFull) {
  FactSet facts;
  std::map<size_t, double> expected;
  for (size_t number = kFactCount - FactSet::kCapacity; number < kFactCount; ++number) {
    facts.Set(Number(number), static_cast<double>(number) / 2);
    expected[number] = static_cast<double>(number) / 2;
  }
  ExpectEqual(facts, expected);
  facts.Set(Number(kFactCount - 1), -1);  // there already: no room is needed
  expected[kFactCount - 1] = -1;
  ExpectEqual(facts, expected);
}

TEST(FactSetDeathTest, MoreThanItsCapacityIsAnErrorOfTheProgram) {
  FactSet facts;
  for (size_t number = 1; number <= FactSet::kCapacity; ++number) facts.Set(Number(number), 0);
  EXPECT_DEATH(facts.Set(Number(0), 0), "");
  EXPECT_DEATH(facts.Set(Number(kFactCount - 1), 0), "");
}

}  // namespace
}  // namespace sonde
