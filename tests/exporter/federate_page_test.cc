#include "exporter/federate_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "exporter/label_text.h"
#include "tests/exporter/sample_fleet.h"
#include "tests/support/golden.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

std::string Whole(FederatePage& page) {
  std::string body;
  for (int calls = 0; calls < 1'000'000; ++calls) {
    if (page.Next(body) == BodyStep::kEnd) return body;
  }
  return "(endless)";
}

std::string Federate(const Catalog& catalog, const std::vector<std::string>& texts,
                     const ExternalLabels& external = {}, WallTime now = kSampleNow,
                     MetricsPage::ProcessPart process = nullptr) {
  const auto selectors = ParseSelectors(texts);
  EXPECT_TRUE(selectors.ok()) << selectors.status();
  if (!selectors.ok()) return "";
  FederatePage page(catalog.Snapshot(), *selectors, external, now, std::move(process));
  return Whole(page);
}

std::vector<std::string> Lines(std::string_view page) {
  std::vector<std::string> lines;
  while (!page.empty()) {
    const std::string_view line = page.substr(0, page.find('\n'));
    if (!line.starts_with('#')) lines.emplace_back(line);
    page.remove_prefix(std::min(page.size(), line.size() + 1));
  }
  return lines;
}

// One task whose history a test writes.
class OneTask {
 public:
  explicit OneTask(const TaskSpec& spec = {}) : upsert_(MakeUpsert(spec)) {
    TaskDelta delta;
    delta.upserts.push_back(upsert_);
    catalog_.Apply(delta);
  }
  void Run(const ProbeResult& result) { Record(*upsert_.record, result); }
  void SayTexts(const Texts& texts, const ProbeResult& result) {
    TextsInbox inbox;
    inbox.OnRun({*upsert_.task, result, &texts, nullptr});
    catalog_.Receive(inbox);
  }
  const Catalog& catalog() const { return catalog_; }

 private:
  TaskDelta::Upsert upsert_;
  Catalog catalog_;
};

constexpr std::string_view kShop =
    "name=\"shop\",type=\"http\",target=\"https://shop.example/health\",application=\"shop\"";

std::string Sample(const std::string& name, std::string_view labels, const std::string& value,
                   WallTime at) {
  return name + "{" + std::string(labels) + "} " + value + " " + std::to_string(at.ns / 1'000'000);
}

void WriteProcess(Exposition& out, const StateCounts& states) {
  out.Begin({"sonde_tasks", MetricType::kGauge, "Tasks\nby state"});
  for (size_t i = 0; i < kTaskStates; ++i) {
    out.Sample("sonde_tasks", "state=\"" + std::string(kTaskStateNames[i]) + "\"", states[i]);
  }
  out.Begin({"sonde_runs_in_flight", MetricType::kGauge, "Runs"});
  out.Sample("sonde_runs_in_flight", {}, uint64_t{3});
  out.Begin({"a_quoted_info", MetricType::kInfo, "Info"});
  out.Sample("a_quoted_info", "what=\"} 1 \\\"x\\\"\"", uint64_t{1});
}

TEST(FederatePage, Golden) {
  Catalog catalog;
  FillSampleCatalog(&catalog);
  const std::string page =
      Federate(catalog, {"{__name__=~\".+\"}"}, {{"region", "eu"}, {"team", "prober"}}, kSampleNow,
               WriteProcess);
  EXPECT_EQ(GoldenDifference("federate.txt", page), "");
}

