#include "tools/sonde/probe_report.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/contract/duration_text.h"
#include "engine/contract/scalar_text.h"

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

// Bytes of the character that begins `text` and may reach a terminal; 0 when none does: controls,
// those of UTF-8 (U+0080 to U+009F) too, and what is not UTF-8.
size_t ShownLength(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (text.size() < length || !IsUtf8(text.substr(0, length))) return 0;
  return first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0 ? 0 : length;
}

// What cannot be shown is \xHH; lines stay lines.
std::string Printable(std::string_view text, std::string_view indent) {
  text = text.substr(0, text.find_last_not_of("\r\n") + 1);
  std::string out(indent);
  while (!text.empty()) {
    size_t taken = ShownLength(text);
    if (taken > 0) {
      out += text.substr(0, taken);
    } else {
      taken = 1;
      if (text[0] == '\n') {
        out += '\n';
        out += indent;
      } else if (text[0] != '\r') {
        char code[8];
        std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(text[0]));
        out += code;
      }
    }
    text.remove_prefix(taken);
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

// What has no port is an address alone.
std::string PeerText(const Address& peer) { return peer.port == 0 ? peer.Host() : peer.HostPort(); }

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
  const std::string& detail = answer.evidence.detail;
  if (!detail.empty() && detail != info.sentence) out += Printable(detail, "  ") + "\n";
  if (answer.evidence.peer.family != IpFamily::kNone) {
    out += "  address " + PeerText(answer.evidence.peer) + "\n";
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
    evidence["address"] = PeerText(answer.evidence.peer);
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
