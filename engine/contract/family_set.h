// Which groups of a task's families are exported: `metrics: {families: [...]}`, of a file or
// module.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/contract/fact.h"

namespace sonde {

inline constexpr std::array<std::string_view, 6> kFamilyGroupNames = {
    "core", "phases", "histogram", "ratios", "tls", "native"};
inline constexpr size_t kFamilyGroups = kFamilyGroupNames.size();

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
  static constexpr FamilySet All() { return FamilySet((1u << kFamilyGroups) - 1); }
  // Where nothing is said: all but native histograms, which take memory of their own.
  static constexpr FamilySet Default() {
    return FamilySet(All().bits_ & ~Bit(FamilyGroup::kNative));
  }
  static constexpr FamilySet None() { return {}; }

  constexpr FamilySet() = default;
  constexpr void Add(FamilyGroup group) { *this = FamilySet(bits_ | Bit(group)); }
  constexpr bool Has(FamilyGroup group) const { return (bits_ & Bit(group)) != 0; }
  constexpr uint8_t bits() const { return bits_; }
  bool operator==(const FamilySet&) const = default;

 private:
  explicit constexpr FamilySet(unsigned bits) : bits_(static_cast<uint8_t>(bits)) {}
  static constexpr unsigned Bit(FamilyGroup group) { return 1u << static_cast<unsigned>(group); }
  uint8_t bits_ = 0;
};
static_assert(kFamilyGroups <= 8);

}  // namespace sonde
