#include "exporter/metric_family.h"

#include <array>

namespace sonde {
namespace {

bool EndsWith(std::string_view text, std::string_view suffix) {
  return text.size() > suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

}  // namespace

std::string_view UnitOf(std::string_view name) {
  constexpr std::array<std::string_view, 3> kUnits = {"_seconds", "_bytes", "_ratio"};
  for (const std::string_view unit : kUnits) {
    if (EndsWith(name, unit)) return unit.substr(1);
  }
  return {};
}

std::string_view WithoutTotal(const MetricFamilyHead& family) {
  constexpr std::string_view kTotal = "_total";
  if (family.type != MetricType::kCounter || !EndsWith(family.name, kTotal)) return family.name;
  return family.name.substr(0, family.name.size() - kTotal.size());
}

}  // namespace sonde
