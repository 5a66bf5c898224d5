// What each prober says it usually reports, beside what good runs of it do report.
#include "tests/protocols/usual_report.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "protocols/dns_prober.h"
#include "protocols/http_prober.h"
#include "protocols/icmp_prober.h"
#include "protocols/tcp_prober.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

std::unique_ptr<ConversationDriver> Drive(const Prober& prober, std::string_view yaml,
                                          std::string_view target) {
  const ModuleText module = ReadModule(prober, yaml);
  EXPECT_TRUE(module.module) << module.errors();
  if (!module.module) return nullptr;
  const TargetText plan = ReadTarget(prober, target, *module.module);
  EXPECT_TRUE(plan.plan) << plan.errors();
  if (!plan.plan) return nullptr;
  auto probe = std::make_unique<ConversationDriver>(prober, module.module, plan.plan);
  probe->Start();
  return probe;
}

TEST(UsualReport, OfTcp) {
  for (const std::string_view yaml :
       {"", "tls: true", "{tls: true, tls_config: {full_handshake_every: 9}}",
        "query_response: [{send: a}]", "query_response: [{starttls: true}]",
        "query_response: [{starttls: true}, {send: a}]"}) {
    SCOPED_TRACE(yaml);
    const auto probe = Drive(TcpProber(), yaml, "peer.example:25");
    ASSERT_TRUE(probe);
    while (!probe->finished()) probe->Open();
    EXPECT_EQ(probe->outcome(), Outcome::kOk);
    ExpectUsualReport(*probe);
  }
}

TEST(UsualReport, OfHttp) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"", "http://shop.example/"},
      {"", "https://shop.example/"},
      {"keep_alive: true", "http://shop.example/"},
      {"keep_alive: true", "https://shop.example/"}};
  for (const auto& [yaml, target] : kCases) {
    SCOPED_TRACE(std::string(yaml) + " " + std::string(target));
    const auto probe = Drive(HttpProber(), yaml, target);
    ASSERT_TRUE(probe);
    probe->Open();
    probe->Receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    EXPECT_EQ(probe->outcome(), Outcome::kOk);
    ExpectUsualReport(*probe);
  }
}

// The question back with an empty answer section.
std::string Reply(std::string_view query) {
  constexpr std::string_view kHead("\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00", 10);
  return std::string(query.substr(0, 2)) + std::string(kHead) + std::string(query.substr(12));
}

TEST(UsualReport, OfDns) {
  for (const std::string_view yaml :
       {"{query_name: a.example, query_type: A}", "{query_name: a.example, query_type: SOA}"}) {
    SCOPED_TRACE(yaml);
    const auto probe = Drive(DnsProber(), yaml, "192.0.2.53");
    ASSERT_TRUE(probe);
    probe->Open();
    probe->ReceiveDatagram(Reply(probe->SendDatagram()));
    EXPECT_EQ(probe->outcome(), Outcome::kOk) << probe->evidence().detail;
    ExpectUsualReport(*probe);
  }
}

TEST(UsualReport, OfDnsOverTcp) {
  const auto probe =
      Drive(DnsProber(), "{query_name: a.example, transport_protocol: tcp}", "192.0.2.53");
  ASSERT_TRUE(probe);
  probe->Open();
  const std::string reply = Reply(probe->Sent().substr(2));
  probe->Receive(std::string(1, '\0') + static_cast<char>(reply.size()) + reply);
  EXPECT_EQ(probe->outcome(), Outcome::kOk) << probe->evidence().detail;
  ExpectUsualReport(*probe);
}

TEST(UsualReport, OfIcmp) {
  for (const int count : {1, 3}) {
    SCOPED_TRACE(count);
    const auto probe = Drive(
        IcmpProber(), "{count: " + std::to_string(count) + ", interval: 100ms}", "peer.example");
    ASSERT_TRUE(probe);
    probe->Open();
    for (int i = 0; i < count; ++i) {
      if (i > 0) probe->Wake();
      EXPECT_NE(probe->SendDatagram(), "");
      probe->ReceiveDatagram("x", static_cast<uint16_t>(i));
    }
    EXPECT_EQ(probe->outcome(), Outcome::kOk) << probe->evidence().detail;
    ExpectUsualReport(*probe);
  }
}

}  // namespace
}  // namespace sonde
