#include "exporter/metrics_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/exporter/protobuf_reader.h"
#include "tests/exporter/sample_fleet.h"
#include "tests/support/golden.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

FamilySet Only(FamilyGroup group) {
  FamilySet set;
  set.Add(group);
  return set;
}

std::vector<std::string> Lines(const std::string& page) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < page.size();) {
    const size_t end = page.find('\n', at);
    lines.push_back(page.substr(at, end - at));
    at = end == std::string::npos ? page.size() : end + 1;
  }
  return lines;
}

// A fleet of one task whose history a test writes.
class OneTask {
 public:
  explicit OneTask(const TaskSpec& spec = {}) : upsert_(MakeUpsert(spec)) { Apply(); }

  void Run(const ProbeResult& result) { Record(*upsert_.record, result); }
  void Change(const TaskSpec& spec) {
    upsert_.task = MakeTask(spec);
    Apply();
  }
  void Remove() {
    TaskDelta delta;
    delta.removals = {upsert_.task->id};
    catalog_.Apply(delta);
  }
  void SayTexts(const Texts& texts, const ProbeResult& result) {
    TextsInbox inbox;
    inbox.OnRun({*upsert_.task, result, &texts, nullptr});
    catalog_.Receive(inbox);
  }
  std::string Page(FamilySet families = FamilySet::All(), WallTime now = kSampleNow) const {
    return RenderPage(catalog_.Snapshot(), Format::kText, families, now);
  }
  std::string Protobuf() const { return RenderPage(catalog_.Snapshot(), Format::kProtobuf); }

 private:
  void Apply() {
    TaskDelta delta;
    delta.upserts.push_back(upsert_);
    catalog_.Apply(delta);
  }
  TaskDelta::Upsert upsert_;
  Catalog catalog_;
};

constexpr std::string_view kResultsAtZero =
    "health_check_results{name=\"shop\",type=\"http\",status=\"success\"} 0\n"
    "health_check_results{name=\"shop\",type=\"http\",status=\"failed\"} 0\n";

TEST(MetricsPage, GoldenText) {
  EXPECT_EQ(GoldenDifference("metrics.txt", RenderSample(Format::kText)), "");
}

TEST(MetricsPage, GoldenOpenMetrics) {
  EXPECT_EQ(GoldenDifference("metrics.openmetrics.txt", RenderSample(Format::kOpenMetrics)), "");
}

TEST(MetricsPage, IsTheSameBytesEveryTime) {
  EXPECT_EQ(RenderSample(Format::kText), RenderSample(Format::kText));
}

TEST(MetricsPage, NoTasksNoFamilies) {
  EXPECT_EQ(RenderPage({}, Format::kText), "");
  EXPECT_EQ(RenderPage({}, Format::kOpenMetrics), "# EOF\n");
}

TEST(MetricsPage, BeforeTheFirstRunThereAreOnlyResultsAtZero) {
  OneTask task;
  EXPECT_THAT(task.Page(), HasSubstr(std::string(kResultsAtZero)));
  EXPECT_THAT(task.Page(), Not(HasSubstr("probe_")));
}

