#include "engine/contract/config_node.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sonde {
namespace {

using Kind = ConfigNode::Kind;

ConfigNode Scalar(std::string_view text, bool quoted = false) {
  ConfigNode node;
  node.kind = Kind::kScalar;
  node.text = text;
  node.quoted = quoted;
  node.mark = {7, 3};
  return node;
}

// A mapping with one entry per pair, each on its own line.
struct Tree {
  std::vector<ConfigEntry> entries;
  ConfigNode node;

  explicit Tree(std::vector<std::pair<std::string_view, ConfigNode>> pairs) {
    uint32_t line = 1;
    for (auto& [key, value] : pairs) {
      value.mark = {line, 10};
      entries.push_back({key, {line++, 1}, value});
    }
    node.kind = Kind::kMapping;
    node.mark = {1, 1};
    node.entries = entries;
  }
};

std::string Messages(const Diagnostics& diagnostics) { return diagnostics.ToString("f.yml"); }

TEST(ConfigReader, ReadsWhatIsThere) {
  Tree tree({{"s", Scalar("text")},
             {"n", Scalar("42")},
             {"yes", Scalar("on")},
             {"r", Scalar("0.5")},
             {"t", Scalar("1m30s")},
             {"d", Scalar("2d")},
             {"b", Scalar("10KB")}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "x", diagnostics);
  std::string s;
  int64_t n = 0, b = 0;
  bool yes = false;
  double r = 0;
  Duration t, d;
  EXPECT_TRUE(in.String("s", &s));
  EXPECT_TRUE(in.Int("n", &n, 0, 100));
  EXPECT_TRUE(in.Bool("yes", &yes));
  EXPECT_TRUE(in.Number("r", &r, 0, 1));
  EXPECT_TRUE(in.Time("t", &t));
  EXPECT_TRUE(in.Time("d", &d, true));
  EXPECT_TRUE(in.Size("b", &b));
  in.Finish();
  EXPECT_EQ(Messages(diagnostics), "");
  EXPECT_EQ(s, "text");
  EXPECT_EQ(n, 42);
  EXPECT_TRUE(yes);
  EXPECT_EQ(r, 0.5);
  EXPECT_EQ(t, Seconds(90));
  EXPECT_EQ(d, Hours(48));
  EXPECT_EQ(b, 10'240);
}

TEST(ConfigReader, AbsentAndNullKeepTheDefault) {
  Tree tree({{"null", ConfigNode{}}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "", diagnostics);
  std::string s = "default";
  EXPECT_FALSE(in.String("null", &s));
  EXPECT_FALSE(in.String("absent", &s));
  EXPECT_FALSE(in.Has("null"));
  EXPECT_EQ(in.Mapping("null"), nullptr);
  in.Finish();
  EXPECT_EQ(s, "default");
  EXPECT_TRUE(diagnostics.ok());

  ConfigReader none(nullptr, "x", diagnostics);
  EXPECT_FALSE(none.String("s", &s));
  none.Finish();
  const ConfigNode null;
  ConfigReader empty(&null, "x", diagnostics);
  empty.Finish();
  EXPECT_TRUE(diagnostics.ok());
}

TEST(ConfigReader, QuotedTextIsNoNumberOrBool) {
  Tree tree({{"n", Scalar("42", true)}, {"b", Scalar("true", true)}, {"s", Scalar("5", true)}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "http", diagnostics);
  int64_t n = 1;
  bool b = false;
  std::string s;
  EXPECT_FALSE(in.Int("n", &n, 0, 100));
  EXPECT_FALSE(in.Bool("b", &b));
  EXPECT_TRUE(in.String("s", &s));
  EXPECT_EQ(n, 1);
  EXPECT_EQ(Messages(diagnostics),
            "f.yml:1:10: http.n: must be a whole number, not the text '42'\n"
            "f.yml:2:10: http.b: must be true or false, not the text 'true'\n");
}

TEST(ConfigReader, RangesAreSaid) {
  Tree tree({{"a", Scalar("0")}, {"b", Scalar("11")}, {"c", Scalar("1.5")}, {"d", Scalar("-1")}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "", diagnostics);
  int64_t n = 5;
  double r = 5;
  EXPECT_FALSE(in.Int("a", &n, 1, INT64_MAX));
  EXPECT_FALSE(in.Int("b", &n, 1, 10));
  EXPECT_FALSE(in.Number("c", &r, 0, 1));
  EXPECT_FALSE(in.Int("d", &n, 0, INT64_MAX));
  EXPECT_EQ(n, 5);
  EXPECT_EQ(r, 5);
  EXPECT_EQ(Messages(diagnostics),
            "f.yml:1:10: a: must be at least 1\n"
            "f.yml:2:10: b: must be between 1 and 10\n"
            "f.yml:3:10: c: must be between 0 and 1\n"
            "f.yml:4:10: d: must be at least 0\n");
}

TEST(ConfigReader, Durations) {
  Tree tree({{"bare", Scalar("5")},
             {"zero", Scalar("0")},
             {"day", Scalar("1d")},
             {"word", Scalar("soon")},
             {"negative", Scalar("-5s")}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "", diagnostics);
  Duration d = Seconds(1);
  EXPECT_FALSE(in.Time("bare", &d));
  EXPECT_FALSE(in.Time("zero", &d));
  EXPECT_FALSE(in.Time("day", &d));
  EXPECT_FALSE(in.Time("word", &d, true));
  EXPECT_EQ(d, Seconds(1));
  EXPECT_TRUE(in.Time("negative", &d));
  EXPECT_EQ(d, Seconds(-5));
  const std::string wanted = "must be a duration such as 300ms, 5s or 1m30s";
  EXPECT_EQ(Messages(diagnostics),
            "f.yml:1:10: bare: " + wanted + ", not '5' (the unit is missing)\n" +
                "f.yml:2:10: zero: " + wanted + ", not '0' (the unit is missing)\n" +
                "f.yml:3:10: day: " + wanted + ", not '1d' (d and w are not units here)\n" +
                "f.yml:4:10: word: " + wanted + " or 1d, not 'soon'\n");
}

TEST(ConfigReader, Collections) {
  std::vector<ConfigNode> items = {Scalar("a"), ConfigNode{}, Scalar("5")};
  ConfigNode list;
  list.kind = Kind::kSequence;
  list.items = items;
  std::vector<ConfigNode> bad_items = {Scalar("a"), list};
  ConfigNode bad;
  bad.kind = Kind::kSequence;
  bad.items = bad_items;
  Tree inner({{"k", Scalar("v")}, {"list", list}});
  Tree tree({{"list", list}, {"bad", bad}, {"scalar", Scalar("x")}, {"map", inner.node}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "p", diagnostics);
  std::vector<std::string> strings;
  std::vector<std::pair<std::string, std::string>> pairs;
  EXPECT_TRUE(in.StringList("list", &strings));
  EXPECT_EQ(strings, (std::vector<std::string>{"a", "", "5"}));
  EXPECT_FALSE(in.StringList("bad", &strings));
  EXPECT_FALSE(in.StringList("scalar", &strings));
  EXPECT_FALSE(in.StringMap("map", &pairs));
  EXPECT_TRUE(pairs.empty());
  EXPECT_EQ(strings.size(), 3u);
  EXPECT_EQ(Messages(diagnostics),
            "f.yml: p.bad[1]: must be text, not a list\n"
            "f.yml:3:10: p.scalar: must be a list, not 'x'\n"
            "f.yml:2:10: p.map.list: must be text, not a list\n");
}

TEST(ConfigReader, UnknownKeysGetASuggestion) {
  Tree tree({{"intervall", Scalar("5s")}, {"zzz", Scalar("1")}, {"interval", ConfigNode{}}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "tasks[3]", diagnostics);
  Duration d;
  in.Time("interval", &d);
  in.Finish();
  EXPECT_EQ(Messages(diagnostics),
            "f.yml:1:1: tasks[3]: unknown key 'intervall' (did you mean 'interval'?)\n"
            "f.yml:2:1: tasks[3]: unknown key 'zzz'\n");
}

TEST(ConfigReader, AnythingButAMappingIsAnError) {
  const ConfigNode scalar = Scalar("x");
  Diagnostics diagnostics;
  ConfigReader in(&scalar, "http", diagnostics);
  in.Finish();
  EXPECT_EQ(Messages(diagnostics), "f.yml:7:3: http: must be a mapping, not 'x'\n");
}

TEST(ConfigReader, OwnMessagesStandAtTheKey) {
  Tree tree({{"a", Scalar("x")}});
  Diagnostics diagnostics;
  ConfigReader in(&tree.node, "http", diagnostics);
  in.Error("a", "is wrong");
  in.Warn("missing", "is missing");
  EXPECT_EQ(Messages(diagnostics),
            "f.yml:1:1: http.a: is wrong\nf.yml:1:1: warning: http.missing: is missing\n");
  EXPECT_EQ(diagnostics.errors(), 1u);
}

TEST(Diagnostics, KeepsABoundedNumberAndCountsAll) {
  Diagnostics diagnostics;
  for (size_t i = 0; i < Diagnostics::kKept + 5; ++i) diagnostics.Error({1, 1}, "p", "m");
  EXPECT_EQ(diagnostics.all().size(), Diagnostics::kKept);
  EXPECT_EQ(diagnostics.errors(), Diagnostics::kKept + 5);
  const std::string text = diagnostics.ToString("f");
  EXPECT_NE(text.find("and 5 errors more\n"), std::string::npos);
}

TEST(Diagnostics, LeavesOutWhatIsAbsent) {
  Diagnostics diagnostics;
  diagnostics.Error({}, "", "one");
  diagnostics.Error({2, 3}, "", "two");
  diagnostics.Error({}, "p", "three");
  EXPECT_EQ(diagnostics.ToString(""), "one\n2:3: two\np: three\n");
  EXPECT_EQ(diagnostics.ToString("f"), "f: one\nf:2:3: two\nf: p: three\n");
}

}  // namespace
}  // namespace sonde
