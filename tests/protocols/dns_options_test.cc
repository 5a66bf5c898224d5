#include "protocols/dns_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/protocols/dns_probe.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Server = DnsModule::Server;

const DnsModule& Parsed(const ModuleText& read) {
  EXPECT_TRUE(read.module) << read.errors();
  return static_cast<const DnsModule&>(*read.module);
}

TEST(DnsOptions, DefaultsAreBlackboxExporters) {
  const ModuleText read = ReadModule(DnsProber(), "query_name: example.com");
  const DnsModule& module = Parsed(read);
  EXPECT_EQ(module.server, Server::kTarget);
  EXPECT_EQ(module.transport, DnsModule::Transport::kUdp);
  EXPECT_TRUE(module.recursion_desired);
  EXPECT_THAT(module.valid_rcodes, ElementsAre(0));
  EXPECT_FALSE(module.has_rules);
  EXPECT_EQ(module.edns_size, 0);
  EXPECT_EQ(module.udp_limit(), 512u);
  EXPECT_FALSE(module.retry_over_tcp || module.fail_if_truncated || module.dnssec_ok);
  EXPECT_EQ(module.retransmit, Duration{});
  EXPECT_THAT(module.files, IsEmpty());
  EXPECT_THAT(read.errors(), IsEmpty());
  const TargetText target = ReadTarget(DnsProber(), "192.0.2.53", module);
  const auto& plan = static_cast<const DnsTarget&>(*target.plan);
  EXPECT_EQ(plan.question, DnsQuestion(WireName("example.com"), 255, 1));
  EXPECT_EQ(plan.destination, "192.0.2.53:53");
  EXPECT_FALSE(plan.needs_descriptor);
  EXPECT_FALSE(plan.needs_handshake);
}

TEST(DnsOptions, Everything) {
  const ModuleText read = ReadModule(DnsProber(), R"(
query_name: example.com.
query_type: HTTPS
query_class: CH
recursion_desired: false
transport_protocol: tcp
dns_over_tls: true
tls_config: {server_name: dns.example, ca_file: /ca.pem}
valid_rcodes: [NXDOMAIN, NOTIMPL]
validate_answer_rrs: {fail_if_matches_regexp: [a], fail_if_all_match_regexp: [b]}
validate_authority_rrs: {fail_if_not_matches_regexp: [c]}
validate_additional_rrs: {fail_if_none_matches_regexp: [d]}
preferred_ip_protocol: ip4
edns_size: 4096
dnssec_ok: true
fail_if_truncated: true
strict: true
)");
  const DnsModule& module = Parsed(read);
  EXPECT_EQ(module.query_type, 65);
  EXPECT_EQ(module.query_class, 3);
  EXPECT_THAT(module.valid_rcodes, ElementsAre(3, 4));
  EXPECT_TRUE(module.has_rules);
  EXPECT_EQ(module.rules[0].matches[0].text, "a");
  EXPECT_EQ(module.rules[0].all_match[0].text, "b");
  EXPECT_EQ(module.rules[1].not_matches[0].text, "c");
  EXPECT_EQ(module.rules[2].none_matches[0].text, "d");
  EXPECT_EQ(module.tls_profile.server_name, "dns.example");
  EXPECT_THAT(module.files, ElementsAre("/ca.pem"));
  EXPECT_EQ(module.udp_limit(), 4096u);
  const TargetText target = ReadTarget(DnsProber(), "dns.example", module);
  EXPECT_EQ(target.plan->destination, "dns.example:853");
  EXPECT_TRUE(target.plan->needs_descriptor);
  EXPECT_TRUE(target.plan->needs_handshake);
}

TEST(DnsOptions, DnssecAsksForEdns) {
  EXPECT_EQ(Parsed(ReadModule(DnsProber(), "{server: a, dnssec_ok: true}")).edns_size, 1232);
  EXPECT_EQ(Parsed(ReadModule(DnsProber(), "{server: a, edns_size: 512}")).edns_size, 512);
}

struct Fault {
  const char* yaml;
  const char* says;
};

TEST(DnsOptions, Errors) {
  constexpr Fault kFaults[] = {
      {"{query_name: a, query_type: aaaa}", "module.query_type: query type 'aaaa' is not valid"},
      {"{query_name: a, query_type: TYPE65}", "query type 'TYPE65' is not valid"},
      {"{query_name: a, query_class: in}", "query class 'in' is not valid"},
      {"{query_name: a..b}", "'a..b' is not a name: a name has no empty labels"},
      {"{query_name: a, server: b}", "with it the target is the server"},
      {"{server: 'a:b:c'}", "too many colons"},
      {"{server: 'a:0'}", "unknown port"},
      {"{query_name: a, edns_size: 511}", "must be 0, for no EDNS, or 512 to 65535"},
      {"{query_name: a, edns_size: 65536}", "must be between 0 and 65535"},
      {"{query_name: a, retransmit_interval: 49ms}", "must be at least 50ms"},
      {"{query_name: a, validate_answer_rrs: [a]}", "must be a mapping"},
      {"{query_name: a, validate_answer_rrs: {fail_if_matches: [a]}}", "fail_if_matches"},
      {"{query_name: a, nope: 1}", "unknown key 'nope'"},
  };
  for (const Fault& fault : kFaults) {
    const ModuleText read = ReadModule(DnsProber(), fault.yaml);
    EXPECT_FALSE(read.module) << fault.yaml;
    EXPECT_THAT(read.errors(), HasSubstr(fault.says)) << fault.yaml;
  }
}