// What /metrics shows, less the tasks whose last run is too long ago.
TEST(FederatePage, EverySeriesOfThePageCanBeChosen) {
  Catalog catalog;
  FillSampleCatalog(&catalog);
  // Names and labels, these in order.
  using Series = std::set<std::string>;
  const auto series = [](const std::string& page) {
    std::set<Series> all;
    for (const std::string& line : Lines(page)) {
      const size_t brace = line.find('{');
      Series one = {line.substr(0, brace)};
      for (LabelReader label(std::string_view(line).substr(brace + 1)); label.Next();) {
        one.emplace(label.written());
      }
      all.insert(std::move(one));
    }
    return all;
  };
  std::set<Series> wanted;
  for (Series one : series(RenderPage(catalog.Snapshot(), Format::kText))) {
    if (one.count("name=\"stale\"") != 0) continue;
    one.insert("instance=\"\"");
    wanted.insert(std::move(one));
  }
  EXPECT_GT(wanted.size(), 90u);
  EXPECT_EQ(series(Federate(catalog, {"{__name__=~\".+\"}"})), wanted);
}

TEST(FederatePage, NothingIsAskedForNothingIsGiven) {
  Catalog catalog;
  FillSampleCatalog(&catalog);
  EXPECT_EQ(Federate(catalog, {}), "");
  EXPECT_EQ(Federate(catalog, {"nothing"}), "");
  EXPECT_EQ(Federate({}, {"{__name__=~\".+\"}"}), "");
}

TEST(FederatePage, SamplesAreOfTheEndOfTheirRun) {
  OneTask task;
  const ProbeResult first = MakeResult(Outcome::kOk, Milliseconds(20), kSampleNow - Seconds(30));
  const ProbeResult second = MakeResult(Outcome::kProberLate, Milliseconds(7));
  task.Run(first);
  task.Run(second);
  const WallTime conclusive = first.started + first.duration;
  const WallTime any = second.started + second.duration;
  const std::string all = std::string(kShop) + ",instance=\"\"";
  EXPECT_THAT(Lines(Federate(task.catalog(), {"probe_success", "probe_duration_seconds"})),
              ElementsAre(Sample("probe_duration_seconds", all, "0.02", conclusive),
                          Sample("probe_success", all, "1", conclusive)));
  EXPECT_THAT(Lines(Federate(task.catalog(), {"health_check_results{status=\"success\"}"})),
              ElementsAre("health_check_results{status=\"success\",name=\"shop\",type=\"http\","
                          "instance=\"\"} 1 " +
                          std::to_string(any.ns / 1'000'000)));
  EXPECT_THAT(Lines(Federate(task.catalog(), {"probe_last_run_timestamp_seconds"})),
              ElementsAre(Sample("probe_last_run_timestamp_seconds", all, "1795193355.387", any)));
  EXPECT_THAT(Lines(Federate(task.catalog(), {"probe_latency_seconds_count"})),
              ElementsAre(Sample("probe_latency_seconds_count", all, "1", any)));
}

// A window slides between runs, and what stands under a stamp must not.
TEST(FederatePage, WindowsEndWithTheRun) {
  OneTask task;
  task.Run(MakeResult(Outcome::kConnectRefused, Milliseconds(1), kSampleNow - Seconds(330)));
  task.Run(MakeResult(Outcome::kOk, Milliseconds(1), kSampleNow - Seconds(100)));
  const std::vector<std::string> selectors = {"probe_success_ratio{window=\"5m\"}"};
  const std::string page = Federate(task.catalog(), selectors);
  ASSERT_EQ(Lines(page).size(), 1u);
  EXPECT_THAT(page, HasSubstr("} 0.5 "));
  EXPECT_EQ(Federate(task.catalog(), selectors, {}, kSampleNow + Seconds(60)), page);
}

TEST(FederatePage, BeforeTheFirstRunCountersAreOfNow) {
  OneTask task;
  EXPECT_THAT(Lines(Federate(task.catalog(), {"{name=\"shop\"}"})),
              ElementsAre(StartsWith("health_check_results{status=\"success\","),
                          EndsWith("} 0 1795193360380")));
}

