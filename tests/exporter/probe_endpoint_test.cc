#include "exporter/probe_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "exporter/probe_families.h"
#include "tests/exporter/probe_client.h"
#include "tests/exporter/probe_prober.h"

namespace sonde {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// An engine that answers when the test says so.
class FakeRunner : public Runner {
 public:
  uint64_t RunNow(std::shared_ptr<const Task> task, std::function<void(Answer)> done) override {
    tasks.push_back(std::move(task));
    runs.emplace(next_, std::move(done));
    return next_++;
  }
  void Cancel(uint64_t run) override { cancelled.push_back(run); }
  void Finish(uint64_t run, Answer answer) { runs.at(run)(std::move(answer)); }

  std::vector<std::shared_ptr<const Task>> tasks;
  std::map<uint64_t, std::function<void(Answer)>> runs;
  std::vector<uint64_t> cancelled;

 private:
  uint64_t next_ = 100;
};

class ProbeEndpointTest : public ::testing::Test {
 protected:
  void Make() {
    ProbeEndpoint::Parts parts;
    parts.runner = &runner_;
    parts.now = [] { return WallTime{1'795'193'360'000'000'000}; };
    parts.instant = [] { return Instant{1}; };
    parts.post = [this](absl::AnyInvocable<void()> message) {
      if (!posts_taken_) return false;
      messages_.push_back(std::move(message));
      return true;
    };
    endpoint_ = std::make_unique<ProbeEndpoint>(options_, std::move(parts));
    auto modules = std::make_shared<ProbeModules>();
    modules->usable = {{"http_2xx", MakeProbeModule()}};
    modules->unusable = {{"grpc", "grpc"}};
    modules->texts = {{"http_2xx", "prober: http\n"}};
    modules->config = "modules: {}\n";
    endpoint_->SetModules(modules);
  }

  std::shared_ptr<ProbeClient> Ask(const std::string& query, std::vector<HttpHeader> headers = {}) {
    auto client = std::make_shared<ProbeClient>(query, std::move(headers));
    endpoint_->Probe(client->request(), ResponseHandle(client));
    return client;
  }
  void Turn() {
    while (!messages_.empty()) {
      auto message = std::move(messages_.front());
      messages_.pop_front();
      message();
    }
  }
  HttpResponse& Only(const std::shared_ptr<ProbeClient>& client) {
    EXPECT_EQ(client->answers.size(), 1u);
    if (client->answers.empty()) client->answers.emplace_back();
    return client->answers[0];
  }
  static Runner::Answer AnswerOf(Outcome outcome) {
    Runner::Answer answer;
    answer.result.outcome = outcome;
    answer.result.duration = Milliseconds(5);
    answer.result.facts.Set(Fact::kSuccess, outcome == Outcome::kOk ? 1 : 0);
    answer.result.facts.Set(Fact::kDuration, 0.005);
    answer.evidence.detail = "so it was";
    return answer;
  }
  std::string Families() {
    std::string text;
    Exposition out(Format::kText, &text);
    endpoint_->WriteFamilies(out);
    return text;
  }
  HttpResponse Logs(const std::string& query) {
    return endpoint_->Logs(ProbeClient(query).request());
  }

