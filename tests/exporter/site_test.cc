#include "exporter/site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "exporter/landing_page.h"
#include "tests/exporter/protobuf_reader.h"
#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A client that keeps what it is answered.
class Client : public HttpExchange {
 public:
  explicit Client(HttpRequest request) : request_(std::move(request)) {}
  const HttpRequest& request() const override { return request_; }
  bool connected() const override { return true; }
  void Send(HttpResponse response) override { answers.push_back(std::move(response)); }
  void OnDisconnect(absl::AnyInvocable<void()>) override {}

  std::vector<HttpResponse> answers;

 private:
  HttpRequest request_;
};

class FixedStats : public EngineStats {
 public:
  std::vector<ShardStats> Snapshot() const override { return SampleShards(); }
};

class SiteTest : public ::testing::Test {
 protected:
  SiteTest() {
    SiteParts parts;
    parts.catalog = &catalog_;
    parts.self = &self_;
    parts.inbox = &inbox_;
    parts.engine = &engine_;
    parts.now = [this] { return now_; };
    parts.ready = [this] { return ready_; };
    parts.reload = [this](std::function<void(absl::Status)> done) {
      reloads_.push_back(std::move(done));
    };
    parts.posts_refused = [] { return uint64_t{7}; };
    site_ = std::make_unique<Site>(std::move(parts));
    EXPECT_TRUE(site_->AddTo(&router_).ok());
  }

  // `target`: a path, and a query as it is sent.
  std::shared_ptr<Client> Ask(const std::string& method, const std::string& target,
                              std::vector<HttpHeader> headers = {}) {
    const size_t mark = target.find('?');
    const std::string path = target.substr(0, mark);
    HttpRequest request;
    request.method = method;
    request.raw_path = request.path = path;
    if (mark != std::string::npos) request.query = target.substr(mark + 1);
    request.headers = std::move(headers);
    auto client = std::make_shared<Client>(std::move(request));
    const Router::Match match = router_.Find(method, path);
    EXPECT_NE(match.route, nullptr) << method << " " << path;
    if (match.route != nullptr) match.route->handler(client->request(), ResponseHandle(client));
    return client;
  }
  HttpResponse Get(const std::string& path, std::vector<HttpHeader> headers = {}) {
    const auto client = Ask("GET", path, std::move(headers));
    EXPECT_EQ(client->answers.size(), 1u);
    return std::move(client->answers.at(0));
  }
  static std::string Body(HttpResponse& response) {
    if (!response.source) return response.body;
    std::string body;
    while (response.source->Next(body) == BodyStep::kMore) {}
    return body;
  }
  static std::string Header(const HttpResponse& response, std::string_view name) {
    for (const HttpHeader& header : response.headers) {
      if (header.name == name) return header.value;
    }
    return "";
  }

  WallTime now_ = kSampleNow;
  bool ready_ = false;
  std::vector<std::function<void(absl::Status)>> reloads_;
  Catalog catalog_;
  SelfMetrics self_{{"0.1.0", "abc", "gcc"}};
  TextsInbox inbox_;
  FixedStats engine_;
  Router router_;
  std::unique_ptr<Site> site_;
};

TEST_F(SiteTest, HealthyAtOnceReadyWhenReady) {
  EXPECT_EQ(Get("/-/healthy").body, "Healthy");
  EXPECT_EQ(Get("/-/ready").status, 503);
  ready_ = true;
  EXPECT_EQ(Get("/-/ready").status, 200);
}

TEST_F(SiteTest, MetricsAreNegotiatedAndWhole) {
  FillSampleCatalog(&catalog_);
  HttpResponse text = Get("/metrics");
  EXPECT_EQ(text.content_type, "text/plain; version=0.0.4; charset=utf-8");
  const std::string body = Body(text);
  for (const char* line :
       {"probe_success{name=\"shop-health\"", "sonde_tasks{state=\"up\"} 1\n",
        "sonde_runs_started_total 201\n", "sonde_build_info{version=\"0.1.0\"",
        "sonde_messages_dropped_total{queue=\"texts\"} 0\n",
        "sonde_messages_dropped_total{queue=\"loop\"} 7\n", "process_open_fds "}) {
    EXPECT_THAT(body, HasSubstr(line));
  }
  HttpResponse open =
      Get("/metrics", {{"Accept", "application/openmetrics-text;version=1.0.0,*/*;q=0.1"}});
  EXPECT_EQ(open.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  const std::string open_body = Body(open);
  EXPECT_EQ(open_body.substr(open_body.size() - 7), "\n# EOF\n");
}

TEST_F(SiteTest, AScrapeTakesTheWordsThatWait) {
  const TaskDelta::Upsert task = MakeUpsert({});
  ProbeResult result = MakeResult(Outcome::kOk);
  result.texts_hash = 3;
  Record(*task.record, result);
  TaskDelta delta;
  delta.upserts.push_back(task);
  catalog_.Apply(delta);
  const Texts texts = {{TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}}};
  inbox_.OnRun({*task.task, result, &texts, nullptr});
  HttpResponse response = Get("/metrics");
  EXPECT_THAT(Body(response), HasSubstr("version=\"TLS 1.3\"} 1\n"));
}

