#include "exporter/site.h"

#include <utility>

#include "exporter/engine_families.h"
#include "exporter/landing_page.h"
#include "exporter/metrics_page.h"
#include "exporter/negotiation.h"
#include "exporter/process_metrics.h"
#include "exporter/selector.h"
#include "exporter/text_escape.h"

namespace sonde {
namespace {

constexpr size_t kReloadsWaiting = 64;
constexpr Duration kLandingKept = Seconds(1);

void WriteTaskStates(Exposition& out, const StateCounts& states) {
  constexpr MetricFamilyHead kHead = {"sonde_tasks", MetricType::kGauge, "Tasks by state"};
  out.Begin(kHead);
  for (size_t i = 0; i < kTaskStates; ++i) {
    std::string labels;
    AppendLabel(&labels, "state", kTaskStateNames[i]);
    out.Sample(kHead.name, labels, states[i]);
  }
}

void WriteDropped(Exposition& out, const SiteParts& parts) {
  constexpr MetricFamilyHead kHead = {"sonde_messages_dropped_total", MetricType::kCounter,
                                      "Messages to the exporter that met a full queue"};
  out.Begin(kHead);
  if (parts.inbox != nullptr) out.Sample(kHead.name, "queue=\"texts\"", parts.inbox->dropped());
  if (parts.posts_refused) out.Sample(kHead.name, "queue=\"loop\"", parts.posts_refused());
}

HttpResponse NoStore(HttpResponse response) {
  response.headers.push_back({"Cache-Control", "no-store"});
  return response;
}

}  // namespace

// Reloads one after another. Requests that come during one are answered by the next: the file may
// have changed after the running one read it. Shared with the function's callback, which may
// outlive the site.
class Site::Reloads : public std::enable_shared_from_this<Site::Reloads> {
 public:
  explicit Reloads(ReloadFunction reload) : reload_(std::move(reload)) {}

  void Handle(const HttpRequest& request, ResponseHandle handle) {
    // A page of another site must not reload us through a visitor's browser.
    const std::string_view from = request.Header("Sec-Fetch-Site");
    if (from == "cross-site" || from == "same-site") {
      return handle.Send(HttpResponse::Text(403, "not from another site\n"));
    }
    if (!reload_) { return handle.Send(HttpResponse::Text(501, "this process cannot reload\n")); }
    if (waiting_.size() >= kReloadsWaiting) {
      return handle.Send(HttpResponse::Text(503, "too many reloads are waiting\n"));
    }
    waiting_.push_back(std::move(handle));
    if (!running_) Start();
  }

 private:
  void Start() {
    running_ = true;
    answering_ = std::move(waiting_);
    waiting_.clear();
    reload_([self = shared_from_this()](absl::Status status) { self->Done(status); });
  }

  void Done(const absl::Status& status) {
    if (!running_) return;
    std::vector<ResponseHandle> handles = std::move(answering_);
    answering_.clear();
    running_ = false;
    std::string message;
    if (!status.ok()) {
      const auto reason = status.message();
      message = "failed to reload config: ";
      message.append(reason.data(), reason.size()).push_back('\n');
    }
    for (ResponseHandle& handle : handles) {
      handle.Send(HttpResponse::Text(status.ok() ? 200 : 500, message));
    }
    if (!waiting_.empty() && !running_) Start();
  }

