// Hashes over options and texts: equal content gives equal hashes, and nothing is allocated.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/contract/config_node.h"

namespace sonde {

// Chains SipHash over the parts added; each part counts with its length, so that ("ab","c") and
// ("a","bc") differ. Stable within one build, not a format: never store it.
class ContentHash {
 public:
  ContentHash& Add(std::string_view part);
  ContentHash& Add(uint64_t number);
  // A tree of options. Order of keys does not count, null values are as good as absent, and so is
  // an empty mapping: `tcp: {}` equals no block at all.
  ContentHash& Add(const ConfigNode* node);

  uint64_t value() const { return state_ == 0 ? 1 : state_; }  // never 0

 private:
  uint64_t state_ = 0x736f6e6465ULL;
};

}  // namespace sonde
