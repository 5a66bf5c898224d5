#include "exporter/probe_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/exporter/probe_client.h"
#include "tests/exporter/probe_prober.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

class ReadProbeRequestTest : public ::testing::Test {
 protected:
  ReadProbeRequestTest() {
    auto plain = MakeProbeModule();
    plain->timeout = Seconds(3);
    auto hosted = MakeProbeModule();
    hosted->host = "a.example";
    auto later = MakeProbeModule();
    later->unsupported = "oauth2";
    auto secret = MakeProbeModule();
    secret->has_credentials = true;
    auto guarded = MakeProbeModule();
    guarded->has_credentials = true;
    auto policy = std::make_shared<ProbePolicy>();
    EXPECT_TRUE(policy->Add("*.example", true));
    guarded->policy = policy;
    modules_->usable = {{"http_2xx", plain},
                        {"hosted", hosted},
                        {"later", later},
                        {"secret", secret},
                        {"guarded", guarded}};
    modules_->unusable = {{"grpc", "grpc"}, {"nothing", ""}};
    modules_->texts = {{"http_2xx", "prober: http\nhttp:\n  enable_http2: true\n"}};
  }

  ProbeRequest Good(const std::string& query, std::vector<HttpHeader> headers = {}) {
    const ProbeClient client(query, std::move(headers));
    auto read = ReadProbeRequest(client.request(), modules_, options_);
    if (const auto* refusal = std::get_if<ProbeRefusal>(&read)) {
      ADD_FAILURE() << query << ": " << refusal->text;
      return {};
    }
    return std::get<ProbeRequest>(std::move(read));
  }
  ProbeRefusal Bad(const std::string& query, std::vector<HttpHeader> headers = {}) {
    const ProbeClient client(query, std::move(headers));
    const auto read = ReadProbeRequest(client.request(), modules_, options_);
    const auto* refusal = std::get_if<ProbeRefusal>(&read);
    if (refusal == nullptr) ADD_FAILURE() << query << " is taken";
    return refusal ? *refusal : ProbeRefusal{0, "", false};
  }

  std::shared_ptr<ProbeModules> modules_ = std::make_shared<ProbeModules>();
  ProbePageOptions options_;
};

TEST_F(ReadProbeRequestTest, Parameters) {
  const ProbeRequest plain = Good("target=a:1");
  EXPECT_EQ(plain.module_name, "http_2xx");
  EXPECT_EQ(plain.target, "a:1");
  EXPECT_EQ(plain.timeout.duration, Seconds(3));
  EXPECT_FALSE(plain.debug || plain.details);
  EXPECT_NE(plain.plan, nullptr);
  EXPECT_EQ(*plain.module_text, "prober: http\nhttp:\n  enable_http2: true\n");
  // The first of several counts, an empty module is the default, others are ignored.
  EXPECT_EQ(Good("module=&target=a:1&target=b:2&x=y").target, "a:1");
  EXPECT_TRUE(Good("target=a:1&debug=true").debug);
  for (const char* value : {"debug=1", "debug=True", "debug", "debug="}) {
    EXPECT_FALSE(Good(std::string("target=a:1&") + value).debug) << value;
  }
  EXPECT_TRUE(Good("target=a:1&details=true").details);
  options_.details = true;
  EXPECT_TRUE(Good("target=a:1").details);
  EXPECT_EQ(Good("target=a:1", {{"X-Prometheus-Scrape-Timeout-Seconds", "2"}}).timeout.seconds,
            1.5);
}

