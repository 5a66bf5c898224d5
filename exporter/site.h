// The process's own pages: /, /style.css, /metrics, /federate, /version, /-/healthy, /-/ready,
// /-/reload, and /probe, /logs and /config of its ProbeEndpoint.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/contract/engine_stats.h"
#include "exporter/catalog.h"
#include "exporter/federate_page.h"
#include "exporter/probe_endpoint.h"
#include "exporter/routes.h"
#include "exporter/self_metrics.h"

namespace sonde {

// Loads the configuration anew; calls `done` exactly once, on the loop thread, at once or later.
// Never called again before that. The error's message is what the client reads.
using ReloadFunction = std::function<void(std::function<void(absl::Status)> done)>;

struct SiteParts {
  Catalog* catalog = nullptr;               // must be there, outlives the site
  SelfMetrics* self = nullptr;              // the same
  TextsInbox* inbox = nullptr;              // may be null: no texts
  const EngineStats* engine = nullptr;      // may be null: no engine families
  std::function<WallTime()> now;            // the wall clock
  std::function<bool()> ready;              // null: ready from the start
  ReloadFunction reload;                    // null: /-/reload answers 501
  std::function<uint64_t()> posts_refused;  // of the loop; may be null
  ProbeEndpoint* probes = nullptr;          // may be null: no /probe; outlives the site
  std::string prefix;                       // of every path: "" or "/x"
  std::string external_url;                 // where `/` leads when there is a prefix
};

// --web.route-prefix or the path of --web.external-url, as SiteParts wants it: slashes at both ends
// do not count.
std::string RoutePrefix(std::string_view text);

// Loop thread. Outlives the router's handlers.
class Site {
 public:
  explicit Site(SiteParts parts);
  ~Site();
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  absl::Status AddTo(Router* router);

  // Takes words from the inbox; call it now and then (scrapes and pages do it too), so that they
  // do not pile up while nobody looks.
  void Receive();

  // What /federate adds to series that have no such label; until then there are none.
  void SetExternalLabels(ExternalLabels labels) { external_labels_ = std::move(labels); }

 private:
  class Reloads;

  HttpResponse Landing();
  HttpResponse Metrics(const HttpRequest& request);
  HttpResponse Federate(const HttpRequest& request);
  HttpResponse Version(const HttpRequest& request) const;
  HttpResponse Ready() const;
  void WriteProcessPart(Exposition& out, const std::array<uint64_t, 4>& states) const;

  SiteParts parts_;
  std::shared_ptr<Reloads> reloads_;
  ExternalLabels external_labels_;
  absl::Status AddPrefixRoutes(Router* router) const;
  std::string
      landing_tasks_;  // kept for a second: a page per refresh would cost a look at every task
  WallTime landing_made_{};
};

}  // namespace sonde
