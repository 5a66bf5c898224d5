#include "protocols/status_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/yaml_reader.h"

namespace sonde {
namespace {

struct ReadSet {
  StatusSet set;
  Diagnostics diagnostics;
  bool good = false;
};

ReadSet Read(std::string_view yaml) {
  ReadSet read;
  const YamlDocument document = ReadYaml(yaml, read.diagnostics);
  ConfigReader in(&document.root(), "http", read.diagnostics);
  read.good = StatusSet::Read(in, "codes", &read.set);
  return read;
}

TEST(StatusSetTest, NumbersClassesAndRanges) {
  const ReadSet read = Read("codes: [200, 3xx, '410-412', \"5XX\"]");
  EXPECT_TRUE(read.good);
  for (const unsigned code : {200u, 300u, 399u, 410u, 411u, 412u, 500u, 599u}) {
    EXPECT_TRUE(read.set.Has(code)) << code;
  }
  for (const unsigned code : {0u, 199u, 201u, 400u, 409u, 413u, 600u, 99999u}) {
    EXPECT_FALSE(read.set.Has(code)) << code;
  }
}

TEST(StatusSetTest, OneValueNeedsNoList) {
  EXPECT_TRUE(Read("codes: 204").set.Has(204));
  EXPECT_TRUE(Read("codes: 2xx").set.Has(299));
  EXPECT_TRUE(Read("codes: 200-204").set.Has(203));
  EXPECT_TRUE(Read("codes: []").set.empty());
  EXPECT_TRUE(Read("other: 1").set.empty());
}

TEST(StatusSetTest, NonsenseIsAnErrorAtItsPlace) {
  for (const char* yaml : {"codes: 0xx", "codes: 2x", "codes: xx", "codes: 300-200", "codes: 200-",
                           "codes: 20a", "codes: [[200]]", "codes: {a: 1}", "codes: ''"}) {
    const ReadSet read = Read(yaml);
    EXPECT_FALSE(read.good) << yaml;
    ASSERT_EQ(read.diagnostics.errors(), 1u) << yaml;
    EXPECT_EQ(read.diagnostics.all()[0].mark.line, 1u);
    EXPECT_EQ(read.diagnostics.all()[0].path, "http.codes");
  }
}

TEST(StatusSetTest, TheDefaultIsSuccess) {
  const StatusSet set = StatusSet::Success();
  EXPECT_TRUE(set.Has(200));
  EXPECT_TRUE(set.Has(299));
  EXPECT_FALSE(set.Has(300));
  EXPECT_FALSE(set.Has(199));
}

}  // namespace
}  // namespace sonde
