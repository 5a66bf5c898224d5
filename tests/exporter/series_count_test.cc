#include "exporter/series_count.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

// A prober that reports a known handful.
class Handful : public Prober {
 public:
  std::string_view name() const override { return "http"; }
  std::shared_ptr<Module> ParseModule(const ConfigNode*, const std::string&,
                                      Diagnostics&) const override {
    return nullptr;
  }
  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view, Mark, const ConfigNode*,
                                                const Module&, const std::string&,
                                                Diagnostics&) const override {
    return nullptr;
  }
  Conversation* Make(void*, const Task&, const ConversationContext&) const override {
    return nullptr;
  }
  UsualReport Usual(const Task& task) const override {
    UsualReport usual;
    usual.facts.Set(Fact::kHttpStatusCode, 0);
    usual.facts.Set(Fact::kHttpConnect, 0);
    if (task.application == "tls") {
      usual.facts.Set(Fact::kCertExpiry, 0);
      usual.Add(TextFamily::kTlsVersion);
      usual.Add(TextFamily::kExpectInfo);
    }
    return usual;
  }
};

std::shared_ptr<const Task> SomeTask(const Prober& prober, std::string_view application,
                                     bool enabled = true, FamilySet families = FamilySet::All()) {
  auto task = std::make_shared<Task>();
  task->id = 1;
  task->name = "a";
  task->prober = &prober;
  task->application = application;
  task->enabled = enabled;
  task->metrics.families = families;
  return task;
}

uint64_t In(const SeriesCount& count, FamilyGroup group) {
  return count.groups[static_cast<size_t>(group)];
}

TEST(SeriesCounter, CountsWhatThePageWrites) {
  const Handful prober;
  SeriesCounter counter;
  counter.Add(SomeTask(prober, "plain"));
  const SeriesCount plain = counter.count();
  EXPECT_EQ(plain.results, 2u);
  // success, duration, last run and the status
  EXPECT_EQ(In(plain, FamilyGroup::kCore), 4u);
  EXPECT_EQ(In(plain, FamilyGroup::kPhases), 1u);
  EXPECT_EQ(In(plain, FamilyGroup::kHistogram), kLatencyBuckets + 2);
  EXPECT_EQ(In(plain, FamilyGroup::kRatios), kWindows.size());
  EXPECT_EQ(In(plain, FamilyGroup::kTls), 0u);

  counter.Add(SomeTask(prober, "tls"));
  const SeriesCount& both = counter.count();
  EXPECT_EQ(In(both, FamilyGroup::kTls), 2u);
  EXPECT_EQ(In(both, FamilyGroup::kCore), 4u + 5u);
  EXPECT_EQ(both.total(), plain.total() * 2 + 3);
}

TEST(SeriesCounter, TasksThatDoNotRunHaveResultsOnly) {
  const Handful prober;
  SeriesCounter counter;
  counter.Add(SomeTask(prober, "tls", false));
  counter.Add(SomeTask(prober, "tls"), false);
  EXPECT_EQ(counter.count().results, 4u);
  EXPECT_EQ(counter.count().total(), 4u);
}

TEST(SeriesCounter, GroupsThatAreOffHaveNone) {
  const Handful prober;
  FamilySet some = FamilySet::None();
  some.Add(FamilyGroup::kPhases);
  SeriesCounter counter;
  for (int i = 0; i < 1000; ++i) counter.Add(SomeTask(prober, "tls", true, some));
  EXPECT_EQ(In(counter.count(), FamilyGroup::kPhases), 1000u);
  EXPECT_EQ(counter.count().total(), 3000u);
}

TEST(SeriesCounter, ProcessSeriesGrowWithShardsAndTypes) {
  const std::array<std::string_view, 2> types = {"http", "tcp"};
  const uint64_t one = CountProcessSeries(1, types);
  EXPECT_GT(one, 50u);
  EXPECT_EQ(CountProcessSeries(5, types), one + 2 * 4);  // what each shard has
  EXPECT_EQ(CountProcessSeries(1, std::span(types).first(1)), one - kVerdicts);
}

}  // namespace
}  // namespace sonde
