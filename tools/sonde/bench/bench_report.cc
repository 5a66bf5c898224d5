#include "tools/sonde/bench/bench_report.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "tools/sonde/bench/rate_search.h"
#include "tools/sonde/bench/text_table.h"

namespace sonde {
namespace {

using nlohmann::ordered_json;

constexpr int kIntervals[] = {5, 15, 60};  // seconds, of the targets a rate is good for
constexpr double kQuantiles[] = {0.5, 0.9, 0.99, 0.999};
constexpr const char* kQuantileNames[] = {"p50", "p90", "p99", "p99.9"};

using Number = std::function<std::optional<double>(const BenchPoint&)>;

// Median over the points that held; nullopt when one of them has none: a slot never answered.
std::optional<double> MedianBy(const TypeResult& result, const Number& number) {
  std::vector<double> values;
  for (const BenchPoint& point : result.held) {
    const auto value = number(point);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  if (values.empty()) return std::nullopt;
  return MedianOf(std::move(values));
}

double RateOf(const TypeResult& result) {
  return MedianBy(result, [](const BenchPoint& point) { return point.rate; }).value_or(0);
}

double CostOf(const TypeResult& result) {
  return MedianBy(result, [](const BenchPoint& p) { return p.microseconds_per_probe(); })
      .value_or(0);
}

struct Times {
  const char* name;  // in JSON
  const char* title;
  std::function<std::optional<Duration>(const BenchPoint&, double)> quantile;
};

// Corrected: of every slot that was due, from that time; a slot without a run was never answered.
const Times kTimes[] = {
    {"lateness", "lateness: due to first system call",
     [](const BenchPoint& p, double q) { return p.recorded.lateness.Quantile(q); }},
    {"latency_from_start", "latency from its start (uncorrected)",
     [](const BenchPoint& p, double q) { return p.recorded.latency.Quantile(q); }},
    {"latency_from_due", "latency from its due time (corrected)",
     [](const BenchPoint& p, double q) {
       return p.recorded.corrected.Quantile(q,
                                            p.due - std::min(p.due, p.recorded.corrected.total()));
     }},
};

std::optional<double> TimeOf(const TypeResult& result, const Times& times, double q) {
  return MedianBy(result, [&](const BenchPoint& point) -> std::optional<double> {
    const auto time = times.quantile(point, q);
    if (!time) return std::nullopt;
    return time->seconds();
  });
}

std::pair<double, double> RangeOf(const TypeResult& result) {
  const auto less = [](const BenchPoint& a, const BenchPoint& b) { return a.rate < b.rate; };
  const auto [low, high] = std::minmax_element(result.held.begin(), result.held.end(), less);
  return {low->rate, high->rate};
}

std::string RatesText(const BenchReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"", "rate/s", "range", "us CPU", "per CPU-s", "prober", "farm"}};
  for (const int interval : kIntervals) rows[0].push_back(Printed("at %d s", interval));
  for (const char* head : {"B idle", "B in flight"}) rows[0].push_back(head);
  for (const TypeResult& result : report.results) {
    if (result.held.empty()) continue;
    const double rate = RateOf(result), cost = CostOf(result);
    const auto [low, high] = RangeOf(result);
    const auto busy = [&result](double BenchPoint::*share) {
      return Printed("%.0f %%", 100 * MedianBy(result, [&](const BenchPoint& p) {
                                        return std::optional<double>(p.*share);
                                      }).value_or(0));
    };
    rows.push_back({result.title, (result.at_least ? ">= " : "") + WithThousands(rate),
                    WithThousands(low) + "-" + WithThousands(high), Significant(cost),
                    cost > 0 ? WithThousands(1e6 / cost) : "-", busy(&BenchPoint::shard_busy),
                    report.farm ? busy(&BenchPoint::farm_busy) : "-"});
    for (const int interval : kIntervals) rows.back().push_back(WithThousands(rate * interval));
    rows.back().push_back(OrDash(result.idle_bytes));
    rows.back().push_back(OrDash(result.in_flight_bytes));
  }
  return rows.size() == 1 ? "" : TableText(rows) + "\n";
}

std::string TimesText(const BenchReport& report) {
  std::vector<std::vector<std::string>> rows = {{"at that rate, ms"}};
  for (const char* name : kQuantileNames) rows[0].push_back(name);
  for (const TypeResult& result : report.results) {
    if (result.held.empty()) continue;
    rows.push_back({result.title});
    for (const Times& times : kTimes) {
      rows.push_back({std::string("  ") + times.title});
      for (const double q : kQuantiles) {
        const auto seconds = TimeOf(result, times, q);
        rows.back().push_back(seconds ? Significant(*seconds * 1e3) : "never");
      }
    }
  }
  return rows.size() == 1 ? "" : TableText(rows) + "\n";
}

ordered_json OrNull(std::optional<double> number) {
  return number ? ordered_json(*number) : ordered_json();
}

ordered_json PointJson(const BenchPoint& point) {
  return {{"rate", point.rate},
          {"due", point.due},
          {"runs", point.recorded.runs},
          {"skipped", point.skipped()},
          {"blocked", point.blocked_sum()},
          {"failed", point.recorded.failed},
          {"inconclusive", point.recorded.inconclusive},
          {"handshakes_full", point.handshakes_full},
          {"handshakes_resumed", point.handshakes_resumed},
          {"processor_seconds", point.processor_seconds},
          {"shard_busy", point.shard_busy},
          {"shard_waited", point.shard_waited},
          {"farm_busy", point.farm_busy}};
}

ordered_json ResultJson(const TypeResult& result) {
  ordered_json json = {{"type", result.name}, {"title", result.title}};
  json["problem"] = result.problem.empty() ? ordered_json() : ordered_json(result.problem);
  json["complete"] = result.complete;
  json["tries"] = result.tries;
  json["ended"] = result.ended;
  json["ended_by"] = result.ceiling ? "max_rate"
                     : result.bound ? std::string(BoundName(*result.bound))
                                    : "time";
  json["limiter"] = result.broke && !result.ceiling
                        ? ordered_json(std::string(LimiterName(LimiterOf(*result.broke))))
                        : ordered_json();
  if (result.held.empty()) return json;
  const double rate = RateOf(result), cost = CostOf(result);
  const auto [low, high] = RangeOf(result);
  json["rate"] = rate;
  json["at_least"] = result.at_least;
  json["rate_range"] = {low, high};
  json["range_confidence"] = RangeConfidence(static_cast<int>(result.held.size()));
  json["microseconds_per_probe"] = cost;
  json["probes_per_processor_second"] = cost > 0 ? ordered_json(1e6 / cost) : ordered_json();
  for (const Times& times : kTimes) {
    ordered_json quantiles;
    for (size_t i = 0; i < std::size(kQuantiles); ++i) {
      quantiles[kQuantileNames[i]] = OrNull(TimeOf(result, times, kQuantiles[i]));
    }
    json[std::string(times.name) + "_seconds"] = std::move(quantiles);
  }
  json["bytes_per_idle_task"] = OrNull(result.idle_bytes);
  json["bytes_per_probe_in_flight"] = OrNull(result.in_flight_bytes);
  ordered_json targets;
  for (const int interval : kIntervals) targets[Printed("%ds", interval)] = rate * interval;
  json["targets"] = std::move(targets);
  ordered_json points = ordered_json::array();
  for (const BenchPoint& point : result.held) points.push_back(PointJson(point));
  json["held"] = std::move(points);
  json["broke"] = result.broke ? PointJson(*result.broke) : ordered_json();
  return json;
}

}  // namespace