TEST(MetricsPage, InconclusiveRunsAreNoResult) {
  OneTask task;
  task.Run(MakeResult(Outcome::kProberLate));
  EXPECT_THAT(task.Page(), HasSubstr(std::string(kResultsAtZero)));
  EXPECT_THAT(task.Page(), Not(HasSubstr("probe_")));

  task.Run(MakeResult(Outcome::kConnectRefused));
  task.Run(MakeResult(Outcome::kProberPorts));
  const std::string page = task.Page();
  EXPECT_THAT(page, HasSubstr("status=\"failed\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("probe_success{name=\"shop\""));
  EXPECT_THAT(page, HasSubstr("probe_failures_total{phase=\"connect\",reason=\"refused\","
                              "name=\"shop\",type=\"http\",target=\"https://shop.example/health\","
                              "application=\"shop\"} 1\n"));
  EXPECT_THAT(page, Not(HasSubstr("phase=\"prober\"")));
}

TEST(MetricsPage, StaleResultsSayNothing) {
  OneTask task;
  const ProbeResult result = MakeResult(Outcome::kOk);
  task.Run(result);
  const WallTime ended = result.started + result.duration;
  EXPECT_THAT(task.Page(FamilySet::All(), ended + Minutes(5)), HasSubstr("probe_success{"));
  const std::string stale = task.Page(FamilySet::All(), ended + Minutes(5) + Nanoseconds(1));
  EXPECT_THAT(stale, Not(HasSubstr("probe_")));
  EXPECT_THAT(stale, HasSubstr("status=\"success\"} 1\n"));
}

TEST(MetricsPage, DisabledTasksKeepTheirResultsOnly) {
  OneTask task;
  task.Run(MakeResult(Outcome::kOk));
  TaskSpec off;
  off.enabled = false;
  task.Change(off);
  EXPECT_THAT(task.Page(), Not(HasSubstr("probe_")));
  EXPECT_THAT(task.Page(), HasSubstr("status=\"success\"} 1\n"));
}

TEST(MetricsPage, RemovedTasksAreGone) {
  OneTask task;
  task.Run(MakeResult(Outcome::kOk));
  task.Remove();
  EXPECT_EQ(task.Page(), "");
}

TEST(MetricsPage, AbsentFactsAreNotZero) {
  OneTask task;
  task.Run(MakeResult(Outcome::kOk));
  const std::string page = task.Page();
  EXPECT_THAT(page, HasSubstr("probe_duration_seconds{"));
  EXPECT_THAT(page, Not(HasSubstr("probe_http_status_code")));
  EXPECT_THAT(page, Not(HasSubstr("probe_timeout_seconds")));
}

TEST(MetricsPage, FactsOfProbesOnlyAreNotScheduledSeries) {
  OneTask task;
  ProbeResult result = MakeResult(Outcome::kOk);
  result.facts.Set(Fact::kTimeout, 5);
  task.Run(result);
  EXPECT_THAT(task.Page(), Not(HasSubstr("probe_timeout_seconds")));
}

TEST(MetricsPage, WindowsWithoutConclusiveRunsHaveNoRatio) {
  OneTask task;
  TaskSpec hourly;
  hourly.interval = Hours(1);
  task.Change(hourly);
  task.Run(MakeResult(Outcome::kOk, Milliseconds(1), kSampleNow - Minutes(30)));
  const std::string page = task.Page(Only(FamilyGroup::kRatios));
  EXPECT_THAT(page, Not(HasSubstr("window=\"5m\"")));
  EXPECT_THAT(page, HasSubstr("probe_success_ratio{window=\"1h\",name=\"shop\""));
  EXPECT_THAT(page, HasSubstr("probe_success_ratio{window=\"24h\",name=\"shop\""));
}

TEST(MetricsPage, GroupsSwitchFamilies) {
  OneTask task;
  ProbeResult result = MakeResult(Outcome::kOk);
  result.facts.Set(Fact::kDnsLookupTime, 0.5);
  result.facts.Set(Fact::kCertExpiry, 1);
  task.Run(result);
  const std::map<FamilyGroup, std::string> mine = {
      {FamilyGroup::kCore, "probe_success{"},
      {FamilyGroup::kPhases, "probe_dns_lookup_time_seconds{"},
      {FamilyGroup::kHistogram, "probe_latency_seconds_bucket{"},
      {FamilyGroup::kRatios, "probe_success_ratio{"},
      {FamilyGroup::kTls, "probe_ssl_earliest_cert_expiry{"}};
  for (const auto& [group, family] : mine) {
    const std::string page = task.Page(Only(group));
    EXPECT_THAT(page, HasSubstr("health_check_results{"));
    for (const auto& [other, theirs] : mine) {
      EXPECT_EQ(page.find(theirs) != std::string::npos, other == group) << family << theirs;
    }
  }
  EXPECT_THAT(task.Page(FamilySet::None()), Not(HasSubstr("probe_")));
}

// What a task shows is its own choice, within what the page looks for.
TEST(MetricsPage, TasksShowTheirOwnGroups) {
  TaskSpec spec;
  spec.metrics.families = Only(FamilyGroup::kPhases);
  OneTask task(spec);
  ProbeResult result = MakeResult(Outcome::kOk);
  result.texts_hash = 5;
  result.facts.Set(Fact::kDnsLookupTime, 0.5);
  result.facts.Set(Fact::kCertExpiry, 1);
  task.Run(MakeResult(Outcome::kConnectRefused));
  task.Run(result);
  task.SayTexts({{TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}}}, result);
  for (const Format format : {Format::kText, Format::kProtobuf}) {
    const std::string page =
        format == Format::kText ? task.Page() : ProtobufAsText(task.Protobuf());
    std::set<std::string> families;
    for (const std::string& line : Lines(page)) {
      if (line.rfind("# TYPE ", 0) == 0) families.insert(line.substr(7, line.find(' ', 7) - 7));
    }
    EXPECT_EQ(families,
              (std::set<std::string>{"health_check_results", "probe_dns_lookup_time_seconds"}));
  }
  EXPECT_THAT(task.Page(Only(FamilyGroup::kCore)), Not(HasSubstr("probe_")));
}

