// One run's numbers and words as /probe gives them: text 0.0.4, all gauges, families by name,
// series by their labels, labels by name (blackbox_contract 2.2).
#pragma once

#include <string>

#include "engine/contract/outcome.h"
#include "engine/contract/probe_result.h"

namespace sonde {

struct ProbeFamiliesOptions {
  // Also what blackbox_exporter does not have: probe_failure_info{phase,reason} and the families
  // that scheduled tasks have besides (docs/blackbox.md).
  bool details = false;
};

std::string ProbeFamilies(const FactSet& facts, const Texts& texts, Outcome outcome,
                          const ProbeFamiliesOptions& options);

}  // namespace sonde
