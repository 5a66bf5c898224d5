// Which groups of a task's families are exported: `metrics: {families: [...]}`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/contract/fact.h"

namespace sonde {

inline constexpr std::array<std::string_view, 5> kFamilyGroupNames = {"core", "phases", "histogram",
                                                                      "ratios", "tls"};

// nullopt for a word that names no group.
constexpr std::optional<FamilyGroup> FindFamilyGroup(std::string_view name) {
  for (size_t i = 0; i < kFamilyGroupNames.size(); ++i) {
    if (kFamilyGroupNames[i] == name) return static_cast<FamilyGroup>(i);
  }
  return std::nullopt;
}

// A plain value. health_check_results and the process's own families are in no group: always shown.
class FamilySet {
 public:
  static constexpr FamilySet All() {
    FamilySet set;
    set.bits_ = (1u << kFamilyGroupNames.size()) - 1;
    return set;
  }
  static constexpr FamilySet None() { return {}; }

  constexpr void Add(FamilyGroup group) { bits_ |= Bit(group); }
  constexpr bool Has(FamilyGroup group) const { return (bits_ & Bit(group)) != 0; }
  bool operator==(const FamilySet&) const = default;

 private:
  static constexpr uint32_t Bit(FamilyGroup group) { return 1u << static_cast<unsigned>(group); }
  uint32_t bits_ = 0;
};

}  // namespace sonde