// Two tasks of one catalog with different groups: neither shows the other's.
TEST(MetricsPage, GroupsOfOneTaskAreNotThoseOfAnother) {
  Catalog catalog;
  TaskDelta all;
  const auto add = [&all](const std::string& name, FamilySet families) {
    TaskSpec spec;
    spec.name = name;
    spec.metrics.families = families;
    all.upserts.push_back(MakeUpsert(spec));
    Record(*all.upserts.back().record, MakeResult(Outcome::kOk));
  };
  add("core", Only(FamilyGroup::kCore));
  add("ratios", Only(FamilyGroup::kRatios));
  add("none", FamilySet::None());
  catalog.Apply(all);
  const std::string page = RenderPage(catalog.Snapshot(), Format::kText, catalog.families());
  const auto count = [&page](const std::string& family, const std::string& name) {
    size_t lines = 0;
    for (const std::string& line : Lines(page)) {
      lines += line.rfind(family + "{", 0) == 0 && line.find("name=\"" + name) != line.npos;
    }
    return lines;
  };
  EXPECT_EQ(count("probe_success", "core"), 1u);
  EXPECT_EQ(count("probe_success_ratio", "core"), 0u);
  EXPECT_EQ(count("probe_success", "ratios"), 0u);
  EXPECT_EQ(count("probe_success_ratio", "ratios"), 3u);
  EXPECT_EQ(count("health_check_results", "none"), 2u);
  EXPECT_EQ(count("probe_success", "none") + count("probe_success_ratio", "none"), 0u);
}

// All of the text page, sample by sample, in order.
TEST(MetricsPage, ProtobufSaysWhatTextSays) {
  const std::string body = RenderSample(Format::kProtobuf);
  EXPECT_EQ(ProtobufAsText(body), RenderSample(Format::kText));
  EXPECT_EQ(body, RenderSample(Format::kProtobuf)) << "the same bytes every time";
  const auto families = ReadProtobuf(body);
  ASSERT_TRUE(families);
  std::map<std::string, unsigned> types;
  for (const ProtobufFamily& family : *families) types[family.name] = family.type;
  EXPECT_EQ(types["health_check_results"], 0u) << "COUNTER";
  EXPECT_EQ(types["probe_latency_seconds"], 4u);
  EXPECT_EQ(types["sonde_build_info"], 1u);
}

TEST(MetricsPage, NoBodyOfProtobufWithoutTasks) {
  EXPECT_EQ(RenderPage({}, Format::kProtobuf), "");
}

std::vector<ProtobufMetric> Latencies(const std::string& body) {
  std::vector<ProtobufMetric> metrics;
  for (const ProtobufFamily& family : ReadProtobuf(body).value_or(std::vector<ProtobufFamily>())) {
    if (family.name == "probe_latency_seconds") {
      metrics.insert(metrics.end(), family.metrics.begin(), family.metrics.end());
    }
  }
  return metrics;
}

TEST(MetricsPage, NativeHistogramsWhereTheyAreAskedFor) {
  TaskSpec spec;
  OneTask usual(spec);
  usual.Run(MakeResult(Outcome::kOk, Milliseconds(20)));
  ASSERT_EQ(Latencies(usual.Protobuf()).size(), 1u);
  EXPECT_EQ(Latencies(usual.Protobuf())[0].schema, std::nullopt);
  EXPECT_EQ(Latencies(usual.Protobuf())[0].count, 1u);

  spec.metrics.families.Add(FamilyGroup::kNative);
  OneTask both(spec);
  for (const int64_t ms : {20, 21, 300}) both.Run(MakeResult(Outcome::kOk, Milliseconds(ms)));
  const std::vector<ProtobufMetric> metrics = Latencies(both.Protobuf());
  ASSERT_EQ(metrics.size(), 1u);
  EXPECT_EQ(metrics[0].count, 3u);
  EXPECT_EQ(metrics[0].buckets.size(), kLatencyBounds.size());
  const std::vector<std::pair<int64_t, int64_t>> expected = {{NativeBucket(Milliseconds(20)), 2},
                                                             {NativeBucket(Milliseconds(300)), 1}};
  EXPECT_EQ(metrics[0].NativeBuckets(), expected);
  EXPECT_NEAR(metrics[0].sum, 0.341, 1e-9);

  spec.metrics.families = Only(FamilyGroup::kNative);
  OneTask native(spec);
  native.Run(MakeResult(Outcome::kConnectRefused));
  ASSERT_EQ(Latencies(native.Protobuf()).size(), 1u);
  EXPECT_TRUE(Latencies(native.Protobuf())[0].buckets.empty());
  EXPECT_EQ(Latencies(native.Protobuf())[0].schema, kNativeSchema);
  EXPECT_THAT(native.Page(), Not(HasSubstr("probe_latency_seconds"))) << "text cannot tell it";
}

