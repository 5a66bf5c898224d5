#include "engine/contract/siphash.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>

#include "engine/contract/task.h"

namespace sonde {
namespace {

// The authors' vectors: key 00 01 .. 0f, message 00 01 .. (n - 1), output read little-endian.
constexpr uint64_t kKey0 = 0x0706050403020100u;
constexpr uint64_t kKey1 = 0x0f0e0d0c0b0a0908u;

TEST(SipHash, OfficialVectors) {
  static constexpr std::array<uint64_t, 16> kExpected = {
      0x726fdb47dd0e0e31u, 0x74f839c593dc67fdu, 0x0d6c8009d9a94f5au, 0x85676696d7fb7e2du,
      0xcf2794e0277187b7u, 0x18765564cd99a68du, 0xcbc9466e58fee3ceu, 0xab0200f58b01d137u,
      0x93f5f5799a932462u, 0x9e0082df0ba9e4b0u, 0x7a5dbbc594ddb9f3u, 0xf4b32f46226bada7u,
      0x751e8fbc860ee5fbu, 0x14ea5627c0843d90u, 0xf723ca908e7af2eeu, 0xa129ca6149be45e5u};
  std::string message;
  for (size_t n = 0; n < kExpected.size(); ++n) {
    EXPECT_EQ(SipHash24(kKey0, kKey1, message), kExpected[n]) << n;
    message.push_back(static_cast<char>(n));
  }
}

TEST(SipHash, BothKeysMatter) {
  EXPECT_NE(SipHash24(1, 2, "a"), SipHash24(2, 1, "a"));
  EXPECT_NE(SipHash24(0, 0, "a"), SipHash24(0, 1, "a"));
}

// Ids survive restarts and updates: these values must never change.
TEST(TaskId, IsPinned) {
  EXPECT_EQ(TaskIdOf(""), 6223943835515148302u);
  EXPECT_EQ(TaskIdOf("shop-health"), 3148877355421866056u);
}

TEST(TaskId, DiffersByName) {
  std::set<uint64_t> ids;
  for (int i = 0; i < 100'000; ++i) ids.insert(TaskIdOf("task-" + std::to_string(i)));
  EXPECT_EQ(ids.size(), 100'000u);
  EXPECT_EQ(ids.count(0), 0u);
}

}  // namespace
}  // namespace sonde
