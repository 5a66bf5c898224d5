#include "exporter/negotiation.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

namespace sonde {
namespace {

constexpr size_t kClausesRead = 32;  // more than any scraper sends; the rest is not looked at

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

// Cuts `rest` at the first `separator`; returns what stood before it.
std::string_view Cut(std::string_view* rest, char separator) {
  const size_t at = rest->find(separator);
  const std::string_view head = rest->substr(0, at);
  *rest = at == std::string_view::npos ? std::string_view() : rest->substr(at + 1);
  return Trim(head);
}

struct Clause {
  std::string type;
  std::string version, escaping, proto, encoding;
  double q = 1.0;

  bool wildcard() const { return type.find('*') != std::string::npos; }
};

Clause ParseClause(std::string_view text) {
  Clause clause;
  clause.type = Lower(Cut(&text, ';'));
  while (!text.empty()) {
    std::string_view value = Cut(&text, ';');
    const std::string key = Lower(Cut(&value, '='));
    value = Trim(value);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    if (key == "version") clause.version = value;
    if (key == "escaping") clause.escaping = Lower(value);
    if (key == "proto") clause.proto = value;
    if (key == "encoding") clause.encoding = value;
    if (key == "q") {
      double q = 0;
      const auto read = std::from_chars(value.data(), value.data() + value.size(), q);
      const bool good = read.ec == std::errc() && read.ptr == value.data() + value.size();
      clause.q = good && q >= 0 && q <= 1 ? q : 0;
    }
  }
  return clause;
}

constexpr std::string_view kFamilyMessage = "io.prometheus.client.MetricFamily";

struct Served {
  std::string_view type, version;  // as asked
  Format format;
  std::string_view content_type;
};
constexpr std::string_view kText = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kOpen1 = "application/openmetrics-text; version=1.0.0; charset=utf-8";
constexpr std::string_view kOpen0 = "application/openmetrics-text; version=0.0.1; charset=utf-8";
constexpr std::string_view kProtobuf =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
constexpr std::array<Served, 9> kServed = {{
    {"application/openmetrics-text", "1.0.0", Format::kOpenMetrics, kOpen1},
    {"application/openmetrics-text", "0.0.1", Format::kOpenMetrics, kOpen0},
    {"application/openmetrics-text", "", Format::kOpenMetrics, kOpen0},
    {"application/vnd.google.protobuf", "", Format::kProtobuf, kProtobuf},
    {"text/plain", "0.0.4", Format::kText, kText},
    {"text/plain", "1.0.0", Format::kText, kText},
    {"text/plain", "", Format::kText, kText},
    {"text/*", "", Format::kText, kText},
    {"*/*", "", Format::kText, kText},
}};

// Whether what is asked of a type is what we have of it.
bool Fits(const Clause& clause, const Served& served) {
  if (clause.wildcard()) return true;
  if (served.format == Format::kProtobuf) {
    return clause.proto == kFamilyMessage && clause.encoding == "delimited";
  }
  return clause.version == served.version;
}

std::optional<Negotiated> Serve(const Clause& clause) {
  constexpr std::array<std::string_view, 4> kSchemes = {"allow-utf-8", "underscores", "dots",
                                                        "values"};
  for (const Served& served : kServed) {
    if (clause.type != served.type || !Fits(clause, served)) continue;
    Negotiated answer{served.format, std::string(served.content_type)};
    if (std::find(kSchemes.begin(), kSchemes.end(), clause.escaping) != kSchemes.end()) {
      answer.content_type.append("; escaping=").append(clause.escaping);
    }
    return answer;
  }
  return std::nullopt;
}

}  // namespace

Negotiated NegotiateFormat(std::string_view accept) {
  std::vector<Clause> clauses;
  while (!accept.empty() && clauses.size() < kClausesRead) {
    const std::string_view text = Cut(&accept, ',');
    if (!text.empty()) clauses.push_back(ParseClause(text));
  }
  std::stable_sort(clauses.begin(), clauses.end(), [](const Clause& a, const Clause& b) {
    if (a.q != b.q) return a.q > b.q;
    return !a.wildcard() && b.wildcard();
  });
  for (const Clause& clause : clauses) {
    if (clause.q <= 0) break;
    if (std::optional<Negotiated> answer = Serve(clause)) return *answer;
  }
  return {Format::kText, std::string(kText)};
}

}  // namespace sonde
