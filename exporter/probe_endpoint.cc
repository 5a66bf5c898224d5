#include "exporter/probe_endpoint.h"

#include <charconv>
#include <mutex>
#include <utility>
#include <vector>

#include "exporter/http_text.h"
#include "exporter/probe_families.h"
#include "exporter/probe_log.h"

namespace sonde {
namespace {

constexpr std::string_view kTextFormat = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kEndNames[] = {"success", "failed",       "inconclusive", "policy",
                                          "invalid", "client_limit", "limit",        "client_gone"};
static_assert(std::size(kEndNames) == static_cast<size_t>(ProbeEnd::kCount));

// What a run came to, for whoever asked. A module that can never be used as it is written (a file
// is missing) fails, as in blackbox_exporter; all other trouble of the prober's own says nothing
// about the target.
ProbeEnd EndOf(Outcome outcome) {
  if (outcome == Outcome::kOk) return ProbeEnd::kSuccess;
  if (outcome == Outcome::kProberPolicy) return ProbeEnd::kPolicy;
  if (outcome == Outcome::kProberConfig) return ProbeEnd::kFailed;
  return VerdictOf(outcome) == Verdict::kInconclusive ? ProbeEnd::kInconclusive : ProbeEnd::kFailed;
}

// A page in somebody's browser must not probe through it; a link somebody follows may.
bool FromForeignPage(const HttpRequest& request) {
  const std::string_view site = request.Header("Sec-Fetch-Site");
  return (site == "cross-site" || site == "same-site") &&
         request.Header("Sec-Fetch-Mode") != "navigate";
}

HttpResponse DebugResponse(int status, const ProbeRecord& record) {
  return HttpResponse::Text(status, record.DebugText());
}

}  // namespace

// What waits for the loop. Any thread; kept by runs that outlive the endpoint.
class ProbeEndpoint::Answers : public std::enable_shared_from_this<Answers> {
 public:
  using List = std::vector<std::pair<uint64_t, Runner::Answer>>;
  Answers(ProbeEndpoint* endpoint, const decltype(Parts::post)& post)
      : endpoint_(endpoint), post_(post) {}

  void Push(uint64_t number, Runner::Answer answer) {
    {
      const std::lock_guard lock(mutex_);
      list_.emplace_back(number, std::move(answer));
      if (std::exchange(posted_, true)) return;
    }
    if (post_([self = shared_from_this()] { self->OnLoop(); })) return;
    const std::lock_guard lock(mutex_);
    posted_ = false;
  }

  List Take() {
    const std::lock_guard lock(mutex_);
    posted_ = false;
    return std::exchange(list_, {});
  }

  void Close() { endpoint_ = nullptr; }  // loop thread

 private:
  void OnLoop() {
    if (endpoint_ != nullptr) endpoint_->TakeAnswers();
  }

