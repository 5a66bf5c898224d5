// The server's own numbers, in a registry of the caller's.
//   http_requests_total{method,path,status}, http_request_duration_seconds{method,path},
//   sonde_http_connections, sonde_http_connections_rejected_total{reason},
//   sonde_http_connections_cut_total{reason}, sonde_http_tls_handshake_failures_total{reason}
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/contract/instant.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
template <typename T>
class Family;
}  // namespace prometheus

namespace sonde {

// Why a connection was not served, or not to its end. kCutReasons names them.
enum class HttpCut { kHeadTimeout, kBodyTimeout, kSlowReader, kBrokenBody, kGrace };
enum class HttpRejection { kConnections, kClientConnections, kAccept };
// Why a handshake came to nothing. kTlsFailures names them.
enum class TlsFailure {
  kTimeout,      // not done in time
  kClosed,       // the client left
  kPlainHttp,    // it spoke HTTP without TLS
  kVersion,      // no version, suite, curve or protocol in common
  kCertificate,  // the client's is missing, or not one we take
  kAlert,        // the client refused us, such as for our certificate
  kProtocol,     // it broke the rules, or speaks something else
};

// Loop thread; the registry may be collected from others.
class HttpMetrics {
 public:
  // Null: counts nothing. The registry outlives this.
  explicit HttpMetrics(prometheus::Registry* registry);

  // One finished request. `method` as sent (unknown ones become "other"), `route` the pattern.
  // A client that left before its answer counts as status 499.
  void CountRequest(std::string_view method, std::string_view route, int status, Duration duration);
  void SetConnections(size_t count);
  void CountCut(HttpCut reason);
  void CountRejection(HttpRejection reason);
  void CountTlsFailure(TlsFailure reason);

 private:
  prometheus::Family<prometheus::Counter>* requests_ = nullptr;
  prometheus::Family<prometheus::Histogram>* durations_ = nullptr;
  prometheus::Family<prometheus::Counter>* cuts_ = nullptr;
  prometheus::Family<prometheus::Counter>* rejections_ = nullptr;
  prometheus::Family<prometheus::Counter>* tls_failures_ = nullptr;
  prometheus::Gauge* connections_ = nullptr;
  // Keys are bounded: known methods, the router's patterns, statuses of our own handlers.
  std::unordered_map<std::string, prometheus::Counter*> counters_;
  std::unordered_map<std::string, prometheus::Histogram*> histograms_;
};

}  // namespace sonde