  ReloadFunction reload_;
  bool running_ = false;
  std::vector<ResponseHandle> answering_, waiting_;
};

std::string RoutePrefix(std::string_view text) {
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  return text.empty() ? "" : "/" + std::string(text);
}

Site::Site(SiteParts parts)
    : parts_(std::move(parts)), reloads_(std::make_shared<Reloads>(parts_.reload)) {}
Site::~Site() = default;

void Site::Receive() {
  if (parts_.inbox != nullptr) parts_.catalog->Receive(*parts_.inbox);
}

absl::Status Site::AddTo(Router* router) {
  struct Line {
    std::vector<std::string> methods;  // none: any
    std::string_view pattern;
    HttpHandler handler;
  };
  std::vector<Line> lines;
  const auto add = [&lines](std::vector<std::string> methods, std::string_view pattern,
                            auto handler) {
    lines.push_back({std::move(methods), pattern, AnswerAtOnce(std::move(handler))});
  };
  add({}, "/", [this](const HttpRequest&) { return Landing(); });
  add({"GET"}, "/style.css", [](const HttpRequest&) {
    HttpResponse response = HttpResponse::Text(200, LandingStyle());
    response.content_type = "text/css; charset=utf-8";
    response.headers.push_back({"Cache-Control", "max-age=300"});
    return response;
  });
  add({}, "/metrics", [this](const HttpRequest& request) { return Metrics(request); });
  add({"GET"}, "/federate", [this](const HttpRequest& request) { return Federate(request); });
  add({"GET"}, "/version", [this](const HttpRequest& request) { return Version(request); });
  add({}, "/-/healthy", [](const HttpRequest&) { return HttpResponse::Text(200, "Healthy"); });
  add({"GET"}, "/-/ready", [this](const HttpRequest&) { return Ready(); });
  lines.push_back({{"POST"},
                   "/-/reload",
                   [reloads = reloads_](const HttpRequest& request, ResponseHandle handle) {
                     reloads->Handle(request, std::move(handle));
                   }});
  if (ProbeEndpoint* probes = parts_.probes) {
    lines.push_back({{}, "/probe", [probes](const HttpRequest& request, ResponseHandle handle) {
                       probes->Probe(request, std::move(handle));
                     }});
    add({}, "/logs",
        [probes](const HttpRequest& request) { return NoStore(probes->Logs(request)); });
    add({}, "/config", [probes](const HttpRequest&) { return NoStore(probes->Config()); });
  }
  for (Line& line : lines) {
    absl::Status added = router->Add({std::move(line.methods),
                                      parts_.prefix + std::string(line.pattern),
                                      std::move(line.handler),
                                      {}});
    if (!added.ok()) return added;
  }
  return parts_.prefix.empty() ? absl::OkStatus() : AddPrefixRoutes(router);
}

// Whoever does not know the prefix is shown the way.
absl::Status Site::AddPrefixRoutes(Router* router) const {
  const std::string inside = parts_.prefix + "/";
  const std::string outside = parts_.external_url.empty() ? inside : parts_.external_url;
  const auto redirect = [](int status, std::string to) {
    return AnswerAtOnce([status, to = std::move(to)](const HttpRequest&) {
      HttpResponse response = HttpResponse::Text(status, "");
      response.headers.push_back({"Location", to});
      return response;
    });
  };
  absl::Status status = router->Add({{}, "/", redirect(302, outside), {}});
  if (status.ok()) status = router->Add({{}, parts_.prefix, redirect(301, inside), {}});
  return status;
}

HttpResponse Site::Landing() {
  const WallTime now = parts_.now();
  if (landing_tasks_.empty() || now - landing_made_ >= kLandingKept || now < landing_made_) {
    Receive();
    landing_tasks_ = RenderTasks(parts_.catalog->Snapshot(), now);
    landing_made_ = now;
  }
  std::vector<const ProbeRecord*> probes;
  if (parts_.probes != nullptr) probes = parts_.probes->history().Listed();
  HttpResponse response =
      NoStore(HttpResponse::Html(RenderLandingPage(landing_tasks_, probes, parts_.self->build())));
  response.headers.push_back({"Content-Security-Policy", std::string(kLandingPolicy)});
  response.headers.push_back({"Referrer-Policy", "no-referrer"});
  return response;
}

HttpResponse Site::Metrics(const HttpRequest& request) {
  Receive();
  const Negotiated negotiated = NegotiateFormat(request.HeaderList("Accept"));
  auto page = std::make_unique<MetricsPage>(
      parts_.catalog->Snapshot(), parts_.catalog->families(), negotiated.format, parts_.now(),
      [this](Exposition& out, const StateCounts& states) { WriteProcessPart(out, states); });
  return HttpResponse::Stream(negotiated.content_type, std::move(page));
}

HttpResponse Site::Federate(const HttpRequest& request) {
  if (parts_.ready && !parts_.ready()) return HttpResponse::Text(503, "Not ready\n");
  const auto selectors = ParseSelectors(request.QueryParams("match[]"));
  if (!selectors.ok()) {
    return HttpResponse::Text(400, std::string(selectors.status().message()) + "\n");
  }
  Receive();
  auto page = std::make_unique<FederatePage>(
      parts_.catalog->Snapshot(), *selectors, external_labels_, parts_.now(),
      [this](Exposition& out, const StateCounts& states) { WriteProcessPart(out, states); });
  return HttpResponse::Stream(FederatePage::kContentType, std::move(page));
}

void Site::WriteProcessPart(Exposition& out, const StateCounts& states) const {
  WriteTaskStates(out, states);
  if (parts_.engine != nullptr) WriteEngineFamilies(out, parts_.engine->Snapshot());
  WriteDropped(out, parts_);
  if (parts_.probes != nullptr) parts_.probes->WriteFamilies(out);
  parts_.self->Write(out);
  WriteProcessFamilies(out, ReadProcess());
}

// JSON for programs, which ask for it; a line for people.
HttpResponse Site::Version(const HttpRequest& request) const {
  const BuildInfo& build = parts_.self->build();
  if (request.HeaderList("Accept").find("application/json") == std::string::npos) {
    return NoStore(HttpResponse::Text(200, "sonde " + build.version + " (revision " +
                                               build.revision + ", " + build.compiler + ")\n"));
  }
  std::string json = "{\"name\":\"sonde\",\"version\":";
  AppendJson(&json, build.version);
  json += ",\"revision\":";
  AppendJson(&json, build.revision);
  json += ",\"compiler\":";
  AppendJson(&json, build.compiler);
  json += "}\n";
  HttpResponse response = HttpResponse::Text(200, json);
  response.content_type = "application/json";
  return NoStore(std::move(response));
}

HttpResponse Site::Ready() const {
  const bool ready = !parts_.ready || parts_.ready();
  return HttpResponse::Text(ready ? 200 : 503, ready ? "Ready" : "Not ready");
}

}  // namespace sonde
