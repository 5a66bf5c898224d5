// The YAML decoder on any bytes: whatever comes out is a tree that can be walked, with places, no
// key twice, within its limits.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string_view>

#include "store/yaml_reader.h"

namespace {

using sonde::ConfigNode;

constexpr sonde::YamlLimits kLimits = {.bytes = 1 << 20, .depth = 20, .nodes = 20'000};

void Check(bool truth) {
  if (!truth) std::abort();
}

size_t Walk(const ConfigNode& node, size_t depth, bool root) {
  Check(depth <= kLimits.depth + 1);
  Check(root || node.mark.line > 0);
  size_t nodes = 1;
  // Every byte is readable.
  Check(std::count(node.text.begin(), node.text.end(), 'x') <=
        static_cast<ptrdiff_t>(node.text.size()));
  for (const ConfigNode& item : node.items) nodes += Walk(item, depth + 1, false);
  std::set<std::string_view> keys;
  for (const auto& entry : node.entries) {
    Check(entry.mark.line > 0 && entry.mark.column > 0);
    Check(keys.insert(entry.key).second);
    nodes += 1 + Walk(entry.value, depth + 1, false);
  }
  return nodes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sonde::Diagnostics diagnostics;
  const sonde::YamlDocument document = sonde::ReadYaml(text, diagnostics, kLimits);
  // Merges repeat entries of what was counted already, at most once more per level.
  Check(Walk(document.root(), 1, true) <= kLimits.nodes * kLimits.depth);
  diagnostics.ToString("fuzz.yml");
  return 0;
}