  ProbeEndpoint* endpoint_;  // loop thread
  const decltype(Parts::post) post_;
  std::mutex mutex_;
  List list_;            // under mutex_
  bool posted_ = false;  // under mutex_
};

struct ProbeEndpoint::Pending {
  ProbeRequest asked;
  ProbeLog log;
  ProbeLimits::Client client;
  ResponseHandle handle;
  uint64_t run = 0;
};

ProbeEndpoint::ProbeEndpoint(ProbePageOptions options, Parts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      modules_(std::make_shared<const ProbeModules>()),
      history_(options_.history),
      limits_(options_.limits),
      answers_(std::make_shared<Answers>(this, parts_.post)) {}

ProbeEndpoint::~ProbeEndpoint() { answers_->Close(); }

HttpResponse ProbeEndpoint::Count(ProbeEnd end, HttpResponse response) {
  Count(end);
  return response;
}

void ProbeEndpoint::Probe(const HttpRequest& request, ResponseHandle handle) {
  if (FromForeignPage(request)) {
    return handle.Send(
        Count(ProbeEnd::kPolicy, HttpResponse::Text(403, "not from a page of another site\n")));
  }
  auto read = ReadProbeRequest(request, modules_, options_);
  if (const auto* refusal = std::get_if<ProbeRefusal>(&read)) {
    if (refusal->unknown_module) ++unknown_modules_;
    const ProbeEnd end = refusal->status == 403 ? ProbeEnd::kPolicy : ProbeEnd::kInvalid;
    return handle.Send(Count(end, HttpResponse::Text(refusal->status, refusal->text)));
  }
  ProbeLimits::Client client = ProbeLimits::ClientOf(request.peer);
  if (const auto limit = limits_.Begin(&client, parts_.instant())) {
    const std::string text =
        "too many probes: " + std::string(ProbeLimitName(*limit)) + " is reached\n";
    return handle.Send(Count(IsClients(*limit) ? ProbeEnd::kClientLimit : ProbeEnd::kLimit,
                             HttpResponse::Text(IsClients(*limit) ? 429 : 503, text)));
  }
  ProbeRequest& asked = std::get<ProbeRequest>(read);
  if (asked.plan != nullptr) return Start(std::move(asked), client, std::move(handle));
  limits_.End(client);
  handle.Send(AnswerUnparsed(asked));
}

void ProbeEndpoint::Start(ProbeRequest asked, const ProbeLimits::Client& client,
                          ResponseHandle handle) {
  const uint64_t number = next_number_++;
  auto task = std::make_shared<Task>();
  task->id = number;
  task->name = asked.module_name + " " + asked.target;
  task->prober = asked.module->prober;
  task->target = asked.target;
  task->module = asked.module;
  task->plan = asked.plan;
  task->timeout = asked.timeout.duration;
  task->fresh_names = true;
  task->policy = options_.policy;

  ProbeLog log(options_.log_level, parts_.log, asked.module_name, asked.target);
  log.Add(parts_.now(), LogLevel::kDebug, "Beginning probe", {{"probe", task->prober->name()}});
  if (asked.timeout.duration <= Duration{}) WarnOfNoTime(asked);
  auto made = std::unique_ptr<Pending>(
      new Pending{std::move(asked), std::move(log), client, std::move(handle)});
  Pending& pending = *made;
  pending.handle.OnDisconnect([this, number] { Leave(number); });
  pending_.emplace(number, std::move(made));
  pending.run =
      parts_.runner->RunNow(std::move(task), [answers = answers_, number](Runner::Answer answer) {
        answers->Push(number, std::move(answer));
      });
}

// Q21: who scrapes decides that there is no time; a line every ten seconds says so.
void ProbeEndpoint::WarnOfNoTime(const ProbeRequest& asked) {
  const Instant now = parts_.instant();
  if (parts_.log == nullptr || (warned_.stamped() && now - warned_ < Seconds(10))) return;
  warned_ = now;
  parts_.log->Log(LogLevel::kWarn,
                  "a probe gets no time: the scrape's time-out is not above --timeout-offset",
                  {{"module", asked.module_name}, {"target", asked.target}});
}

// A target that is none: nothing is opened, and the probe has failed.
HttpResponse ProbeEndpoint::AnswerUnparsed(const ProbeRequest& asked) {
  Runner::Answer answer;
  answer.result.started = answer.result.due = parts_.now();
  answer.result.outcome = Outcome::kValidationTarget;
  answer.result.facts = asked.module->prober->BareFacts();
  answer.result.facts.Set(Fact::kSuccess, 0);
  answer.result.facts.Set(Fact::kDuration, 0);
  answer.evidence.detail = asked.fault;
  ProbeLog log(options_.log_level, parts_.log, asked.module_name, asked.target);
  return Conclude(asked, log, answer);
}

void ProbeEndpoint::TakeAnswers() {
  for (auto& [number, answer] : answers_->Take()) Take(number, answer);
}

void ProbeEndpoint::Take(uint64_t number, const Runner::Answer& answer) {
  const std::unique_ptr<Pending> pending = Remove(number);
  if (pending == nullptr) return;  // its client has gone
  pending->handle.Send(Conclude(pending->asked, pending->log, answer));
}

std::unique_ptr<ProbeEndpoint::Pending> ProbeEndpoint::Remove(uint64_t number) {
  auto node = pending_.extract(number);
  if (node.empty()) return nullptr;
  limits_.End(node.mapped()->client);
  return std::move(node.mapped());
}

// The client has gone, and nobody wants to know any more.
void ProbeEndpoint::Leave(uint64_t number) {
  const std::unique_ptr<Pending> pending = Remove(number);
  if (pending == nullptr) return;
  Count(ProbeEnd::kGone);
  parts_.runner->Cancel(pending->run);
}

void ProbeEndpoint::CancelAll() {
  for (const auto& [number, pending] : pending_) parts_.runner->Cancel(pending->run);
}

HttpResponse ProbeEndpoint::Conclude(const ProbeRequest& asked, ProbeLog& log,
                                     const Runner::Answer& answer) {
  const Outcome outcome = answer.result.outcome;
  const ProbeEnd end = EndOf(outcome);
  Count(end);
  log.AddRun(answer);

  FactSet facts = answer.result.facts;
  facts.Set(Fact::kTimeout, asked.timeout.seconds);
  ProbeRecord record;
  record.module = asked.module_name;
  record.target = asked.target;
  record.verdict = end == ProbeEnd::kSuccess  ? ProbeVerdict::kSuccess
                   : end == ProbeEnd::kFailed ? ProbeVerdict::kFailure
                                              : ProbeVerdict::kInconclusive;
  record.logs = log.lines();
  record.metrics = ProbeFamilies(facts, answer.texts, outcome, {.details = asked.details});
  record.configuration = asked.module_text;

  HttpResponse response;
  if (end == ProbeEnd::kPolicy || end == ProbeEnd::kInconclusive) {
    const int status = end == ProbeEnd::kPolicy ? 403 : 503;
    std::string text(OutcomeName(outcome));
    text.append(": ").append(answer.evidence.detail.empty() ? Info(outcome).sentence
                                                            : answer.evidence.detail);
    response =
        asked.debug ? DebugResponse(status, record) : HttpResponse::Text(status, text.append("\n"));
  } else if (asked.debug) {
    response = DebugResponse(200, record);
  } else {
    response = HttpResponse::Text(200, record.metrics);
    response.content_type = std::string(kTextFormat);
  }
  history_.Add(std::move(record));
  return response;
}

// ---- pages --------------------------------------------------------------------------------------

HttpResponse ProbeEndpoint::Logs(const HttpRequest& request) const {
  const std::string id_text = request.QueryParam("id").value_or("");
  const std::string target = request.QueryParam("target").value_or("");
  const std::string module = request.QueryParam("module").value_or("");
  uint64_t id = 0;
  const char* end = id_text.data() + id_text.size();
  const auto [rest, error] = std::from_chars(id_text.data(), end, id);
  const bool has_id = !id_text.empty() && error == std::errc() && rest == end;
  if (has_id && !target.empty()) {
    return HttpResponse::Text(400, "Probe id and target cannot be given together\n");
  }
  if (target.empty() && !module.empty()) {
    return HttpResponse::Text(400, "Probe module without a target\n");
  }
  if (!has_id && target.empty()) {
    return HttpResponse::Text(400, "Probe id or target is missing or invalid\n");
  }
  const ProbeRecord* record = has_id ? history_.Find(id) : history_.FindTarget(target, module);
  if (record == nullptr) {
    return HttpResponse::Text(404, has_id ? "Probe id not found\n" : "Probe target not found\n");
  }
  return HttpResponse::Text(200, record->DebugText());
}

HttpResponse ProbeEndpoint::Config() const { return HttpResponse::Text(200, modules_->config); }

void ProbeEndpoint::WriteFamilies(Exposition& out) const {
  constexpr MetricFamilyHead kUnknown = {"blackbox_module_unknown_total", MetricType::kCounter,
                                         "Requests of /probe for a module that does not exist"};
  constexpr MetricFamilyHead kRequests = {"sonde_probe_requests_total", MetricType::kCounter,
                                          "Requests of /probe by how they ended"};
  constexpr MetricFamilyHead kInFlight = {"sonde_probe_requests_in_flight", MetricType::kGauge,
                                          "Requests of /probe whose run goes on"};
  out.Begin(kUnknown);
  out.Sample(kUnknown.name, {}, unknown_modules_);
  out.Begin(kRequests);
  for (size_t i = 0; i < ends_.size(); ++i) {
    std::string labels;
    AppendLabel(&labels, "result", kEndNames[i]);
    out.Sample(kRequests.name, labels, ends_[i]);
  }
  out.Begin(kInFlight);
  out.Sample(kInFlight.name, {}, uint64_t{pending_.size()});
}

}  // namespace sonde
