#include "tools/sonde/probe_report.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/contract/duration_text.h"

namespace sonde {
namespace {

constexpr int kBarWidth = 40;

std::string Milliseconds(uint32_t us) {
  char text[32];
  std::snprintf(text, sizeof text, "%10.3f ms", us / 1000.0);
  return text;
}

std::string Number(double value) {
  char text[40];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// Printable ASCII and UTF-8's upper half as they are, the rest as \xHH; lines stay lines.
std::string Printable(std::string_view text, std::string_view indent) {
  text = text.substr(0, text.find_last_not_of("\r\n") + 1);
  std::string out(indent);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\r') continue;
    if (c == '\n') {
      out += '\n';
      out += indent;
    } else if (byte < 0x20 || byte == 0x7f) {
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02x", byte);
      out += code;
    } else {
      out += c;
    }
  }
  return out;
}

std::string Waterfall(const ProbeResult& result) {
  uint64_t total = 0;
  for (const uint32_t us : result.stage_us) total += us;
  std::string out;
  uint64_t before = 0;
  for (size_t i = 0; i < kStageCount; ++i) {
    if ((result.stages_reached & (1u << i)) == 0) continue;
    const uint32_t us = result.stage_us[i];
    const auto column = [total](uint64_t at) {
      return total == 0 ? 0 : static_cast<int>(at * kBarWidth / total);
    };
    const int begin = column(before);
    const int length = std::max(1, column(before + us) - begin);
    std::string name(StageName(static_cast<Stage>(i)));
    name.resize(10, ' ');
    out += "  " + name + Milliseconds(us) + "  " + std::string(static_cast<size_t>(begin), ' ') +
           std::string(static_cast<size_t>(length), '#') + "\n";
    before += us;
  }
  return out;
}

std::string FactName(const FactInfo& info) {
  std::string name(info.family);
  if (!info.label.empty()) name += "{" + std::string(info.label) + "}";
  return name;
}

}  // namespace

std::string ProbeReportText(const Task& task, const Runner::Answer& answer) {
  const ProbeResult& result = answer.result;
  const OutcomeInfo& info = Info(result.outcome);
  std::string out = std::string(VerdictName(result.verdict())) + "  " +
                    std::string(task.prober->name()) + " " + Printable(task.target, "") + "\n" +
                    "  " + std::string(OutcomeName(result.outcome)) + ": " +
                    std::string(info.sentence) + "\n";
  if (!answer.evidence.detail.empty()) out += Printable(answer.evidence.detail, "  ") + "\n";
  if (answer.evidence.peer.family != IpFamily::kNone) {
    out += "  address " + answer.evidence.peer.HostPort() + "\n";
  }
  if (!answer.evidence.url.empty()) out += Printable(answer.evidence.url, "  at ") + "\n";
  out += "  took " + FormatDuration(result.duration) + "\n\n" + Waterfall(result) + "\n";
  for (const FactInfo& fact : Facts()) {
    if (const auto value = result.facts.Get(fact.fact)) {
      out += "  " + FactName(fact) + " " + Number(*value) + "\n";
    }
  }
  for (const Text& text : answer.texts) {
    out += "  " + std::string(TextFamilies()[static_cast<size_t>(text.family)].name) + "\n";
    for (const auto& [label, value] : text.labels) {
      out += "    " + label + "=" + Printable(value, "") + "\n";
    }
  }
  if (!answer.evidence.head.empty()) out += "\n" + Printable(answer.evidence.head, "  < ") + "\n";
  if (!answer.evidence.body.empty()) out += "\n" + Printable(answer.evidence.body, "  | ") + "\n";
  return out;
}

std::string ProbeReportJson(const Task& task, const Runner::Answer& answer) {
  using nlohmann::ordered_json;
  const ProbeResult& result = answer.result;
  const OutcomeInfo& info = Info(result.outcome);
  ordered_json json = {{"type", task.prober->name()},
                       {"target", task.target},
                       {"verdict", VerdictName(result.verdict())},
                       {"outcome", OutcomeName(result.outcome)},
                       {"phase", PhaseName(info.phase)},
                       {"reason", info.reason},
                       {"message", info.sentence},
                       {"duration_seconds", result.duration.seconds()}};
  ordered_json& stages = json["stages_seconds"] = ordered_json::object();
  for (size_t i = 0; i < kStageCount; ++i) {
    if ((result.stages_reached & (1u << i)) == 0) continue;
    stages[std::string(StageName(static_cast<Stage>(i)))] = result.stage_us[i] / 1e6;
  }
  ordered_json& facts = json["facts"] = ordered_json::object();
  for (const FactInfo& fact : Facts()) {
    if (const auto value = result.facts.Get(fact.fact)) facts[FactName(fact)] = *value;
  }
  ordered_json& texts = json["texts"] = ordered_json::object();
  for (const Text& text : answer.texts) {
    ordered_json& labels =
        texts[std::string(TextFamilies()[static_cast<size_t>(text.family)].name)];
    for (const auto& [label, value] : text.labels) labels[label] = value;
  }
  ordered_json& evidence = json["evidence"] = ordered_json::object();
  if (answer.evidence.peer.family != IpFamily::kNone) {
    evidence["address"] = answer.evidence.peer.HostPort();
  }
  const std::pair<const char*, const std::string*> kTexts[] = {{"url", &answer.evidence.url},
                                                               {"detail", &answer.evidence.detail},
                                                               {"head", &answer.evidence.head},
                                                               {"body", &answer.evidence.body}};
  for (const auto& [name, value] : kTexts) {
    if (!value->empty()) evidence[name] = *value;
  }
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace sonde
