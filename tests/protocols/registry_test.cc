#include "protocols/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "tests/support/module_text.h"

namespace sonde {
namespace {

TEST(Registry, FindsProtocolsInAnyCase) {
  for (const char* name : {"http", "HTTP", "tcp", "Tcp", "icmp", "PING"}) {
    ASSERT_NE(FindProber(name), nullptr) << name;
  }
  EXPECT_EQ(FindProber("TCP")->name(), "tcp");
  EXPECT_EQ(FindProber("Ping")->name(), "icmp");
  for (const char* name : {"", "htt", "https", "smtp"}) {
    EXPECT_EQ(FindProber(name), nullptr) << name;
  }
}

TEST(Registry, NamesAreSortedLowerCaseAndUnique) {
  std::set<std::string_view> seen;
  std::string_view last;
  for (const Prober* prober : Probers()) {
    EXPECT_TRUE(seen.insert(prober->name()).second) << prober->name();
    EXPECT_LT(last, prober->name());
    last = prober->name();
    EXPECT_TRUE(std::all_of(last.begin(), last.end(), [](char c) { return c >= 'a' && c <= 'z'; }));
    EXPECT_EQ(FindProber(prober->name()), prober);
  }
}

// What every protocol owes its callers.
TEST(Registry, EveryProtocolHasDefaultsAndNamesItself) {
  for (const Prober* prober : Probers()) {
    const ModuleText defaults = ReadModule(*prober, "");
    ASSERT_TRUE(defaults.module) << prober->name() << defaults.errors();
    EXPECT_EQ(defaults.module->prober, prober);
    EXPECT_NE(defaults.module->content_hash, 0u);
    for (const std::string& file : defaults.module->files) {
      EXPECT_EQ(file, "/etc/resolv.conf") << prober->name();  // whom dns asks
    }
    EXPECT_FALSE(ReadModule(*prober, "no_such_key: 1").module) << prober->name();
    EXPECT_FALSE(ReadModule(*prober, "[1, 2]").module) << prober->name();
  }
}

}  // namespace
}  // namespace sonde