// Asked for by a reload: until the next run the page says what it said before.
TEST(MetricsPage, NativeHistogramsThatComeLate) {
  TaskSpec spec;
  const TaskDelta::Upsert task = MakeUpsert(spec);
  for (int i = 0; i < 5; ++i) Record(*task.record, MakeResult(Outcome::kOk));
  Catalog catalog;
  const auto apply = [&] {
    TaskDelta delta;
    delta.upserts.push_back({task.record, MakeTask(spec)});
    task.record->Adopt(delta.upserts[0].task);
    catalog.Apply(delta);
  };
  const auto latency = [&catalog] {
    return Latencies(RenderPage(catalog.Snapshot(), Format::kProtobuf, catalog.families())).at(0);
  };
  spec.metrics.families.Add(FamilyGroup::kNative);
  apply();
  EXPECT_EQ(latency().schema, std::nullopt);
  EXPECT_EQ(latency().count, 5u);
  Record(*task.record, MakeResult(Outcome::kOk));
  EXPECT_EQ(latency().schema, kNativeSchema);
  EXPECT_EQ(latency().count, 6u);
  spec.metrics.families = FamilySet::Default();
  apply();
  EXPECT_EQ(latency().schema, std::nullopt);
  EXPECT_EQ(latency().count, 6u);
}

TEST(MetricsPage, TextsShowWhileTheyAreOfTheLastResult) {
  OneTask task;
  ProbeResult secure = MakeResult(Outcome::kOk);
  secure.texts_hash = 5;
  task.Run(secure);
  EXPECT_THAT(task.Page(), Not(HasSubstr("probe_tls_version_info")));
  task.SayTexts({{TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}}}, secure);
  EXPECT_THAT(task.Page(), HasSubstr("application=\"shop\",version=\"TLS 1.3\"} 1\n"));
  EXPECT_THAT(task.Page(Only(FamilyGroup::kCore)), Not(HasSubstr("probe_tls_version_info")));
  task.Run(MakeResult(Outcome::kConnectRefused));
  EXPECT_THAT(task.Page(), Not(HasSubstr("probe_tls_version_info")));
}

TEST(MetricsPage, SmallBatchesGiveTheSamePage) {
  Catalog catalog;
  FillSampleCatalog(&catalog);
  const std::string whole = RenderPage(catalog.Snapshot(), Format::kText);
  for (const size_t bytes : {size_t{0}, size_t{100}, size_t{200}, size_t{400}}) {
    EXPECT_EQ(
        RenderPage(catalog.Snapshot(), Format::kText, FamilySet::All(), kSampleNow, nullptr, bytes),
        whole)
        << bytes;
  }
}

// Holes at the front, in the middle and at the end, with more than one batch.
TEST(MetricsPage, HolesAreSteppedOver) {
  Catalog catalog;
  TaskDelta all;
  for (int i = 0; i < 10; ++i) {
    TaskSpec spec;
    spec.name = "t" + std::to_string(i);
    all.upserts.push_back(MakeUpsert(spec));
    Record(*all.upserts.back().record, MakeResult(Outcome::kOk, Milliseconds(i + 1)));
  }
  catalog.Apply(all);
  TaskDelta removals;
  for (const size_t i : {size_t{0}, size_t{5}, size_t{9}}) {
    removals.removals.push_back(all.upserts[i].task->id);
  }
  catalog.Apply(removals);
  ASSERT_EQ(catalog.Snapshot().size(), 10u);
  const std::string page =
      RenderPage(catalog.Snapshot(), Format::kText, FamilySet::All(), kSampleNow, nullptr, 0);
  for (int i = 0; i < 10; ++i) {
    const bool there = i != 0 && i != 5 && i != 9;
    const std::string line = "probe_duration_seconds{name=\"t" + std::to_string(i) +
                             "\",type=\"http\",target=\"https://shop.example/health\","
                             "application=\"shop\"} 0." +
                             (i == 9 ? "01" : "00" + std::to_string(i + 1)) + "\n";
    EXPECT_EQ(page.find(line) != std::string::npos, there) << line;
  }
}

