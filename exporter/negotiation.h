// Which format a scraper gets: content negotiation as Prometheus and its clients do it.
#pragma once

#include <string>
#include <string_view>

#include "exporter/exposition.h"

namespace sonde {

struct Negotiated {
  Format format = Format::kText;
  std::string content_type;
};

// `accept` is the request's Accept header as it came (RFC 9110 section 12.5.1), "" when there was
// none. Clauses by falling q (wildcards lose ties, then as written); the first whose type and
// version we serve wins: OpenMetrics 1.0.0 and 0.0.1 (a missing version means 0.0.1), text 0.0.4
// (a missing version) and text 1.0.0, which is answered as 0.0.4, protocol buffers as
// proto=io.prometheus.client.MetricFamily with encoding=delimited. Nothing served: text 0.0.4,
// never an error. A clause's `escaping` scheme is echoed: our names are legal in all of them.
Negotiated NegotiateFormat(std::string_view accept);

}  // namespace sonde
