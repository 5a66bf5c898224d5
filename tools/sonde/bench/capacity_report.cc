#include "tools/sonde/bench/capacity_report.h"

#include <nlohmann/json.hpp>

#include "engine/contract/duration_text.h"
#include "tools/sonde/bench/text_table.h"

namespace sonde {
namespace {

using nlohmann::ordered_json;

// Of the kind's part in the processor's time: costs measured alone, scaled to what all took.
double CoresOf(const CapacityReport& report, size_t kind) {
  double alone = 0;
  for (size_t i = 0; i < report.demand.kinds.size(); ++i) {
    alone += report.demand.kinds[i].rate * report.rehearsal.kinds[i].microseconds;
  }
  if (alone <= 0) return 0;
  return report.prediction.cores * report.demand.kinds[kind].rate *
         report.rehearsal.kinds[kind].microseconds / alone;
}

// Of processor, a probe, all kinds together.
double MicrosecondsOf(const CapacityReport& report) {
  return report.demand.rate > 0 ? report.prediction.cores / report.demand.rate * 1e6 : 0;
}

std::string KindsText(const CapacityReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"kind", "tasks", "starts/s", "us CPU alone", "cores", "B in flight"}};
  for (size_t i = 0; i < report.demand.kinds.size(); ++i) {
    const CapacityDemand::Kind& kind = report.demand.kinds[i];
    const Rehearsal::Kind& its = report.rehearsal.kinds[i];
    rows.push_back({std::string(kind.type->title), WithThousands(double(kind.tasks.size())),
                    Significant(kind.rate), Significant(its.microseconds),
                    Printed("%.3f", CoresOf(report, i)),
                    its.in_flight_bytes > 0 ? WithThousands(its.in_flight_bytes) : "-"});
  }
  return TableText(rows);
}

std::string RowsText(const CapacityReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"", "needed", "if nothing answers", "there is", "used"}};
  for (const CapacityRow& row : report.prediction.rows) {
    rows.push_back({std::string(row.title), Significant(row.need), OrDash(row.silent),
                    OrDash(row.limit),
                    row.limit ? Printed("%.3g %%", row.need / *row.limit * 100) : "-"});
  }
  return TableText(rows);
}

std::string LimitText(const CapacityReport& report, bool silent) {
  const FirstLimit first = FirstLimitOf(report.prediction, silent);
  if (first.row == nullptr) return "no limit is known";
  const std::string times = first.times >= 1
                                ? Printed("at %.3g times these tasks", first.times)
                                : Printed("these tasks are %.3g times too many", 1 / first.times);
  return std::string(first.row->title) + ", " + times;
}

std::string CheckText(const CapacityCheck& check) {
  std::vector<std::vector<std::string>> rows = {{"serve beside it", "predicted", "took", "off by"}};
  const auto row = [&rows](const char* title, double predicted, double took) {
    rows.push_back({title, Significant(predicted), Significant(took),
                    took > 0 ? Printed("%+.0f %%", (predicted / took - 1) * 100) : "-"});
  };
  row("processor, cores", check.predicted_cores, check.cores);
  row("memory, bytes", check.predicted_bytes, check.bytes);
  row("network, bytes a second", check.predicted_bytes_per_second, check.bytes_per_second);
  row("descriptors of probes", check.predicted_descriptors, check.descriptors);
  return "\n" + TableText(rows) +
         Printed("A shard waited for a processor %.1f %% of the time.\n", check.waited * 100);
}

ordered_json LimitJson(const CapacityReport& report, bool silent) {
  const FirstLimit first = FirstLimitOf(report.prediction, silent);
  if (first.row == nullptr) return nullptr;
  return {{"resource", first.row->name}, {"times", first.times}};
}

ordered_json Pair(double predicted, double took) {
  return {{"predicted", predicted}, {"took", took}};
}

}  // namespace

std::string CapacityText(const CapacityReport& report) {
  const CapacityDemand& demand = report.demand;
  std::string text = report.file + ": " + WithThousands(double(demand.tasks)) + " tasks, " +
                     Significant(demand.rate) + " starts a second, " +
                     Significant(demand.peak_rate) + " in the busiest one; " +
                     Printed("%u shard%s, ", report.shards, report.shards == 1 ? "" : "s") +
                     FormatDuration(report.round_trip) + " to the targets\n" +
                     report.machine.processor +
                     Printed(", %u cores, Linux %s, load %.1f\n\n", report.machine.cores,
                             report.machine.kernel.c_str(), report.machine.load);
  if (demand.kinds.empty()) return text + "No task is enabled.\n";
  text += KindsText(report) + "\n" + RowsText(report) + "\n";
  text += "All kinds together: " + Significant(MicrosecondsOf(report)) +
          " us of processor a probe; the busiest second needs " +
          Significant(report.prediction.cores_at_peak) + " cores.\n";
  if (report.rehearsal.share < 1) {
    text += Printed("Rehearsed at %.3g %% of the rate: more did not keep its schedule here.\n",
                    report.rehearsal.share * 100);
  }
  if (demand.busiest_closes > 0) {
    text += "Most connections ended with FIN: " + demand.busiest + ", " +
            Significant(demand.busiest_closes) + " a second.\n";
  }
  text += "First limit: " + LimitText(report, false) + ".\n";
  text += "If no target answered: " + LimitText(report, true) + ".\n";
  if (report.check) text += CheckText(*report.check);
  return text;
}

std::string CapacityJson(const CapacityReport& report) {
  ordered_json kinds = ordered_json::array(), rows = ordered_json::object();
  for (size_t i = 0; i < report.demand.kinds.size(); ++i) {
    const CapacityDemand::Kind& kind = report.demand.kinds[i];
    const Rehearsal::Kind& its = report.rehearsal.kinds[i];
    kinds.push_back({{"type", kind.type->name},
                     {"tasks", kind.tasks.size()},
                     {"rate", kind.rate},
                     {"microseconds_alone", its.microseconds},
                     {"cores", CoresOf(report, i)},
                     {"farm_latency_seconds", its.latency_seconds},
                     {"in_flight_bytes", its.in_flight_bytes}});
  }
  const auto or_null = [](std::optional<double> number) {
    return number ? ordered_json(*number) : ordered_json();
  };
  for (const CapacityRow& row : report.prediction.rows) {
    rows[std::string(row.name)] = {
        {"need", row.need}, {"silent", or_null(row.silent)}, {"limit", or_null(row.limit)}};
  }
  ordered_json json = {{"file", report.file},
                       {"tasks", report.demand.tasks},
                       {"rate", report.demand.rate},
                       {"peak_rate", report.demand.peak_rate},
                       {"shards", report.shards},
                       {"round_trip_seconds", report.round_trip.seconds()},
                       {"rehearsed_share", report.rehearsal.share},
                       {"microseconds_per_probe", MicrosecondsOf(report)},
                       {"cores_at_peak", report.prediction.cores_at_peak},
                       {"kinds", std::move(kinds)},
                       {"resources", std::move(rows)},
                       {"first_limit", LimitJson(report, false)},
                       {"first_limit_if_silent", LimitJson(report, true)},
                       {"check", nullptr}};
  if (const auto& check = report.check) {
    json["check"] = {
        {"processor_cores", Pair(check->predicted_cores, check->cores)},
        {"memory_bytes", Pair(check->predicted_bytes, check->bytes)},
        {"bytes_per_second", Pair(check->predicted_bytes_per_second, check->bytes_per_second)},
        {"descriptors", Pair(check->predicted_descriptors, check->descriptors)},
        {"waited", check->waited}};
  }
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace sonde