// Each request has everything wrong that is looked at later.
TEST_F(ReadProbeRequestTest, TheOrderOfChecks) {
  const std::vector<HttpHeader> nonsense = {{"X-Prometheus-Scrape-Timeout-Seconds", "soon"}};
  const ProbeRefusal unknown = Bad("module=nix", nonsense);
  EXPECT_EQ(unknown.status, 400);
  EXPECT_EQ(unknown.text, "Unknown module \"nix\"\n");
  EXPECT_TRUE(unknown.unknown_module);
  const ProbeRefusal header = Bad("module=grpc", nonsense);
  EXPECT_EQ(header.status, 500);
  EXPECT_THAT(header.text, HasSubstr("Failed to parse timeout from Prometheus header"));
  EXPECT_FALSE(header.unknown_module);
  for (const char* query :
       {"module=grpc&hostname=x", "module=grpc&target=", "module=grpc&target"}) {
    const ProbeRefusal target = Bad(query);
    EXPECT_EQ(target.status, 400);
    EXPECT_EQ(target.text, "Target parameter is missing\n");
  }
  EXPECT_EQ(Bad("module=grpc&target=x").text, "Unknown prober \"grpc\"\n");
  EXPECT_EQ(Bad("module=nothing&target=x").text, "Unknown prober \"\"\n");
  const ProbeRefusal later = Bad("module=later&target=x");
  EXPECT_EQ(later.status, 400);
  EXPECT_THAT(later.text, HasSubstr("'oauth2' is not supported"));
  const ProbeRefusal host = Bad("module=hosted&target=x&hostname=b.example");
  EXPECT_EQ(host.status, 400);
  EXPECT_THAT(host.text, HasSubstr("a.example"));
  EXPECT_THAT(host.text, HasSubstr("b.example"));
  EXPECT_EQ(Good("module=hosted&target=a:1&hostname=a.example").hostname, "a.example");
}

TEST_F(ReadProbeRequestTest, CredentialsAreForNamedTargetsWhenTheyAreGuarded) {
  EXPECT_EQ(Good("module=secret&target=a:1").target, "a:1");
  options_.guard_credentials = true;
  const ProbeRefusal refusal = Bad("module=secret&target=a:1");
  EXPECT_EQ(refusal.status, 403);
  EXPECT_THAT(refusal.text, HasSubstr("--probe.credentials"));
  EXPECT_EQ(Good("module=guarded&target=a:1").target, "a:1");
  EXPECT_EQ(Good("target=a:1").target, "a:1");
}

TEST_F(ReadProbeRequestTest, ATargetThatIsNoneIsToldApart) {
  const ProbeRequest asked = Good("target=nocolon");
  EXPECT_EQ(asked.plan, nullptr);
  EXPECT_EQ(asked.fault, "no colon in it");
}

TEST_F(ReadProbeRequestTest, TargetsAreDecodedOnceUnlessTwiceMakesATarget) {
  EXPECT_EQ(Good("target=a%3A1%2Bb%2525").target, "a:1+b%25");
  EXPECT_EQ(Good("target=a%253A1%2Bb").target, "a:1 b");
  EXPECT_EQ(Good("target=a%253A%25zz").plan, nullptr);
  options_.decode_target_twice = true;
  EXPECT_EQ(Good("target=a%3A1%2Bb%2525").target, "a:1 b%");
  EXPECT_EQ(Good("target=a:1%25zz%2Bb").target, "a:1%zz+b");  // broken: nothing of it is decoded
}

TEST(TextWithHostname, GoesWhereItBelongs) {
  EXPECT_EQ(TextWithHostname("prober: http\nhttp:\n  headers:\n    A: b\n  enable_http2: true\n"
                             "tcp:\n  ip_protocol_fallback: true\n",
                             "http", "a.example"),
            "prober: http\nhttp:\n  headers:\n    Host: \"a.example\"\n    A: b\n"
            "  enable_http2: true\n  tls_config:\n    server_name: \"a.example\"\n"
            "tcp:\n  ip_protocol_fallback: true\n");
  EXPECT_EQ(TextWithHostname("prober: tcp\ntcp:\n  tls: true\n  tls_config:\n    server_name: x\n",
                             "tcp", "y"),
            "prober: tcp\ntcp:\n  tls: true\n  tls_config:\n    server_name: x\n");
  EXPECT_EQ(TextWithHostname("prober: icmp\nicmp:\n  ttl: 64\n", "icmp", "y"),
            "prober: icmp\nicmp:\n  ttl: 64\n");
}

}  // namespace
}  // namespace sonde
