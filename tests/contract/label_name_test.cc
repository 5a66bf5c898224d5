#include "engine/contract/label_name.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/contract/fact.h"

namespace sonde {
namespace {

TEST(LabelName, Legal) {
  for (const char* name : {"a", "_", "A1", "__x", "team_name"}) {
    EXPECT_TRUE(IsLegalLabelName(name)) << name;
  }
  for (const char* name : {"", "1a", "a-b", "a.b", "a:b", "\u00e9", "a ", "a\n"}) {
    EXPECT_FALSE(IsLegalLabelName(name)) << name;
  }
}

TEST(LabelName, Reserved) {
  for (const char* name : {"name", "type", "le", "__name__", "__", "result", "serialnumber"}) {
    EXPECT_TRUE(IsReservedLabel(name)) << name;
  }
  for (const char* name : {"instance", "job", "team", "Name", "_x"}) {
    EXPECT_FALSE(IsReservedLabel(name)) << name;
  }
}

TEST(LabelName, EveryConstantLabelOfAFactIsReserved) {
  for (const FactInfo& fact : Facts()) {
    if (fact.label.empty()) continue;
    EXPECT_TRUE(IsReservedLabel(fact.label.substr(0, fact.label.find('=')))) << fact.label;
  }
}

}  // namespace
}  // namespace sonde