std::string BenchText(const BenchReport& report) {
  std::string text = Printed(
      "%s, %u cores, Linux %s, load %.1f, %s\n%s, %u %s%s; tries of %.3g s, every task every %.3g "
      "s; lateness p99 <= %.3g ms\n\n",
      report.processor.c_str(), report.cores, report.kernel.c_str(), report.load,
      report.date.c_str(), report.version.c_str(), report.shards,
      report.shards == 1 ? "shard" : "shards",
      report.pinned ? ", prober and farm on processors of their own"
      : report.farm ? ", prober and farm on the same processors"
                    : "",
      report.seconds, report.interval_seconds, report.bounds.lateness_p99.millis());
  text += RatesText(report) + TimesText(report);
  for (const TypeResult& result : report.results) {
    text += result.title + ": ";
    if (result.held.empty()) {
      text += "no rate: " + result.problem + "\n";
      continue;
    }
    const auto searches = static_cast<int>(result.held.size());
    text += result.ended;
    if (!result.at_least && searches > 1) {
      text += Printed("; %d searches, the range holds the median of all with %.0f %%", searches,
                      RangeConfidence(searches) * 100);
    }
    text += "\n";
  }
  if (report.interrupted) text += "Interrupted: this is what there was.\n";
  return text;
}

std::string BenchJson(const BenchReport& report) {
  ordered_json results = ordered_json::array();
  for (const TypeResult& result : report.results) results.push_back(ResultJson(result));
  const ordered_json json = {{"version", report.version},
                             {"date", report.date},
                             {"processor", report.processor},
                             {"cores", report.cores},
                             {"kernel", report.kernel},
                             {"load", report.load},
                             {"shards", report.shards},
                             {"pinned", report.pinned},
                             {"farm", report.farm},
                             {"interrupted", report.interrupted},
                             {"try_seconds", report.seconds},
                             {"interval_seconds", report.interval_seconds},
                             {"bounds",
                              {{"lateness_p99_seconds", report.bounds.lateness_p99.seconds()},
                               {"skipped", report.bounds.skipped},
                               {"failed", report.bounds.failed},
                               {"inconclusive", report.bounds.inconclusive}}},
                             {"types", std::move(results)}};
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace sonde
