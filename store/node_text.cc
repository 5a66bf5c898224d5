#include "store/node_text.h"

namespace sonde {

void AppendPart(uint64_t number, std::string* out) {
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<char>(number >> (8 * i) & 0xff));
}

void AppendPart(std::string_view text, std::string* out) {
  AppendPart(uint64_t{text.size()}, out);
  out->append(text);
}

// As deep as the decoder let the tree become.
void AppendPart(const ConfigNode* node, std::string* out) {
  static const ConfigNode kNull;
  if (node == nullptr) node = &kNull;
  out->push_back(static_cast<char>(node->kind));
  switch (node->kind) {
    case ConfigNode::Kind::kNull:
      return;
    case ConfigNode::Kind::kScalar:
      out->push_back(node->quoted ? 'q' : 'p');
      AppendPart(node->text, out);
      return;
    case ConfigNode::Kind::kSequence:
      AppendPart(uint64_t{node->items.size()}, out);
      for (const ConfigNode& item : node->items) AppendPart(&item, out);
      return;
    case ConfigNode::Kind::kMapping:
      AppendPart(uint64_t{node->entries.size()}, out);
      for (const ConfigEntry& entry : node->entries) {
        AppendPart(entry.key, out);
        AppendPart(&entry.value, out);
      }
      return;
  }
}

}  // namespace sonde
