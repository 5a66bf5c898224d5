// The strict YAML decoder: text to a ConfigNode tree, over libyaml's event parser.
//
// What it takes: YAML 1.1 in UTF-8, the first document of the text; anchors, aliases and `<<`
// merges (a mapping or a list of mappings; a mapping's own keys win, earlier ones of the list win
// over later ones); the tags !!str !!int !!float !!bool !!null !!binary !!timestamp !!seq !!map.
// What it refuses, with the place: keys given twice, keys that are collections, other tags, an
// alias of something unknown or of what it stands in, more than the limits, an empty text.
//
// Plain scalars stay text: ConfigReader types them where it knows what is wanted. Only null words
// become Kind::kNull here. Hostile input is met with bounded memory and time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/contract/config_node.h"
#include "store/arena.h"

namespace sonde {

struct YamlLimits {
  size_t bytes = 256 * 1024 * 1024;  // of the text
  size_t depth = 64;                 // of nesting, aliases followed
  size_t nodes = 20'000'000;         // keys and values, each alias counted as what it stands for
};

// Owns what the tree's views point at. Movable: the tree stays where it is.
class YamlDocument {
 public:
  // Kind::kNull when the document is null or could not be read.
  const ConfigNode& root() const { return root_; }
  size_t arena_bytes() const { return arena_.bytes(); }

 private:
  friend YamlDocument ReadYaml(std::string_view text, Diagnostics& diagnostics,
                               const YamlLimits& limits);
  Arena arena_;
  ConfigNode root_;
};

// Any thread. `text` is not needed afterwards. A syntax error ends the reading (the root is null
// then, so that no error follows out of a torn tree); all others are collected, and the tree holds
// what was good.
YamlDocument ReadYaml(std::string_view text, Diagnostics& diagnostics,
                      const YamlLimits& limits = {});

}  // namespace sonde
