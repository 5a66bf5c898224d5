#include "store/yaml_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace sonde {
namespace {

using Kind = ConfigNode::Kind;

// One line of text per tree: {key: 'quoted', list: [plain, ~]}.
std::string Dump(const ConfigNode& node) {
  switch (node.kind) {
    case Kind::kNull:
      return "~";
    case Kind::kScalar:
      return node.quoted ? "'" + std::string(node.text) + "'" : std::string(node.text);
    case Kind::kSequence: {
      std::string out = "[";
      for (const ConfigNode& item : node.items) out += (out.size() > 1 ? ", " : "") + Dump(item);
      return out + "]";
    }
    case Kind::kMapping: {
      std::string out = "{";
      for (const ConfigEntry& entry : node.entries) {
        out += (out.size() > 1 ? ", " : "") + std::string(entry.key) + ": " + Dump(entry.value);
      }
      return out + "}";
    }
  }
  return "?";
}

struct Good {
  const char* text;
  const char* tree;
};

TEST(ReadYaml, GoodTexts) {
  static constexpr Good kGood[] = {
      {"a: 1", "{a: 1}"},
      {"a: '1'\nb: \"x\"\nc: |\n  t\nd: >\n  t\n", "{a: '1', b: 'x', c: 't\n', d: 't\n'}"},
      {"- a\n- ~\n- null\n-\n- NULL\n- 'null'\n", "[a, ~, ~, ~, ~, 'null']"},
      {"{a: [1, {b: c}], d: {}, e: []}", "{a: [1, {b: c}], d: {}, e: []}"},
      {"--- # only this\na: 1\n...\n", "{a: 1}"},
      {"---\n", "~"},
      {"---\n~\n", "~"},
      {"\xef\xbb\xbf"
       "a: 1",
       "{a: 1}"},
      {"a: yes\nb: 0x1F\nc: 1e3", "{a: yes, b: 0x1F, c: 1e3}"},
      // tags
      {"a: !!str 5\nb: !!str\nc: !<tag:yaml.org,2002:str> true", "{a: '5', b: '', c: 'true'}"},
      {"a: !!int '5'\nb: !!bool \"on\"\nc: !!float '1.5'\nd: !!null ''",
       "{a: 5, b: on, c: 1.5, d: ~}"},
      {"a: !!binary aGVsbG8=\nb: !!binary |\n  aGVs\n  bG8=\n", "{a: 'hello', b: 'hello'}"},
      {"a: !!binary ''", "{a: ''}"},
      {"a: !!map {b: 1}\nc: !!seq [1]\nd: ! 5", "{a: {b: 1}, c: [1], d: '5'}"},
      // anchors and aliases
      {"a: &x 1\nb: *x", "{a: 1, b: 1}"},
      {"a: &x {k: v}\nb: [*x, *x]", "{a: {k: v}, b: [{k: v}, {k: v}]}"},
      {"a: &x 1\nb: &x 2\nc: *x", "{a: 1, b: 2, c: 2}"},
      {"&k key: 1\nb: *k", "{key: 1, b: key}"},
      {"a: &k x\n*k : 1", "{a: x, x: 1}"},
      // merges: own keys win wherever they stand, earlier ones of a list win over later ones
      {"a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}", "{a: {k: 1, l: 2}, b: {k: 3, l: 2}}"},
      {"a: &x {k: 1, l: 2}\nb: {k: 3, <<: *x}", "{a: {k: 1, l: 2}, b: {k: 3, l: 2}}"},
      {"a: &x {k: 1}\nb: &y {k: 2, m: 2}\nc: {<<: [*x, *y]}",
       "{a: {k: 1}, b: {k: 2, m: 2}, c: {k: 1, m: 2}}"},
      {"a: {<<: {k: 1}, l: 2}", "{a: {l: 2, k: 1}}"},
      {"a: &x {k: 1}\nb: &y {<<: *x, l: 2}\nc: {<<: *y}",
       "{a: {k: 1}, b: {l: 2, k: 1}, c: {l: 2, k: 1}}"},
      {"a: {!!merge <<: {k: 1}}", "{a: {k: 1}}"},
      {"a: {'<<': {k: 1}}", "{a: {<<: {k: 1}}}"},  // a quoted one is a key like any other
      {"- <<\n- a", "[<<, a]"},
      {"a: {<<: []}", "{a: {}}"},
      {"~: 1", "{~: 1}"},
      {"? a\n: 1\n? b\n", "{a: 1, b: ~}"},
      {"a: \"\\u00e9\\x41\"", "{a: '\u00e9A'}"},
  };
  for (const Good& good : kGood) {
    Diagnostics diagnostics;
    const YamlDocument document = ReadYaml(good.text, diagnostics);
    EXPECT_EQ(diagnostics.ToString(""), "") << good.text;
    EXPECT_EQ(Dump(document.root()), good.tree) << good.text;
  }
}

struct Bad {
  const char* text;
  const char* message;
  const char* tree = "~";  // what is left
};

TEST(ReadYaml, BadTextsNameThePlace) {
  static constexpr Bad kBad[] = {
      {"", "1:1: the file is empty (EOF)\n"},
      {"# nothing\n\n", "1:1: the file is empty (EOF)\n"},
      {"a: 1\nb: 2\na: 3", "3:1: key 'a' is already given in line 1\n", "{a: 1, b: 2}"},
      {"x:\n  - {a: 1, a: 2}\n  - {b: 1, 'b': 2}\n",
       "2:12: key 'a' is already given in line 2\n3:12: key 'b' is already given in line 3\n",
       "{x: [{a: 1}, {b: 1}]}"},
      {"a: *x", "1:4: unknown alias 'x'\n", "{a: ~}"},
      {"a: &x [1, *x]", "1:11: alias 'x' stands within what it names\n", "{a: [1, ~]}"},
      {"a: !foo 1", "1:4: unknown tag '!foo'\n", "{a: '1'}"},
      {"a: !!set {b}", "1:4: unknown tag 'tag:yaml.org,2002:set'\n", "{a: {b: ~}}"},
      {"a: !!int x\nb: !!bool 1\nc: !!binary '*'",
       "1:4: is not a !!int: 'x'\n2:4: is not a !!bool: '1'\n3:4: is not a !!binary: '*'\n",
       "{a: x, b: 1, c: '*'}"},
      {"[a, b]: 1\nc: 2", "1:1: a key must be a single value, not a collection\n", "{c: 2}"},
      {"a: {<<: 5}", "1:9: what '<<' merges must be a mapping or a list of mappings\n", "{a: {}}"},
      {"a: {<<: [{b: 1}, 5]}", "1:9: what '<<' merges must be a mapping or a list of mappings\n",
       "{a: {}}"},
      {"a: {<<: {b: 1}, c: 2, <<: {d: 1}}", "1:23: key '<<' is already given (use a list)\n",
       "{a: {c: 2, b: 1, d: 1}}"},
      // syntax
      {"a: [1, 2\nb: 3\n",
       "2:2: did not find expected ',' or ']', while parsing a flow sequence "
       "that began in line 1\n"},
      {"a: 1\n\tb: 2",
       "2:1: found a tab character that violates indentation, while scanning a plain scalar that "
       "began in line 1\n"},
      {"a: 'open", "1:9: found unexpected end of stream, while scanning a quoted scalar\n"},
      {"a: b: c",
       "1:5: mapping values are not allowed in this context; a value that holds ': ' must be "
       "quoted\n"},
      {"cron: */5 * * * *",
       "1:8: did not find expected alphabetic or numeric character, while scanning an alias; a "
       "value that begins with * must be quoted\n"},
      {"a: && b",
       "1:5: did not find expected alphabetic or numeric character, while scanning an anchor; a "
       "value that begins with & must be quoted\n"},
      {"a: @x",
       "1:4: found character that cannot start any token, while scanning for the next token; "
       "indent with blanks, and quote values that begin with @, % or `\n"},
      {"a: 1\nb: \x01", "2:4: control characters are not allowed\n"},
      {"a: 1\nb: \xff", "2:4: invalid leading UTF-8 octet\n"},
      {"a: \"\\q\"",
       "1:5: found unknown escape character, while parsing a quoted scalar; double a backslash "
       "within double quotes, or use single quotes\n"},
  };
  for (const Bad& bad : kBad) {
    Diagnostics diagnostics;
    const YamlDocument document = ReadYaml(bad.text, diagnostics);
    EXPECT_EQ(diagnostics.ToString(""), bad.message) << bad.text;
    EXPECT_FALSE(diagnostics.ok());
    EXPECT_EQ(Dump(document.root()), bad.tree) << bad.text;
  }
}

TEST(ReadYaml, OnlyTheFirstDocument) {
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml("a: 1\n---\nb: 2\n", diagnostics);
  EXPECT_EQ(Dump(document.root()), "{a: 1}");
  EXPECT_EQ(diagnostics.ToString(""), "2:1: warning: only the first document is read\n");
  EXPECT_TRUE(diagnostics.ok());
}

TEST(ReadYaml, MarksOfKeysAndValues) {
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(
      "modules:\n  api: {prober: http}\ntasks:\n  - name: x\n    text: |\n      y\n", diagnostics);
  const ConfigNode& root = document.root();
  EXPECT_EQ(root.entries[0].mark.line, 1u);
  const ConfigEntry& api = root.entries[0].value.entries[0];
  EXPECT_EQ(api.mark.line, 2u);
  EXPECT_EQ(api.mark.column, 3u);
  EXPECT_EQ(api.value.mark.column, 8u);
  EXPECT_EQ(api.value.entries[0].value.mark.column, 17u);
  const ConfigNode& task = root.entries[1].value.items[0];
  EXPECT_EQ(task.mark.line, 4u);
  EXPECT_EQ(task.mark.column, 5u);
  EXPECT_EQ(task.Find("text")->mark.line, 5u);
  EXPECT_EQ(task.Find("text")->mark.column, 11u);
  EXPECT_EQ(task.Find("absent"), nullptr);
}

// Columns count bytes, lines count as editors do, whatever libyaml takes for a line end.
TEST(ReadYaml, MarksBeyondAscii) {
  struct Case {
    const char* text;
    const char* message;
  };
  static constexpr Case kCases[] = {
      {"{\u00e9\u20ac: 1, b: *x}", "1:15: unknown alias 'x'\n"},
      {"\u00e9: 1\r\nb: *x", "2:4: unknown alias 'x'\n"},
      {"# \u2028\nb: *x", "2:4: unknown alias 'x'\n"},
      {"\u00e9: 1\rb: *x", "2:4: unknown alias 'x'\n"},
      {"\xef\xbb\xbf{\u00e9: *x}", "1:6: unknown alias 'x'\n"},
      {"\u00e9: \"a\u2028 b\"\nb: *x", "2:4: unknown alias 'x'\n"},
      {"{\u00e9: \"a\u0085b\", b: *x}", "1:17: unknown alias 'x'\n"},
  };
  for (const Case& c : kCases) {
    Diagnostics diagnostics;
    ReadYaml(c.text, diagnostics);
    EXPECT_EQ(diagnostics.ToString(""), c.message) << c.text;
  }
}

TEST(ReadYaml, LimitOnBytes) {
  Diagnostics diagnostics;
  YamlLimits limits;
  limits.bytes = 4;
  EXPECT_EQ(Dump(ReadYaml("a: 1", diagnostics, limits).root()), "{a: 1}");
  EXPECT_TRUE(diagnostics.ok());
  EXPECT_EQ(Dump(ReadYaml("a: 12", diagnostics, limits).root()), "~");
  EXPECT_EQ(diagnostics.ToString("f"), "f: larger than 4 bytes\n");
}

TEST(ReadYaml, LimitOnDepth) {
  YamlLimits limits;
  limits.depth = 3;
  Diagnostics good;
  EXPECT_EQ(Dump(ReadYaml("[[[a]]]", good, limits).root()), "[[[a]]]");
  EXPECT_TRUE(good.ok()) << good.ToString("");
  Diagnostics bad;
  EXPECT_EQ(Dump(ReadYaml("[[[[a]]]]", bad, limits).root()), "~");
  EXPECT_EQ(bad.ToString(""), "1:4: nested deeper than 3 levels\n");
  // An alias is as deep as what it names.
  Diagnostics alias;
  ReadYaml("[&x [[]], [[*x]]]", alias, limits);
  EXPECT_EQ(alias.ToString(""), "1:13: nested deeper than 3 levels\n");
  Diagnostics hostile;
  ReadYaml(std::string(1'000'000, '['), hostile);
  EXPECT_EQ(hostile.ToString(""), "1:65: nested deeper than 64 levels\n");
  Diagnostics hostile_block;
  std::string block;
  for (int i = 0; i < 100'000; ++i) block += "- ";
  ReadYaml(block, hostile_block);
  EXPECT_EQ(hostile_block.ToString(""), "1:129: nested deeper than 64 levels\n");
}

TEST(ReadYaml, AliasesCountAsWhatTheyStandFor) {
  YamlLimits limits;
  limits.nodes = 10;
  Diagnostics good;
  ReadYaml("a: &x [1, 2, 3]\nb: 1", good, limits);  // 1 + key + list of 3 + key + value
  EXPECT_TRUE(good.ok()) << good.ToString("");
  Diagnostics bad;
  ReadYaml("a: &x [1, 2, 3]\nb: *x", bad, limits);
  EXPECT_EQ(bad.ToString(""),
            "2:4: more than 10 keys and values, each alias counted as what it stands for\n");
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 40; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) laughs += last + ", ";
    laughs += "]\n";
  }
  Diagnostics hostile;
  EXPECT_EQ(Dump(ReadYaml(laughs, hostile).root()), "~");
  EXPECT_EQ(hostile.errors(), 1u) << hostile.ToString("");
}

