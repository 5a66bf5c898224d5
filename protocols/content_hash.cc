#include "protocols/content_hash.h"

#include <algorithm>
#include <vector>

#include "engine/contract/siphash.h"

namespace sonde {
namespace {

constexpr uint64_t kKey = 0x70726f746f636f6cULL;

bool IsAbsent(const ConfigNode& node) {
  return node.kind == ConfigNode::Kind::kNull ||
         (node.kind == ConfigNode::Kind::kMapping && node.entries.empty());
}

}  // namespace

ContentHash& ContentHash::Add(std::string_view part) {
  state_ = SipHash24(state_, kKey + part.size(), part);
  return *this;
}

ContentHash& ContentHash::Add(uint64_t number) {
  uint8_t bytes[8];
  for (uint8_t& byte : bytes) {
    byte = static_cast<uint8_t>(number);
    number >>= 8;
  }
  state_ = SipHash24(state_, kKey, std::span<const uint8_t>(bytes));
  return *this;
}

// Depth is the decoder's to bound.
ContentHash& ContentHash::Add(const ConfigNode* node) {
  if (!node || IsAbsent(*node)) return Add(uint64_t{0});
  Add(static_cast<uint64_t>(node->kind) * 2 + (node->quoted ? 1 : 0));
  switch (node->kind) {
    case ConfigNode::Kind::kNull:
      break;
    case ConfigNode::Kind::kScalar:
      Add(node->text);
      break;
    case ConfigNode::Kind::kSequence:
      Add(uint64_t{node->items.size()});
      for (const ConfigNode& item : node->items) Add(&item);
      break;
    case ConfigNode::Kind::kMapping: {
      std::vector<const ConfigEntry*> sorted;
      for (const ConfigEntry& entry : node->entries) {
        if (!IsAbsent(entry.value)) sorted.push_back(&entry);
      }
      std::sort(sorted.begin(), sorted.end(),
                [](const ConfigEntry* a, const ConfigEntry* b) { return a->key < b->key; });
      Add(uint64_t{sorted.size()});
      for (const ConfigEntry* entry : sorted) Add(entry->key).Add(&entry->value);
      break;
    }
  }
  return *this;
}

}  // namespace sonde
