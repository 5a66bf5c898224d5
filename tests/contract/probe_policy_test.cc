#include "engine/contract/probe_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sonde {
namespace {

// `rules` as "allow RULE" / "deny RULE".
ProbePolicy Make(const std::vector<std::string>& rules, size_t errors = 0) {
  std::vector<ConfigNode> allow, deny;
  for (const std::string& rule : rules) {
    const size_t blank = rule.find(' ');
    ConfigNode node;
    node.kind = ConfigNode::Kind::kScalar;
    node.text = std::string_view(rule).substr(blank + 1);
    (rule.starts_with("allow") ? allow : deny).push_back(node);
  }
  std::vector<ConfigEntry> entries(2);
  entries[0].key = "allow";
  entries[0].value.kind = ConfigNode::Kind::kSequence;
  entries[0].value.items = allow;
  entries[1].key = "deny";
  entries[1].value.kind = ConfigNode::Kind::kSequence;
  entries[1].value.items = deny;
  ConfigNode block;
  block.kind = ConfigNode::Kind::kMapping;
  block.entries = entries;
  Diagnostics diagnostics;
  ProbePolicy policy = ProbePolicy::Parse(&block, "policy", diagnostics);
  EXPECT_EQ(diagnostics.errors(), errors) << diagnostics.ToString("");
  return policy;
}

bool Reaches(const ProbePolicy& policy, std::string_view literal) {
  return policy.CheckAddress(*Address::ParseLiteral(literal)).allowed;
}

TEST(ProbePolicy, EmptyAllowsEverything) {
  Diagnostics diagnostics;
  const ProbePolicy policy = ProbePolicy::Parse(nullptr, "policy", diagnostics);
  EXPECT_TRUE(policy.empty());
  EXPECT_TRUE(policy.CheckName("anything", 25, "http").allowed);
  EXPECT_TRUE(Reaches(policy, "169.254.169.254"));
}

TEST(ProbePolicy, Networks) {
  const ProbePolicy policy = Make({"allow 10.0.0.0/8", "allow 2001:db8::/33", "deny 10.1.2.3"});
  EXPECT_TRUE(Reaches(policy, "10.255.0.1"));
  EXPECT_FALSE(Reaches(policy, "11.0.0.1"));
  EXPECT_FALSE(Reaches(policy, "10.1.2.3"));
  EXPECT_TRUE(Reaches(policy, "2001:db8:7fff::1"));
  EXPECT_FALSE(Reaches(policy, "2001:db8:8000::1"));
  EXPECT_EQ(policy.CheckAddress(*Address::ParseLiteral("10.1.2.3")).rule, "10.1.2.3");
  EXPECT_EQ(policy.CheckAddress(*Address::ParseLiteral("11.0.0.1")).rule, "no allow rule");
}

TEST(ProbePolicy, MappedAddressesAreTheirIpv4) {
  const ProbePolicy policy = Make({"deny 10.0.0.0/8", "deny ::ffff:192.0.2.0/120"});
  EXPECT_FALSE(Reaches(policy, "::ffff:10.1.1.1"));
  EXPECT_FALSE(Reaches(policy, "192.0.2.77"));
  EXPECT_TRUE(Reaches(policy, "192.0.3.1"));
}

TEST(ProbePolicy, Names) {
  const ProbePolicy policy =
      Make({"allow *.internal", "allow Shop.Example", "deny *.bad.internal"});
  EXPECT_TRUE(policy.CheckName("a.internal", 80, "http").allowed);
  EXPECT_TRUE(policy.CheckName("A.B.Internal.", 80, "http").allowed);
  EXPECT_TRUE(policy.CheckName("shop.example", 80, "http").allowed);
  EXPECT_FALSE(policy.CheckName("internal", 80, "http").allowed);
  EXPECT_FALSE(policy.CheckName("xinternal", 80, "http").allowed);
  EXPECT_FALSE(policy.CheckName("x.bad.internal", 80, "http").allowed);
  EXPECT_FALSE(policy.CheckName("other.example", 80, "http").allowed);
  // Only names are allowed: an address is none.
  EXPECT_FALSE(policy.CheckName("10.0.0.1", 80, "http").allowed);
}

TEST(ProbePolicy, LiteralsAreJudgedByNetworks) {
  const ProbePolicy policy = Make({"allow *.internal", "allow 10.0.0.0/8"});
  EXPECT_TRUE(policy.CheckName("10.0.0.1", 80, "http").allowed);
  EXPECT_FALSE(policy.CheckName("192.0.2.1", 80, "http").allowed);
  const ProbePolicy deny = Make({"deny loopback"});
  EXPECT_FALSE(deny.CheckName("127.0.0.1", 80, "http").allowed);
  EXPECT_EQ(deny.CheckName("127.0.0.1", 80, "http").rule, "loopback");
}

TEST(ProbePolicy, PortsAndSchemes) {
  const ProbePolicy policy = Make(
      {"allow :80", "allow :8000-8999", "deny :8080", "allow scheme:http", "allow scheme:icmp"});
  EXPECT_TRUE(policy.CheckName("a", 80, "http").allowed);
  EXPECT_TRUE(policy.CheckName("a", 8000, "http").allowed);
  EXPECT_TRUE(policy.CheckName("a", 8999, "http").allowed);
  EXPECT_FALSE(policy.CheckName("a", 9000, "http").allowed);
  EXPECT_FALSE(policy.CheckName("a", 8080, "http").allowed);
  EXPECT_FALSE(policy.CheckName("a", 80, "https").allowed);
  EXPECT_TRUE(policy.CheckName("a", 0, "icmp").allowed);  // ICMP has no port
}

TEST(ProbePolicy, Presets) {
  const ProbePolicy policy =
      Make({"deny loopback", "deny link-local", "deny private", "deny metadata"});
  for (const char* literal : {"127.0.0.1", "127.255.0.1", "0.0.0.0", "::1", "::", "169.254.1.1",
                              "fe80::1", "10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1",
                              "fd00::1", "169.254.169.254", "fd00:ec2::254", "100.100.100.200"}) {
    EXPECT_FALSE(Reaches(policy, literal)) << literal;
  }
  EXPECT_TRUE(Reaches(policy, "192.0.2.1"));
  EXPECT_TRUE(Reaches(policy, "172.32.0.1"));
  EXPECT_TRUE(Reaches(policy, "2001:db8::1"));
}

TEST(ProbePolicy, AnAllowedPresetIsOneOfItsNetworks) {
  const ProbePolicy policy = Make({"allow private"});
  EXPECT_TRUE(Reaches(policy, "192.168.7.7"));
  EXPECT_FALSE(Reaches(policy, "192.0.2.1"));
}

TEST(ProbePolicy, BadRulesAreErrors) {
  for (const char* rule : {"",          "10.0.0.0/33", "10.0.0/8", "10.0.0.256", "2001:db8::/129",
                           "10.0.0.0/", "10.0.0.0/-1", ":0",       ":",          ":70000",
                           ":90-80",    ":80-",        ":http",    "scheme:",    "scheme:gopher",
                           "*.",        "*",           "a..b",     ".a",         "a b",
                           "*.*.a",     "1.2.3",       "a/8",      "fe80::1%1"}) {
    Make({std::string("deny ") + rule}, 1);
  }
}

}  // namespace
}  // namespace sonde