TEST(ReadYaml, MergesOfMergesAreBounded) {
  std::string text = "m0: &m0 {a: 1, b: 2}\n";
  for (int i = 1; i < 60; ++i) {
    const std::string last = "*m" + std::to_string(i - 1);
    text += "m" + std::to_string(i) + ": &m" + std::to_string(i) + " {<<: [" + last + ", " + last +
            "], k" + std::to_string(i) + ": 1}\n";
  }
  Diagnostics diagnostics;
  ReadYaml(text, diagnostics);
  EXPECT_EQ(diagnostics.errors(), 1u);
}

TEST(ReadYaml, ManyKeysInOneMapping) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "k" + std::to_string(i) + ": 1\n";
  text += "k7: 2\nk19999: 2\n";
  Diagnostics diagnostics;
  const YamlDocument document = ReadYaml(text, diagnostics);
  EXPECT_EQ(diagnostics.ToString(""),
            "20002:1: key 'k19999' is already given in line 20000\n"
            "20001:1: key 'k7' is already given in line 8\n");
  EXPECT_EQ(document.root().entries.size(), 20'000u);
  EXPECT_EQ(document.root().entries[19'999].key, "k19999");
}

TEST(ReadYaml, TheTreeOutlivesTheTextAndMoves) {
  Diagnostics diagnostics;
  YamlDocument moved;
  {
    std::string text = "list: [alpha, beta]\n";
    YamlDocument document = ReadYaml(text, diagnostics);
    text.assign(text.size(), 'x');
    moved = std::move(document);
  }
  EXPECT_EQ(Dump(moved.root()), "{list: [alpha, beta]}");
}

// Every cut of a text reads without a crash, and never as something that was not there.
TEST(ReadYaml, AllPrefixes) {
  const std::string text =
      "a: &x {k: [1, 'two', \"thr\\u00e9e\"], b: !!binary aGVsbG8=}\nc:\n  - <<: *x\n    d: |\n"
      "      text\n  - *x\n";
  for (size_t length = 0; length <= text.size(); ++length) {
    Diagnostics diagnostics;
    const YamlDocument document = ReadYaml(text.substr(0, length), diagnostics);
    EXPECT_TRUE(length < text.size() || diagnostics.ok()) << diagnostics.ToString("");
    EXPECT_TRUE(diagnostics.ok() || diagnostics.all()[0].mark.line > 0) << length;
    EXPECT_NE(Dump(document.root()), "?");
  }
}

}  // namespace
}  // namespace sonde
