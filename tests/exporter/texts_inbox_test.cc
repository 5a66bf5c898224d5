#include "exporter/texts_inbox.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

std::shared_ptr<const Task> TaskNumber(uint64_t id) {
  auto task = std::make_shared<Task>(*MakeTask({}));
  task->id = id;
  return task;
}

TEST(TextsInbox, SaysNothingOfRunsWithoutWords) {
  TextsInbox inbox;
  inbox.OnRun({*TaskNumber(1), MakeResult(Outcome::kOk), nullptr, nullptr});
  EXPECT_TRUE(inbox.Take().empty());
}

TEST(TextsInbox, TheNewestWordPerTaskStays) {
  TextsInbox inbox;
  const auto task = TaskNumber(1);
  const Texts first = {{TextFamily::kTlsVersion, {{"version", "TLS 1.2"}}}};
  const Texts second = {{TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}}};
  Evidence evidence;
  evidence.detail = std::string(1000, 'x');
  ProbeResult result = MakeResult(Outcome::kConnectRefused);
  inbox.OnRun({*task, result, &first, nullptr});
  result.texts_hash = 9;
  inbox.OnRun({*task, result, &second, nullptr});
  inbox.OnRun({*task, result, nullptr, &evidence});

  auto words = inbox.Take();
  ASSERT_EQ(words.size(), 1u);
  const TextsInbox::Word& word = words.at(1);
  EXPECT_TRUE(word.has_texts);
  EXPECT_EQ(word.texts_hash, 9u);
  EXPECT_EQ(word.texts[0].labels[0].second, "TLS 1.3");
  EXPECT_TRUE(word.has_detail);
  EXPECT_EQ(word.outcome, Outcome::kConnectRefused);
  EXPECT_EQ(word.detail.size(), TextsInbox::kDetailLimit);
  EXPECT_TRUE(inbox.Take().empty());
}

TEST(TextsInbox, WhatDoesNotFitIsCounted) {
  TextsInbox inbox(2);
  const Texts texts;
  for (uint64_t id = 1; id <= 5; ++id) {
    inbox.OnRun({*TaskNumber(id), MakeResult(Outcome::kOk), &texts, nullptr});
  }
  inbox.OnRun({*TaskNumber(1), MakeResult(Outcome::kOk), &texts, nullptr});  // has its place
  EXPECT_EQ(inbox.dropped(), 3u);
  EXPECT_EQ(inbox.Take().size(), 2u);
  inbox.OnRun({*TaskNumber(5), MakeResult(Outcome::kOk), &texts, nullptr});
  EXPECT_EQ(inbox.dropped(), 3u);
  EXPECT_EQ(inbox.Take().size(), 1u);
}

TEST(TextsInbox, ShardsWriteWhileTheLoopTakes) {
  TextsInbox inbox;
  constexpr uint64_t kTasks = 200, kRounds = 50;
  std::vector<std::thread> shards;
  for (uint64_t shard = 0; shard < 3; ++shard) {
    shards.emplace_back([&inbox, shard] {
      const Texts texts = {{TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}}};
      for (uint64_t round = 1; round <= kRounds; ++round) {
        ProbeResult result = MakeResult(Outcome::kOk);
        result.texts_hash = round;
        for (uint64_t i = 0; i < kTasks; ++i) {
          inbox.OnRun({*TaskNumber(shard * kTasks + i + 1), result, &texts, nullptr});
        }
      }
    });
  }
  std::unordered_map<uint64_t, uint64_t> newest;
  const auto take = [&] {
    for (const auto& [id, word] : inbox.Take()) newest[id] = word.texts_hash;
  };
  for (int i = 0; i < 1000; ++i) take();
  for (std::thread& shard : shards) shard.join();
  take();
  EXPECT_EQ(newest.size(), 3 * kTasks);
  for (const auto& [id, hash] : newest) EXPECT_EQ(hash, kRounds) << id;
  EXPECT_EQ(inbox.dropped(), 0u);
}

}  // namespace
}  // namespace sonde