void ExpectChunksThatAreNoSurprise(Format format, size_t piece) {
  Catalog catalog;
  TaskDelta all;
  for (int i = 0; i < 3000; ++i) {
    TaskSpec spec;
    spec.name = "task-" + std::to_string(i);
    all.upserts.push_back(MakeUpsert(spec));
    Record(*all.upserts.back().record, MakeResult(Outcome::kOk));
  }
  catalog.Apply(all);
  StateCounts states{};
  MetricsPage page(catalog.Snapshot(), FamilySet::All(), format, kSampleNow,
                   [&states](Exposition&, const StateCounts& counted) { states = counted; });
  std::string whole;
  size_t chunks = 0;
  for (BodyStep step = BodyStep::kMore; step == BodyStep::kMore; ++chunks) {
    std::string chunk = "x";  // what stood there already stays
    step = page.Next(chunk);
    EXPECT_EQ(chunk[0], 'x');
    EXPECT_LT(chunk.size(), BodySource::kBodyChunk + piece);
    whole.append(chunk, 1);
  }
  EXPECT_GT(chunks, whole.size() / (BodySource::kBodyChunk + piece));
  EXPECT_EQ(whole, RenderPage(catalog.Snapshot(), format));
  EXPECT_EQ(states[static_cast<size_t>(TaskState::kUp)], 3000u);
}

TEST(MetricsPage, ComesInChunksThatAreNoSurprise) {
  ExpectChunksThatAreNoSurprise(Format::kText, 8 * 1024);
  ExpectChunksThatAreNoSurprise(Format::kProtobuf, ProtobufFamilies::kMessageBytes + 2 * 1024);
}

TEST(MetricsPage, ATaskRemovedDuringAScrapeStaysInIt) {
  Catalog catalog;
  TaskDelta all;
  for (int i = 0; i < 2000; ++i) {
    TaskSpec spec;
    spec.name = "task-" + std::to_string(i);
    all.upserts.push_back(MakeUpsert(spec));
    Record(*all.upserts.back().record, MakeResult(Outcome::kOk));
  }
  catalog.Apply(all);
  const std::string before = RenderPage(catalog.Snapshot(), Format::kText);
  MetricsPage page(catalog.Snapshot(), FamilySet::All(), Format::kText, kSampleNow, nullptr);
  TaskDelta removals;
  for (const TaskDelta::Upsert& upsert : all.upserts) removals.removals.push_back(upsert.task->id);
  all = {};
  std::string whole;
  ASSERT_EQ(page.Next(whole), BodyStep::kMore);
  catalog.Apply(removals);
  while (page.Next(whole) == BodyStep::kMore) {}
  EXPECT_EQ(whole, before);
  EXPECT_EQ(RenderPage(catalog.Snapshot(), Format::kText), "");
}

// docs/metrics.md names every family, of the page and of the fact table.
TEST(MetricsPage, EveryFamilyIsDocumented) {
  std::ifstream file("docs/metrics.md");
  const std::string docs{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  ASSERT_FALSE(docs.empty());
  std::set<std::string> families;
  for (const std::string& line : Lines(RenderSample(Format::kText))) {
    if (line.rfind("# TYPE ", 0) == 0) families.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  for (const FactInfo& info : Facts()) {
    if (info.shown != Shown::kProbe) families.insert(std::string(info.family));
  }
  for (const TextFamilyInfo& info : TextFamilies()) families.insert(std::string(info.name));
  EXPECT_GT(families.size(), 50u);
  for (const std::string& family : families) EXPECT_THAT(docs, HasSubstr("`" + family + "`"));
}

// What a parser would refuse: a family in two pieces, a series twice, a sample without its head.
TEST(MetricsPage, FamiliesAreContiguousAndSeriesUnique) {
  for (const Format format : {Format::kText, Format::kOpenMetrics}) {
    std::set<std::string> heads, series;
    for (const std::string& line : Lines(RenderSample(format))) {
      ASSERT_FALSE(line.empty());
      if (line.rfind("# TYPE ", 0) == 0) {
        EXPECT_TRUE(heads.insert(line.substr(0, line.rfind(' '))).second) << line;
      } else if (line[0] != '#') {
        EXPECT_TRUE(series.insert(line.substr(0, line.rfind(' '))).second) << line;
      }
    }
    EXPECT_GT(series.size(), 100u);
  }
}

TEST(MetricsPage, FormatsDifferInHeadsBoundsAndEndOnly) {
  std::vector<std::string> text, open;
  for (const std::string& line : Lines(RenderSample(Format::kText))) {
    if (line[0] != '#' && line.find("le=\"") == std::string::npos) text.push_back(line);
  }
  for (const std::string& line : Lines(RenderSample(Format::kOpenMetrics))) {
    if (line[0] != '#' && line.find("le=\"") == std::string::npos) open.push_back(line);
  }
  EXPECT_EQ(text, open);
}

}  // namespace
}  // namespace sonde