// What blackbox_exporter finds out when it probes loads with a warning; strict modules do not.
TEST(DnsOptions, WarningsThatStrictTurnsIntoErrors) {
  constexpr Fault kFaults[] = {
      {"transport_protocol: sctp", "'sctp' is neither udp nor tcp: probes of this module fail"},
      {"dns_over_tls: true", "TLS needs transport_protocol: tcp: probes"},
      {"valid_rcodes: [NOERROR, nope]", "there is no response code 'nope': probes"},
      {"valid_rcodes: []", "an empty list accepts nothing: probes"},
      {"validate_answer_rrs: {fail_if_matches_regexp: ['(']}",
       "\"Could not compile regular expression\" regexp=\"(\""},
  };
  for (const Fault& fault : kFaults) {
    const std::string yaml = "query_name: a\n" + std::string(fault.yaml) + "\n";
    const ModuleText lenient = ReadModule(DnsProber(), yaml);
    EXPECT_TRUE(lenient.module) << lenient.errors();
    EXPECT_THAT(lenient.errors(), HasSubstr("warning: ")) << fault.yaml;
    EXPECT_THAT(lenient.errors(), HasSubstr(fault.says)) << fault.yaml;
    EXPECT_FALSE(ReadModule(DnsProber(), yaml + "strict: true").module) << fault.yaml;
  }
}

TEST(DnsOptions, KeysOfUdpAreWarnedOfWithTcp) {
  const ModuleText read =
      ReadModule(DnsProber(), "{query_name: a, transport_protocol: tcp, retransmit_interval: 1s}");
  EXPECT_THAT(read.errors(), HasSubstr("warning: module.retransmit_interval: is for udp only"));
}

TEST(DnsOptions, WhatABlockOfModulesNeeds) {
  const auto fault = [](std::string_view yaml) {
    return DnsProber().SharedFault(*ReadModule(DnsProber(), yaml).module);
  };
  EXPECT_EQ(fault(""), "");  // no block at all
  EXPECT_EQ(fault("query_name: a"), "");
  EXPECT_EQ(fault("server: a"), "");
  EXPECT_EQ(fault("server: system"), "");
  EXPECT_THAT(fault("{}"), HasSubstr("query name must be set for DNS module"));
  EXPECT_THAT(fault("query_type: A"), HasSubstr("query name must be set for DNS module"));
  EXPECT_THAT(fault("query_name: ''"), HasSubstr("query name must be set for DNS module"));
}

TEST(DnsOptions, NoBlockIsNotAnEmptyOne) {
  EXPECT_NE(ReadModule(DnsProber(), "").module->content_hash,
            ReadModule(DnsProber(), "{}").module->content_hash);
}

struct Form {
  const char* module;
  const char* module_name;
  const char* target;
  Server server;
  const char* destination;
  std::string question;
};