TEST_F(SiteTest, ProtobufIsNegotiatedAndWhole) {
  FillSampleCatalog(&catalog_);
  HttpResponse text = Get("/metrics");
  HttpResponse response =
      Get("/metrics", {{"Accept",
                        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                        "encoding=delimited,text/plain;q=0.5"}});
  EXPECT_EQ(response.content_type,
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
            "encoding=delimited");
  EXPECT_TRUE(response.compressible);
  // What the kernel says of us moves on between the two.
  const auto ours = [](const std::string& page) { return page.substr(0, page.find("process_")); };
  EXPECT_EQ(ours(ProtobufAsText(Body(response))), ours(Body(text)));
}

TEST_F(SiteTest, FamiliesAreTheTasksOwn) {
  TaskSpec spec;
  spec.metrics.families = FamilySet::None();
  TaskDelta delta;
  delta.upserts.push_back(MakeUpsert(spec));
  Record(*delta.upserts[0].record, MakeResult(Outcome::kOk));
  catalog_.Apply(delta);
  HttpResponse response = Get("/metrics");
  const std::string body = Body(response);
  EXPECT_THAT(body, Not(HasSubstr("probe_success")));
  EXPECT_THAT(body, HasSubstr("health_check_results"));
}

TEST_F(SiteTest, FederationWaitsUntilReady) {
  EXPECT_EQ(Get("/federate?match[]=up").status, 503);
  ready_ = true;
  EXPECT_EQ(Get("/federate?match[]=up").status, 200);
  EXPECT_EQ(router_.Find("POST", "/federate").status, 405);
}

