#include "engine/contract/probe_result.h"

#include <array>

namespace sonde {

std::string_view StageName(Stage stage) {
  static constexpr std::array<std::string_view, kStageCount> kNames = {"resolve", "connect", "tls",
                                                                       "wait", "transfer"};
  const auto index = static_cast<size_t>(stage);
  return index < kNames.size() ? kNames[index] : std::string_view();
}

}  // namespace sonde
