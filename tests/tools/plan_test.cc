// Plans of a fleet whose cron tasks meet the clock changes of two zones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "protocols/registry.h"
#include "tests/support/golden.h"
#include "tools/sonde/plan_report.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr WallTime kFrom{1'774'699'200'000'000'000};  // 2026-03-28T12:00:00Z

constexpr std::string_view kFleet = R"(
modules:
  mail: {prober: tcp, tcp: {preset: smtp_starttls}}
tasks:
  - {name: shop, type: http, target: "https://shop.example/", interval: 2s}
  - {name: front, type: http, target: "http://shop.example/", interval: 250ms}
  - {name: mail, type: tcp, target: "mail.example:25", module: mail, cron: "*/30 * * * * *"}
  - {name: backup, type: http, target: "http://backup.example/", cron: "30 2 * * *",
     timezone: Europe/Berlin}
  - {name: orders, type: tcp, target: "orders.example:443", cron: "0 30 1 * * *", spread: 0,
     timezone: America/New_York}
  - {name: report, type: http, target: "http://report.example/", cron: "0,30 2,3 * * *",
     timezone: Europe/Berlin}
  - {name: twice, type: http, target: "http://twice.example/", cron: "0 */2 * * *",
     timezone: Europe/Berlin}
  - {name: often, type: http, target: "http://often.example/", cron: "*/10 * * * *",
     timezone: Europe/Berlin}
  - {name: never, type: tcp, target: "never.example:1", cron: "0 0 30 2 *"}
  - {name: off, type: tcp, target: "off.example:1", enabled: false}
engine: {shards: 2}
)";

TaskFile Fleet(std::string_view text = kFleet) {
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(text, Probers(), diagnostics);
  EXPECT_TRUE(diagnostics.ok()) << diagnostics.ToString("fleet.yml");
  return file;
}

FleetPlan PlanOf(const TaskFile& file, const std::vector<std::string>& tasks = {},
                 size_t due_times = 3) {
  PlanQuestion question;
  question.from = kFrom;
  question.node = {.shards = 2, .cores = 2};
  question.tasks = tasks;
  question.due_times = due_times;
  auto plan = PlanFleet(file, question);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : FleetPlan{};
}

TEST(Plan, GoldenText) {
  const TaskFile file = Fleet();
  EXPECT_EQ(GoldenDifference("plan.txt", PlanText("fleet.yml", PlanOf(file))), "");
}

TEST(Plan, GoldenJson) {
  const TaskFile file = Fleet();
  const std::string json = PlanJson("fleet.yml", PlanOf(file, {"backup", "orders", "never"}));
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 1);
  // Indented: so that a difference has a line.
  const std::string shown = nlohmann::ordered_json::parse(json).dump(1) + "\n";
  EXPECT_EQ(GoldenDifference("plan.json", shown), "");
}

TEST(Plan, DueTimesCrossTheChange) {
  const TaskFile file = Fleet();
  const std::string text = PlanText("f", PlanOf(file, {"orders", "report"}, 6));
  EXPECT_THAT(text, HasSubstr("    2026-03-29T05:30:00.000Z  2026-03-29 01:30:00.000 -04:00\n"));
  EXPECT_THAT(text, HasSubstr("    2026-03-29T01:00:00."));  // 02:00, 02:30 and 03:00 at once
  EXPECT_THAT(text, Not(HasSubstr("shop:")));
}

TEST(Plan, ASlotAtTheBeginningCounts) {
  const TaskFile file =
      Fleet("tasks: [{name: a, type: tcp, target: \"a:1\", cron: '0 12 * * *', spread: 0}]");
  const FleetPlan plan = PlanOf(file);
  EXPECT_EQ(plan.due[0].times[0], kFrom);
  EXPECT_EQ(plan.load.starts, 1u);
  EXPECT_EQ(plan.load.peak_at, kFrom);
}

TEST(Plan, UnknownTasksAreNamed) {
  const TaskFile file = Fleet();
  PlanQuestion question;
  question.from = kFrom;
  question.tasks = {"shop", "bakup"};
  const auto plan = PlanFleet(file, question);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().message(), "there is no task 'bakup' (did you mean 'backup'?)");
}

TEST(Plan, AnEmptyFile) {
  const TaskFile file = Fleet("modules: {}");
  const std::string text = PlanText("f", PlanOf(file));
  EXPECT_THAT(text, HasSubstr("f: 0 tasks"));
  EXPECT_THAT(text, HasSubstr("mean 0.00"));
}

TEST(Plan, LongListsAreCutInTextAndWholeInJson) {
  std::string text = "tasks:\n";
  for (int i = 0; i < 60; ++i) {
    text +=
        "  - {name: off-" + std::to_string(i) + ", type: tcp, target: \"a:1\", enabled: false}\n";
    text += "  - {name: cron-" + std::to_string(i) + ", type: tcp, target: \"a:1\", cron: \"" +
            std::to_string(i) + " 2 * * *\", timezone: Europe/Berlin}\n";
  }
  const TaskFile file = Fleet(text);
  const FleetPlan plan = PlanOf(file);
  const std::string shown = PlanText("f", plan);
  EXPECT_THAT(shown, HasSubstr("off-9 and 50 more"));
  EXPECT_THAT(shown, HasSubstr("and 140 lines more"));
  const auto json = nlohmann::json::parse(PlanJson("f", plan));
  EXPECT_EQ(json["disabled"].size(), 60u);
  EXPECT_EQ(json["clock_changes"].size(), 180u);  // three changes: two springs and an autumn
  EXPECT_EQ(json["clock_changes_left_out"], 0);
}

// Groups that are switched off have no series.
TEST(Plan, SeriesFollowTheFamilies) {
  const std::string tasks =
      "tasks: [{name: a, type: tcp, target: \"a:1\"}, {name: b, type: tcp, target: \"b:1\"}]\n";
  const TaskFile all = Fleet(tasks), ratios = Fleet(tasks + "metrics: {families: [ratios]}");
  const SeriesCount every = PlanOf(all).series, few = PlanOf(ratios).series;
  EXPECT_EQ(every.results, 4u);
  EXPECT_EQ(few.results, 4u);
  const auto at = static_cast<size_t>(FamilyGroup::kRatios);
  EXPECT_EQ(few.groups[at], 6u);
  EXPECT_EQ(every.groups[at], 6u);
  EXPECT_EQ(few.total(), 10u);
  EXPECT_EQ(every.groups[static_cast<size_t>(FamilyGroup::kTls)], 0u);
}

}  // namespace
}  // namespace sonde
