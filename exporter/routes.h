// The table of routes. The matched pattern is also the `path` label of the server's own metrics.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "exporter/http_message.h"

namespace sonde {

// Label of requests that matched no route.
inline constexpr std::string_view kOtherRoute = "other";

struct RouteLimits {
  size_t max_body = 1024 * 1024;  // bytes; a longer body is answered 413
};

struct Route {
  // Empty: any method. GET also takes HEAD (the server drops the body).
  std::vector<std::string> methods;
  // "/metrics"; "/api/tasks/{id}" ({id} takes one non-empty segment); "/static/*" (`*`, last, takes
  // the rest, also an empty one). Literal beats {name} beats *, segment by segment.
  std::string pattern;
  HttpHandler handler;
  RouteLimits limits = {};
};

// Filled before the server starts, then read by the loop thread.
class Router {
 public:
  struct Match {
    Route* route = nullptr;                  // null: see status
    int status = 200;                        // 200, 404 or 405
    std::string_view pattern = kOtherRoute;  // also set for 405
    std::string allow;                       // 405: "GET, HEAD, POST"
    std::vector<HttpHeader> captures;
  };

  // Two routes may share a pattern when their methods differ. InvalidArgument for a bad pattern or
  // method, AlreadyExists for a second route with the same pattern and method.
  absl::Status Add(Route route);

  // `raw_path` as sent; every segment is decoded once, after splitting, so %2F never splits.
  Match Find(std::string_view method, std::string_view raw_path) const;

 private:
  struct Entry {
    std::vector<std::string> segments;  // "{id}" and "*" as written
    std::unique_ptr<Route> route;
  };
  std::vector<Entry> entries_;
};

}  // namespace sonde
