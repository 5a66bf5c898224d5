#include "exporter/catalog.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

std::vector<std::string> Names(const SampleSnapshot& tasks) {
  std::vector<std::string> names;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i] != nullptr) names.push_back(tasks[i]->task->name);
  }
  return names;
}

TaskDelta Upsert(const TaskDelta::Upsert& upsert) {
  TaskDelta delta;
  delta.upserts.push_back(upsert);
  return delta;
}

TaskSpec Named(const std::string& name) {
  TaskSpec spec;
  spec.name = name;
  return spec;
}

void Say(Catalog& catalog, const Task& task, const Texts& texts) {
  TextsInbox inbox;
  ProbeResult result = MakeResult(Outcome::kOk);
  result.texts_hash = 1;
  inbox.OnRun({task, result, &texts, nullptr});
  catalog.Receive(inbox);
}

TEST(Catalog, RendersLabelsOnceAndKnowsTheIdentity) {
  Catalog catalog;
  const TaskDelta::Upsert upsert =
      MakeUpsert({"a\"b", "tcp", "host:1", "", {{"team", "x\\y"}, {"zone", "1\n2"}}});
  catalog.Apply(Upsert(upsert));
  const CatalogEntry* entry = catalog.Find(upsert.task->id);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->labels,
            "name=\"a\\\"b\",type=\"tcp\",target=\"host:1\",application=\"\",team=\"x\\\\y\","
            "zone=\"1\\n2\"");
  EXPECT_EQ(entry->identity(), "name=\"a\\\"b\",type=\"tcp\"");
}

TEST(Catalog, KnowsEveryGroupSomeTaskShows) {
  Catalog catalog;
  EXPECT_EQ(catalog.families(), FamilySet::None());
  TaskSpec a = Named("a"), b = Named("b");
  a.metrics.families = FamilySet::Default();
  b.metrics.families = FamilySet::None();
  b.metrics.families.Add(FamilyGroup::kNative);
  const TaskDelta::Upsert first = MakeUpsert(a), second = MakeUpsert(b);
  catalog.Apply(Upsert(first));
  EXPECT_EQ(catalog.families(), FamilySet::Default());
  catalog.Apply(Upsert(second));
  EXPECT_EQ(catalog.families(), FamilySet::All());
  b.metrics.families = FamilySet::None();
  catalog.Apply(Upsert({second.record, MakeTask(b)}));
  EXPECT_EQ(catalog.families(), FamilySet::Default());
  TaskDelta removal;
  removal.removals = {first.task->id};
  catalog.Apply(removal);
  EXPECT_EQ(catalog.families(), FamilySet::None());
}