  ProbePageOptions options_;
  FakeRunner runner_;
  bool posts_taken_ = true;
  std::deque<absl::AnyInvocable<void()>> messages_;
  std::unique_ptr<ProbeEndpoint> endpoint_;
};

TEST_F(ProbeEndpointTest, ARunIsAnsweredWhenItIsOver) {
  options_.policy = std::make_shared<ProbePolicy>();
  Make();
  const auto client = Ask("target=a:1", {{"X-Prometheus-Scrape-Timeout-Seconds", "10"}});
  ASSERT_EQ(runner_.tasks.size(), 1u);
  const Task& task = *runner_.tasks[0];
  EXPECT_EQ(task.target, "a:1");
  EXPECT_EQ(task.timeout, Milliseconds(9'500));
  EXPECT_TRUE(task.fresh_names);
  EXPECT_EQ(task.policy, options_.policy);
  EXPECT_TRUE(client->answers.empty());
  EXPECT_EQ(endpoint_->in_flight(), 1u);

  runner_.Finish(100, AnswerOf(Outcome::kOk));
  EXPECT_TRUE(client->answers.empty());  // not on the engine's thread
  Turn();
  const HttpResponse& answer = Only(client);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(answer.body,
            "# HELP probe_duration_seconds Wall time of the whole probe\n"
            "# TYPE probe_duration_seconds gauge\nprobe_duration_seconds 0.005\n"
            "# HELP probe_success 1 when the last run succeeded, else 0\n"
            "# TYPE probe_success gauge\nprobe_success 1\n"
            "# HELP probe_timeout_seconds The effective time-out of the probe\n"
            "# TYPE probe_timeout_seconds gauge\nprobe_timeout_seconds 9.5\n");
  EXPECT_EQ(endpoint_->in_flight(), 0u);
}

TEST_F(ProbeEndpointTest, OutcomesBecomeStatuses) {
  Make();
  const struct {
    Outcome outcome;
    int status;
    const char* result;
    ProbeVerdict verdict;
  } kRows[] = {
      {Outcome::kOk, 200, "success", ProbeVerdict::kSuccess},
      {Outcome::kConnectRefused, 200, "failed", ProbeVerdict::kFailure},
      {Outcome::kProberConfig, 200, "failed", ProbeVerdict::kFailure},
      {Outcome::kProberLate, 503, "inconclusive", ProbeVerdict::kInconclusive},
      {Outcome::kProberBusy, 503, "inconclusive", ProbeVerdict::kInconclusive},
      {Outcome::kProberCancelled, 503, "inconclusive", ProbeVerdict::kInconclusive},
      {Outcome::kProberPolicy, 403, "policy", ProbeVerdict::kInconclusive},
  };
  uint64_t run = 100;
  std::map<std::string, int> counts;
  for (const auto& row : kRows) {
    const auto client = Ask("target=a:1");
    runner_.Finish(run++, AnswerOf(row.outcome));
    Turn();
    const HttpResponse& answer = Only(client);
    EXPECT_EQ(answer.status, row.status) << OutcomeName(row.outcome);
    if (row.status == 200) {
      EXPECT_THAT(answer.body, HasSubstr("\nprobe_success "));
    } else {
      EXPECT_EQ(answer.body, std::string(OutcomeName(row.outcome)) + ": so it was\n");
    }
    EXPECT_EQ(endpoint_->history().Find(run - 101)->verdict, row.verdict);
    EXPECT_THAT(Families(),
                HasSubstr("sonde_probe_requests_total{result=\"" + std::string(row.result) +
                          "\"} " + std::to_string(++counts[row.result]) + "\n"));
  }
}

TEST_F(ProbeEndpointTest, AClientThatLeavesEndsItsProbe) {
  Make();
  const auto client = Ask("target=a:1");
  client->Leave();
  EXPECT_THAT(runner_.cancelled, ElementsAre(100));
  EXPECT_EQ(endpoint_->in_flight(), 0u);
  EXPECT_THAT(Families(), HasSubstr("result=\"client_gone\"} 1\n"));
  runner_.Finish(100, AnswerOf(Outcome::kProberCancelled));
  Turn();
  EXPECT_TRUE(endpoint_->history().Listed().empty());
}

TEST_F(ProbeEndpointTest, LostMessagesAreMadeUpFor) {
  Make();
  const auto client = Ask("target=a:1");
  posts_taken_ = false;
  runner_.Finish(100, AnswerOf(Outcome::kOk));
  Turn();
  EXPECT_TRUE(client->answers.empty());
  endpoint_->Sweep();
  EXPECT_EQ(Only(client).status, 200);
}

TEST_F(ProbeEndpointTest, AnswersAfterItsEndGoNowhere) {
  Make();
  const auto client = Ask("target=a:1");
  endpoint_->CancelAll();
  EXPECT_THAT(runner_.cancelled, ElementsAre(100));
  endpoint_.reset();
  EXPECT_EQ(Only(client).status, 500);  // the handle was dropped
  runner_.Finish(100, AnswerOf(Outcome::kProberCancelled));
  Turn();
}

TEST_F(ProbeEndpointTest, ATargetThatIsNoneHasFailed) {
  Make();
  const auto client = Ask("target=nocolon&details=true");
  EXPECT_TRUE(runner_.tasks.empty());
  const HttpResponse& answer = Only(client);
  EXPECT_EQ(answer.status, 200);
  for (const char* line :
       {"\nprobe_success 0\n", "\nprobe_http_status_code 0\n", "\nprobe_timeout_seconds 119.5\n",
        "\nprobe_failure_info{phase=\"validation\",reason=\"target\"} 1\n"}) {
    EXPECT_THAT(answer.body, HasSubstr(line));
  }
}

TEST_F(ProbeEndpointTest, Refusals) {
  Make();
  EXPECT_EQ(Only(Ask("module=nix&target=a:1")).status, 400);
  EXPECT_EQ(Only(Ask("module=nix&target=a:1")).status, 400);
  EXPECT_EQ(Only(Ask("target=")).status, 400);
  EXPECT_EQ(Only(Ask("target=a:1", {{"Sec-Fetch-Site", "cross-site"}})).status, 403);
  EXPECT_TRUE(runner_.tasks.empty());
  Ask("target=a:1", {{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "navigate"}});
  EXPECT_EQ(runner_.tasks.size(), 1u);
  EXPECT_THAT(Families(), HasSubstr("blackbox_module_unknown_total 2\n"));
  EXPECT_THAT(Families(), HasSubstr("sonde_probe_requests_total{result=\"invalid\"} 3\n"));
  EXPECT_THAT(Families(), HasSubstr("sonde_probe_requests_in_flight 1\n"));
}

TEST_F(ProbeEndpointTest, Limits) {
  options_.limits.in_flight = 2;
  options_.limits.in_flight_per_client = 1;
  Make();
  Ask("target=a:1");
  const auto again = Ask("target=a:1");
  EXPECT_EQ(Only(again).status, 429);
  EXPECT_THAT(Only(again).body, HasSubstr("--probe.max-in-flight-per-client"));
  auto other = std::make_shared<ProbeClient>("target=a:1");
  other->mutable_request().peer = *Address::ParseLiteral("192.0.2.2");
  endpoint_->Probe(other->request(), ResponseHandle(other));
  auto third = std::make_shared<ProbeClient>("target=a:1");
  third->mutable_request().peer = *Address::ParseLiteral("192.0.2.3");
  endpoint_->Probe(third->request(), ResponseHandle(third));
  EXPECT_EQ(Only(third).status, 503);
  runner_.Finish(100, AnswerOf(Outcome::kOk));
  Turn();
  EXPECT_TRUE(Ask("target=a:1")->answers.empty());
}

TEST_F(ProbeEndpointTest, DebugShowsEverything) {
  options_.log_level = LogLevel::kDebug;
  Make();
  const auto client = Ask("target=a:1&debug=true");
  Runner::Answer answer = AnswerOf(Outcome::kConnectRefused);
  answer.result.AddStage(Stage::kConnect, Milliseconds(1));
  answer.evidence.url = "http://b:1/\nlevel=forged";
  runner_.Finish(100, std::move(answer));
  Turn();
  const HttpResponse& response = Only(client);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/plain; charset=utf-8");
  EXPECT_THAT(response.body, StartsWith("Logs for the probe:\nts=2026-11-20T"));
  for (const char* part :
       {"msg=\"Beginning probe\" probe=http\n", "stage=connect seconds=0.001\n",
        "msg=\"Probe failed\" phase=connect reason=refused detail=\"so it was\"", "\\nlevel=forged",
        "\nMetrics that would have been returned:\n# HELP probe_duration_seconds",
        "\nModule configuration:\nprober: http\n"}) {
    EXPECT_THAT(response.body, HasSubstr(part));
  }
  EXPECT_THAT(response.body, Not(HasSubstr("\nlevel=forged")));
}

TEST_F(ProbeEndpointTest, TheLevelDecidesWhatIsKept) {
  Make();  // info
  const auto passed = Ask("target=a:1&debug=true");
  runner_.Finish(100, AnswerOf(Outcome::kOk));
  const auto failed = Ask("target=a:1&debug=true");
  runner_.Finish(101, AnswerOf(Outcome::kDnsTimeout));
  Turn();
  EXPECT_THAT(Only(passed).body, StartsWith("Logs for the probe:\n\n"));
  EXPECT_THAT(Only(failed).body, HasSubstr("level=error module=http_2xx target=a:1"));
}

TEST_F(ProbeEndpointTest, LogsByIdAndByTarget) {
  Make();
  for (const char* target : {"a:1", "b:2"}) {
    const auto client = Ask(std::string("target=") + target);
    runner_.Finish(100 + (*target - 'a'), AnswerOf(Outcome::kConnectRefused));
    Turn();
  }
  const struct {
    const char* query;
    int status;
    const char* part;
  } kRows[] = {
      {"id=0", 200, "target=a:1"},
      {"id=1", 200, "target=b:2"},
      {"target=b:2", 200, "target=b:2"},
      {"target=b:2&module=http_2xx", 200, "target=b:2"},
      {"target=b:2&id=x", 200, "target=b:2"},
      {"id=2", 404, "Probe id not found"},
      {"id=-1", 400, ""},
      {"target=c:3", 404, "Probe target not found"},
      {"target=b:2&module=other", 404, "Probe target not found"},
      {"id=0&target=a:1", 400, ""},
      {"", 400, ""},
      {"id=", 400, ""},
      {"id=x", 400, ""},
      {"module=http_2xx", 400, ""},
      {"id=0&module=http_2xx", 400, ""},
  };
  for (const auto& row : kRows) {
    const HttpResponse response = Logs(row.query);
    EXPECT_EQ(response.status, row.status) << row.query;
    EXPECT_THAT(response.body, HasSubstr(row.part)) << row.query;
  }
  EXPECT_EQ(endpoint_->Config().body, "modules: {}\n");
}

TEST(ProbeFamilies, AreSortedAndWhole) {
  FactSet facts;
  facts.Set(Fact::kHttpTransfer, 1);
  facts.Set(Fact::kHttpResolve, 2);
  facts.Set(Fact::kHttpConnect, 3);
  facts.Set(Fact::kTcpConnect, 4);
  facts.Set(Fact::kSuccess, 0);
  const Texts texts = {{TextFamily::kExpectInfo, {{"b", "2"}, {"a", "say \"x\"\n"}}},
                       {TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}}};
  EXPECT_EQ(ProbeFamilies(facts, texts, Outcome::kBodyReset, {}),
            "# HELP probe_expect_info Labels captured by a dialogue's expect entries\n"
            "# TYPE probe_expect_info gauge\n"
            "probe_expect_info{a=\"say \\\"x\\\"\\n\",b=\"2\"} 1\n"
            "# HELP probe_http_duration_seconds Seconds per phase of an HTTP probe, summed over "
            "redirects\n"
            "# TYPE probe_http_duration_seconds gauge\n"
            "probe_http_duration_seconds{phase=\"connect\"} 3\n"
            "probe_http_duration_seconds{phase=\"resolve\"} 2\n"
            "probe_http_duration_seconds{phase=\"transfer\"} 1\n"
            "# HELP probe_success 1 when the last run succeeded, else 0\n"
            "# TYPE probe_success gauge\nprobe_success 0\n"
            "# HELP probe_tls_version_info The TLS version in use\n"
            "# TYPE probe_tls_version_info gauge\nprobe_tls_version_info{version=\"TLS 1.3\"} 1\n");
  const std::string details = ProbeFamilies(facts, texts, Outcome::kBodyReset, {.details = true});
  EXPECT_THAT(details, HasSubstr("\nprobe_failure_info{phase=\"body\",reason=\"reset\"} 1\n"));
  EXPECT_THAT(details, HasSubstr("\nprobe_tcp_duration_seconds{phase=\"connect\"} 4\n"));
}

}  // namespace
}  // namespace sonde
