// A plan as people and programs read it.
#pragma once

#include <string>
#include <string_view>

#include "tools/sonde/fleet_plan.h"

namespace sonde {

// A page: long lists are cut, and it says so.
std::string PlanText(std::string_view file, const FleetPlan& plan);

// The same as one JSON object, a line. Names and clock changes in full, up to the limits below.
std::string PlanJson(std::string_view file, const FleetPlan& plan);

inline constexpr size_t kPlanJsonMeetings = 10'000;
inline constexpr size_t kPlanJsonNames = 10;  // of a clock change; the count is exact

}  // namespace sonde
