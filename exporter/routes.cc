#include "exporter/routes.h"

#include <algorithm>
#include <optional>

#include "exporter/http_text.h"

namespace sonde {
namespace {

constexpr size_t kMaxSegments = 64;

std::vector<std::string_view> Split(std::string_view path) {
  std::vector<std::string_view> segments;
  path.remove_prefix(1);  // every path starts with '/'
  while (segments.size() < kMaxSegments) {
    const size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return segments;
}

bool IsCapture(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

// 3: literal, 2: {name}, 1: the rest. Compared segment by segment, higher first.
int Weight(std::string_view segment) { return segment == "*" ? 1 : IsCapture(segment) ? 2 : 3; }

bool MoreSpecific(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (Weight(a[i]) != Weight(b[i])) return Weight(a[i]) > Weight(b[i]);
  }
  return a.size() > b.size();
}

std::optional<std::vector<HttpHeader>> MatchSegments(const std::vector<std::string>& pattern,
                                                     std::string_view raw_path) {
  const std::vector<std::string_view> path = Split(raw_path);
  std::vector<HttpHeader> captures;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (i >= path.size()) return std::nullopt;
    if (pattern[i] == "*") {
      const size_t offset = static_cast<size_t>(path[i].data() - raw_path.data());
      const auto rest = DecodePath(raw_path.substr(offset));
      if (!rest) return std::nullopt;
      captures.push_back({"*", *rest});
      return captures;
    }
    const auto segment = DecodePath(path[i]);
    if (!segment) return std::nullopt;
    if (IsCapture(pattern[i])) {
      if (segment->empty()) return std::nullopt;
      captures.push_back({pattern[i].substr(1, pattern[i].size() - 2), *segment});
    } else if (*segment != pattern[i]) {
      return std::nullopt;
    }
  }
  if (path.size() != pattern.size()) return std::nullopt;
  return captures;
}

bool Takes(const Route& route, std::string_view method) {
  if (route.methods.empty()) return true;
  return std::any_of(route.methods.begin(), route.methods.end(), [&](const std::string& allowed) {
    return allowed == method || (allowed == "GET" && method == "HEAD");
  });
}

void AppendAllowed(const Route& route, std::vector<std::string>& allowed) {
  for (const std::string& method : route.methods) {
    allowed.push_back(method);
    if (method == "GET") allowed.push_back("HEAD");
  }
}

bool Overlap(const Route& a, const Route& b) {
  if (a.methods.empty() || b.methods.empty()) return true;
  const auto any_taken = [](const Route& x, const Route& y) {
    return std::any_of(x.methods.begin(), x.methods.end(),
                       [&](const std::string& method) { return Takes(y, method); });
  };
  return any_taken(a, b) || any_taken(b, a);
}

absl::Status CheckPattern(const Route& route, const std::vector<std::string_view>& segments) {
  const auto bad = [&](const char* why) {
    return absl::InvalidArgumentError("route '" + route.pattern + "': " + why);
  };
  if (segments.size() >= kMaxSegments) return bad("too many segments");
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i] == "*" && i + 1 != segments.size()) return bad("'*' must be the last segment");
    if (segments[i] != "*" && !IsCapture(segments[i]) &&
        segments[i].find_first_of("{}*") != std::string_view::npos) {
      return bad("'{name}' and '*' take a whole segment");
    }
  }
  for (const std::string& method : route.methods) {
    if (!IsToken(method)) return bad("a method is not a token");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Router::Add(Route route) {
  if (route.pattern.empty() || route.pattern[0] != '/') {
    return absl::InvalidArgumentError("route '" + route.pattern + "': must start with '/'");
  }
  if (!route.handler) {
    return absl::InvalidArgumentError("route '" + route.pattern + "': no handler");
  }
  const std::vector<std::string_view> views = Split(route.pattern);
  if (absl::Status status = CheckPattern(route, views); !status.ok()) return status;
  std::vector<std::string> segments(views.begin(), views.end());
  for (const Entry& entry : entries_) {
    if (entry.segments == segments && Overlap(*entry.route, route)) {
      return absl::AlreadyExistsError("route '" + route.pattern + "' is there already");
    }
  }
  const auto place = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return MoreSpecific(segments, entry.segments);
  });
  entries_.insert(place, Entry{std::move(segments), std::make_unique<Route>(std::move(route))});
  return absl::OkStatus();
}

Router::Match Router::Find(std::string_view method, std::string_view raw_path) const {
  Match match;
  match.status = 404;
  if (raw_path.empty() || raw_path[0] != '/') return match;
  const std::vector<std::string>* refused = nullptr;  // the pattern whose methods did not fit
  std::vector<std::string> allowed;
  for (const Entry& entry : entries_) {
    // A path belongs to its most specific pattern: "/*" does not catch what "/x" refuses.
    if (refused != nullptr && entry.segments != *refused) continue;
    auto captures = MatchSegments(entry.segments, raw_path);
    if (!captures) continue;
    match.pattern = entry.route->pattern;
    if (Takes(*entry.route, method)) {
      match.route = entry.route.get();
      match.status = 200;
      match.captures = std::move(*captures);
      return match;
    }
    refused = &entry.segments;
    AppendAllowed(*entry.route, allowed);
  }
  if (refused == nullptr) return match;
  match.status = 405;
  std::sort(allowed.begin(), allowed.end());
  allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
  for (const std::string& name : allowed) match.allow += (match.allow.empty() ? "" : ", ") + name;
  return match;
}

}  // namespace sonde
