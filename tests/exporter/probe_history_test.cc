#include "exporter/probe_history.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

uint64_t Add(ProbeHistory* history, std::string target, ProbeVerdict verdict,
             std::string module = "m") {
  ProbeRecord record;
  record.module = std::move(module);
  record.target = std::move(target);
  record.verdict = verdict;
  return history->Add(std::move(record));
}

std::string Ids(const ProbeHistory& history) {
  std::string ids;
  for (const ProbeRecord* record : history.Listed()) ids += std::to_string(record->id) + " ";
  return ids;
}

// The contract's example: limit 3, S S S F F F S S S S.
TEST(ProbeHistory, FailuresAreKeptLonger) {
  ProbeHistory history(3);
  for (const char verdict : std::string("SSSFFFSSSS")) {
    Add(&history, "t", verdict == 'S' ? ProbeVerdict::kSuccess : ProbeVerdict::kFailure);
  }
  EXPECT_EQ(Ids(history), "9 8 7 5 4 3 ");
  EXPECT_EQ(history.Find(0), nullptr);
  EXPECT_EQ(history.Find(6), nullptr);
  ASSERT_NE(history.Find(4), nullptr);
  EXPECT_EQ(history.Find(4)->verdict, ProbeVerdict::kFailure);
}

TEST(ProbeHistory, BothListsAreBounded) {
  ProbeHistory history(2);
  for (int i = 0; i < 100; ++i) Add(&history, "t", ProbeVerdict::kInconclusive);
  EXPECT_EQ(Ids(history), "99 98 97 96 ");
}

TEST(ProbeHistory, NothingIsKeptWithLimitZero) {
  ProbeHistory history(0);
  EXPECT_EQ(Add(&history, "t", ProbeVerdict::kFailure), 0u);
  EXPECT_EQ(Add(&history, "t", ProbeVerdict::kFailure), 1u);
  EXPECT_EQ(Ids(history), "");
}

TEST(ProbeHistory, TheOldestOfATargetIsFoundFailuresFirst) {
  ProbeHistory history(2);
  Add(&history, "a", ProbeVerdict::kFailure, "x");  // 0, preserved in the end
  Add(&history, "a", ProbeVerdict::kSuccess, "y");
  Add(&history, "a", ProbeVerdict::kSuccess, "y");
  Add(&history, "a", ProbeVerdict::kSuccess, "x");
  EXPECT_EQ(history.FindTarget("a", "")->id, 0u);
  EXPECT_EQ(history.FindTarget("a", "y")->id, 2u);
  EXPECT_EQ(history.FindTarget("a", "z"), nullptr);
  EXPECT_EQ(history.FindTarget("b", ""), nullptr);
}

TEST(ProbeHistory, TheDebugTextHasThreeBlocks) {
  ProbeRecord record;
  record.logs = "ts=1 msg=hello\n";
  record.metrics = "probe_success 1\n";
  record.configuration = std::make_shared<const std::string>("prober: tcp\n");
  EXPECT_EQ(record.DebugText(),
            "Logs for the probe:\nts=1 msg=hello\n\n\n\nMetrics that would have been returned:\n"
            "probe_success 1\n\n\n\nModule configuration:\nprober: tcp\n");
}

}  // namespace
}  // namespace sonde