TEST(FederatePage, WhatIsOldIsLeftOut) {
  const auto lines = [](Duration interval, Duration age, std::string_view selector) {
    TaskSpec spec;
    spec.interval = interval;
    OneTask task(spec);
    task.Run(MakeResult(Outcome::kOk, Duration{}, kSampleNow - age));
    return Lines(Federate(task.catalog(), {std::string(selector)})).size();
  };
  for (const std::string_view selector :
       {"probe_success", "health_check_results{status='failed'}"}) {
    EXPECT_EQ(lines(Seconds(15), Minutes(5), selector), 1u) << selector;
    EXPECT_EQ(lines(Seconds(15), Minutes(5) + Nanoseconds(1), selector), 0u) << selector;
    EXPECT_EQ(lines(Hours(24), FederatePage::kOldest, selector), 1u) << selector;
    EXPECT_EQ(lines(Hours(24), FederatePage::kOldest + Nanoseconds(1), selector), 0u) << selector;
  }
}

TEST(FederatePage, SelectorsChoose) {
  Catalog catalog;
  FillSampleCatalog(&catalog);
  const auto count = [&catalog](const std::vector<std::string>& selectors) {
    return Lines(Federate(catalog, selectors)).size();
  };
  const struct {
    std::vector<std::string> selectors;
    size_t lines;
  } kRows[] = {
      {{"probe_success"}, 3},
      {{"probe_success{name=\"shop-health\"}"}, 1},
      {{"probe_success{name!=\"shop-health\"}"}, 2},
      {{"probe_success{name=~\"shop-.*\"}"}, 1},
      {{"probe_success{name!~\"shop-.*|database\"}"}, 1},
      {{"probe_success{team=\"web\"}"}, 1},
      {{"probe_success{team=\"\"}"}, 2},
      {{"probe_success{nothing=\"\"}"}, 3},
      {{"probe_success{nothing!=\"\"}"}, 0},
      {{"probe_success", "probe_success{team=\"web\"}"}, 3},  // once each
      {{"probe_success{team=\"web\"}", "probe_success{name=\"database\"}"}, 2},
      {{"{__name__=~\"probe_success|probe_duration_seconds\",type=\"tcp\"}"}, 2},
      {{"{__name__=~\"probe_.*\",__name__!~\"probe_.*_.*\",name=\"database\"}"}, 1},
      // Constant labels.
      {{"probe_failures_total{phase=\"connect\"}"}, 1},
      {{"probe_failures_total{phase!=\"connect\"}"}, 2},
      {{"probe_failures_total{phase=\"\"}"}, 0},
      {{"probe_http_duration_seconds{phase=~\"tls|connect\"}"}, 2},
      {{"probe_latency_seconds_bucket{le=\"0.05\"}"}, 3},
      {{"probe_latency_seconds_bucket{le=\"+Inf\",name=\"database\"}"}, 1},
      {{"{__name__=~\"probe_latency_seconds(_sum|_count)?\",team=\"web\"}"}, 2},
      {{"probe_success_ratio{window!=\"5m\",team=\"web\"}"}, 2},
      // The results of a task carry its name and type, and nothing else.
      {{"health_check_results{name=\"database\"}"}, 2},
      {{"health_check_results{status=\"failed\",type=\"tcp\"}"}, 2},
      {{"health_check_results{team=\"web\"}"}, 0},
      {{"health_check_results{target=\"\",name=\"shop-health\"}"}, 2},
      // Labels of a text.
      {{"probe_tls_version_info{version=\"TLS 1.3\"}"}, 1},
      {{"probe_tls_version_info{version!=\"TLS 1.3\"}"}, 0},
      {{"{version=~\"TLS.*\"}"}, 1},
      {{"probe_ssl_last_chain_info{issuer=\"CN=Example \\\"Root\\\" \\\\ CA\"}"}, 1},
      {{"probe_ssl_last_chain_info{subjectalternative=`shop.example,\nwww.shop.example`}"}, 1},
      {{"probe_expect_info{greeting=\"hello\"}"}, 1},
      {{"probe_expect_info{greeting=\"\"}"}, 0},
      // External labels are not the series' own.
      {{"probe_success{instance=\"\"}"}, 3},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(count(row.selectors), row.lines) << ::testing::PrintToString(row.selectors);
  }
}

