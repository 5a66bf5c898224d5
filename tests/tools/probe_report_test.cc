#include "tools/sonde/probe_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tools/sonde/single_task.h"

namespace sonde {
namespace {

Runner::Answer Failed() {
  Runner::Answer answer;
  answer.result.outcome = Outcome::kValidationStatus;
  answer.result.duration = Milliseconds(30);
  answer.result.AddStage(Stage::kResolve, Milliseconds(10));
  answer.result.AddStage(Stage::kConnect, Milliseconds(20));
  answer.result.facts.Set(Fact::kHttpStatusCode, 503);
  answer.texts.push_back({TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}});
  answer.evidence.detail = "status 503";
  answer.evidence.head = "HTTP/1.1 503 \x1b[31mred\r\nServer: x\r\n";
  return answer;
}

std::shared_ptr<const Task> SomeTask() {
  Diagnostics diagnostics;
  const SingleTask single = ReadSingleTask(
      "{name: probe, type: http, target: \"http://127.0.0.1:1/\"}", "", nullptr, diagnostics);
  EXPECT_TRUE(diagnostics.ok());
  return single.task;
}

TEST(ProbeReportTest, TextSaysVerdictReasonAndWaterfall) {
  const std::string text = ProbeReportText(*SomeTask(), Failed());
  EXPECT_NE(text.find("failed  http http://127.0.0.1:1/"), std::string::npos) << text;
  EXPECT_NE(text.find("validation/status"), std::string::npos);
  EXPECT_NE(text.find("status 503"), std::string::npos);
  EXPECT_NE(text.find("resolve       10.000 ms  #"), std::string::npos) << text;
  EXPECT_EQ(text.find("tls "), std::string::npos) << text;  // not reached, not shown
  EXPECT_EQ(text.find('\x1b'), std::string::npos);  // nothing of the peer's reaches a terminal
}

TEST(ProbeReportTest, NoControlOfAnyKindReachesTheTerminal) {
  Runner::Answer answer = Failed();
  answer.evidence.body = "caf\u00e9 \u20ac\r\n\xc2\x9b[2J \x9b[2J \xff\x7f \xe2\x82";
  const std::string text = ProbeReportText(*SomeTask(), answer);
  EXPECT_NE(text.find("  | caf\u00e9 \u20ac\n  | \\xc2\\x9b[2J \\x9b[2J \\xff\\x7f \\xe2\\x82\n"),
            std::string::npos)
      << text;
}

TEST(ProbeReportTest, NothingIsSaidTwice) {
  Runner::Answer answer = Failed();
  answer.result.outcome = Outcome::kDnsNotFound;
  const std::string sentence(Info(Outcome::kDnsNotFound).sentence);
  answer.evidence.detail = sentence;
  const std::string text = ProbeReportText(*SomeTask(), answer);
  EXPECT_NE(text.find(sentence), std::string::npos);
  EXPECT_EQ(text.find(sentence), text.rfind(sentence)) << text;
}

TEST(ProbeReportTest, JsonHasTheSame) {
  const auto json = nlohmann::json::parse(ProbeReportJson(*SomeTask(), Failed()));
  EXPECT_EQ(json["verdict"], "failed");
  EXPECT_EQ(json["phase"], "validation");
  EXPECT_EQ(json["reason"], "status");
  EXPECT_EQ(json["facts"]["probe_http_status_code"], 503);
  EXPECT_EQ(json["stages_seconds"]["connect"], 0.02);
  EXPECT_EQ(json["texts"]["probe_tls_version_info"]["version"], "TLS 1.3");
}

TEST(SingleTaskTest, ModulesAndPolicyComeFromTheConfiguration) {
  Diagnostics diagnostics;
  const SingleTask single =
      ReadSingleTask("{name: p, type: http, target: \"http://127.0.0.1/\", module: m}",
                     "modules: {m: {prober: http, timeout: 3s}}\npolicy: {deny: [\":25\"]}\n"
                     "tasks: [{name: broken}]\n",
                     nullptr, diagnostics);
  ASSERT_TRUE(diagnostics.ok()) << diagnostics.ToString("test");
  ASSERT_NE(single.task, nullptr);
  EXPECT_EQ(single.task->timeout, Seconds(3));
  EXPECT_FALSE(single.policy.CheckName("x", 25, "tcp").allowed);
}

}  // namespace
}  // namespace sonde