TEST_F(SiteTest, FederationChoosesWhatIsAskedFor) {
  ready_ = true;
  FillSampleCatalog(&catalog_);
  site_->SetExternalLabels({{"region", "eu"}});
  HttpResponse response =
      Get("/federate?match%5B%5D=probe_success%7Bname%3D%22database%22%7D&match[]=sonde_runs_"
          "started_total"
          "&other=x",
          {{"Accept", "application/openmetrics-text;version=1.0.0"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(Body(response),
            "# TYPE probe_success untyped\n"
            "probe_success{name=\"database\",type=\"tcp\",target=\"db.example:5432\","
            "application=\"shop\",instance=\"\",region=\"eu\"} 0 1795193355380\n"
            "# TYPE sonde_runs_started_total untyped\n"
            "sonde_runs_started_total{instance=\"\",region=\"eu\"} 201 1795193360380\n");
  HttpResponse nothing = Get("/federate");
  EXPECT_EQ(nothing.status, 200);
  EXPECT_EQ(Body(nothing), "");
}

TEST_F(SiteTest, FederationRefusesBadSelectors) {
  ready_ = true;
  HttpResponse bad = Get("/federate?match[]=up&match[]=up%7Ba=b%7D");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body,
            "match[] 'up{a=b}': 1:6: parse error: unexpected character 'b', expected a string\n");
  EXPECT_EQ(Get("/federate?match[]=").status, 400);
  EXPECT_EQ(Get("/federate?match[]=%7B%7D").status, 400);
}

TEST_F(SiteTest, VersionForPeopleAndPrograms) {
  EXPECT_EQ(Get("/version").body, "sonde 0.1.0 (revision abc, gcc)\n");
  const HttpResponse json = Get("/version", {{"Accept", "application/json"}});
  EXPECT_EQ(json.content_type, "application/json");
  EXPECT_EQ(
      json.body,
      "{\"name\":\"sonde\",\"version\":\"0.1.0\",\"revision\":\"abc\",\"compiler\":\"gcc\"}\n");
}

TEST_F(SiteTest, TheLandingPageIsKeptForASecond) {
  const HttpResponse empty = Get("/");
  EXPECT_THAT(empty.body, HasSubstr("There are no tasks"));
  EXPECT_EQ(Header(empty, "Content-Security-Policy"), kLandingPolicy);
  FillSampleCatalog(&catalog_);
  now_ = now_ + Milliseconds(999);
  EXPECT_THAT(Get("/").body, HasSubstr("There are no tasks"));
  now_ = now_ + Milliseconds(1);
  EXPECT_THAT(Get("/").body, HasSubstr("shop-health"));
  EXPECT_THAT(Get("/style.css").content_type, HasSubstr("text/css"));
}

TEST_F(SiteTest, ReloadAnswersWhenItIsDone) {
  const auto post = Ask("POST", "/-/reload");
  ASSERT_EQ(reloads_.size(), 1u);
  EXPECT_TRUE(post->answers.empty());
  reloads_[0](absl::OkStatus());
  ASSERT_EQ(post->answers.size(), 1u);
  EXPECT_EQ(post->answers[0].status, 200);
  EXPECT_EQ(post->answers[0].body, "");

  const auto put = Ask("POST", "/-/reload");
  ASSERT_EQ(reloads_.size(), 2u);
  reloads_[1](absl::InvalidArgumentError("sonde.yml:3:1: unknown key 'taks'"));
  ASSERT_EQ(put->answers.size(), 1u);
  EXPECT_EQ(put->answers[0].status, 500);
  EXPECT_EQ(put->answers[0].body, "failed to reload config: sonde.yml:3:1: unknown key 'taks'\n");
}

TEST_F(SiteTest, ReloadsGoOneAfterAnother) {
  const auto first = Ask("POST", "/-/reload");
  const auto second = Ask("POST", "/-/reload");
  const auto third = Ask("POST", "/-/reload");
  ASSERT_EQ(reloads_.size(), 1u);
  reloads_[0](absl::OkStatus());
  EXPECT_EQ(first->answers.size(), 1u);
  EXPECT_TRUE(second->answers.empty());
  ASSERT_EQ(reloads_.size(), 2u);
  reloads_[1](absl::OkStatus());
  EXPECT_EQ(second->answers.size(), 1u);
  EXPECT_EQ(third->answers.size(), 1u);
  EXPECT_EQ(reloads_.size(), 2u);
}

TEST_F(SiteTest, WaitingReloadsAreBounded) {
  std::vector<std::shared_ptr<Client>> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(Ask("POST", "/-/reload"));
  ASSERT_EQ(clients.back()->answers.size(), 1u);
  EXPECT_EQ(clients.back()->answers[0].status, 503);
  while (!reloads_.empty()) {
    auto done = std::move(reloads_.back());
    reloads_.pop_back();
    done(absl::OkStatus());
  }
  for (const auto& client : clients) EXPECT_EQ(client->answers.size(), 1u);
}

TEST_F(SiteTest, OtherSitesDoNotReloadUs) {
  const auto client = Ask("POST", "/-/reload", {{"Sec-Fetch-Site", "cross-site"}});
  ASSERT_EQ(client->answers.size(), 1u);
  EXPECT_EQ(client->answers[0].status, 403);
  EXPECT_TRUE(reloads_.empty());
  Ask("POST", "/-/reload", {{"Sec-Fetch-Site", "same-origin"}});
  EXPECT_EQ(reloads_.size(), 1u);
}

TEST_F(SiteTest, OnlyPostReloads) {
  for (const char* method : {"GET", "HEAD", "PUT", "DELETE"}) {
    const Router::Match match = router_.Find(method, "/-/reload");
    EXPECT_EQ(match.route, nullptr) << method;
    EXPECT_EQ(match.status, 405) << method;
  }
}

TEST_F(SiteTest, PathsMayHaveAPrefix) {
  SiteParts parts;
  parts.catalog = &catalog_;
  parts.self = &self_;
  parts.now = [this] { return now_; };
  parts.prefix = RoutePrefix("/x/");
  parts.external_url = "http://proxy.example/x";
  Site site(std::move(parts));
  router_ = Router();
  ASSERT_TRUE(site.AddTo(&router_).ok());
  EXPECT_EQ(Get("/x/-/healthy").body, "Healthy");
  EXPECT_THAT(Get("/x/").body, HasSubstr("<html"));
  const HttpResponse outside = Get("/");
  EXPECT_EQ(outside.status, 302);
  EXPECT_EQ(Header(outside, "Location"), "http://proxy.example/x");
  const HttpResponse almost = Get("/x");
  EXPECT_EQ(almost.status, 301);
  EXPECT_EQ(Header(almost, "Location"), "/x/");
  EXPECT_EQ(router_.Find("GET", "/metrics").status, 404);
  EXPECT_EQ(router_.Find("GET", "/x/probe").status, 404);  // this site has none
}

TEST(RoutePrefix, SlashesAtTheEndsDoNotCount) {
  EXPECT_EQ(RoutePrefix(""), "");
  EXPECT_EQ(RoutePrefix("/"), "");
  EXPECT_EQ(RoutePrefix("x"), "/x");
  EXPECT_EQ(RoutePrefix("//x/y//"), "/x/y");
}

}  // namespace
}  // namespace sonde
