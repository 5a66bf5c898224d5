#include "engine/shard/token_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace sonde {
namespace {

constexpr SocketId kSocket = 1;

Address Server(int n, uint16_t port = 53) {
  Address address = *Address::ParseLiteral("10.0.0.0", port);
  address.bytes[3] = static_cast<uint8_t>(n);
  return address;
}

TEST(TokenTable, MatchesSocketPeerAndToken) {
  TokenTable table;
  EXPECT_EQ(table.Find(kSocket, Server(1), 7), TokenTable::kNobody);
  EXPECT_EQ(table.Add(5, kSocket, Server(1), 7), 7);
  EXPECT_EQ(table.Find(kSocket, Server(1), 7), 5u);
  EXPECT_EQ(table.Find(kSocket, Server(1), 8), TokenTable::kNobody);
  EXPECT_EQ(table.Find(kSocket, Server(2), 7), TokenTable::kNobody);
  EXPECT_EQ(table.Find(kSocket, Server(1, 54), 7), TokenTable::kNobody);
  EXPECT_EQ(table.Find(kSocket + 1, Server(1), 7), TokenTable::kNobody);
  EXPECT_EQ(table.Add(6, kSocket, Server(1), 7), 8) << "taken: the next one";
  EXPECT_EQ(table.Add(9, kSocket, Server(2), 7), 7) << "another server";
  table.Remove(5, true);
  EXPECT_EQ(table.Find(kSocket, Server(1), 7), TokenTable::kNobody);
  EXPECT_EQ(table.Find(kSocket, Server(2), 7), 9u);
  table.Remove(5, true);  // twice: nothing
  EXPECT_EQ(table.size(), 2u);
}

TEST(TokenTable, RefusesWhenAllAreTaken) {
  TokenTable table;
  for (uint32_t i = 0; i < 65536; ++i) {
    ASSERT_TRUE(table.Add(i, kSocket, Server(1), static_cast<uint16_t>(i)));
  }
  EXPECT_FALSE(table.Add(65536, kSocket, Server(1), 0));
  EXPECT_TRUE(table.Add(65536, kSocket, Server(2), 0));
  table.Remove(1234, false);
  EXPECT_EQ(table.Add(65537, kSocket, Server(1), 0), 1234);
}

TEST(TokenTable, RemembersWhoWasAnswered) {
  TokenTable table;
  EXPECT_EQ(table.ReasonOf(kSocket, Server(1), 7), StrayReason::kForeign);
  table.Add(1, kSocket, Server(1), 7);
  table.Add(2, kSocket, Server(1), 8);
  table.Remove(1, true);
  table.Remove(2, false);
  EXPECT_EQ(table.ReasonOf(kSocket, Server(1), 7), StrayReason::kDuplicate);
  EXPECT_EQ(table.ReasonOf(kSocket, Server(1), 8), StrayReason::kLate);
  EXPECT_EQ(table.ReasonOf(kSocket, Server(1), 9), StrayReason::kForeign);
  EXPECT_EQ(table.ReasonOf(kSocket, Server(2), 7), StrayReason::kForeign);
}

TEST(TokenTable, VisitsWhomAStrayMayConcern) {
  TokenTable table;
  for (uint32_t i = 0; i < 10; ++i) table.Add(i, kSocket, Server(1), static_cast<uint16_t>(i));
  table.Add(20, kSocket, Server(2), 3);
  std::set<uint32_t> seen;
  const auto all = [&](uint32_t slot) {
    seen.insert(slot);
    return false;
  };
  EXPECT_FALSE(table.VisitPeer(kSocket, Server(1), 100, all));
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_EQ(seen.count(20), 0u);
  seen.clear();
  EXPECT_FALSE(table.VisitPeer(kSocket, Server(1), 4, all));
  EXPECT_EQ(seen.size(), 4u) << "no more than asked for";
  seen.clear();
  EXPECT_FALSE(table.VisitToken(3, 100, all));
  EXPECT_EQ(seen, (std::set<uint32_t>{3, 20}));
  EXPECT_TRUE(table.VisitToken(3, 100, [](uint32_t slot) { return slot == 20; }));
  // Those visited may leave meanwhile.
  EXPECT_FALSE(table.VisitPeer(kSocket, Server(1), 100, [&](uint32_t slot) {
    table.Remove(slot, false);
    return false;
  }));
  EXPECT_EQ(table.size(), 1u);
}

// Against a map, with many legs on few tokens.
TEST(TokenTable, AgreesWithAMap) {
  TokenTable table;
  std::mt19937 random(1);
  std::map<uint32_t, std::pair<int, uint16_t>> legs;
  std::map<std::pair<int, uint16_t>, uint32_t> named;
  for (int i = 0; i < 200'000; ++i) {
    const auto slot = static_cast<uint32_t>(random() % 500);
    if (const auto found = legs.find(slot); found != legs.end()) {
      table.Remove(slot, random() % 2 == 0);
      named.erase(found->second);
      legs.erase(found);
      continue;
    }
    const int server = static_cast<int>(random() % 20);
    const auto wanted = static_cast<uint16_t>(random() % 16);
    const auto token = table.Add(slot, kSocket, Server(server), wanted);
    ASSERT_TRUE(token);
    ASSERT_EQ(named.count({server, *token}), 0u);
    legs[slot] = {server, *token};
    named[{server, *token}] = slot;
    const int other = static_cast<int>(random() % 20);
    const auto asked = static_cast<uint16_t>(random() % 40);
    const auto expected = named.find({other, asked});
    ASSERT_EQ(table.Find(kSocket, Server(other), asked),
              expected == named.end() ? TokenTable::kNobody : expected->second);
  }
  EXPECT_EQ(table.size(), legs.size());
}

}  // namespace
}  // namespace sonde