TEST(FederatePage, ExternalLabelsFillWhatIsNotThere) {
  TaskSpec spec;
  spec.labels = {{"instance", "mine"}, {"region", "us"}};
  OneTask task(spec);
  ProbeResult result = MakeResult(Outcome::kOk);
  result.texts_hash = 5;
  task.Run(result);
  task.SayTexts({{TextFamily::kExpectInfo, {{"cluster", "c7"}}}}, result);
  const ExternalLabels external = {
      {"region", "e\"u"}, {"cluster", "c1"}, {"phase", "x"}, {"application", "y"}};
  const auto only = [&](const std::string& selector) {
    const std::vector<std::string> lines = Lines(Federate(task.catalog(), {selector}, external));
    EXPECT_EQ(lines.size(), 1u) << selector;
    return lines.empty() ? "" : lines[0].substr(lines[0].find("application"));
  };
  EXPECT_THAT(only("probe_success"),
              StartsWith("application=\"shop\",instance=\"mine\",region=\"us\","
                         "cluster=\"c1\",phase=\"x\"} 1 "));
  EXPECT_THAT(only("probe_expect_info"),
              StartsWith("application=\"shop\",instance=\"mine\",region=\"us\","
                         "cluster=\"c7\",phase=\"x\"} 1 "));
  // The results do not show the task's labels, so nothing is in the way.
  EXPECT_THAT(only("health_check_results{status=\"failed\"}"),
              StartsWith("application=\"y\",cluster=\"c1\",instance=\"\",phase=\"x\","
                         "region=\"e\\\"u\"} 0 "));
  EXPECT_EQ(Lines(Federate(task.catalog(), {"{region=\"e\\\"u\"}"}, external)).size(), 0u);

  OneTask plain;
  plain.Run(MakeResult(Outcome::kConnectRefused));
  const std::string failures = Federate(plain.catalog(), {"probe_failures_total"}, external);
  EXPECT_THAT(failures, HasSubstr("application=\"shop\",cluster=\"c1\",instance=\"\",region="));
  EXPECT_THAT(failures, Not(HasSubstr("phase=\"x\"")));
  EXPECT_THAT(Federate(plain.catalog(), {"probe_success"}, {{"instance", "i"}}),
              HasSubstr(",instance=\"i\"} 0 "));
}

TEST(FederatePage, TheProcessIsChosenLikeATask) {
  OneTask task;
  task.Run(MakeResult(Outcome::kOk));
  const auto page = [&task](const std::vector<std::string>& selectors) {
    return Federate(task.catalog(), selectors, {{"region", "eu"}}, kSampleNow, WriteProcess);
  };
  EXPECT_EQ(page({"sonde_tasks{state=~\"up|down\"}", "sonde_runs_in_flight", "a_quoted_info"}),
            "# TYPE a_quoted_info untyped\n"
            "a_quoted_info{what=\"} 1 \\\"x\\\"\",instance=\"\",region=\"eu\"} 1 1795193360380\n"
            "# TYPE sonde_runs_in_flight untyped\n"
            "sonde_runs_in_flight{instance=\"\",region=\"eu\"} 3 1795193360380\n"
            "# TYPE sonde_tasks untyped\n"
            "sonde_tasks{state=\"up\",instance=\"\",region=\"eu\"} 1 1795193360380\n"
            "sonde_tasks{state=\"down\",instance=\"\",region=\"eu\"} 0 1795193360380\n");
  EXPECT_THAT(Lines(page({"{what=~\".*x.*\"}"})), ElementsAre(StartsWith("a_quoted_info{")));
  EXPECT_THAT(Lines(page({"sonde_tasks{name=\"shop\"}"})), IsEmpty());
}

TEST(FederatePage, GroupsATaskDoesNotShowAreNotThere) {
  TaskSpec spec;
  spec.metrics.families = FamilySet::None();
  OneTask task(spec);
  task.Run(MakeResult(Outcome::kOk));
  EXPECT_EQ(Lines(Federate(task.catalog(), {"{__name__=~\".+\"}"})).size(), 2u);
}