TEST(Catalog, KeepsOrderOverChangesAndRemovals) {
  Catalog catalog;
  TaskDelta all;
  for (const char* name : {"c", "a", "b"}) all.upserts.push_back(MakeUpsert(Named(name)));
  catalog.Apply(all);
  TaskSpec changed = Named("a");
  changed.target = "elsewhere";
  catalog.Apply(Upsert({all.upserts[1].record, MakeTask(changed)}));
  EXPECT_EQ(Names(catalog.Snapshot()), (std::vector<std::string>{"c", "a", "b"}));
  EXPECT_EQ(catalog.Find(all.upserts[1].task->id)->task->target, "elsewhere");

  TaskDelta removal;
  removal.removals = {all.upserts[0].task->id, 12345};
  catalog.Apply(removal);
  EXPECT_EQ(Names(catalog.Snapshot()), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(catalog.size(), 2u);
  EXPECT_EQ(catalog.Find(all.upserts[0].task->id), nullptr);

  catalog.Apply(Upsert(all.upserts[0]));
  EXPECT_EQ(Names(catalog.Snapshot()), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Catalog, ClosesRanksWhenManyAreGone) {
  Catalog catalog;
  TaskDelta all;
  for (int i = 0; i < 1000; ++i) all.upserts.push_back(MakeUpsert(Named("t" + std::to_string(i))));
  catalog.Apply(all);
  TaskDelta removal;
  for (size_t i = 0; i < 900; ++i) removal.removals.push_back(all.upserts[i].task->id);
  catalog.Apply(removal);
  EXPECT_EQ(catalog.Snapshot().size(), 100u);
  for (size_t i = 900; i < 1000; ++i) {
    const CatalogEntry* entry = catalog.Find(all.upserts[i].task->id);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->task->name, "t" + std::to_string(i));
  }
  EXPECT_EQ(Names(catalog.Snapshot()).front(), "t900");
}

TEST(Catalog, ASnapshotOutlivesRemovals) {
  Catalog catalog;
  const TaskDelta::Upsert upsert = MakeUpsert(Named("a"));
  catalog.Apply(Upsert(upsert));
  const SampleSnapshot before = catalog.Snapshot();
  TaskDelta removal;
  removal.removals = {upsert.task->id};
  catalog.Apply(removal);
  EXPECT_EQ(Names(before), std::vector<std::string>{"a"});
  EXPECT_TRUE(Names(catalog.Snapshot()).empty());
}

TEST(Catalog, TheRecordGoesWithTheLastReader) {
  Catalog catalog;
  TaskDelta::Upsert upsert = MakeUpsert(Named("a"));
  const std::weak_ptr<TaskRecord> record = upsert.record;
  catalog.Apply(Upsert(upsert));
  SampleSnapshot snapshot = catalog.Snapshot();
  TaskDelta removal;
  removal.removals = {upsert.task->id};
  catalog.Apply(removal);
  upsert = {};
  EXPECT_FALSE(record.expired());
  snapshot = {};
  EXPECT_TRUE(record.expired());
}

TEST(Catalog, TextsAreRenderedWithoutTheTasksOwnLabels) {
  Catalog catalog;
  const TaskDelta::Upsert upsert = MakeUpsert({"a", "tcp", "h:1", "", {{"team", "web"}}});
  catalog.Apply(Upsert(upsert));
  Say(catalog, *upsert.task,
      {{TextFamily::kExpectInfo,
        {{"team", "clash"},
         {"version", "a\"b"},
         {"name", "clash"},
         {"0bad", "x"},
         {"__name__", "x"},
         {"version", "twice"},
         {"z", ""}}}});
  const CatalogEntry* entry = catalog.Find(upsert.task->id);
  ASSERT_TRUE(entry->words);
  ASSERT_EQ(entry->words->texts.size(), 1u);
  EXPECT_EQ(entry->words->texts[0].labels, "version=\"a\\\"b\",z=\"\"");
}

TEST(Catalog, WordsStayWithTheRecord) {
  Catalog catalog;
  const TaskDelta::Upsert first = MakeUpsert(Named("a"));
  catalog.Apply(Upsert(first));
  Say(catalog, *first.task,
      {{TextFamily::kExpectInfo, {{"banner", "x\\\"=,y"}, {"team", "t"}, {"zone", "z"}}}});

  TaskSpec labelled = Named("a");
  labelled.labels = {{"team", "web"}};
  catalog.Apply(Upsert({first.record, MakeTask(labelled)}));
  const CatalogEntry* entry = catalog.Find(first.task->id);
  ASSERT_TRUE(entry->words);
  EXPECT_EQ(entry->words->texts[0].labels, "banner=\"x\\\\\\\"=,y\",zone=\"z\"");

  catalog.Apply(Upsert(MakeUpsert(Named("a"))));  // removed and added again within one delta
  EXPECT_FALSE(catalog.Find(first.task->id)->words);
}

TEST(Catalog, WordsAboutUnknownTasksAreDropped) {
  Catalog catalog;
  Say(catalog, *MakeTask(Named("stranger")), {});
  EXPECT_EQ(catalog.size(), 0u);
}

}  // namespace
}  // namespace sonde
