#include "engine/contract/outcome.h"

#include <array>

namespace sonde {
namespace {

constexpr std::array kOutcomes = {
#define SONDE_OUTCOME_ROW(name, phase, reason, fault, sentence) \
  OutcomeInfo{Outcome::k##name, Phase::k##phase, reason, Fault::k##fault, sentence},
    SONDE_OUTCOMES(SONDE_OUTCOME_ROW)
#undef SONDE_OUTCOME_ROW
};

constexpr std::string_view kPhaseNames[] = {"none",     "dns",        "connect", "tls",
                                            "send",     "first_byte", "headers", "body",
                                            "dialogue", "validation", "prober"};

// phase/reason, joined at start-up so that OutcomeName can hand out views.
struct Names {
  std::array<char[40], kOutcomes.size()> text{};
  std::array<std::string_view, kOutcomes.size()> view{};
  constexpr Names() {
    for (size_t i = 0; i < kOutcomes.size(); ++i) {
      size_t n = 0;
      const auto append = [&](std::string_view s) {
        for (const char c : s) text[i][n++] = c;
      };
      if (kOutcomes[i].phase != Phase::kNone) {
        append(kPhaseNames[static_cast<size_t>(kOutcomes[i].phase)]);
        text[i][n++] = '/';
      }
      append(kOutcomes[i].reason);
      view[i] = std::string_view(text[i], n);
    }
  }
};

const Names& AllNames() {
  static const Names names;
  return names;
}

}  // namespace

std::span<const OutcomeInfo> Outcomes() { return kOutcomes; }

const OutcomeInfo& Info(Outcome outcome) { return kOutcomes[static_cast<size_t>(outcome)]; }

std::string_view PhaseName(Phase phase) { return kPhaseNames[static_cast<size_t>(phase)]; }

std::string_view OutcomeName(Outcome outcome) {
  return AllNames().view[static_cast<size_t>(outcome)];
}

std::optional<Outcome> FindOutcome(std::string_view name) {
  for (const OutcomeInfo& info : kOutcomes) {
    if (OutcomeName(info.outcome) == name) return info.outcome;
  }
  return std::nullopt;
}

std::string_view VerdictName(Verdict verdict) {
  constexpr std::string_view kNames[] = {"success", "failed", "inconclusive"};
  return kNames[static_cast<size_t>(verdict)];
}

}  // namespace sonde
