// One run's answer, for people and for programs.
#pragma once

#include <string>

#include "engine/contract/task_set.h"

namespace sonde {

// Verdict, reason and a waterfall of the stages, then facts, texts and evidence. What the peer sent
// is escaped: no control character reaches the terminal.
std::string ProbeReportText(const Task& task, const Runner::Answer& answer);

// The same as one JSON object, a line.
std::string ProbeReportJson(const Task& task, const Runner::Answer& answer);

}  // namespace sonde