void FillLarge(Catalog* catalog, int tasks) {
  TaskDelta all;
  for (int i = 0; i < tasks; ++i) {
    TaskSpec spec;
    spec.name = "task-" + std::to_string(i);
    all.upserts.push_back(MakeUpsert(spec));
    Record(*all.upserts.back().record, MakeResult(Outcome::kOk));
  }
  catalog->Apply(all);
}

TEST(FederatePage, ComesInPiecesAndInOrder) {
  Catalog catalog;
  FillLarge(&catalog, 3000);
  const auto selectors = ParseSelectors({"{__name__=~\"probe_.+\",name=~\"task-.*[02468]\"}"});
  FederatePage page(catalog.Snapshot(), *selectors, {}, kSampleNow, nullptr);
  std::string whole;
  size_t chunks = 0;
  for (BodyStep step = BodyStep::kMore; step == BodyStep::kMore; ++chunks) {
    std::string chunk = "x";  // what stood there already stays
    step = page.Next(chunk);
    ASSERT_EQ(chunk[0], 'x');
    EXPECT_LT(chunk.size(), BodySource::kBodyChunk + 8 * 1024);
    whole.append(chunk, 1);
  }
  EXPECT_GT(chunks, whole.size() / (BodySource::kBodyChunk + 8 * 1024));
  EXPECT_EQ(whole, Federate(catalog, {"{__name__=~\"probe_.+\",name=~\"task-.*[02468]\"}"}));
  std::vector<std::string> heads;
  for (size_t at = whole.find("# TYPE "); at != std::string::npos;
       at = whole.find("# TYPE ", at + 1)) {
    heads.push_back(whole.substr(at, whole.find('\n', at) - at));
  }
  EXPECT_GE(heads.size(), 6u);
  EXPECT_TRUE(std::is_sorted(heads.begin(), heads.end()));
  EXPECT_EQ(std::adjacent_find(heads.begin(), heads.end()), heads.end());
  for (const std::string& head : heads) EXPECT_THAT(head, EndsWith(" untyped"));
}

// A hostile expression costs many slices of the loop, not one long one.
TEST(FederatePage, ExpensiveSelectorsGetSmallSlices) {
  Catalog catalog;
  FillLarge(&catalog, 2000);
  const auto calls = [&catalog](const std::string& text) {
    const auto selectors = ParseSelectors({text});
    EXPECT_TRUE(selectors.ok());
    FederatePage page(catalog.Snapshot(), *selectors, {}, kSampleNow, nullptr);
    std::string body;
    int count = 1;
    while (page.Next(body) == BodyStep::kMore) ++count;
    return count;
  };
  const int cheap = calls("probe_success{name=\"task-7\"}");
  EXPECT_LE(cheap, 8);
  EXPECT_GT(calls("probe_success{name=~\"(task-[0-9]{1,100}){1,9}x\"}"), 5 * cheap);
}

TEST(FederatePage, ATaskRemovedMeanwhileStaysInIt) {
  Catalog catalog;
  FillLarge(&catalog, 2000);
  const std::string before = Federate(catalog, {"{__name__=~\".+\"}"});
  const auto selectors = ParseSelectors({"{__name__=~\".+\"}"});
  FederatePage page(catalog.Snapshot(), *selectors, {}, kSampleNow, nullptr);
  std::string whole;
  ASSERT_EQ(page.Next(whole), BodyStep::kMore);
  TaskDelta removals;
  for (size_t i = 0; i < catalog.Snapshot().size(); ++i) {
    removals.removals.push_back(catalog.Snapshot()[i]->task->id);
  }
  catalog.Apply(removals);
  while (page.Next(whole) == BodyStep::kMore) {}
  EXPECT_EQ(whole, before);
  EXPECT_EQ(Federate(catalog, {"{__name__=~\".+\"}"}), "");
}

}  // namespace
}  // namespace sonde