TEST(DnsOptions, WhoIsAskedWhat) {
  const auto question = [](std::string_view name, uint16_t type) {
    return DnsQuestion(WireName(name), type, 1);
  };
  const Form kForms[] = {
      // blackbox_exporter's form: the target is the server.
      {"query_name: q", "", "a.example", Server::kTarget, "a.example:53", question("q", 255)},
      {"query_name: .", "m", "a:domain", Server::kTarget, "a:53", question(".", 255)},
      {"{query_name: q, query_type: A}", "m", "[2001:db8::1]:5353", Server::kTarget,
       "[2001:db8::1]:5353", question("q", 1)},
      {"query_name: q", "m", "2001:db8::1", Server::kTarget, "[2001:db8::1]:53",
       question("q", 255)},
      {"query_name: q", "m", "[2001:db8::1]", Server::kTarget, "[2001:db8::1]:53",
       question("q", 255)},
      {"", "m", "192.0.2.1", Server::kTarget, "192.0.2.1:53", question(".", 255)},
      // sonde's: the target is the name.
      {"", "", "shop.example", Server::kSystem, "resolv.conf:53", question("shop.example", 1)},
      {"{}", "", "shop.example", Server::kSystem, "resolv.conf:53", question("shop.example", 1)},
      {"query_type: MX", "", "shop.example", Server::kSystem, "resolv.conf:53",
       question("shop.example", 15)},
      {"server: system", "m", "shop.example", Server::kSystem, "resolv.conf:53",
       question("shop.example", 1)},
      {"server: 10.0.0.53", "m", "shop.example", Server::kNamed, "10.0.0.53:53",
       question("shop.example", 1)},
      {"server: '[2001:db8::53]:5353'", "", "shop.example", Server::kNamed, "[2001:db8::53]:5353",
       question("shop.example", 1)},
      {"server: NS.example", "", "shop.example", Server::kNamed, "ns.example:53",
       question("shop.example", 1)},
      {"{server: ns, transport_protocol: tcp, dns_over_tls: true}", "", "x", Server::kNamed,
       "ns:853", question("x", 1)},
      {"resolver: {servers: ['10.0.0.1:5300', 10.0.0.2]}", "", "x", Server::kNamed, "10.0.0.1:5300",
       question("x", 1)},
      {"{server: a, resolver: {servers: [10.0.0.1]}}", "", "x", Server::kNamed, "a:53",
       question("x", 1)},
      {"{server: a, query_type: PTR}", "", "192.0.2.7", Server::kNamed, "a:53",
       question("7.2.0.192.in-addr.arpa", 12)},
  };
  for (const Form& form : kForms) {
    const ModuleText read = ReadModule(DnsProber(), form.module);
    ASSERT_TRUE(read.module) << read.errors();
    std::const_pointer_cast<Module>(read.module)->name = form.module_name;
    const TargetText target = ReadTarget(DnsProber(), form.target, *read.module);
    ASSERT_TRUE(target.plan) << form.module << target.errors();
    const auto& plan = static_cast<const DnsTarget&>(*target.plan);
    EXPECT_EQ(plan.server, form.server) << form.module << " " << form.target;
    EXPECT_EQ(plan.destination, form.destination) << form.module << " " << form.target;
    EXPECT_EQ(plan.question, form.question) << form.module << " " << form.target;
    EXPECT_EQ(plan.server == Server::kSystem,
              plan.address.host.empty() && !read.module->files.empty());
  }
}

TEST(DnsOptions, TargetsThatAreWrong) {
  const ModuleText server = ReadModule(DnsProber(), "query_name: q");
  for (const char* target : {"a:b:c", "a:", "a:nope", "a b", "[a]:53", "a:65536", ""}) {
    EXPECT_FALSE(ReadTarget(DnsProber(), target, *server.module).plan) << target;
  }
  const ModuleText name = ReadModule(DnsProber(), "server: s");
  for (const char* target : {"192.0.2.1", "192.0.2.1:53", "2001:db8::1", "dns.example:53"}) {
    const TargetText read = ReadTarget(DnsProber(), target, *name.module);
    EXPECT_FALSE(read.plan) << target;
    EXPECT_THAT(read.errors(), HasSubstr("is a server, and the target is the name to ask for"));
  }
  EXPECT_THAT(ReadTarget(DnsProber(), "a..b", *name.module).errors(),
              HasSubstr("task.target: 'a..b' is not a name"));
}

TEST(DnsOptions, Expect) {
  const ModuleText module = ReadModule(DnsProber(), "server: s");
  const auto read = [&](std::string_view yaml) {
    return ReadTarget(DnsProber(), "a", *module.module, yaml);
  };
  const TargetText good =
      read("{rcode: [NXDOMAIN, NOERROR], answer_contains: 192.0.2.7, min_answers: 2}");
  const auto& expect = static_cast<const DnsTarget&>(*good.plan).expect;
  EXPECT_THAT(expect.rcodes, ElementsAre(3, 0));
  EXPECT_THAT(expect.answer_contains, ElementsAre("192.0.2.7"));
  EXPECT_EQ(expect.min_answers, 2u);
  EXPECT_THAT(read("rcode: nxdomain").errors(),
              HasSubstr("task.expect.rcode: there is no response code 'nxdomain'"));
  EXPECT_FALSE(read("rcode: []").plan);
  EXPECT_FALSE(read("min_answers: -1").plan);
  EXPECT_FALSE(read("status: 200").plan);
  EXPECT_FALSE(read("rcode: {a: b}").plan);
  std::string many = "answer_contains: [a";
  for (int i = 1; i < 64; ++i) many += ", a";
  EXPECT_TRUE(read(many + "]").plan);
  EXPECT_FALSE(read(many + ", a]").plan);
}

TEST(DnsOptions, ResolvConf) {
  EXPECT_EQ(FirstNameServer("# a\nsearch x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"),
            "192.0.2.1");
  EXPECT_EQ(FirstNameServer("nameserver\t2001:db8::1  # first\r\n"), "2001:db8::1");
  EXPECT_EQ(FirstNameServer("nameserver 192.0.2.3"), "192.0.2.3");
  EXPECT_EQ(FirstNameServer("nameserver x\nnameservers 1.1.1.1\nnameserver 192.0.2.4\n"),
            "192.0.2.4");
  for (const char* none : {"", "\n", "nameserver", "nameserver \n", "options ndots:1\n",
                           " nameserver 192.0.2.1", "#nameserver 192.0.2.1"}) {
    EXPECT_EQ(FirstNameServer(none), "127.0.0.1") << none;
  }
}

}  // namespace
}  // namespace sonde
