#include "exporter/landing_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const BuildInfo kBuild = {"0.1.0", "abc", "gcc"};

std::string PageOf(const SampleSnapshot& tasks,
                   const std::vector<const ProbeRecord*>& probes = {}) {
  return RenderLandingPage(RenderTasks(tasks, kSampleNow), probes, kBuild);
}

std::string SamplePage() {
  Catalog catalog;
  FillSampleCatalog(&catalog);
  return PageOf(catalog.Snapshot());
}

size_t Count(const std::string& page, std::string_view what) {
  size_t count = 0;
  for (size_t at = page.find(what); at != std::string::npos; at = page.find(what, at + 1)) ++count;
  return count;
}

TEST(LandingPage, SaysWhatEachTaskDoes) {
  const std::string page = SamplePage();
  for (const char* part : {"<a href=\"metrics\">/metrics</a>",
                           "<a href=\"-/healthy\">/-/healthy</a>",
                           "<a href=\"-/ready\">/-/ready</a>",
                           "<a href=\"version\">/version</a>",
                           "shop-health",
                           "https://shop.example/health",
                           "connect/refused",
                           "connect: Connection refused",
                           "no run yet",
                           "48.2 ms",
                           "310 us",
                           "5.00 s",
                           "4 s ago",
                           "2026-11-20 ",
                           "100.00 %",
                           "0.00 %",
                           ">up<",
                           ">down<",
                           ">unknown<",
                           ">disabled<"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
}

TaskSpec WithRecent(const std::string& name) {
  TaskSpec spec;
  spec.name = name;
  spec.metrics.recent = true;
  return spec;
}

TEST(LandingPage, LastRunsAreTicksThatSayMore) {
  const TaskDelta::Upsert task = MakeUpsert(WithRecent("a"));
  const WallTime began = kSampleNow - Minutes(10);
  for (int i = 0; i < 100; ++i) {
    const Outcome outcome = i == 98   ? Outcome::kConnectRefused
                            : i == 99 ? Outcome::kProberLate
                                      : Outcome::kOk;
    Record(*task.record, MakeResult(outcome, Microseconds(310), began + Seconds(i)));
  }
  Catalog catalog;
  TaskDelta delta;
  delta.upserts.push_back(task);
  catalog.Apply(delta);
  const std::string page = PageOf(catalog.Snapshot());
  EXPECT_THAT(page, HasSubstr("<th scope=\"col\">Last runs</th>"));
  EXPECT_EQ(Count(page, "<i class=\""), ResultRing::kRuns);
  EXPECT_EQ(Count(page, "<i class=\"up\""), 58u);
  EXPECT_THAT(page, HasSubstr("role=\"img\" aria-label=\"last runs: 58 success, 1 failed, "
                              "1 inconclusive\">"));
  EXPECT_THAT(page, HasSubstr("<i class=\"down\" title=\"2026-11-20 16:40:58Z connect/refused 310 "
                              "us\"></i><i class=\"unknown\" title=\"2026-11-20 16:40:59Z "
                              "prober/late 310 us\"></i></span>"));
}

// A ring that is there but not asked for any more is not shown, nor is a column without one.
TEST(LandingPage, LastRunsOfTasksThatKeepThem) {
  TaskDelta delta;
  delta.upserts = {MakeUpsert(WithRecent("a")), MakeUpsert(WithRecent("b"))};
  for (const TaskDelta::Upsert& task : delta.upserts) {
    Record(*task.record, MakeResult(Outcome::kOk));
  }
  Catalog catalog;
  catalog.Apply(delta);
  const auto runs = [&catalog] { return Count(PageOf(catalog.Snapshot()), "class=\"runs\""); };
  EXPECT_EQ(runs(), 2u);
  for (TaskDelta::Upsert& task : delta.upserts) {
    TaskSpec without;
    without.name = task.task->name;
    task.task = MakeTask(without);
    TaskDelta one;
    one.upserts = {task};
    catalog.Apply(one);
    EXPECT_EQ(runs(), task.task->name == "a" ? 1u : 0u);
  }
  EXPECT_THAT(PageOf(catalog.Snapshot()), Not(HasSubstr("Last runs")));
}

TEST(LandingPage, FailingTasksStandFirst) {
  const std::string page = SamplePage();
  EXPECT_LT(page.find("db.example:5432"), page.find("shop-health"));
}

TEST(LandingPage, NothingOfATaskIsMarkup) {
  TaskSpec spec;
  spec.name = "<script>alert(1)</script>";
  spec.target = "http://x/?\"onmouseover='x'&<b>";
  const TaskDelta::Upsert task = MakeUpsert(spec);
  Record(*task.record, MakeResult(Outcome::kConnectError));
  Catalog catalog;
  TaskDelta delta;
  delta.upserts.push_back(task);
  catalog.Apply(delta);
  TextsInbox inbox;
  Evidence evidence;
  evidence.detail = "<img src=x onerror=alert(2)>\x01";
  inbox.OnRun({*task.task, MakeResult(Outcome::kConnectError), nullptr, &evidence});
  catalog.Receive(inbox);
  const std::string page = PageOf(catalog.Snapshot());
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("<b>\"")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;"));
  EXPECT_THAT(page, HasSubstr("?&quot;onmouseover=&#39;x&#39;&amp;&lt;b&gt;"));
  EXPECT_THAT(page, HasSubstr("&lt;img src=x onerror=alert(2)&gt;"));
}

TEST(LandingPage, StaysSmallWithManyTasks) {
  Catalog catalog;
  TaskDelta all;
  for (int i = 0; i < 5000; ++i) {
    TaskSpec spec;
    spec.name = "task-" + std::to_string(i);
    all.upserts.push_back(MakeUpsert(spec));
    Record(*all.upserts.back().record,
           MakeResult(i == 4321 ? Outcome::kTlsExpired : Outcome::kOk, Milliseconds(1),
                      kSampleNow - Seconds(100) + Milliseconds(i)));
  }
  catalog.Apply(all);
  const std::string page = PageOf(catalog.Snapshot());
  EXPECT_LT(page.size(), 100'000u);
  EXPECT_EQ(Count(page, "<tr>"), kLandingRows + 1);
  EXPECT_THAT(page, HasSubstr("100 of 5000 tasks"));
  EXPECT_THAT(page, HasSubstr("tls/expired"));
  EXPECT_THAT(page, HasSubstr(">task-4999<"));
  EXPECT_THAT(page, Not(HasSubstr(">task-4000<")));
  EXPECT_LT(page.find(">task-4321<"), page.find(">task-4999<"));
}

// The longest ticks there are, in every row.
TEST(LandingPage, StaysBoundedWithManyLastRuns) {
  Catalog catalog;
  TaskDelta all;
  for (int i = 0; i < 200; ++i) {
    all.upserts.push_back(MakeUpsert(WithRecent("task-" + std::to_string(i))));
    for (int run = 0; run < 70; ++run) {
      Record(*all.upserts.back().record,
             MakeResult(Outcome::kConnectNetworkUnreachable, Microseconds(999'940)));
    }
  }
  catalog.Apply(all);
  const std::string page = PageOf(catalog.Snapshot());
  EXPECT_EQ(Count(page, "<i class=\"down\""), kLandingRows * ResultRing::kRuns);
  EXPECT_LT(page.size(), 700'000u);
}

TEST(LandingPage, ListsWhatProbeWasAskedFor) {
  ProbeRecord passed, failed;
  passed.id = 8;
  passed.module = "http_2xx";
  passed.target = "https://shop.example/?a=<b>";
  passed.verdict = ProbeVerdict::kSuccess;
  failed.id = 7;
  failed.module = "<script>";
  const std::string page = PageOf({}, {&passed, &failed});
  EXPECT_THAT(page, HasSubstr("<td class=\"word\">http_2xx</td><td class=\"long\">"
                              "https://shop.example/?a=&lt;b&gt;</td><td><span class=\"state up\">"
                              "Success</span></td><td><a href=\"logs?id=8\">Logs</a></td>"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_LT(page.find("logs?id=8"), page.find("logs?id=7"));
  const std::vector<const ProbeRecord*> many(5000, &passed);
  EXPECT_EQ(Count(PageOf({}, many), "logs?id=8"), kProbeRows);
  EXPECT_THAT(PageOf({}), Not(HasSubstr("/probe")));
}

TEST(LandingPage, WithoutTasksSaysSo) { EXPECT_THAT(PageOf({}), HasSubstr("There are no tasks")); }

TEST(LandingPage, TimesAndNumbersForPeople) {
  EXPECT_EQ(UtcText(kSampleNow), "2026-11-20 16:49:20Z");
  EXPECT_EQ(AgoText(Milliseconds(999)), "now");
  EXPECT_EQ(AgoText(Seconds(-5)), "now");
  EXPECT_EQ(AgoText(Seconds(119)), "119 s ago");
  EXPECT_EQ(AgoText(Minutes(2)), "2 min ago");
  EXPECT_EQ(AgoText(Hours(5)), "5 h ago");
  EXPECT_EQ(AgoText(Hours(24 * 400)), "400 d ago");
  EXPECT_EQ(LatencyText(Microseconds(840)), "840 us");
  EXPECT_EQ(LatencyText(Microseconds(12'340)), "12.3 ms");
  EXPECT_EQ(LatencyText(Milliseconds(1250)), "1.25 s");
}

TEST(LandingPage, APercentageIsWholeOnlyWhenItIs) {
  EXPECT_EQ(PercentText({}), "-");
  EXPECT_EQ(PercentText({5, 0}), "100.00 %");
  EXPECT_EQ(PercentText({0, 5}), "0.00 %");
  EXPECT_EQ(PercentText({99'999, 1}), "99.99 %");
  EXPECT_EQ(PercentText({1, 99'999}), "0.01 %");
  EXPECT_EQ(PercentText({3, 1}), "75.00 %");
}

TEST(LandingPage, PolicyAllowsNothingButTheStyle) {
  EXPECT_THAT(std::string(kLandingPolicy), HasSubstr("default-src 'none'; style-src 'self'"));
  const std::string page = SamplePage();
  EXPECT_THAT(page, Not(HasSubstr("style=\"")));
  EXPECT_THAT(page, Not(HasSubstr("<style")));
}

}  // namespace
}  // namespace sonde
