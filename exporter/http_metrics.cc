#include "exporter/http_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <string>

namespace sonde {
namespace {

constexpr std::array<std::string_view, 7> kMethods = {"GET",   "HEAD",   "POST",   "PUT",
                                                      "PATCH", "DELETE", "OPTIONS"};
constexpr const char* kCutReasons[] = {"head_timeout", "body_timeout", "slow_reader", "broken_body",
                                       "grace"};
constexpr const char* kRejections[] = {"connections", "client_connections", "accept"};
constexpr const char* kTlsFailures[] = {"timeout",     "closed", "plain_http", "version",
                                        "certificate", "alert",  "protocol"};

std::string MethodLabel(std::string_view method) {
  const bool known = std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
  return known ? std::string(method) : "other";
}

}  // namespace

HttpMetrics::HttpMetrics(prometheus::Registry* registry) {
  if (registry == nullptr) return;
  requests_ = &prometheus::BuildCounter()
                   .Name("http_requests_total")
                   .Help("Requests answered by this server.")
                   .Register(*registry);
  durations_ = &prometheus::BuildHistogram()
                    .Name("http_request_duration_seconds")
                    .Help("Time from a request's last header byte to its answer's last byte.")
                    .Register(*registry);
  connections_ = &prometheus::BuildGauge()
                      .Name("sonde_http_connections")
                      .Help("Open connections of this server.")
                      .Register(*registry)
                      .Add({});
  rejections_ = &prometheus::BuildCounter()
                     .Name("sonde_http_connections_rejected_total")
                     .Help("Connections refused when they arrived, by reason.")
                     .Register(*registry);
  cuts_ = &prometheus::BuildCounter()
               .Name("sonde_http_connections_cut_total")
               .Help("Connections cut before a request or its answer was complete, by reason.")
               .Register(*registry);
  tls_failures_ = &prometheus::BuildCounter()
                       .Name("sonde_http_tls_handshake_failures_total")
                       .Help("TLS handshakes of this server's clients that failed, by reason.")
                       .Register(*registry);
  for (const char* reason : kTlsFailures) tls_failures_->Add({{"reason", reason}});
  for (const char* reason : kRejections) rejections_->Add({{"reason", reason}});
  for (const char* reason : kCutReasons) cuts_->Add({{"reason", reason}});
}

void HttpMetrics::CountRequest(std::string_view method, std::string_view route, int status,
                               Duration duration) {
  if (requests_ == nullptr) return;
  const std::string method_label = MethodLabel(method);
  std::string key = method_label + ' ' + std::string(route);
  prometheus::Histogram*& histogram = histograms_[key];
  if (histogram == nullptr) {
    histogram =
        &durations_->Add({{"method", method_label}, {"path", std::string(route)}},
                         prometheus::Histogram::BucketBoundaries{0.1, 0.3, 0.5, 0.7, 1, 1.5, 2, 3});
  }
  histogram->Observe(duration.seconds());
  const std::string status_label = std::to_string(status);
  prometheus::Counter*& counter = counters_[key + ' ' + status_label];
  if (counter == nullptr) {
    counter = &requests_->Add(
        {{"method", method_label}, {"path", std::string(route)}, {"status", status_label}});
  }
  counter->Increment();
}

void HttpMetrics::SetConnections(size_t count) {
  if (connections_ != nullptr) connections_->Set(static_cast<double>(count));
}

void HttpMetrics::CountCut(HttpCut reason) {
  if (cuts_ == nullptr) return;
  cuts_->Add({{"reason", kCutReasons[static_cast<size_t>(reason)]}}).Increment();
}

void HttpMetrics::CountRejection(HttpRejection reason) {
  if (rejections_ == nullptr) return;
  rejections_->Add({{"reason", kRejections[static_cast<size_t>(reason)]}}).Increment();
}

void HttpMetrics::CountTlsFailure(TlsFailure reason) {
  if (tls_failures_ == nullptr) return;
  tls_failures_->Add({{"reason", kTlsFailures[static_cast<size_t>(reason)]}}).Increment();
}

}  // namespace sonde
