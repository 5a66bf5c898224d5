#include "store/metrics_reader.h"

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

// "core, phases and histogram"
std::string KnownGroups() {
  std::string text;
  for (size_t i = 0; i < kFamilyGroups; ++i) {
    if (i > 0) text += i + 1 == kFamilyGroups ? " and " : ", ";
    text += kFamilyGroupNames[i];
  }
  return text;
}

FamilySet ReadFamilies(const ConfigNode& list, const std::string& path, Diagnostics& diagnostics) {
  FamilySet families = FamilySet::None();
  for (const ConfigNode& item : list.items) {
    const auto group =
        item.kind == ConfigNode::Kind::kScalar ? FindFamilyGroup(item.text) : std::nullopt;
    if (group) {
      families.Add(*group);
    } else {
      diagnostics.Error(item.mark, path,
                        "there is no group of families " + Quote(item.text) +
                            Suggestion(item.text, kFamilyGroupNames) + "; there are " +
                            KnownGroups());
    }
  }
  return families;
}

}  // namespace

MetricsSettings ReadMetrics(const ConfigNode* node, const std::string& path,
                            Diagnostics& diagnostics) {
  MetricsSettings settings;
  ConfigReader in(node, path, diagnostics);
  if (const ConfigNode* list = in.Sequence("families")) {
    settings.families = ReadFamilies(*list, in.PathOf("families"), diagnostics);
  }
  bool recent = false;
  if (in.Bool("recent", &recent)) settings.recent = recent;
  in.Finish();
  return settings;
}

}  // namespace sonde
