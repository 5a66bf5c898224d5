#include "tests/exporter/sample_fleet.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <array>
#include <map>

#include "exporter/engine_families.h"
#include "exporter/process_metrics.h"
#include "exporter/self_metrics.h"
#include "exporter/texts_inbox.h"

namespace sonde {
namespace {

class NameOnly : public Prober {
 public:
  explicit NameOnly(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  std::shared_ptr<Module> ParseModule(const ConfigNode*, const std::string&,
                                      Diagnostics&) const override {
    return nullptr;
  }
  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view, Mark, const ConfigNode*,
                                                const Module&, const std::string&,
                                                Diagnostics&) const override {
    return nullptr;
  }
  Conversation* Make(void*, const Task&, const ConversationContext&) const override {
    return nullptr;
  }

 private:
  std::string name_;
};

ProbeResult HttpPass() {
  ProbeResult result = MakeResult(Outcome::kOk, Microseconds(48'213));
  result.latency_recorded = true;
  result.texts_hash = 7;
  FactSet& facts = result.facts;
  facts.Set(Fact::kDnsLookupTime, 0.001250332);
  facts.Set(Fact::kIpProtocol, 4);
  facts.Set(Fact::kIpAddrHash, 3267127146);
  facts.Set(Fact::kHttpResolve, 0.001250332);
  facts.Set(Fact::kHttpConnect, 0.010004);
  facts.Set(Fact::kHttpTls, 0.0205);
  facts.Set(Fact::kHttpProcessing, 0.015);
  facts.Set(Fact::kHttpTransfer, 0.000001);
  facts.Set(Fact::kHttpContentLength, -1);
  facts.Set(Fact::kHttpBodyLength, 1234567);
  facts.Set(Fact::kHttpRedirects, 0);
  facts.Set(Fact::kHttpSsl, 1);
  facts.Set(Fact::kHttpStatusCode, 200);
  facts.Set(Fact::kHttpVersion, 1.1);
  facts.Set(Fact::kFailedRegex, 0);
  facts.Set(Fact::kCertExpiry, 1810000000);
  facts.Set(Fact::kChainExpiry, -62135596800);
  return result;
}

ProbeResult TcpFailure() {
  ProbeResult result = MakeResult(Outcome::kConnectRefused, Microseconds(310));
  result.facts.Set(Fact::kDnsLookupTime, 0.0002);
  result.facts.Set(Fact::kTcpResolve, 0.0002);
  result.facts.Set(Fact::kTcpConnect, 0.0001);
  return result;
}

Texts CertificateTexts() {
  return {{TextFamily::kChainInfo,
           {{"fingerprint_sha256", "ab12"},
            {"issuer", "CN=Example \"Root\" \\ CA"},
            {"subject", "CN=shop.example"},
            {"subjectalternative", "shop.example,\nwww.shop.example"},
            {"serialnumber", "0a"}}},
          {TextFamily::kTlsVersion, {{"version", "TLS 1.3"}}},
          {TextFamily::kTlsCipher, {{"cipher", "TLS_AES_128_GCM_SHA256"}}},
          {TextFamily::kExpectInfo, {{"greeting", "hello"}, {"name", "clashes"}}}};
}

void WriteSampleProcess(Exposition& out, const StateCounts& states) {
  out.Begin({"sonde_tasks", MetricType::kGauge, "Tasks by state"});
  for (size_t i = 0; i < kTaskStates; ++i) {
    std::string labels;
    AppendLabel(&labels, "state", kTaskStateNames[i]);
    out.Sample("sonde_tasks", labels, states[i]);
  }
  WriteEngineFamilies(out, SampleShards());
  SelfMetrics self({"0.1.0", "0123abc", "gcc 12.2.0"});
  self.SetReload(true, kSampleNow - Hours(1));
  auto& requests = prometheus::BuildCounter()
                       .Name("http_requests_total")
                       .Help("Requests \"served\", by route\nand status")
                       .Register(self.registry());
  requests.Add({{"method", "GET"}, {"path", "/metrics"}, {"status", "200"}}).Increment(12);
  auto& seconds = prometheus::BuildHistogram()
                      .Name("http_request_duration_seconds")
                      .Help("Time to answer")
                      .Register(self.registry());
  auto& get =
      seconds.Add({{"method", "GET"}, {"path", "/metrics"}},
                  prometheus::Histogram::BucketBoundaries{0.1, 0.3, 0.5, 0.7, 1, 1.5, 2, 3});
  get.Observe(0.25);
  get.Observe(17);
  self.Write(out);
  ProcessNumbers process;
  process.cpu_seconds = 12.34;
  process.resident_bytes = 46'137'344;
  process.virtual_bytes = 1'073'741'824;
  process.threads = 6;
  process.open_fds = 23;
  process.max_fds = 20'000;
  process.start_time_seconds = 1795190000.25;
  WriteProcessFamilies(out, process);
}

}  // namespace

const Prober& NamedProber(std::string_view name) {
  static const NameOnly http("http"), tcp("tcp");
  return name == "tcp" ? tcp : http;
}

std::shared_ptr<const Task> MakeTask(const TaskSpec& spec) {
  auto task = std::make_shared<Task>();
  task->id = std::hash<std::string>()(spec.name) | 1;
  task->name = spec.name;
  task->prober = &NamedProber(spec.type);
  task->target = spec.target;
  task->application = spec.application;
  task->labels = spec.labels;
  task->schedule = *Schedule::Every(spec.interval);
  task->enabled = spec.enabled;
  task->metrics = spec.metrics;
  return task;
}

TaskDelta::Upsert MakeUpsert(const TaskSpec& spec) {
  std::shared_ptr<const Task> task = MakeTask(spec);
  return {std::make_shared<TaskRecord>(task), task};
}

ProbeResult MakeResult(Outcome outcome, Duration duration, WallTime started) {
  ProbeResult result;
  result.due = started;
  result.started = started;
  result.duration = duration;
  result.outcome = outcome;
  result.latency_recorded = outcome == Outcome::kOk;
  result.facts.Set(Fact::kSuccess, outcome == Outcome::kOk ? 1 : 0);
  result.facts.Set(Fact::kDuration, duration.seconds());
  return result;
}

void Record(TaskRecord& record, const ProbeResult& result) {
  record.tally.Record(result, result.started + result.duration);
}

std::string RenderPage(const SampleSnapshot& tasks, Format format, FamilySet families, WallTime now,
                       MetricsPage::ProcessPart process, size_t sample_bytes) {
  MetricsPage page(tasks, families, format, now, std::move(process), sample_bytes);
  std::string all;
  for (int calls = 0; calls < 1'000'000; ++calls) {
    std::string chunk;
    const BodyStep step = page.Next(chunk);
    all += chunk;
    if (step == BodyStep::kEnd) return all;
  }
  return "(endless)";
}

void FillSampleCatalog(Catalog* catalog) {
  TextsInbox inbox;
  TaskDelta delta;
  const auto add = [&delta](const TaskSpec& spec) {
    delta.upserts.push_back(MakeUpsert(spec));
    return delta.upserts.back().record;
  };
  TaskSpec shop_health = {
      "shop-health", "http", "https://shop.example/health", "shop", {{"team", "web"}}};
  shop_health.metrics = {FamilySet::All(), true};
  const auto shop = add(shop_health);
  Record(*shop, HttpPass());
  Record(*shop, MakeResult(Outcome::kValidationStatus));
  Record(*shop, MakeResult(Outcome::kProberLate));
  Record(*shop, HttpPass());

  const auto database = add({"database", "tcp", "db.example:5432", "shop"});
  Record(*database, TcpFailure());

  add({"never-run", "http", "http://new.example/", ""});
  const auto off = add({"switched-off", "tcp", "old.example:22", "old", {}, Seconds(30), false});
  Record(*off, TcpFailure());
  const auto stale = add({"stale", "http", "http://stale.example/", "shop"});
  Record(*stale, MakeResult(Outcome::kOk, Milliseconds(9), kSampleNow - Minutes(6)));
  const auto hostile = add({"quote\"back\\slash\nline",
                            "http",
                            "http://x/?a={b}&c=\xff\xfe",
                            std::string("nul\0cr\r tab\t", 12),
                            {{"note", "\xc3\xa9\xe2\x82\xac \xed\xa0\x80 }"}}});
  Record(*hostile, MakeResult(Outcome::kFirstByteTimeout, Seconds(5)));

  catalog->Apply(delta);
  const ProbeResult shown = HttpPass();
  const Texts texts = CertificateTexts();
  inbox.OnRun({*delta.upserts[0].task, shown, &texts, nullptr});
  Evidence evidence;
  evidence.detail = "connect: Connection refused";
  const ProbeResult failed = TcpFailure();
  inbox.OnRun({*delta.upserts[1].task, failed, nullptr, &evidence});
  catalog->Receive(inbox);
}

std::vector<ShardStats> SampleShards() {
  std::vector<ShardStats> shards(2);
  for (uint64_t i = 0; i < shards.size(); ++i) {
    ShardStats& shard = shards[i];
    shard.tasks = 3;
    shard.started = 100 + i;
    shard.finished = 98 + i;
    shard.in_flight = 2;
    shard.waiting = i;
    shard.types = {{"http", {70, 20, 1}}, {"tcp", {5, 2 + i, 0}}};
    shard.outcomes[static_cast<size_t>(Outcome::kProberLate)] = 1;
    shard.skipped = {1, 2, 0};
    shard.blocked[static_cast<size_t>(BlockReason::kHandshakes)] = 4;
    shard.refused[static_cast<size_t>(PolicyKind::kAddress)] = 3;
    shard.lateness = {50, 30, 10, 5, 3, 0, 0, 0, 0, 0, 0, 0, 1, 1};
    shard.lateness_sum_seconds = 7.25;
    shard.loop_utilization = 0.125 + 0.5 * static_cast<double>(i);
    shard.cpu_seconds = 1.5 + static_cast<double>(i);
    shard.turns = 300;
    shard.resolver_hits = 90;
    shard.resolver_misses = 10;
    shard.handshakes_full = 5;
    shard.descriptors = 2;
  }
  return shards;
}

std::string RenderSample(Format format) {
  Catalog catalog;
  FillSampleCatalog(&catalog);
  return RenderPage(catalog.Snapshot(), format, FamilySet::All(), kSampleNow, WriteSampleProcess);
}

}  // namespace sonde
