#include "engine/contract/fact.h"

#include <array>

namespace sonde {
namespace {

constexpr std::array kFacts = {
#define SONDE_FACT_ROW(name, family, label, group, shown, help) \
  FactInfo{Fact::k##name, family, label, FamilyGroup::k##group, Shown::k##shown, help},
    SONDE_FACTS(SONDE_FACT_ROW)
#undef SONDE_FACT_ROW
};

constexpr std::array kTextFamilies = {
#define SONDE_TEXT_ROW(name, family, group, help) \
  TextFamilyInfo{TextFamily::k##name, family, FamilyGroup::k##group, help},
    SONDE_TEXT_FAMILIES(SONDE_TEXT_ROW)
#undef SONDE_TEXT_ROW
};

}  // namespace

std::span<const FactInfo> Facts() { return kFacts; }
std::span<const TextFamilyInfo> TextFamilies() { return kTextFamilies; }

}  // namespace sonde
